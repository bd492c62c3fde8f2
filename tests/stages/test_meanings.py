"""Several meanings: groups of exemplars, a label for each, one where they mean the same."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest
from numpy.typing import NDArray

from dnd_local.core.descriptions import Label
from dnd_local.core.meanings import ExemplarGroups, Meaning, Meanings
from dnd_local.core.ranking import score_candidates
from dnd_local.core.records import Candidate, Concepts, Exemplar, Exemplars, Phrases, Scores
from dnd_local.stages.meanings import group, label_groups, phrases_of
from tests.fakes import Calls, FakeEmbedder, flat
from tests.stages.world import MemoryBlobs, neurons

(NEURON,) = neurons(0)
GROUPS = ExemplarGroups(NEURON, ((0, 2), (1, 3)), 0.6)


def proposed(*texts: str) -> Concepts:
    return Concepts(NEURON, tuple(Candidate(text, text, 0) for text in texts), (), ())


def meanings(
    *texts: Sequence[str], alike: float = 0.0, groups: ExemplarGroups = GROUPS
) -> tuple[Meaning, ...]:
    """Score the groups' candidates, the first text highest; the others fall behind it in turn."""
    every = [text for one in texts for text in one]
    responses = [[9.0 - i] * 2 for i in range(len(every))]
    candidates = score_candidates(every, responses, [[0.5] * 2] * len(every), 2)
    vectors = {text: np.array([1.0, 0.0], dtype=np.float32) for text in every}
    if every:
        vectors[every[-1]] = np.array([alike, np.sqrt(1 - alike**2)], dtype=np.float32)
    proposals = [proposed(*one) for one in texts]
    scores = Scores(NEURON, candidates)
    return label_groups(scores, groups, proposals, vectors, "topk-compare").meanings


def test_exemplars_are_grouped_by_their_embeddings() -> None:
    blobs, calls = MemoryBlobs(), Calls()
    kept = [blobs.put(flat(colour, 200)) for colour in (0, 1, 0)]
    batch = [
        Exemplars(NEURON, tuple(Exemplar(i, "", None, 1.0, blob) for i, blob in enumerate(kept))),
        Exemplars(NEURON, ()),
    ]
    seen: list[tuple[int, ...]] = []

    def clusters(vectors: NDArray[np.float32], most: int) -> tuple[list[list[int]], float]:
        seen.append(vectors.shape)
        return ([[0, 2], [1]], 0.5) if len(vectors) else ([[]], 0.0)

    one, none = group(batch, FakeEmbedder(calls), blobs, 3, clusters)
    assert one == ExemplarGroups(NEURON, ((0, 2), (1,)), 0.5)
    assert (one.several, none.several) == (True, False)
    assert seen == [(3, 3), (0, 3)]
    assert calls.asked["embedder"] == 2, "a picture that several exemplars share is embedded once"


def test_a_group_has_the_phrases_of_its_exemplars() -> None:
    phrases = Phrases(NEURON, ("a", "b", "c", "d"), ())
    assert phrases_of(phrases, GROUPS, 1) == Phrases(NEURON, ("b", "d"), ())
    assert phrases_of(phrases, GROUPS, 2) is None
    assert phrases_of(phrases, ExemplarGroups(NEURON, ((0, 1, 2, 3),)), 0) is None


def test_each_group_gets_its_best_candidate_best_first() -> None:
    assert [(m.text, m.exemplars) for m in meanings(["red", "crimson"], ["green"])] == [
        ("red", (0, 2)), ("green", (1, 3)),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("texts", "alike"),
    [
        ((["dog on red"], ["a dog in snow"]), 0.0),  # a word in common
        ((["dog"], ["hound"]), 0.95),  # alike to the embedder
    ],
)
def test_groups_that_mean_the_same_are_one(texts: tuple[list[str], ...], alike: float) -> None:
    (one,) = meanings(*texts, alike=alike)
    assert (one.text, one.exemplars) == (texts[0][0], (0, 1, 2, 3))


def test_a_group_without_a_usable_candidate_has_no_meaning() -> None:
    assert [one.text for one in meanings(["red"], [])] == ["red"]
    assert meanings([], []) == ()


def test_filler_is_no_word_in_common() -> None:
    assert len(meanings(["red background"], ["green background"])) == 2


def test_a_label_that_names_every_meaning_comes_first_with_its_worst_score() -> None:
    both = Meanings(NEURON, (Meaning("red", 4.0, (0,)), Meaning("green", 2.0, (1,))))
    labels = [Label("red", 4.0), Label("green", 2.0), Label("blue", 1.0)]
    assert both.before(labels, "topk-compare", 3) == [Label("red or green", 2.0), *labels[:2]]
    assert str(both.meanings[1]) == "green (exemplars 2)"
    assert both.before(labels, "mean", 3)[0] == Label("red or green", 4.0)
    assert Meanings(NEURON, both.meanings[:1]).before(labels, "mean", 3) == labels
