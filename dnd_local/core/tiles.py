"""Probe images of more bands than they are shown with: satellite tiles, microscopes, depth.

Everywhere an image is what people see, RGB. A network that takes tiles is given all their bands;
this module is the one way from the one to the other.
"""

from __future__ import annotations

from typing import Any, Protocol, cast

from numpy.typing import NDArray

from dnd_local.core.errors import UserError
from dnd_local.core.protocols import ProbeSet
from dnd_local.core.records import Pixels


class TileSet(ProbeSet, Protocol):
    """A probe set whose images have `bands` bands, three of which are shown."""

    bands: int

    def tile(self, index: int) -> NDArray[Any]:
        """Return an image of all bands, (height, width, bands), in its own numbers."""

    def display(self, tile: NDArray[Any]) -> Pixels:
        """Return a tile, or a part of one, as it is shown."""

    def lift(self, picture: Pixels) -> NDArray[Any]:
        """Return a picture as a tile that is shown so."""


class Tiles:
    """A tile set as a network sees it: its pixels are tiles."""

    def __init__(self, shown: TileSet) -> None:
        self.tiles = shown

    @property
    def digest(self) -> str:
        """That of the tile set."""
        return self.tiles.digest

    def __len__(self) -> int:
        return len(self.tiles)

    def name(self, index: int) -> str:
        """Return an image's name."""
        return self.tiles.name(index)

    def pixels(self, index: int) -> Any:
        """Return an image of all bands, (height, width, bands).

        Raises:
            UnreadableImage: the image cannot be used; the message is the reason.
        """
        return self.tiles.tile(index)


def seen_by(bands: int, probe: ProbeSet) -> ProbeSet:
    """Return a probe set as a network sees it.

    Args:
        bands: how many bands the network's tiles have, 0 for a network of RGB pictures.
        probe: the set, whose pixels are what is shown.

    Raises:
        UserError: the network takes tiles of other bands than the set has.
    """
    if not bands:
        return probe
    there = getattr(probe, "bands", 0)
    if there != bands:
        has = f"has tiles of {there}" if there else "holds pictures"
        raise UserError(
            f"the network takes tiles of {bands} bands, and the probe set {has}; name one of .npy "
            "tiles with tiles.toml (docs/probe-sets.md)"
        )
    return Tiles(cast(TileSet, probe))


def shown(probe: ProbeSet, pixels: Any) -> Pixels:
    """Return what a network saw of a probe set, or a crop of it, as people see it."""
    return probe.tiles.display(pixels) if isinstance(probe, Tiles) else cast(Pixels, pixels)
