"""Which region of a picture the network sees, found by sending coordinates through its transform.

The transform is opaque. A black and a white picture show what it does to brightness. Then a picture
whose brightness is the x coordinate, and one for y, go through it: the brightness of an output
pixel says which coordinate it was taken from. A straight line is fitted to these coordinates.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final, TypeAlias

import numpy as np
import torch
from numpy.typing import NDArray

from dnd_local.core.records import Box, Pixels
from dnd_local.engines.bands import try_out

Transform: TypeAlias = Callable[[Any], torch.Tensor]
"""From an RGB picture to the network's input (channels, height, width); from a tile (height, width,
bands) where it has an attribute `bands`."""

_Floats: TypeAlias = NDArray[np.float64]

_TRIM: Final = 16
"""One part in so many of the output is left out at each border, where filters meet the edge."""

_REPEATS: Final = 8
"""Times a transform is repeated; one that always gives the same result is not random."""


class Framing:
    """The region of a picture that a transform keeps, by the picture's size."""

    def __init__(self, transform: Transform) -> None:
        self._transform = transform
        self._known: dict[tuple[int, int], Box | None] = {}
        self._fixed: bool | None = None

    def region(self, height: int, width: int) -> Box | None:
        """Return the region seen of a picture of `height` x `width`, clamped to the picture.

        None where the transform is random, mirrors, turns or bends the picture, pads it, or
        changes brightness by what the picture holds: then no map can be placed on it.
        """
        if self._fixed is None:
            self._fixed = self._is_fixed()
        if (height, width) not in self._known:
            self._known[height, width] = self._find(height, width) if self._fixed else None
        return self._known[height, width]

    def _is_fixed(self) -> bool:
        noise = np.random.default_rng(0).integers(0, 256, (48, 64, 3)).astype(np.uint8)
        first = self._send(noise)
        return all(np.array_equal(first, self._send(noise)) for _ in range(_REPEATS))

    def _find(self, height: int, width: int) -> Box | None:
        black = self._send(np.zeros((height, width, 3), np.uint8))
        span = self._send(np.full((height, width, 3), 255, np.uint8)) - black
        if span.ndim != 3 or min(span.shape[1:]) < 2 or np.abs(span).min() <= 1e-6:
            return None

        def coordinates(ramp: _Floats) -> _Floats:
            """Return what a ramp of [0, 1] (height, width) became, (rows, columns) of [0, 1]."""
            grey = np.rint(ramp * 255).astype(np.uint8)
            sent = self._send(np.repeat(grey[:, :, None], 3, axis=2))
            return np.asarray(((sent - black) / span).mean(axis=0), dtype=np.float64)

        across = np.broadcast_to((np.arange(width) + 0.5) / width, (height, width))
        down = np.broadcast_to(((np.arange(height) + 0.5) / height)[:, None], (height, width))
        x, y = coordinates(across), coordinates(down)
        pale = coordinates(0.25 + across / 2)
        if np.abs(pale - (0.25 + x / 2)).max() > 0.02:  # contrast is stretched: no coordinates
            return None
        columns, rows = _line(x, width), _line(y.T, height)
        if columns is None or rows is None:
            return None
        return Box(columns[0], rows[0], columns[1], rows[1])

    def _send(self, pixels: Pixels) -> _Floats:
        return np.asarray(try_out(self._transform, pixels).double().numpy())


def _line(values: _Floats, length: int) -> tuple[int, int] | None:
    """Return the half-open pixel range that a straight line through `values` covers.

    Args:
        values: shape (any, n); where each of n output pixels was taken from, in [0, 1] along one
            axis of the picture, the same in every row.
        length: the picture's pixels along that axis.

    None where the values do not rise in a straight line, differ between rows, or run outside.
    """
    n = values.shape[1]
    edge = n // _TRIM if n >= 8 else 0
    inner = values[:, edge : n - edge] * length
    where = np.arange(edge, n - edge) + 0.5
    slope, offset = np.polyfit(where, inner.mean(axis=0), 1)
    bend = np.abs(inner - (slope * where + offset)).max()
    grain = max(1.0, abs(slope)) + 0.01 * length  # a source pixel, or an output pixel
    low, high = offset, slope * n + offset
    if slope <= 0 or bend > grain or low < -grain or high > length + grain:
        return None
    start, stop = max(0, round(low)), min(length, round(high))
    return (start, stop) if stop > start else None
