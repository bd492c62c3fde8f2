"""Known truth: class names, annotators who agree, planted concepts."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from dnd_local.core.errors import UserError
from dnd_local.evaluate.text_similarity import EmbeddingCosine
from dnd_local.evaluate.truth import (
    read_classes,
    reliable,
    retrieval,
    vocabulary,
)


class TableEncoder:
    """Vectors given by hand."""

    def __init__(self, vectors: dict[str, list[float]]) -> None:
        self.vectors = vectors

    def embed_texts(self, texts: Sequence[str]) -> NDArray[np.float32]:
        found = np.array([self.vectors[text] for text in texts], dtype=np.float32)
        return found / np.linalg.norm(found, axis=1, keepdims=True)


def cosine(**vectors: list[float]) -> EmbeddingCosine:
    return EmbeddingCosine("CLIP cosine", "", TableEncoder(vectors))


def test_class_names_are_neurons_in_order(tmp_path: Path) -> None:
    path = tmp_path / "classes.txt"
    path.write_text("tench, Tinca tinca\ngoldfish\n")
    read = read_classes(path, "fc")
    assert [(r.layer, r.neuron, r.labels) for r in read.table.rows] == [
        ("fc", 0, ("tench, Tinca tinca",)),
        ("fc", 1, ("goldfish",)),
    ]


@pytest.mark.parametrize(("text", "message"), [("a\n\nb\n", "line 2 is empty"), ("\n", "is empty")])
def test_an_empty_class_name_is_refused(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "classes.txt"
    path.write_text(text)
    with pytest.raises(UserError, match=message):
        read_classes(path)


def test_retrieval_counts_the_nearest_and_the_nearest_five() -> None:
    classes = [f"c{i}" for i in range(7)]
    circle = {c: [np.cos(i / 4), np.sin(i / 4)] for i, c in enumerate(classes)}
    labels = ["hit", "near", "far", *classes[3:]]
    vectors = circle | {"hit": circle["c0"], "near": circle["c3"], "far": [-1.0, -1.0]}
    found, ranks = retrieval(cosine(**vectors), labels, classes)
    assert ranks.tolist() == [0, 4, 4, 0, 0, 0, 0]  # c1 is as far from c3 as c5 is
    assert (found.top_1, found.top_5, found.classes) == (5 / 7, 1.0, 7)


def test_retrieval_agrees_with_sklearn() -> None:
    metrics = pytest.importorskip("sklearn.metrics")
    rng = np.random.default_rng(0)
    texts = [f"t{i}" for i in range(60)]
    metric = cosine(**{text: list(rng.normal(size=3)) for text in texts})
    found, _ = retrieval(metric, texts[:30], texts[30:])
    similar = metric.matrix(texts[:30], texts[30:])
    for share, k in ((found.top_1, 1), (found.top_5, 5)):
        assert share == metrics.top_k_accuracy_score(np.arange(30), similar, k=k)


def test_classes_of_one_name_cannot_flatter() -> None:
    metric = cosine(a=[1.0, 0.0], b=[0.0, 1.0])
    found, _ = retrieval(metric, ["a", "a", "b"], ["a", "a", "b"])
    assert found.top_1 == pytest.approx(1 / 3)


def test_annotators_agree_if_any_two_do() -> None:
    metric = cosine(a=[1.0, 0.0], near=[0.9, 0.1], far=[0.0, 1.0], other=[-1.0, 0.0])
    notes = [("a", "far", "near"), ("a", "far", "other"), ("a",)]
    assert reliable(metric, notes, 0.81) == [True, False, False]


WORDS = vocabulary(
    {"dog": "object", "cat": "object", "ship": "object", "rocket": "object", "red": "colour"},
    {"dog": ["puppy", "dogs"], "cat": [], "ship": [], "rocket": ["rocket ship"], "red": []},
)


@pytest.mark.parametrize(
    ("label", "concept", "answer"),
    [
        ("dog", "dog", "right"),
        ("Puppy  on red", "dog", "right"),
        ("dogs and puppies", "dog", "right"),
        ("dog and cat", "dog", "wrong"),
        ("cat", "dog", "wrong"),
        ("a rocket ship", "rocket", "right"),
        ("a rocket ship", "ship", "wrong"),
        ("red things", "dog", "silent"),
        ("hotdogs", "dog", "silent"),
        ("", "dog", "silent"),
        ("a dog", "red", "silent"),
    ],
)
def test_a_label_names_the_planted_concept_or_not(label: str, concept: str, answer: str) -> None:
    assert WORDS.answer(label, concept) == answer


def test_a_concept_that_was_never_planted_and_a_word_of_two_are_refused() -> None:
    with pytest.raises(UserError, match="'bird' is not among the 5"):
        WORDS.answer("dog", "bird")
    with pytest.raises(UserError, match="'pet' names both 'dog' and 'cat'"):
        vocabulary({"dog": "object", "cat": "object"}, {"dog": ["pet"], "cat": ["Pet"]})
