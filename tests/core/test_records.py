"""Records: frozen, comparable, readable in a terminal and safe in a notebook."""

from __future__ import annotations

import dataclasses
import inspect

import msgspec
import numpy as np
import pytest

from dnd_local.core import conversations, descriptions, records
from dnd_local.core.cards import Card
from dnd_local.core.descriptions import Description
from dnd_local.core.records import (
    RULES,
    Box,
    Exemplar,
    Neuron,
    Responses,
    ScoredCandidate,
    SkippedImage,
)

NEURON = Neuron("resnet50", "layer4.1", 7)
CLASSES = sorted(
    {
        value
        for module in (records, conversations, descriptions)
        for value in vars(module).values()
        if inspect.isclass(value) and dataclasses.is_dataclass(value)
    },
    key=lambda record: record.__name__,
)


@pytest.mark.parametrize("record", CLASSES)
def test_records_are_frozen_and_slotted(record: type) -> None:
    assert record.__dataclass_params__.frozen  # type: ignore[attr-defined]
    assert "__slots__" in vars(record)
    assert not hasattr(record, "__dict__") or "__dict__" not in vars(record)


def test_no_field_can_be_changed_or_added() -> None:
    with pytest.raises(dataclasses.FrozenInstanceError):
        NEURON.index = 8  # type: ignore[misc]
    with pytest.raises((AttributeError, TypeError)):
        object.__setattr__(NEURON, "note", "x")


@pytest.mark.parametrize("record", CLASSES)
def test_every_field_of_many_is_a_tuple(record: type) -> None:
    for field in dataclasses.fields(record):
        assert "list" not in str(field.type)
        assert "dict" not in str(field.type)


def test_a_neuron_reads_as_its_place() -> None:
    assert str(NEURON) == "resnet50 layer4.1 7"
    assert repr(NEURON) == "Neuron(target='resnet50', layer='layer4.1', index=7)"


def test_neurons_sort_by_target_layer_and_number() -> None:
    ten, nine = Neuron("a", "b", 10), Neuron("a", "b", 9)
    assert sorted([NEURON, ten, nine]) == [nine, ten, NEURON]


def test_a_box_knows_its_size() -> None:
    box = Box(left=2, top=10, right=7, bottom=13)
    assert (box.width, box.height, box.area) == (5, 3, 15)


def test_what_people_look_at_is_a_card() -> None:
    # Responses are a matrix; everything else shows itself.
    assert [record for record in CLASSES if not issubclass(record, Card)] == [Responses]


def test_every_rule_names_a_score() -> None:
    candidate = ScoredCandidate("x", (), (), (), 1.0, 2.0, 3.0, 4.0)
    assert {rule: candidate.score(rule) for rule in RULES} == {
        "mean": 1.0, "topk-sq-mean": 2.0, "topk-compare": 3.0, "image-products": 4.0,
    }  # fmt: skip


@pytest.mark.parametrize(
    "record",
    [
        NEURON,
        Exemplar(3, "a/b.jpg", Box(0, 0, 4, 4), 0.5, "0" * 64),
        Description(NEURON, "dead", (), "topk-compare", reason="never fires"),
        SkippedImage(1, "x.png", "truncated"),
    ],
)
def test_records_come_back_from_json(record: Card) -> None:
    assert msgspec.json.decode(msgspec.json.encode(record), type=type(record)) == record


def test_responses_are_compared_by_identity() -> None:
    # Arrays have no single truth value; two chunks are never asked whether they are equal.
    one = Responses("fc", 0, np.zeros((1, 1), dtype=np.float16))
    assert one == one
    assert one != Responses("fc", 0, one.values)
