"""What counts as a right answer on the pocket pack, and the nulls."""

from __future__ import annotations

import pytest

from dnd_local.core.descriptions import Description, Label, Status
from dnd_local.core.records import Neuron
from dnd_local.evaluate.planted_truth import NeuronTruth, TargetTruth
from dnd_local.evaluate.pocket_figures import (
    Inhibited,
    Mixed,
    Oddities,
    Pair,
    canonical,
    oddity_figures,
    truth_figures,
)
from dnd_local.pocket.words import all_words, vocabulary

TRUTH = TargetTruth(
    fc=(
        NeuronTruth(0, "object", "dog"),
        NeuronTruth(1, "colour", "red"),
        NeuronTruth(2, "pattern", "striped"),
    ),
    layer4=(NeuronTruth(0, "object", None), NeuronTruth(1, "category", "animal")),
)


def described(layer: str, index: int, *labels: str) -> Description:
    texts = tuple(Label(text, 1.0) for text in labels)
    return Description(Neuron("pocket", layer, index), "described", texts, "topk-compare")


def test_every_concept_is_named_by_its_plainest_label() -> None:
    for concept in vocabulary().concepts():
        assert all_words().answer(canonical(concept), concept.name) == "right", concept


def test_truth_counts_first_and_any_of_three() -> None:
    found = {
        "fc": (
            described("fc", 0, "dog"),
            described("fc", 1, "dog", "red background"),
            described("fc", 2, "dog", "cat", "umbrella"),
        ),
        "layer4": (described("layer4", 1),),
    }
    figures = truth_figures(found, TRUTH, seed=0)
    assert figures["truth.fc.top1"].value == pytest.approx(1 / 3)
    assert figures["truth.fc.top3"].value == pytest.approx(2 / 3)
    assert figures["truth.fc.object.top1"].value == 1
    assert figures["truth.layer4.top1"].value == 0
    assert figures["truth.fc.top1"].low < 1 / 3 < figures["truth.fc.top1"].high


def test_shuffled_labels_are_right_only_by_chance() -> None:
    found = {
        "fc": (
            described("fc", 0, "dog"),
            described("fc", 1, "red background"),
            described("fc", 2, "striped background"),
        )
    }
    figures = truth_figures(found, TRUTH, seed=0)
    assert figures["truth.fc.top1"].value == 1
    assert 0 < figures["null.top1"].value < 0.7


ODD = Oddities((1, 2), 3, (Pair(5, 4),), Mixed(6, ("dog", "rocket")), Inhibited(7, "dog"))


def silent(index: int, status: Status, reason: str) -> Description:
    return Description(Neuron("pocket-odd", "layer4", index), status, (), "topk-compare", reason)


def odd_descriptions(twin: int, both: str, inhibited: str) -> list[Description]:
    return [
        silent(1, "dead", "responds to no image"),
        silent(2, "dead", "responds to no image"),
        silent(3, "constant", "responds alike to every image"),
        silent(5, "duplicate", f"repeats neuron {twin}"),
        described("layer4", 6, "dogs", both),
        described("layer4", 7, inhibited, "striped background"),
    ]


def test_oddities_that_are_all_handled() -> None:
    found = oddity_figures(odd_descriptions(4, "rocket", "cat"), ODD, (), 0)
    assert {key: own.value for key, own in found.items()} == {
        "odd.named": 1.0, "odd.costly": 0.0, "odd.both": 1.0, "odd.inhibited": 1.0,
    }  # fmt: skip


def test_oddities_that_fool_the_describer() -> None:
    found = oddity_figures(odd_descriptions(14, "puppy", "dog"), ODD, (1,), 0)
    assert {key: own.value for key, own in found.items()} == {
        "odd.named": 0.75, "odd.costly": 0.25, "odd.both": 0.0, "odd.inhibited": 0.0,
    }  # fmt: skip


def test_the_planted_neurons_are_described_in_order() -> None:
    assert ODD.neurons() == (1, 2, 3, 5, 6, 7)
