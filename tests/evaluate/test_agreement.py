"""Describers side by side: who is compared with whom, and that shuffled labels show as such."""

from __future__ import annotations

import numpy as np
import pytest

from dnd_local.core.descriptions import DescriptionRow, DescriptionTable
from dnd_local.evaluate.agreement import agreement, compare, first_labels, references
from dnd_local.evaluate.matching import match
from dnd_local.evaluate.text_similarity import TokenF1

WORDS = [f"thing{i}" for i in range(30)]


def table(name: str, labels: list[tuple[str, ...]]) -> DescriptionTable:
    return DescriptionTable(
        name,
        tuple(
            DescriptionRow(name, "", "fc", i, own, (), "described") for i, own in enumerate(labels)
        ),
    )


def test_equal_labels_agree_and_others_do_not() -> None:
    found, values = agreement(TokenF1(), "a", WORDS, "b", [[word] for word in WORDS])
    assert found.matched.value == 1
    assert found.null == 0
    assert found.gain.difference.value == 1
    assert found.gain.p_value < 0.01
    assert values.tolist() == [1.0] * 30


def test_shuffled_labels_are_no_better_than_the_null() -> None:
    rng = np.random.default_rng(0)
    words = ["dog", "cat", "sky", "snow", "car", "tree"]
    labels = [" ".join(rng.choice(words, size=3)) for _ in range(60)]
    refs = [[" ".join(rng.choice(words, size=3))] for _ in range(60)]
    found, _ = agreement(TokenF1(), "a", labels, "b", refs)
    assert found.matched.value == pytest.approx(found.null, abs=0.08)
    assert found.gain.p_value > 0.05


def test_three_describers_give_every_pair_and_the_nearer_to_the_first() -> None:
    names = ["ours", "theirs", "noise"]
    columns = [
        table("ours", [(word, "second") for word in WORDS]),
        table("theirs", [(word,) for word in WORDS]),
        table("noise", [("dog",) for _ in WORDS]),
    ]
    found = compare(names, ["", "", ""], match(columns), [TokenF1()])
    assert [(own.left, own.right) for own in found.agreements] == [
        ("ours", "theirs"),
        ("ours", "noise"),
        ("theirs", "noise"),
    ]
    (nearer,) = found.preferences
    assert (nearer.reference, nearer.left, nearer.right) == ("ours", "theirs", "noise")
    assert nearer.test.difference.value == 1
    assert nearer.record()["difference"] == 1
    assert found.neurons[3]["ours"] == "thing3 | second"
    assert found.neurons[3]["token F1: ours | theirs"] == 1.0
    assert found.agreements[0].record()["neurons"] == 30


def test_annotations_are_the_reference_whichever_side_they_stand_on() -> None:
    people = table("people", [("dog", word) for word in WORDS])
    ours = table("ours", [(word,) for word in WORDS])
    for order, stacked in (([people, ours], ["annotations", ""]), ([ours, people], ["", "a"])):
        names = [own.describer for own in order]
        (found,) = compare(names, stacked, match(order), [TokenF1()]).agreements
        assert (found.left, found.right) == ("ours", "people")
        assert found.matched.value == 0.5


def test_only_the_best_label_counts_unless_labels_are_peers() -> None:
    rows = table("a", [("x", "y")]).rows
    assert first_labels(rows) == ["x"]
    assert [list(own) for own in references(rows, "")] == [["x"]]
    assert [list(own) for own in references(rows, "annotations")] == [["x", "y"]]
