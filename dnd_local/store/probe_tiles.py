"""Tiles of more bands than three: all of them for the network, three of them shown.

``tiles.npy`` (tiles, height, width, bands) with ``tiles.toml`` beside it, or a folder of
``.npy`` files, a tile each (height, width, bands), with ``tiles.toml`` in it::

    bands = [3, 2, 1]     # those shown as red, green and blue, counted from 0
    stretch = [0, 3000]   # the values shown as 0 and as 255
    order = "last"        # or "first": (bands, height, width)
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import Any, Final, Literal

import msgspec
import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from dnd_local.core.errors import BadConfig, UserError
from dnd_local.core.protocols import UnreadableImage
from dnd_local.core.records import Pixels
from dnd_local.core.regular import read_regular
from dnd_local.store.probe_arrays import stack_of
from dnd_local.store.probe_folder import shown
from dnd_local.store.probe_packed import PackedProbe

SHOWN_BY: Final = "tiles.toml"
"""The file in a folder of tiles that says how they are shown."""

SAMPLED: Final = 64
"""Tiles, spread evenly, whose medians fill the bands that a picture has not."""


class Display(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How tiles are shown: three bands, the values shown as black and white, the bands' axis."""

    bands: tuple[int, int, int]
    stretch: tuple[float, float]
    order: Literal["last", "first"] = "last"


class TileProbe(PackedProbe):
    """Tiles of one number of bands.

    Args:
        root, files, cache_dir: as `PackedProbe`: one array of many tiles, or a tile a file.
        shown_by: the TOML file that says how they are shown.

    Attributes:
        bands: how many a tile has.

    Raises:
        BadConfig: `shown_by` is not such a file, or names bands that the tiles have not.
        UserError: arrays of another shape, or that differ in their bands.
    """

    kind = "tiles"

    def __init__(self, root: Path, files: Sequence[str], cache_dir: Path, shown_by: Path) -> None:
        super().__init__(root, files, cache_dir)
        self.look = _read(shown_by)
        self.rules = {"display": self.look}
        first = stack_of(self.path(0))
        self._stack = first if first.ndim == 4 else None
        if first.ndim not in (3, 4) or (self._stack is not None and len(files) > 1):
            raise UserError(
                f"{self.path(0)} holds an array {tuple(first.shape)}; a file of a tile is (height, "
                "width, bands), a file of all of them (tiles, height, width, bands)"
            )
        tile = first[0] if self._stack is not None else first
        self.bands = tile.shape[0 if self.look.order == "first" else 2]
        if not all(0 <= band < self.bands for band in self.look.bands):
            raise BadConfig(
                f"{shown_by}: bands {list(self.look.bands)}, but the tiles have {self.bands} bands "
                f'(0 to {self.bands - 1}); where their axis is the first, say order = "first"'
            )

    def __len__(self) -> int:
        return len(self.files) if self._stack is None else len(self._stack)

    def name(self, index: int) -> str:
        """Return the file's name, with the tile's number where it holds several."""
        if self._stack is None:
            return shown(self.files[index])
        return f"{shown(self.files[0])}/{index}"

    def pixels(self, index: int) -> Pixels:
        """Return a tile as it is shown, RGB.

        Raises:
            UnreadableImage: as `tile`.
        """
        return self.display(self.tile(index))

    def tile(self, index: int) -> NDArray[Any]:
        """Return a tile of all its bands, (height, width, bands), in its own numbers.

        Raises:
            UnreadableImage: the file holds no tile of these bands, or numbers that are none.
        """
        try:
            values = self._stack[index] if self._stack is not None else stack_of(self.path(index))
        except UserError as error:
            raise UnreadableImage(f"no tile: {str(error).partition(': ')[2]}") from None
        tile = np.array(np.moveaxis(values, 0, -1) if self.look.order == "first" else values)
        if tile.ndim != 3 or tile.shape[2] != self.bands or not tile.size:
            raise UnreadableImage(
                f"an array {tuple(values.shape)}, not a tile of {self.bands} bands"
            )
        if not np.isfinite(tile).all():
            raise UnreadableImage("NaN or infinite values")
        return tile

    def display(self, tile: NDArray[Any]) -> Pixels:
        """Return a tile (height, width, bands) as RGB."""
        low, high = self.look.stretch
        share = (tile[:, :, list(self.look.bands)].astype(np.float64) - low) / (high - low)
        return np.rint(np.clip(share, 0, 1) * 255).astype(np.uint8)

    def lift(self, picture: Pixels) -> NDArray[np.float32]:
        """Return an RGB picture as a tile: shown, it is the picture; other bands are constant."""
        low, high = self.look.stretch
        tile = np.empty((*picture.shape[:2], self.bands), dtype=np.float32)
        tile[:] = self.usual
        tile[:, :, list(self.look.bands)] = low + picture / np.float32(255) * (high - low)
        return tile

    @cached_property
    def usual(self) -> NDArray[np.float32]:
        """Each band's median over the medians of `SAMPLED` tiles, shape (bands,)."""
        medians = []
        for index in np.unique(np.linspace(0, len(self) - 1, SAMPLED).astype(int)):
            try:
                medians.append(np.median(self.tile(int(index)), axis=(0, 1)))
            except UnreadableImage:
                continue
        if not medians:
            raise UserError(f"{self.root}: no tile of {SAMPLED} looked at can be read")
        return np.asarray(np.median(medians, axis=0), dtype=np.float32)


def _read(path: Path) -> Display:
    try:
        look = msgspec.toml.decode(read_regular(path), type=Display)
    except OSError as error:
        raise BadConfig(f"cannot read {path}: {error.strerror}") from None
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise BadConfig(
            f"{path}: {error}; it says how tiles are shown: bands = [3, 2, 1] and "
            "stretch = [0, 3000]"
        ) from None
    if not look.stretch[1] > look.stretch[0]:
        raise BadConfig(f"{path}: stretch {list(look.stretch)}; its second value must be larger")
    return look
