"""Searching labels: words first, then meaning."""

from __future__ import annotations

import numpy as np
import pytest

from dnd_local.core.descriptions import Description, Label
from dnd_local.core.errors import UserError
from dnd_local.core.records import Neuron
from dnd_local.evaluate.label_search import search_labels

VECTORS = {
    "red dog": np.array([1, 0], np.float32),
    "puppy": np.array([0.8, 0.6], np.float32),
    "dogma": np.array([0, 1], np.float32),
    "sky": np.array([-1, 0], np.float32),
}
DOG = np.array([1, 0], np.float32)


def described(*labels: tuple[str, ...]) -> list[Description]:
    return [
        Description(Neuron("net", "fc", i), "described" if own else "dead",
                    tuple(Label(text, 1.0) for text in own), "mean")
        for i, own in enumerate(labels)
    ]  # fmt: skip


def test_words_come_first_then_the_nearest_by_meaning() -> None:
    neurons = described(("sky",), ("puppy",), (), ("sky", "red dog"), ("dogma",))
    found = search_labels(neurons, "Dog", DOG, VECTORS, top=2)
    assert [(hit.neuron, hit.label, hit.place, hit.words) for hit in found.hits] == [
        (3, "red dog", 2, True),
        (1, "puppy", 1, False),
        (4, "dogma", 1, False),
    ]
    assert found.median == pytest.approx(0)
    assert found.hits[0].record()["by"] == "words"
    assert found.hits[1].record()["cosine"] == pytest.approx(0.8)


def test_every_word_must_stand_in_one_label() -> None:
    neurons = described(("red dog",), ("sky",))
    assert [hit.words for hit in search_labels(neurons, "dog red", DOG, VECTORS, 9).hits] == [
        True,
        False,
    ]
    assert not search_labels(neurons, "red sky", DOG, VECTORS, 0).hits
    with pytest.raises(UserError, match=r"'\?!' has no word"):
        search_labels(neurons, "?!", DOG, VECTORS, 9)


def test_a_run_without_labels_finds_nothing() -> None:
    assert search_labels(described(()), "dog", DOG, {}, 9).hits == ()
