"""What counts as a right answer on the pocket pack, and the nulls."""

from __future__ import annotations

import pytest

from dnd_local.core.records import Description, Label, Neuron
from dnd_local.evaluate.pocket_bench import (
    NeuronTruth,
    TargetTruth,
    canonical,
    names,
    truth_figures,
)
from dnd_local.pocket.words import Concept, vocabulary

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


@pytest.mark.parametrize(
    ("label", "concept", "right"),
    [
        ("dog", Concept("object", "dog"), True),
        ("puppies on a red background", Concept("object", "dog"), True),
        ("dog and rocket", Concept("object", "dog"), False),
        ("cat", Concept("object", "dog"), False),
        ("animals", Concept("object", "dog"), False),
        ("striped red background", Concept("colour", "red"), True),
        ("", Concept("colour", "red"), False),
    ],
)
def test_naming_another_concept_of_the_kind_is_wrong(
    label: str, concept: Concept, right: bool
) -> None:
    assert names(label, concept) is right


def test_every_concept_is_named_by_its_plainest_label() -> None:
    for concept in vocabulary().concepts():
        assert names(canonical(concept), concept), concept


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


def test_only_neurons_with_a_meaning_are_known() -> None:
    assert TRUTH.known("layer4") == {1: Concept("category", "animal")}
