"""CLIP-Dissect's five similarities against slow, literal ones, and what it does with odd input."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.special import logsumexp, softmax

from dnd_local.core.errors import UserError
from dnd_local.core.records import Neuron
from dnd_local.stages import clip_dissect
from dnd_local.stages.clip_dissect import SIMILARITIES, Similarity, describe, similarities

IMAGES, CONCEPTS, SIZE = 120, 9, 9
WORDS = [f"concept{i}" for i in range(CONCEPTS)]
NEURONS = [Neuron("net", "fc", i) for i in range(4)]


def world() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Neuron i responds to concept i; every image shows one concept, with noise."""
    rng = np.random.default_rng(0)
    shown = rng.integers(0, CONCEPTS, IMAGES)
    pictures = np.eye(SIZE)[shown] + 0.3 + rng.normal(0, 0.1, (IMAGES, SIZE))
    pictures /= np.linalg.norm(pictures, axis=1, keepdims=True)
    texts = np.eye(CONCEPTS, SIZE) + 0.2
    texts /= np.linalg.norm(texts, axis=1, keepdims=True)
    responses = (shown[:, None] == np.arange(4)) + rng.normal(0, 0.2, (IMAGES, 4))
    return responses, pictures, texts


def slow_information(
    responses: np.ndarray, scores: np.ndarray, top: int, sharpness: float, weight: float, soft: bool
) -> np.ndarray:
    chance = softmax(sharpness * scores, axis=1)
    given = np.zeros((responses.shape[1], scores.shape[1]))
    for neuron in range(responses.shape[1]):
        strongest = np.argsort(-responses[:, neuron], kind="stable")[:top]
        for rank, image in enumerate(strongest):
            p = 0.998 - rank / len(strongest) * (0.998 - 0.97) if soft else 1.0
            given[neuron] += np.log(1 + p * (chance[image] - 1) + 1e-7)
    return given - weight * (logsumexp(given, axis=0) - np.log(len(given)))


def slow_reorder(responses: np.ndarray, scores: np.ndarray) -> np.ndarray:
    top = int(len(responses) * 0.05)
    found = np.zeros((responses.shape[1], scores.shape[1]))
    for neuron in range(responses.shape[1]):
        strongest = np.argsort(-responses[:, neuron], kind="stable")[:top]
        values = responses[strongest, neuron]
        chance = np.mean([abs(a - b) ** 3 for a in values for b in values])
        for concept in range(scores.shape[1]):
            own = scores[strongest, concept]
            by_clip = np.argsort(-own, kind="stable")
            error = 0.0
            for place, image in enumerate(by_clip):
                error += abs(values[image] - np.sort(values)[::-1][place]) ** 3 / top
            found[neuron, concept] = -error / chance / np.sqrt(own.mean())
    return found


def slow(name: Similarity) -> np.ndarray:
    responses, pictures, texts = world()
    scores = pictures @ texts.T
    if name == "soft-wpmi":
        return slow_information(responses, scores, 100, 10, 1.0, soft=True)
    if name == "wpmi":
        return slow_information(responses, scores, 28, 2, 0.6, soft=False)
    if name == "rank-reorder":
        return slow_reorder(responses, scores)
    if name == "cosine-cubed":
        responses = (responses - responses.mean(axis=0)) ** 3
        scores = (scores - scores.mean(axis=0)) ** 3
    return np.array(
        [[a @ b / np.linalg.norm(a) / np.linalg.norm(b) for b in scores.T] for a in responses.T]
    )


@pytest.mark.parametrize("name", SIMILARITIES)
def test_each_similarity_is_its_formula(name: Similarity, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(clip_dissect, "_BLOCK", 4)  # several blocks
    np.testing.assert_allclose(similarities(name, *world()), slow(name), rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("name", SIMILARITIES)
def test_each_similarity_finds_the_planted_concept(name: Similarity) -> None:
    responses, pictures, texts = world()
    if name == "rank-reorder":  # it sees the order within the strongest images, nothing else
        responses = (pictures @ texts.T)[:, :4] ** 2
    table = describe(NEURONS, responses, pictures, texts, WORDS, name)
    assert [row.labels[0] for row in table.rows] == WORDS[:4]
    assert table.describer == f"clip-dissect:{name}"
    first = table.rows[0]
    assert (first.target, first.layer, first.neuron, first.status) == ("net", "fc", 0, "described")
    assert list(first.scores) == sorted(first.scores, reverse=True)
    assert len(first.labels) == 3


def test_a_neuron_that_never_varies_gets_no_label() -> None:
    responses, pictures, texts = world()
    responses[:, 1] = 0
    for name in SIMILARITIES:
        row = describe(NEURONS, responses, pictures, texts, WORDS, name).rows[1]  # type: ignore[arg-type]
        assert (row.status, row.labels, row.scores) == ("constant", (), ())


def test_skipped_images_are_left_out() -> None:
    responses, pictures, texts = world()
    responses[0] = 100  # would be the strongest of every neuron
    whole = describe(NEURONS, responses[1:], pictures[1:], texts, WORDS)
    responses[0] = np.nan
    assert describe(NEURONS, responses, pictures, texts, WORDS) == whole


def test_float16_responses_and_few_images_will_do() -> None:
    responses, pictures, texts = world()
    table = describe(NEURONS, responses.astype(np.float16)[:5], pictures[:5], texts, WORDS)
    assert all(row.labels for row in table.rows)


def test_what_cannot_be_described_is_refused() -> None:
    responses, pictures, texts = world()
    with pytest.raises(UserError, match="unknown similarity 'pmi'; use soft-wpmi"):
        describe(NEURONS, responses, pictures, texts, WORDS, "pmi")  # type: ignore[arg-type]
    with pytest.raises(UserError, match="concept list is empty"):
        describe(NEURONS, responses, pictures, texts[:0], [])
    with pytest.raises(UserError, match="it got 1"):
        describe(NEURONS, responses[:1], pictures[:1], texts, WORDS)
