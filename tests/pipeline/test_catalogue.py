"""What can be dissected, by name."""

from __future__ import annotations

from pathlib import Path

import pytest

from dnd_local.pipeline.catalogue import known_targets, layers_of
from dnd_local.store.weights import Weights
from tests.bench import Bench
from tests.fakes import LAYER


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
