"""What can be dissected, by name."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import pytest

from dnd_local.engines import registry
from dnd_local.pipeline.catalogue import known_targets, layers_of
from dnd_local.store.weights import Weights
from tests.bench import Bench
from tests.fakes import LAYER


def test_known_networks_and_whether_their_weights_are_here(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    loading = SimpleNamespace(torchvision_names=lambda: ("resnet50", "no_such_net"))
    monkeypatch.setattr(registry, "adapter", lambda name: loading)
    here = {"pocket-target"}
    monkeypatch.setattr(
        Weights, "missing", lambda self, names: tuple(n for n in names if n not in here)
    )
    found = {own.name: (own.kind, own.weights) for own in known_targets(tmp_path)}
    assert found == {
        "pocket": ("embedded", "here"),
        "pocket-odd": ("embedded", "missing"),
        "resnet50": ("torchvision", "missing"),
        "no_such_net": ("torchvision", "not in the manifest"),
    }


def test_layers_of_a_network(bench: Bench) -> None:
    (layer,) = layers_of("pocket", bench.workspace / "weights")
    assert (layer.path, layer.neurons) == (LAYER, 6)
    assert dict(bench.calls.opened) == {"target": 1}
