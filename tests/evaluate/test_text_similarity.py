"""Each metric against another implementation or a closed form, and its null against all pairs."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest
from numpy.typing import NDArray

from dnd_local.core.errors import UserError
from dnd_local.evaluate import text_similarity
from dnd_local.evaluate.text_similarity import (
    BertScore,
    EmbeddingCosine,
    References,
    TextMetric,
    TokenF1,
)

LABELS = ["a red dog", "cats!", "the sky", "snow"]
REFERENCES: References = [["red dogs", "dog"], ["cat"], ["a sky", "blue sky", "The Sky."], ["ice"]]


class LetterEncoder:
    """Counts of letters, scaled to length 1; counts how often it is asked."""

    def __init__(self) -> None:
        self.seen: list[str] = []

    def embed_texts(self, texts: Sequence[str]) -> NDArray[np.float32]:
        self.seen += texts
        counts = np.array([[text.count(c) for c in "abcdefghikmnorstuwy "] for text in texts])
        return (counts / np.linalg.norm(counts, axis=1, keepdims=True)).astype(np.float32)


class LengthScorer:
    """One over one plus the difference of lengths: easy to compute by hand, and asymmetric in
    nothing."""

    def score(self, predictions: Sequence[str], references: Sequence[str]) -> NDArray[np.float32]:
        gaps = [abs(len(a) - len(b)) for a, b in zip(predictions, references, strict=True)]
        return (1 / (1 + np.array(gaps))).astype(np.float32)


METRICS: list[TextMetric] = [
    TokenF1(),
    EmbeddingCosine("letters", "", LetterEncoder()),
    BertScore("lengths", LengthScorer()),
]


@pytest.mark.slow
def test_token_f1_is_squads() -> None:
    squad = pytest.importorskip("torchmetrics.functional.text").squad
    pairs = [
        ("a red dog", "the dog"),
        ("dogs, cats and dogs", "dogs dogs birds"),
        ("Blue sky!", "blue sky"),
        ("snow", "ice"),
        ("the", "an"),
        ("the", "dog"),
    ]
    for label, reference in pairs:
        theirs = squad(
            {"prediction_text": label, "id": "0"},
            {"answers": {"answer_start": [0], "text": [reference]}, "id": "0"},
        )["f1"]
        ours = TokenF1().matched([label], [[reference]])[0]
        assert ours == pytest.approx(float(theirs) / 100), (label, reference)


def test_cosine_is_sklearns() -> None:
    pairwise = pytest.importorskip("sklearn.metrics.pairwise")
    encoder = LetterEncoder()
    metric = EmbeddingCosine("letters", "", encoder)
    theirs = pairwise.cosine_similarity(
        encoder.embed_texts(LABELS), encoder.embed_texts(["sky", "dog"])
    )
    np.testing.assert_allclose(metric.matrix(LABELS, ["sky", "dog"]), theirs, atol=1e-6)


@pytest.mark.parametrize("metric", METRICS, ids=lambda metric: metric.name)
def test_several_references_average(metric: TextMetric) -> None:
    alone = [
        np.mean([metric.matched([label], [[text]])[0] for text in own])
        for label, own in zip(LABELS, REFERENCES, strict=True)
    ]
    np.testing.assert_allclose(metric.matched(LABELS, REFERENCES), alone, atol=1e-7)


@pytest.mark.parametrize("metric", METRICS, ids=lambda metric: metric.name)
def test_the_null_is_the_mean_over_every_other_neuron(metric: TextMetric) -> None:
    n = len(LABELS)
    slow = [
        np.mean([metric.matched([LABELS[i]], [REFERENCES[j]])[0] for j in range(n) if j != i])
        for i in range(n)
    ]
    np.testing.assert_allclose(metric.unmatched(LABELS, REFERENCES), slow, atol=1e-7)


def test_a_long_null_is_sampled_evenly(monkeypatch: pytest.MonkeyPatch) -> None:
    labels = [f"w{i % 7} x" for i in range(40)]
    references = [[label] for label in labels]
    every = TokenF1().unmatched(labels, references)
    monkeypatch.setattr(text_similarity, "SHIFTS", 13)
    some = TokenF1().unmatched(labels, references)
    assert some.mean() == pytest.approx(every.mean(), abs=0.02)
    assert not np.array_equal(some, every)


def test_each_text_is_embedded_once() -> None:
    encoder = LetterEncoder()
    metric = EmbeddingCosine("letters", "", encoder)
    metric.matched(LABELS, REFERENCES)
    metric.unmatched(LABELS, REFERENCES)
    assert len(encoder.seen) == len(set(encoder.seen))


def test_rescaled_bertscore_is_the_published_formula() -> None:
    raw, rescaled = BertScore("", LengthScorer()), BertScore("", LengthScorer(), baseline=0.8)
    assert rescaled.name == "BERTScore, rescaled"
    np.testing.assert_allclose(
        rescaled.matched(LABELS, REFERENCES),
        (raw.matched(LABELS, REFERENCES) - 0.8) / 0.2,
        atol=1e-6,
    )


@pytest.mark.parametrize("metric", METRICS, ids=lambda metric: metric.name)
def test_one_neuron_has_no_null(metric: TextMetric) -> None:
    with pytest.raises(UserError, match="two neurons"):
        metric.unmatched(["dog"], [["dog"]])
