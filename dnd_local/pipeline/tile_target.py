"""A network of tiles among stages that know pictures."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dnd_local.core.protocols import ResponseMap, Target
from dnd_local.core.records import Box, LayerInfo, Pixels


class TileTarget:
    """A `Target` that takes tiles and, beside them, RGB pictures, which it makes into tiles.

    A painted picture has three bands; the others become constant (`TileProbe.lift`), so its
    responses rest on what is shown alone.

    Args:
        target: the network.
        bands: how many bands its tiles have.
        lift: from an RGB picture to a tile.
    """

    def __init__(self, target: Target, bands: int, lift: Callable[[Pixels], NDArray[Any]]) -> None:
        self._target, self.bands, self._lift = target, bands, lift

    def layers(self) -> tuple[LayerInfo, ...]:
        """Return every layer that can be dissected, in the order it runs."""
        return self._target.layers()

    def responses(
        self, pictures: Sequence[Pixels], layers: Sequence[str]
    ) -> dict[str, NDArray[np.float32]]:
        """Return, for each layer, the responses, as `Target.responses`."""
        return self._target.responses(self._tiles(pictures), layers)

    def maps(
        self, pictures: Sequence[Pixels], layer: str, neurons: Sequence[Sequence[int]]
    ) -> list[list[ResponseMap]]:
        """Return, for each picture, the maps of the neurons asked for with it."""
        return self._target.maps(self._tiles(pictures), layer, neurons)

    def outputs(
        self, pictures: Sequence[Pixels], layer: str, silent: Sequence[Sequence[int]]
    ) -> NDArray[np.float32]:
        """Return the network's own outputs while sets of a layer's neurons are 0."""
        return self._target.outputs(self._tiles(pictures), layer, silent)

    def framing(self, height: int, width: int) -> Box | None:
        """Return the region the network sees of a picture of this size, None where not known."""
        return self._target.framing(height, width)

    def _tiles(self, pictures: Sequence[Pixels]) -> list[Any]:
        return [one if self._is_tile(one) else self._lift(one) for one in pictures]

    def _is_tile(self, one: NDArray[Any]) -> bool:
        # Of three bands, only what is no picture by its numbers is a tile.
        return one.shape[2] == self.bands and (self.bands != 3 or one.dtype != np.uint8)
