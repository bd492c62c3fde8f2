"""Several meanings: exemplars in groups, a label for each group, one where groups mean the same."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from dnd_local.core.concept_words import content_words
from dnd_local.core.descriptions import SAME_CONCEPT
from dnd_local.core.meanings import ExemplarGroups, Meaning, Meanings
from dnd_local.core.protocols import Blobs, Embedder
from dnd_local.core.ranking import best_first
from dnd_local.core.records import Concepts, Exemplars, Phrases, Rule, Scores
from dnd_local.core.sequences import distinct

Clusters: TypeAlias = Callable[[NDArray[np.float32], int], tuple[list[list[int]], float]]


def group(
    batch: Sequence[Exemplars], embedder: Embedder, blobs: Blobs, most: int, clusters: Clusters
) -> list[ExemplarGroups]:
    """Return each neuron's exemplars in at most `most` groups.

    `clusters` groups vectors: it returns the rows of each group and the silhouette.
    """
    kept = distinct(e.blob for exemplars in batch for e in exemplars.exemplars)
    vectors = embedder.embed_pictures(blobs.get_all(kept))
    rows = {blob: row for row, blob in enumerate(kept)}
    records = []
    for exemplars in batch:
        shown = vectors[[rows[e.blob] for e in exemplars.exemplars]]
        groups, silhouette = clusters(shown, most)
        records.append(
            ExemplarGroups(exemplars.neuron, tuple(map(tuple, groups)), round(silhouette, 6))
        )
    return records


def phrases_of(phrases: Phrases, groups: ExemplarGroups, number: int) -> Phrases | None:
    """Return the phrases of one group, None where there are no several groups or not so many."""
    if not groups.several or number >= len(groups.groups):
        return None
    return Phrases(phrases.neuron, tuple(phrases.texts[i] for i in groups.groups[number]), ())


def label_groups(
    scores: Scores,
    groups: ExemplarGroups,
    proposals: Sequence[Concepts],
    vectors: Mapping[str, NDArray[np.float32]],
    rule: Rule,
) -> Meanings:
    """Return a neuron's meanings: each group's best candidate, groups that mean the same as one.

    Two labels mean the same if they share a word that carries meaning ("dog on red", "dog on
    green") or if their texts are alike to the embedder; the better one stays.

    Args:
        scores: of all candidates.
        groups: the exemplars' groups.
        proposals: the candidates of each group, in the groups' order.
        vectors: the unit vector of each candidate's text.
        rule: which candidate is best.
    """
    ranked = best_first(scores.candidates, rule)
    of_groups: list[Meaning] = []
    for members, concepts in zip(groups.groups, proposals, strict=False):
        texts = {candidate.text for candidate in concepts.candidates}
        best = next((candidate for candidate in ranked if candidate.text in texts), None)
        if best is not None:
            of_groups.append(Meaning(best.text, best.score(rule), members))
    places = {candidate.text: place for place, candidate in enumerate(ranked)}
    meanings: list[Meaning] = []
    for one in sorted(of_groups, key=lambda meaning: places[meaning.text]):
        for i, other in enumerate(meanings):
            if _same(one.text, other.text, vectors):
                members = tuple(sorted({*other.exemplars, *one.exemplars}))
                meanings[i] = Meaning(other.text, other.score, members)
                break
        else:
            meanings.append(one)
    return Meanings(scores.neuron, tuple(meanings))


def _same(one: str, other: str, vectors: Mapping[str, NDArray[np.float32]]) -> bool:
    shared = content_words(one) & content_words(other)
    return bool(shared) or float(vectors[one] @ vectors[other]) >= SAME_CONCEPT
