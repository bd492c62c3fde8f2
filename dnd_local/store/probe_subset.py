"""Some images of a probe set: those whose names are like a pattern, a seeded draw of so many."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from fnmatch import fnmatchcase
from functools import cached_property
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from dnd_local.core.digest import key
from dnd_local.core.errors import UserError
from dnd_local.core.protocols import ProbeSet
from dnd_local.core.records import Pixels
from dnd_local.core.tiles import TileSet


class SubsetProbe:
    """The images of another probe set at `indices`, in this order.

    Args:
        probe: the whole set.
        indices: the images kept, numbered in the whole set.
    """

    def __init__(self, probe: ProbeSet, indices: Sequence[int]) -> None:
        self.probe, self.indices = probe, tuple(indices)

    @cached_property
    def digest(self) -> str:
        """SHA-256 over the whole set's digest and the images kept."""
        return key({"of": self.probe.digest, "kept": self.indices})

    def __len__(self) -> int:
        return len(self.indices)

    def name(self, index: int) -> str:
        """Return an image's name in the whole set."""
        return self.probe.name(self.indices[index])

    def pixels(self, index: int) -> Pixels:
        """Return an image as RGB.

        Raises:
            UnreadableImage: the image cannot be used; the message is the reason.
        """
        return self.probe.pixels(self.indices[index])

    @property
    def bands(self) -> int:
        """Bands of the tiles, 0 for pictures; see `core.tiles.TileSet`."""
        return int(getattr(self.probe, "bands", 0))

    def tile(self, index: int) -> NDArray[Any]:
        """Return an image of all bands."""
        return cast(TileSet, self.probe).tile(self.indices[index])

    def display(self, tile: NDArray[Any]) -> Pixels:
        """Return a tile as it is shown."""
        return cast(TileSet, self.probe).display(tile)

    def lift(self, picture: Pixels) -> NDArray[Any]:
        """Return a picture as a tile."""
        return cast(TileSet, self.probe).lift(picture)


def subset(probe: ProbeSet, keep: str, sample: int, seed: int) -> ProbeSet:
    """Return the images of a set that are asked for; the set itself where all are.

    Args:
        probe: the set.
        keep: a pattern with ``*`` and ``?`` that a name must be like, any if empty.
        sample: images drawn of these, all where they are no more, or if 0.
        seed: of the draw. A larger sample holds a smaller one of the same seed.

    Raises:
        UserError: no name is like `keep`.
    """
    if not keep and not 0 < sample < len(probe):
        return probe
    kept = list(range(len(probe)))
    if keep:
        kept = [index for index in kept if fnmatchcase(probe.name(index), keep)]
        if not kept:
            raise UserError(
                f"no image of the probe set has a name like '{keep}'; the first is "
                f"'{probe.name(0)}'"
            )
    if 0 < sample < len(kept):
        places = draw("sample", seed, probe.digest, len(probe))
        kept = sorted(sorted(kept, key=lambda index: int(places[index]))[:sample])
    return SubsetProbe(probe, kept)


def draw(purpose: str, seed: int, digest: str, n: int) -> NDArray[np.uint64]:
    """Return the places of `n` images of a set in a draw, shape (n,): those first in it are lowest.

    Each depends on purpose, seed, set and index alone.
    """
    start = hashlib.sha256(f"{purpose} {seed} {digest} ".encode())
    places = np.empty(n, dtype=np.uint64)
    for index in range(n):
        one = start.copy()
        one.update(str(index).encode())
        places[index] = int.from_bytes(one.digest()[:8], "big")
    return places


def parts_of(probe: Any) -> list[Any]:
    """Return the sets that a probe set is made of, itself where it is no joined or smaller one."""
    if isinstance(probe, SubsetProbe):
        return parts_of(probe.probe)
    return (
        [part for _, one in probe.sets for part in parts_of(one)]
        if hasattr(probe, "sets")
        else [probe]
    )
