"""Groups of vectors: how many there are, which comes first, what is no group."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from dnd_local.engines.clusters import clusters

pytest.importorskip("sklearn")


def around(*directions: tuple[int, int], spread: float = 0.02) -> NDArray[np.float32]:
    """Return unit vectors in four dimensions: so many around each axis."""
    rng = np.random.default_rng(3)
    rows = [np.eye(4)[axis] for axis, count in directions for _ in range(count)]
    vectors = np.array(rows) + rng.normal(0, spread, (len(rows), 4))
    return np.asarray(vectors / np.linalg.norm(vectors, axis=1, keepdims=True), dtype=np.float32)


def test_the_largest_group_comes_first() -> None:
    groups, silhouette = clusters(around((0, 3), (1, 5), (2, 2)), 4)
    assert groups == [[3, 4, 5, 6, 7], [0, 1, 2], [8, 9]]
    assert silhouette > 0.9


def test_no_more_groups_than_asked_for() -> None:
    groups, _ = clusters(around((0, 3), (1, 5), (2, 2)), 2)
    assert len(groups) == 2


@pytest.mark.parametrize(
    "vectors",
    [
        around((0, 8), spread=0.02)[:3],  # too few for two groups of two
        around((0, 7), (1, 1)),  # one of its own is an outlier
        np.eye(8, dtype=np.float32),  # all equally far apart
        np.zeros((0, 4), dtype=np.float32),
    ],
)
def test_vectors_without_structure_are_one_group(vectors: NDArray[np.float32]) -> None:
    assert clusters(vectors, 2) == ([list(range(len(vectors)))], 0.0)
