"""What can be dissected, by name."""

from __future__ import annotations

from pathlib import Path

import pytest

from dnd_local.core.errors import UserError
from dnd_local.pipeline.catalogue import check_target, known_targets, layers_of
from dnd_local.store.weights import Weights
from tests.bench import Bench
from tests.fakes import LAYER
from tests.pipeline import tiny_net


def test_known_networks_and_whether_their_weights_are_here(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    here = {"pocket-target", "alexnet"}
    monkeypatch.setattr(
        Weights, "missing", lambda self, names: tuple(n for n in names if n not in here)
    )
    found = {own.name: (own.kind, own.weights) for own in known_targets(tmp_path)}
    assert found["pocket"] == ("embedded", "here")
    assert found["pocket-odd"] == ("embedded", "missing")
    assert found["alexnet"] == ("torchvision", "here")
    assert found["resnet50"] == found["resnet50@IMAGENET1K_V2"] == ("torchvision", "missing")
    assert "sd15" not in found


def test_layers_of_a_network(bench: Bench) -> None:
    (layer,) = layers_of("pocket", bench.workspace / "weights")
    assert (layer.path, layer.neurons) == (LAYER, 6)
    assert dict(bench.calls.opened) == {"target": 1}


def test_a_network_of_ones_own_is_examined_and_its_layers_are_listed(tmp_path: Path) -> None:
    name = f"{Path(tiny_net.__file__)}:make"
    found = check_target(name, "2")
    assert (found.output, found.layer) == ((2, 4, 12, 12), layers_of(name, tmp_path)[-1])
    assert [layer.path for layer in layers_of(name, tmp_path)] == ["0", "1", "2"]
    broken = tmp_path / "net.py"
    broken.write_text("def make():\n    return 1\n")
    with pytest.raises(UserError, match="make"):
        check_target(f"{broken}:make")
    with pytest.raises(UserError, match="make"):
        layers_of(f"{broken}:make", tmp_path)
