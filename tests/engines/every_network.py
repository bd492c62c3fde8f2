"""One torchvision network in a process: its layers, and the hook against a direct computation.

Run as ``python -m tests.engines.every_network NAME FOLDER``; it prints what it compared. The
direct computation traces the network with torch.fx, which knows nothing of our hooks, and finds the
neurons' axis by itself: the one whose size is not the map's.
"""

from __future__ import annotations

import json
import math
import resource
import sys
import warnings
from collections import Counter
from pathlib import Path

import numpy as np
import torch
import torchvision
from safetensors.torch import save_file
from torch import fx
from torchvision.models import feature_extraction, get_model_builder

from dnd_local.core.config import NetworkConfig
from dnd_local.engines.layer_output import first_tensor
from dnd_local.engines.target_torch import TorchTarget
from dnd_local.engines.target_torchvision import load_torchvision, member_of, published_options
from dnd_local.store.manifest import Manifest

MOST_LAYERS = 12


def pictures() -> list[np.ndarray]:
    rng = np.random.default_rng(0)
    return [rng.integers(0, 256, (240, 320, 3), dtype=np.uint8) for _ in range(2)]


def published_as(name: str) -> str:
    """Return the network and member that the manifest means by a name."""
    return Manifest.read().entry(name).network.removeprefix("torchvision:")


def save_random(name: str, folder: Path) -> Path:
    """Write a network's weights, never trained, into a folder; return the file."""
    torch.manual_seed(0)
    published = published_as(name)
    network, _, _ = published.partition("@")
    options = published_options(network, member_of(published))
    random = get_model_builder(network)(weights=None, **options)
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "model.safetensors"
    save_file({key: value.contiguous() for key, value in random.state_dict().items()}, path)
    return path


def load(name: str, folder: Path) -> tuple[TorchTarget, torch.nn.Module, torch.Tensor]:
    """Return a target with random weights from a file, its network, and the pictures' inputs."""
    path = save_random(name, folder)
    module, transform = load_torchvision(
        published_as(name), path, Manifest.read().entry(name).origin
    )
    target = TorchTarget(module, transform, NetworkConfig(batch=2))
    inputs = torch.stack([target._prepare(picture) for picture in pictures()])
    return target, module, inputs


def direct(values: torch.Tensor) -> torch.Tensor | None:
    """Return each picture's responses, or None where sizes alone do not tell the neurons' axis."""
    if values.ndim == 2:
        return values
    if values.ndim == 3:  # a CLS token, then the patches
        return values[:, 1:].mean(1)
    if values.ndim != 4:
        return None
    _, a, b, c = values.shape
    if b == c != a:
        return values.mean((2, 3))
    return values.mean((1, 2)) if a == b != c else None


class Direct(fx.Interpreter):
    """Runs a traced network and keeps the responses of every module that is called once."""

    def __init__(self, module: torch.nn.Module) -> None:
        # The leaves and wrapped libraries are those of torchvision's own feature extraction.
        tracer = feature_extraction.NodePathTracer(
            autowrap_modules=(math, torchvision.ops),
            leaf_modules=feature_extraction._get_leaf_modules_for_ops(),
        )
        super().__init__(fx.GraphModule(module, tracer.trace(module)))
        self.runs: Counter[str] = Counter()
        self.read: dict[str, torch.Tensor | None] = {}

    def call_module(self, target: str, args: tuple, kwargs: dict) -> object:
        made = super().call_module(target, args, kwargs)
        self.runs.update([target])
        values = first_tensor(made)
        # At once: a later module may write over it in place.
        self.read[target] = None if values is None else direct(values)
        return made


def compare(name: str, folder: Path) -> dict[str, float]:
    """Return the largest difference of each layer that was compared, against its scale."""
    target, module, inputs = load(name, folder)
    traced = Direct(module)
    with torch.inference_mode():
        traced.run(inputs)
    able = [
        info.path
        for info in target.layers()
        if traced.runs[info.path] == 1 and traced.read[info.path] is not None
    ]
    chosen = sorted({able[round(i)] for i in np.linspace(0, len(able) - 1, MOST_LAYERS)})
    ours = target.responses(pictures(), chosen)
    differences = {}
    for path in chosen:
        expected = traced.read[path].clone()
        assert ours[path].shape == tuple(expected.shape), (path, ours[path].shape, expected.shape)
        scale = max(float(expected.abs().max()), 1e-6)
        differences[path] = float(np.abs(ours[path] - expected.numpy()).max()) / scale
    return differences


if __name__ == "__main__":
    warnings.simplefilter("ignore")
    found = compare(sys.argv[1], Path(sys.argv[2]))
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6
    sys.stdout.write(json.dumps({"layers": found, "peak_gb": round(peak, 2)}) + "\n")
