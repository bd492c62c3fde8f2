"""Stage 0: the target network over the probe set.

For image x the response of neuron k is the spatial mean (or maximum) of its map A_k(x). The
matrix is kept in chunks, float16 where that loses nothing that matters, else float32; histograms,
triage, exemplars and evaluation read it.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from dnd_local.core.protocols import Target
from dnd_local.core.records import Pixels, Responses, SkippedImage

FLOAT32_MAX: Final = float(np.finfo(np.float32).max)

MOVED: Final = 0.01
"""Share of a neuron's standard deviation by which rounding to float16 may move a response.

The ten highest of 100,000 responses of a normal distribution lie a few hundredths apart.
"""

NOISE: Final = 1e-6
"""A standard deviation below this share of the largest size is float32's own rounding."""


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
    rows: dict[str, NDArray[np.float32]] = {}
    skipped: list[SkippedImage] = []
    waiting: list[tuple[int, Pixels]] = []

    def flush() -> None:
        by_layer = target.responses([pixels for _, pixels in waiting], layers)
        where = [index - first for index, _ in waiting]
        for layer, values in by_layer.items():
            if layer not in rows:
                rows[layer] = np.full((count, values.shape[1]), np.nan, dtype=np.float32)
            rows[layer][where] = np.clip(values, -FLOAT32_MAX, FLOAT32_MAX)
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
    return [Responses(layer, first, narrowed(rows[layer]), reasons) for layer in layers]


def narrowed(values: NDArray[np.float32]) -> NDArray[np.floating[Any]]:
    """Return responses in float16 where that keeps their meaning, else as they are.

    They stay in float32 where one is beyond float16's 65504, or where rounding would move one by
    more than `MOVED` of its neuron's standard deviation, as with a large offset (1000 + small).

    Args:
        values: float32 (n_images, n_neurons); NaN where there is no response.
    """
    with np.errstate(over="ignore"):
        half = values.astype(np.float16)
    if np.isinf(half).any():
        return values
    there = ~np.isnan(values)
    known = np.where(there, values, 0).astype(np.float64)
    count = np.maximum(there.sum(axis=0), 1)
    centred = np.where(there, known - known.sum(axis=0) / count, 0)
    spread = np.sqrt((centred**2).sum(axis=0) / count)
    moved = np.abs(np.where(there, half, 0).astype(np.float64) - known).max(axis=0, initial=0)
    varies = spread > NOISE * np.abs(known).max(axis=0, initial=0)
    return values if (varies & (moved > MOVED * spread)).any() else half
