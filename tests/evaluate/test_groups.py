"""Groups of neurons by their labels' vectors, against an obvious search, in any order."""

from __future__ import annotations

import random

import numpy as np
import pytest
from numpy.typing import NDArray

from dnd_local.core.descriptions import Description, Label
from dnd_local.core.records import Neuron
from dnd_local.evaluate.groups import (
    SWEEP,
    group_neurons,
    group_records,
    label_tree,
    sweep,
)


def described(*labels: str) -> list[Description]:
    return [
        Description(Neuron("net", "layer4", i), "described" if text else "dead",
                    (Label(text, 1.0),) if text else (), "mean")
        for i, text in enumerate(labels)
    ]  # fmt: skip


def vectors_of(labels: list[str], seed: int = 0) -> dict[str, NDArray[np.float32]]:
    generator = np.random.default_rng(seed)
    rows = generator.normal(size=(len(labels), 3)).astype(np.float32)
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    return dict(zip(labels, rows, strict=True))


def plainly(
    labels: list[str], vectors: dict[str, NDArray[np.float32]], above: float
) -> set[frozenset[int]]:
    """Return the groups of neurons found by spreading from each one until nothing is added."""
    found = set()
    for start in range(len(labels)):
        group = {start}
        while True:
            more = {
                j
                for i in group
                for j in range(len(labels))
                if labels[i] == labels[j]
                or float(vectors[labels[i]].astype(float) @ vectors[labels[j]].astype(float))
                >= above - 1e-6
            }
            if more <= group:
                break
            group |= more
        found.add(frozenset(group))
    return found


@pytest.mark.parametrize("above", [0.0, 0.5, 0.8, 0.95, 1.0])
def test_groups_are_what_hangs_together_in_any_order(above: float) -> None:
    words = [f"word {i}" for i in range(12)]
    vectors = vectors_of(words)
    labels = [words[i] for i in np.random.default_rng(1).integers(0, 12, 30)]
    wanted = plainly(labels, vectors, above)
    neurons = described(*labels)
    used = {text: vectors[text] for text in labels}
    groups = group_neurons(neurons, label_tree(used), above)
    assert {frozenset(n.index for n in group.neurons) for group in groups} == wanted
    for seed in range(5):
        random.Random(seed).shuffle(neurons)
        shuffled = dict(random.Random(seed).sample(list(used.items()), len(used)))
        assert group_neurons(neurons, label_tree(shuffled), above) == groups


def test_a_group_is_named_by_its_most_frequent_label_and_silent_neurons_are_in_none() -> None:
    east, north = np.array([1, 0], np.float32), np.array([0, 1], np.float32)
    vectors = {"dogs": east, "dog": east, "sky": north}
    neurons = described("dogs", "sky", "dog", "", "dogs")
    first, second = group_neurons(neurons, label_tree(vectors), 0.9)
    assert first.name == "dogs"
    assert first.labels == (("dogs", 2), ("dog", 1))
    assert [n.index for n in first.neurons] == [0, 2, 4]
    assert second.labels == (("sky", 1),)
    records = group_records([first, second])
    assert [(r["group"], r["neuron"]) for r in records] == [(0, 0), (0, 2), (0, 4), (1, 1)]


def test_the_sweep_goes_from_one_group_to_equal_labels() -> None:
    east, north = np.array([1, 0], np.float32), np.array([0.6, 0.8], np.float32)
    vectors = {"dog": east, "sky": north}
    levels = sweep(described("dog", "dog", "sky"), label_tree(vectors))
    by_cosine = {level.above: level for level in levels}
    assert tuple(by_cosine) == SWEEP
    low, high = by_cosine[0.6], by_cosine[1.0]
    assert (low.groups, low.alone, low.largest, low.joined) == (1, 0, 1.0, 1.0)
    assert (high.groups, high.alone, high.largest, high.joined) == (1, 1, pytest.approx(2 / 3), 0)
    assert high.record()["pairs_joined"] == 0
    (only,) = {level.joined for level in sweep(described("dog"), label_tree({"dog": east}))}
    assert only == 0


def test_the_tree_has_every_group_of_the_whole_graph_and_counts_pairs() -> None:
    words = [f"word {i}" for i in range(700)]
    vectors = vectors_of(words)
    tree = label_tree(vectors)
    assert len(tree.joins) == len(words) - 1
    rows = np.stack([vectors[text] for text in tree.labels]).astype(float)
    cosines = rows @ rows.T
    upper = np.triu_indices(len(words), 1)
    assert tree.shares == tuple((cosines[upper] >= above - 1e-6).mean() for above in SWEEP)
    for above in (0.97, 0.99, 0.995):
        numbers = list(tree.groups_of(above).values())
        same = np.equal.outer(numbers, numbers)
        reached = cosines >= above - 1e-6
        spread = reached
        while not np.array_equal(wider := (spread.astype(float) @ reached) > 0, spread):
            spread = wider
        np.testing.assert_array_equal(same, spread)
