"""Networks that take tiles of other bands than red, green and blue."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor
from torch.nn import functional

from dnd_local.core.errors import UserError
from dnd_local.core.records import Pixels


class BandTransform:
    """From a tile (height, width, bands) of any numbers to a network's input (bands, side, side).

    The tile is resized, bilinear with antialiasing, its aspect not kept; then each band has `mean`
    taken off and is divided by `std`.

    Attributes:
        bands: how many bands a tile has. A transform with this attribute is given tiles; one
            without is given PIL pictures.
    """

    def __init__(self, side: int, mean: Sequence[float], std: Sequence[float]) -> None:
        self.bands, self._side = len(mean), side
        self._mean, self._std = (torch.tensor(one).view(-1, 1, 1) for one in (mean, std))

    def __call__(self, tile: NDArray[Any]) -> Tensor:
        """Return the network's input, float32 (bands, side, side)."""
        values = torch.from_numpy(np.ascontiguousarray(tile, dtype=np.float32)).permute(2, 0, 1)
        if values.shape[1:] != (self._side, self._side):
            values = functional.interpolate(
                values[None], size=(self._side, self._side), mode="bilinear", antialias=True
            )[0]
        return (values - self._mean) / self._std


def bands_of(transform: Any) -> int:
    """Return how many bands the tiles have that a transform takes; 0 for one of PIL pictures.

    Raises:
        UserError: its attribute `bands` is no number of bands.
    """
    bands = getattr(transform, "bands", 0)
    if isinstance(bands, bool) or not isinstance(bands, int) or bands < 0:
        raise UserError(f"the transform's attribute `bands` is {bands!r}; a whole number is wanted")
    return bands


def given(transform: Any, pixels: NDArray[Any]) -> Any:
    """Return pixels as a transform takes them: a tile as it is, a picture as PIL's.

    Raises:
        UserError: a tile of another number of bands.
    """
    bands = bands_of(transform)
    if not bands:
        return Image.fromarray(pixels)
    if pixels.ndim != 3 or pixels.shape[2] != bands:
        raise UserError(
            f"the network takes tiles of {bands} bands, and this one has "
            f"{pixels.shape[2] if pixels.ndim == 3 else 1}: take a probe set of such tiles "
            "(docs/probe-sets.md)"
        )
    return pixels


def try_out(transform: Any, picture: Pixels) -> Any:
    """Return what a transform makes of a test picture (height, width, 3).

    One that takes tiles gets the picture's bands again and again, as many as it takes.
    """
    bands = bands_of(transform)
    if not bands:
        return transform(Image.fromarray(picture))
    return transform(picture[:, :, np.arange(bands) % 3])
