"""Which neurons have like labels: word vectors without a model, neighbours, and a map of them.

No engine is opened for a report, so likeness here is of words: terms and their letter triples,
weighted by rarity (TF-IDF), compared by cosine. "dogs" is near "dog"; "puppy" is not.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

PLACE_WEIGHTS: Final = (3.0, 2.0, 1.0)
"""A neuron's best label says most about it."""

ROUNDS: Final = 200
"""Steps of the map; it has settled by then for thousands of neurons."""

NEAR: Final = 10
"""Neighbours that pull on a neuron in the map."""

PUSHES: Final = 6
"""Neurons drawn at random that push each neuron away, a step."""

_BLOCK: Final = 512
_WORD = re.compile(r"[^\W_]+")
_STOP = frozenset(
    [
        "a",
        "an",
        "and",
        "at",
        "by",
        "for",
        "from",
        "in",
        "of",
        "on",
        "or",
        "that",
        "the",
        "to",
        "with",
    ]
)


def label_vectors(labels: Sequence[Sequence[str]]) -> Any:
    """Return one unit row a neuron, a sparse matrix (n_neurons, n_terms); zero without a label.

    Args:
        labels: the labels of each neuron, best first.
    """
    columns: dict[str, int] = {}
    rows, places, values = [], [], []
    for row, own in enumerate(labels):
        weights: dict[str, float] = {}
        for label, weight in zip(own, PLACE_WEIGHTS, strict=False):
            for term, share in _terms(label):
                weights[term] = weights.get(term, 0.0) + weight * share
        for term, value in weights.items():
            rows.append(row)
            places.append(columns.setdefault(term, len(columns)))
            values.append(value)
    shape = (len(labels), max(len(columns), 1))
    counts = sparse.csr_matrix((values, (rows, places)), shape=shape, dtype=np.float64)
    seen = np.bincount(places, minlength=shape[1])
    weighted = counts @ sparse.diags(np.log((1 + len(labels)) / (1 + seen)) + 1)
    norms = np.sqrt(np.asarray(weighted.multiply(weighted).sum(axis=1)).ravel())
    return (sparse.diags(1 / np.where(norms > 0, norms, 1.0)) @ weighted).tocsr()


def neighbours(vectors: Any, count: int) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Return the most similar other rows of each row and their cosines, (n, count) each.

    Most similar first, ties to the lower row; where there are fewer, the index is -1.
    """
    n = vectors.shape[0]
    count = min(count, max(n - 1, 0))
    indices = np.full((n, count), -1, dtype=np.int64)
    cosines = np.zeros((n, count))
    for start in range(0, n if count else 0, _BLOCK):
        block = np.asarray((vectors[start : start + _BLOCK] @ vectors.T).todense())
        own = np.arange(len(block))
        block[own, start + own] = -1.0
        order = np.argsort(-block, axis=1, kind="stable")[:, :count]
        found = np.take_along_axis(block, order, axis=1)
        indices[start : start + len(block)] = np.where(found > 0, order, -1)
        cosines[start : start + len(block)] = np.maximum(found, 0.0)
    return indices, cosines


def layout(vectors: Any, seed: int = 0) -> NDArray[np.float64]:
    """Return a place in the unit square for each row, (n, 2): like labels close together.

    Neighbours attract, rows drawn at random repel (the force of UMAP, McInnes et al. 2018, with
    a = b = 1). The same rows and seed give the same map. Rows without a label lie in the middle
    and move nobody.
    """
    places = np.full((vectors.shape[0], 2), 0.5)
    labelled = np.flatnonzero(np.diff(vectors.indptr))
    places[labelled] = _layout(vectors[labelled], seed)
    return places


def _layout(vectors: Any, seed: int) -> NDArray[np.float64]:
    n = vectors.shape[0]
    if n < 3:
        return np.column_stack([np.linspace(0.25, 0.75, n), np.full(n, 0.5)])
    generator = np.random.default_rng(seed)
    indices, cosines = neighbours(vectors, NEAR)
    tails = np.repeat(np.arange(n), indices.shape[1])
    heads, pull = indices.ravel(), cosines.ravel()
    tails, heads, pull = tails[heads >= 0], heads[heads >= 0], pull[heads >= 0]
    places = _start(vectors, generator)
    for step in range(ROUNDS):
        rate = 0.8 * (1 - step / ROUNDS)
        moves = np.zeros_like(places)
        gaps = places[heads] - places[tails]
        squares = (gaps**2).sum(axis=1)
        attraction = gaps * (pull / (1 + squares))[:, None]
        np.add.at(moves, tails, attraction)
        np.add.at(moves, heads, -attraction)
        for _ in range(PUSHES):
            gaps = places - places[generator.permutation(n)]
            squares = (gaps**2).sum(axis=1)
            moves += gaps * (1 / ((0.05 + squares) * (1 + squares)))[:, None]
        places += rate * np.clip(moves, -2.0, 2.0)
    return _unit_square(places)


def _terms(label: str) -> list[tuple[str, float]]:
    """Return the words of a label and, at half weight together, each word's letter triples."""
    found = []
    for word in _WORD.findall(label.lower()):
        if word in _STOP:
            continue
        found.append((word, 1.0))
        padded = f"<{word}>"
        triples = [padded[i : i + 3] for i in range(len(padded) - 2)]
        found += [(f"#{triple}", 0.5 / len(triples) ** 0.5) for triple in triples]
    return found


def _start(vectors: Any, generator: np.random.Generator) -> NDArray[np.float64]:
    """Return a random projection of the rows: like rows start close."""
    directions = generator.standard_normal((vectors.shape[1], 2))
    start = np.asarray(vectors @ directions)
    return np.asarray(5.0 * start + 0.01 * generator.standard_normal(start.shape))


def _unit_square(places: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return places scaled into [0, 1], a straggler's distance cut so that it squeezes nobody."""
    low, high = np.percentile(places, [1, 99], axis=0)
    span = np.where(high > low, high - low, 1.0)
    return np.asarray(0.03 + 0.94 * np.clip((places - low) / span, 0.0, 1.0))
