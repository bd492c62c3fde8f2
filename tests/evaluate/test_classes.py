"""The class names that a torchvision network brings along."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from dnd_local.core.errors import UserError
from dnd_local.evaluate.classes import classes_of_run
from dnd_local.store.manifest import Manifest


def run_about(name: str, *layers: str) -> Any:
    config = SimpleNamespace(network=SimpleNamespace(name=name))
    record = SimpleNamespace(name="mine", config=config, neurons=dict.fromkeys(layers, (0,)))
    lab = SimpleNamespace(weights=SimpleNamespace(manifest=Manifest.read()))
    return SimpleNamespace(record=record, lab=lab)


def test_the_classes_are_those_of_the_weights() -> None:
    rows = classes_of_run(run_about("resnet50", "fc")).table.rows
    assert [row.labels for row in rows[:2]] == [("tench",), ("goldfish",)]
    assert len(rows) == 1000


def test_a_run_without_the_last_layer_is_told_its_name() -> None:
    with pytest.raises(UserError, match="the last layer of resnet50, fc; run 'mine' has layer4"):
        classes_of_run(run_about("resnet50", "layer4"))


def test_weights_without_class_names_ask_for_them() -> None:
    with pytest.raises(UserError, match="the weights of tile2vec bring no class names"):
        classes_of_run(run_about("tile2vec", "fc"))
