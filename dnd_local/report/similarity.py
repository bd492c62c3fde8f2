"""A map of neurons: a place in the unit square for each, like labels close together."""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

from dnd_local.pipeline.label_vectors import Vectors, neighbours

ROUNDS: Final = 200
"""Steps of the map; it has settled by then for thousands of neurons."""

NEAR: Final = 10
"""Neighbours that pull on a neuron in the map."""

PUSHES: Final = 6
"""Neurons drawn at random that push each neuron away, a step."""


def layout(vectors: Vectors, seed: int = 0) -> NDArray[np.float64]:
    """Return a place in the unit square for each row, (n, 2): like labels close together.

    Neighbours attract, rows drawn at random repel (the force of UMAP, McInnes et al. 2018, with
    a = b = 1), from a start at the two principal axes. The same rows and seed give the same map.
    Rows of zeros (neurons without a label) lie in the middle and move nobody.

    Args:
        vectors: unit vectors or zeros, (n, dimensions).
        seed: of the rows that repel.
    """
    places = np.full((len(vectors), 2), 0.5)
    labelled = np.flatnonzero(vectors.any(axis=1))
    places[labelled] = _layout(vectors[labelled], seed)
    return places


def _layout(vectors: Vectors, seed: int) -> NDArray[np.float64]:
    n = vectors.shape[0]
    if n < 3:
        return np.column_stack([np.linspace(0.25, 0.75, n), np.full(n, 0.5)])
    generator = np.random.default_rng(seed)
    indices, cosines = neighbours(vectors, NEAR)
    tails = np.repeat(np.arange(n), indices.shape[1])
    heads, pull = indices.ravel(), np.maximum(cosines.ravel(), 0.0)
    tails, heads, pull = tails[heads >= 0], heads[heads >= 0], pull[heads >= 0]
    places = _start(vectors)
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


def _start(vectors: Vectors) -> NDArray[np.float64]:
    """Return the rows on their two principal axes, (n, 2): like rows start close.

    Equal rows start a hair apart, for no force parts what lies in one place.
    """
    centred = np.asarray(vectors - vectors.mean(axis=0), dtype=np.float64)
    _, axes = np.linalg.eigh(centred.T @ centred)
    start = np.asarray(centred @ axes[:, [-1, -2]])
    spread = start.std(axis=0)
    angles = 2.4 * np.arange(len(start))  # about the golden angle: no two hairs point the same way
    hair = 0.01 * np.column_stack([np.cos(angles), np.sin(angles)])
    return np.asarray(5.0 * start / np.where(spread > 0, spread, 1.0) / 3 + hair)


def _unit_square(places: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return places scaled into [0, 1], a straggler's distance cut so that it squeezes nobody."""
    low, high = np.percentile(places, [1, 99], axis=0)
    span = np.where(high > low, high - low, 1.0)
    return np.asarray(0.03 + 0.94 * np.clip((places - low) / span, 0.0, 1.0))
