"""The pictures of a site: each kept once, small enough for a page, named by what it shows.

A blob that is gone or damaged gives no picture, never an error: a report of what is left is
worth more than none. What is on the shelf already is not made again.
"""

from __future__ import annotations

import base64
import io
import re
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from dnd_local.core.cards import Card
from dnd_local.core.digest import key
from dnd_local.core.errors import DamagedFile, DiskError
from dnd_local.core.ledger import Ledger
from dnd_local.core.protocols import Blobs, ProbeSet, UnreadableImage
from dnd_local.core.records import BlobId, Pixels
from dnd_local.core.sequences import distinct
from dnd_local.stages.exemplars import SHAPED
from dnd_local.store.blobs import BlobFolder

SIDE: Final = 480
"""Longest side of a picture: twice the largest tile, and enough to enlarge."""

THUMB: Final = 128
"""Longest side of a thumbnail in a strip."""

MAP_SIDE: Final = 64
"""Longest side of a map; a page holds them itself, so they must stay small."""

TINT: Final = (255, 106, 0)
"""The colour of a map over a picture."""

TINTED: Final = 0.5
"""How much of a pixel the colour takes where the map is highest: the object stays in sight."""

_BLOB = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True, slots=True)
class Shown(Card):
    """A picture of the site: paths from the site's root, size of the original in pixels."""

    src: str
    thumb: str
    width: int
    height: int

    @property
    def small(self) -> bool:
        """Whether it has so few pixels that it is to be enlarged without smoothing."""
        return max(self.width, self.height) <= THUMB


class Shelf:
    """The picture folders of a site, ``pictures/ab/….webp`` and ``thumbs/ab/….webp``.

    Args:
        site: the site's folder.
        blobs: where pictures come from.
        probe: the probe set, for images of which only a crop was kept.
        ledger: in which shape an image of the probe set was cropped.
        workers: pictures converted at a time.
    """

    def __init__(
        self, site: Path, blobs: BlobFolder, probe: ProbeSet, ledger: Ledger, workers: int
    ) -> None:
        self._site, self._blobs, self._probe = site, blobs, probe
        self._shape = ledger.crop_shape
        self._pool = ThreadPoolExecutor(workers, thread_name_prefix="shelf")
        self._known: dict[BlobId, Shown | None] = {}
        self._scenes: dict[int, Shown | None] = {}

    def close(self) -> None:
        """End the threads."""
        self._pool.shutdown(cancel_futures=True)

    @property
    def pictures(self) -> int:
        """How many pictures were asked for and are there."""
        return sum(shown is not None for shown in (*self._known.values(), *self._scenes.values()))

    @property
    def missing(self) -> int:
        """How many pictures were asked for and could not be had."""
        return sum(shown is None for shown in (*self._known.values(), *self._scenes.values()))

    def put(self, blobs: Iterable[BlobId]) -> None:
        """Put pictures on the shelf, several at a time."""
        new = [blob for blob in distinct(blobs) if blob not in self._known]
        self._known.update(zip(new, self._pool.map(self._blob, new), strict=True))

    def get(self, blob: BlobId) -> Shown | None:
        """Return a picture of the shelf, None where it could not be had."""
        self.put([blob])
        return self._known[blob]

    def name(self, image: int) -> str:
        """Return the name of an image of the probe set."""
        return self._probe.name(image)

    def scene(self, image: int) -> Shown | None:
        """Return an image of the probe set, None where it cannot be read any more."""
        if image not in self._scenes:
            self._scenes[image] = self._image(image)
        return self._scenes[image]

    def _blob(self, blob: BlobId) -> Shown | None:
        # A blob's name comes from a file: nothing but a digest may become a path.
        if not _BLOB.fullmatch(blob):
            return None
        size = _size(self._blobs.path(blob))
        if size is None:
            return None
        shown = _places(blob, *size)
        if self._made(shown):
            return shown
        try:
            return self._make(self._blobs.get(blob), shown)
        except DamagedFile:
            return None

    def _image(self, image: int) -> Shown | None:
        try:
            pixels = SHAPED[self._shape](self._probe.pixels(image))
        except (UnreadableImage, DiskError, IndexError):
            return None
        height, width = pixels.shape[:2]
        shown = _places(key([self._probe.digest, image, self._shape]), width, height)
        return shown if self._made(shown) else self._make(pixels, shown)

    def _made(self, shown: Shown) -> bool:
        return (self._site / shown.src).exists() and (self._site / shown.thumb).exists()

    def _make(self, pixels: Pixels, shown: Shown) -> Shown:
        write_whole(self._site / shown.src, webp(pixels, SIDE))
        if shown.thumb != shown.src:
            write_whole(self._site / shown.thumb, webp(pixels, THUMB))
        return shown


class InlineShelf(Shelf):
    """A shelf without a folder: each picture's path is the picture itself, as a data URI.

    Args:
        blobs: where pictures come from.
        probe: the probe set, for images of which only a crop was kept.
        ledger: in which shape an image of the probe set was cropped.
        workers: pictures converted at a time.
        side: longest side of a picture.
    """

    def __init__(
        self, blobs: BlobFolder, probe: ProbeSet, ledger: Ledger, workers: int, side: int
    ) -> None:
        super().__init__(Path(), blobs, probe, ledger, workers)
        self._side = side

    def _made(self, shown: Shown) -> bool:
        return False

    def _make(self, pixels: Pixels, shown: Shown) -> Shown:
        address = _data_uri("webp", webp(pixels, self._side))
        return replace(shown, src=address, thumb=address)


def write_whole(path: Path, data: bytes) -> None:
    """Write a file of the site under another name and rename it.

    Not flushed to disk one by one: a site has tens of thousands of files and can be made again.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.tmp")
    temporary.write_bytes(data)
    temporary.replace(path)


def webp(pixels: Pixels, side: int) -> bytes:
    """Return a picture as WebP, its longest side `side` at most; small ones lose nothing."""
    height, width = pixels.shape[:2]
    scale = side / max(height, width)
    if scale < 1:
        size = (max(1, round(width * scale)), max(1, round(height * scale)))
        pixels = np.asarray(cv2.resize(pixels, size, interpolation=cv2.INTER_AREA), dtype=np.uint8)
    out = io.BytesIO()
    lossless = max(height, width) <= THUMB
    Image.fromarray(pixels).save(out, "WEBP", lossless=lossless, quality=82, method=2)
    return out.getvalue()


def overlay(eight_bit: NDArray[np.uint8]) -> str:
    """Return a map as a data URI: one light colour, the stronger the higher the map is.

    Laid over a picture it hides nothing: it is clear where the map is 0, half clear at 255.
    """
    height, width = eight_bit.shape
    scale = MAP_SIDE / max(height, width)
    if scale < 1:
        size = (max(1, round(width * scale)), max(1, round(height * scale)))
        eight_bit = np.asarray(
            cv2.resize(eight_bit, size, interpolation=cv2.INTER_AREA), dtype=np.uint8
        )
    pixels = np.empty((*eight_bit.shape, 4), dtype=np.uint8)
    pixels[..., :3] = TINT
    pixels[..., 3] = np.rint(eight_bit * TINTED)
    out = io.BytesIO()
    Image.fromarray(pixels, "RGBA").save(out, "PNG", optimize=True)
    return _data_uri("png", out.getvalue())


def map_image(blobs: Blobs, blob: BlobId | None) -> str:
    """Return a stored map as `overlay` gives it, empty where there is none."""
    if blob is None or not _BLOB.fullmatch(blob):
        return ""
    try:
        return overlay(blobs.get(blob)[..., 0])
    except DamagedFile:
        return ""


def data_uri(blobs: Blobs, blob: BlobId, side: int = THUMB) -> str:
    """Return a picture as a data URI for a notebook, empty where it is gone.

    Its longest side is `side` at most; smaller ones are enlarged by a whole factor, so that a
    notebook, which has no style of ours, does not blur them.
    """
    if not _BLOB.fullmatch(blob):
        return ""
    try:
        pixels = blobs.get(blob)
    except DamagedFile:
        return ""
    factor = max(1, side // max(pixels.shape[:2]))
    return _data_uri("webp", webp(pixels.repeat(factor, axis=0).repeat(factor, axis=1), side))


def _data_uri(kind: str, data: bytes) -> str:
    return f"data:image/{kind};base64,{base64.b64encode(data).decode('ascii')}"


def _places(digest: str, width: int, height: int) -> Shown:
    # 20 digits are 80 bits: no two pictures of a site meet, and pages stay small.
    path = f"{digest[:2]}/{digest[:20]}.webp"
    small = max(width, height) <= THUMB
    thumb = f"pictures/{path}" if small else f"thumbs/{path}"
    return Shown(f"pictures/{path}", thumb, width, height)


def _size(path: Path) -> tuple[int, int] | None:
    """Return width and height from a picture's header, None where there is no picture."""
    try:
        with Image.open(path, formats=("PNG", "WEBP")) as picture:
            return picture.size
    except OSError:
        return None
