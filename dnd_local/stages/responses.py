"""Stage 0: the target network over the probe set.

For image x the response of neuron k is the spatial mean (or maximum) of its map A_k(x). The
matrix is kept in float16 chunks; histograms, triage, exemplars and evaluation read it.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np

from dnd_local.core.protocols import Target
from dnd_local.core.records import Pixels, Responses, SkippedImage

FLOAT16_MAX = 65504.0


def respond(
    images: Iterable[tuple[int, Pixels | SkippedImage]],
    first: int,
    count: int,
    layers: Sequence[str],
    target: Target,
    group: int,
) -> list[Responses]:
    """Return one chunk of responses a layer, from one pass over its images.

    Args:
        images: (probe index, picture or the reason why there is none), each index of the chunk
            once, in any order; read as they are needed, `group` at a time.
        first: the chunk's first probe index.
        count: images in the chunk.
        layers: the layers asked for.
        group: pictures handed to the network at once.
    """
    rows: dict[str, np.ndarray[tuple[int, int], np.dtype[np.float16]]] = {}
    skipped: list[SkippedImage] = []
    waiting: list[tuple[int, Pixels]] = []

    def flush() -> None:
        by_layer = target.responses([pixels for _, pixels in waiting], layers)
        where = [index - first for index, _ in waiting]
        for layer, values in by_layer.items():
            if layer not in rows:
                rows[layer] = np.full((count, values.shape[1]), np.nan, dtype=np.float16)
            rows[layer][where] = np.clip(values, -FLOAT16_MAX, FLOAT16_MAX).astype(np.float16)
        waiting.clear()

    for index, image in images:
        if isinstance(image, SkippedImage):
            skipped.append(image)
            continue
        waiting.append((index, image))
        if len(waiting) == group:
            flush()
    if waiting or not rows:
        flush()
    reasons = tuple(sorted(skipped, key=lambda image: image.index))
    return [Responses(layer, first, rows[layer], reasons) for layer in layers]
