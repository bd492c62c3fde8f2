"""Every command on the smallest network of each of torchvision's families, with random weights."""

from __future__ import annotations

import json
import re
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any

import pytest
from torchvision.models import get_model_weights

from dnd_local.core.protocols import EngineRole
from dnd_local.engines.target_torchvision import torchvision_names
from dnd_local.pipeline import opening
from dnd_local.store.manifest import Manifest
from dnd_local.store.pins import PINS_NAME, Pin, Pins, source_text
from tests.cli.conftest import Command, photographs_in
from tests.engines.every_network import save_random
from tests.fakes import Calls, engines
from tests.store.hub import sha256

_FAMILY = re.compile(r"(?:wide_)?[a-z]+(?:_v\d|_[xy](?=_))?")
SMALL = (
    "--pictures-count", 2, "--concepts-count", 2, "--exemplars-images", 3, "--exemplars-count", 3,
)  # fmt: skip


def smallest_of_each_family() -> list[str]:
    """Return the network with the fewest weights of each family, by family."""
    size = {n: get_model_weights(n).DEFAULT.meta["num_params"] for n in torchvision_names()}
    families: dict[str, str] = {}
    for name in sorted(size, key=lambda name: size[name]):
        match = _FAMILY.match(name)
        assert match is not None
        families.setdefault(match[0], name)
    return sorted(families.values())


@pytest.fixture
def photographs(tmp_path: Path) -> Path:
    return photographs_in(tmp_path)


def put_random_weights(name: str, root: Path) -> None:
    """Put weights, never trained, where a network's would be, pinned as a pull pins them."""
    entry = Manifest.read().entry(name)
    data = save_random(name, root / entry.id).read_bytes()
    (file,) = entry.files
    assert file.converted_from is not None
    pin = Pin(
        id=entry.id,
        path=file.path,
        source=source_text(entry),
        size=len(data),
        sha256=sha256(data),
        origin=file.converted_from.sha256 or sha256(b"the pickle"),
    )
    Pins.read(root / PINS_NAME).add([pin])


def test_the_families() -> None:
    assert len(smallest_of_each_family()) == 22
    assert {"resnet18", "vit_b_16", "inception_v3", "maxvit_t"} < set(smallest_of_each_family())


@pytest.fixture
def others_fake(monkeypatch: pytest.MonkeyPatch) -> None:
    """Leave the target as it is and put fakes in the place of every other engine."""
    real, fakes = opening.open_engine, engines(Calls())

    def open_engine(role: EngineRole, *how: Any) -> AbstractContextManager[Any]:
        return real(role, *how) if role == "target" else nullcontext(fakes[role])

    monkeypatch.setattr(opening, "open_engine", open_engine)


@pytest.mark.slow
@pytest.mark.usefixtures("others_fake")
@pytest.mark.parametrize("name", smallest_of_each_family())
def test_every_command(name: str, command: Command, photographs: Path, tmp_path: Path) -> None:
    """All that a user types, from the list of layers to the pages, at three depths."""
    put_random_weights(name, tmp_path / "weights")

    def run(*words: object) -> Any:
        said = command(*words)
        assert said.code == 0, said.err
        return json.loads(said.out) if "--json" in words else said.out

    able = [layer for layer in run("layers", name, "--json") if layer["spatial"]]
    layers = [able[len(able) * part // 4] for part in (1, 2, 3)]
    how = ("--probe", photographs, "--preset", "pocket", "--network-batch", 4)
    triaged = run("triage", name, ",".join(layer["path"] for layer in layers), *how, "--json")
    assert [len(one["neurons"]) for one in triaged] == [layer["neurons"] for layer in layers]
    # Weights that were never trained leave little of a picture in the depth of some networks.
    path, live = next(
        (one["layer"], neuron["index"])
        for one in reversed(triaged)
        for neuron in one["neurons"]
        if neuron["verdict"] == "live"
    )
    asked = (name, path, *how, *SMALL, "--ids", live, "--run", "first")
    assert "nothing was computed" in run("dissect", *asked, "--dry-run")
    run("dissect", *asked)
    (line,) = run("show", "first", "--json")["descriptions"]
    assert (line["neuron"]["index"], line["status"]) == (live, "described")
    assert all(stage["done"] == stage["of"] for stage in run("status", "first", "--json")["stages"])
    assert str(live) in run("show", "first", live)
    run("report", "first")
    assert (tmp_path / "workspace/runs/first/report/index.html").is_file()
    assert "nothing was computed again" in run("dissect", *asked)
