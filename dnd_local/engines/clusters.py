"""Groups of vectors that lie together, by scikit-learn; how many there are is up to them."""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

from dnd_local.core.libraries import library

STRUCTURE: Final = 0.25
"""A mean silhouette up to here is no structure at all (Kaufman and Rousseeuw, 1990, table 4)."""


def clusters(vectors: NDArray[np.float32], most: int) -> tuple[list[list[int]], float]:
    """Return the rows of each group, the largest group first, and the mean silhouette.

    Average linkage over cosine distances, for every number of groups from two to `most`; the one of
    highest silhouette counts, the smaller of equals. A group of one vector is an outlier and no
    group, so such a number does not count. One group and 0 where none has structure.

    Args:
        vectors: unit vectors, (n, dimensions).
        most: groups at most.

    Raises:
        UserError: scikit-learn is not installed.
    """
    cluster, metrics = library("sklearn.cluster"), library("sklearn.metrics")
    best, silhouette = [list(range(len(vectors)))], STRUCTURE
    for count in range(2, min(most, len(vectors) // 2) + 1):
        method = cluster.AgglomerativeClustering(count, metric="cosine", linkage="average")
        labels = method.fit_predict(vectors)
        groups = [np.flatnonzero(labels == label).tolist() for label in range(count)]
        score = float(metrics.silhouette_score(vectors, labels, metric="cosine"))
        if min(map(len, groups)) > 1 and score > silhouette:
            best, silhouette = groups, score
    if len(best) == 1:
        return best, 0.0
    return sorted(best, key=lambda rows: (-len(rows), rows[0])), silhouette
