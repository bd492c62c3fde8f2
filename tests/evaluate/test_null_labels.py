"""Which texts may stand for a wrong label."""

from __future__ import annotations

import numpy as np
import pytest

from dnd_local.evaluate.null_labels import NULL_LABELS, POOL, near, null_labels

BASE = np.arange(20.0)
FITS = {"a scarlet scene": BASE, "ruby": BASE**1.2, "sky": -BASE, "flat": np.ones(20)}
RNG = np.random.default_rng(0)


@pytest.mark.parametrize(
    ("one", "other", "close"),
    [
        ("red background", "Red", True), ("dogs", "a dog on grass", True), ("dog", "cat", False),
        ("red background", "blue background", False), ("a scarlet scene", "ruby", True),
        ("a scarlet scene", "sky", False), ("ruby", "flat", False),
        ("the background", "dog", False),
        ("the background", "the  background", True),
    ],
)  # fmt: skip
def test_near_synonyms(one: str, other: str, close: bool) -> None:
    assert near(one, other, FITS) is close
    assert near(other, one, FITS) is close


def test_every_text_counts_once_and_near_ones_not_at_all() -> None:
    labels = ["ruby", "sky", "sky", "Sky", "dog", "a scarlet scene"]
    assert null_labels("ruby", labels, FITS, ("dog", "flat", "rubies"), RNG) == [
        "sky", "dog", "flat", "rubies",
    ]  # fmt: skip


def test_at_most_so_many_labels_are_taken() -> None:
    labels = [f"word{i}" for i in range(NULL_LABELS + 50)]
    found = null_labels("other", labels, {}, ("pooled",), RNG)
    assert len(found) == len(set(found)) == NULL_LABELS + 1


def test_the_pool_holds_a_hundred_different_concepts() -> None:
    assert len(set(POOL)) == len(POOL) == 100
    pairs = [(a, b) for a in POOL for b in POOL if a < b and near(a, b, {})]
    assert pairs == []
