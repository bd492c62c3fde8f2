"""Pictures by content: each kept once, as PNG or WebP, named by the SHA-256 of its bytes."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import cv2
import numpy as np
from numpy.typing import NDArray

from dnd_local.core.digest import sha256
from dnd_local.core.errors import DamagedFile
from dnd_local.core.records import BlobId, Pixels
from dnd_local.store.files import read_whole, write_atomic

A = TypeVar("A")
B = TypeVar("B")

ENDINGS = (".png", ".webp")
COMPRESSION = 3
"""PNG effort: 9 takes five times as long for a twentieth less disk."""


class BlobFolder:
    """The blob store of a workspace: ``blobs/ab/abcd….png``, and ``.webp`` where some was lost."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def path(self, blob: BlobId) -> Path:
        """Return where a blob lies, or would lie as PNG if it is not there."""
        png, webp = (self.root / blob[:2] / f"{blob}{ending}" for ending in ENDINGS)
        return webp if not png.exists() and webp.exists() else png

    def put(self, pixels: NDArray[np.uint8], quality: int = 0) -> BlobId:
        """Store a picture, RGB (height, width, 3) or grey (height, width), and return its name.

        A damaged file in its place is written again.

        Args:
            pixels: the picture.
            quality: 0 for PNG, which loses nothing; 1 to 100 for WebP of that quality.
        """
        ordered: Any = np.ascontiguousarray(pixels)
        if pixels.ndim == 3:
            ordered = cv2.cvtColor(ordered, cv2.COLOR_RGB2BGR)
        png = [cv2.IMWRITE_PNG_COMPRESSION, COMPRESSION]
        ending = ENDINGS[bool(quality)]
        _, encoded = cv2.imencode(
            ending, ordered, [cv2.IMWRITE_WEBP_QUALITY, quality] if quality else png
        )
        data = encoded.tobytes()
        blob = sha256(data)
        path = self.root / blob[:2] / f"{blob}{ending}"
        if not path.is_file() or read_whole(path) != data:
            write_atomic(path, data)
        return blob

    def get(self, blob: BlobId) -> Pixels:
        """Return a stored picture as RGB, uint8 of shape (height, width, 3).

        Raises:
            DamagedFile: its bytes are gone or are not what their name promises.
        """
        path = self.path(blob)
        try:
            data = read_whole(path)
        except FileNotFoundError:
            raise self._damaged(blob, "gone; delete") from None
        if sha256(data) != blob:
            raise self._damaged(blob, "damaged; delete it and")
        decoded = cv2.imdecode(np.frombuffer(data, dtype=np.uint8), cv2.IMREAD_COLOR_RGB)
        return np.asarray(decoded, dtype=np.uint8)

    def put_all(self, pictures: Sequence[NDArray[np.uint8]], quality: int = 0) -> list[BlobId]:
        """Store pictures as `put` does, on all cores; return their names in order."""
        return _on_all_cores(partial(self.put, quality=quality), pictures)

    def get_all(self, blobs: Sequence[BlobId]) -> list[Pixels]:
        """Return stored pictures as `get` does, in order, decoded on all cores.

        Raises:
            DamagedFile: as `get`, of the first that is.
        """
        return _on_all_cores(self.get, blobs)

    def _damaged(self, blob: BlobId, what: str) -> DamagedFile:
        # A part that names a picture is not missing, so nobody would make the picture again.
        parts = self.root.parent / "artefacts"
        return DamagedFile(
            f"picture {self.path(blob)} is {what} the parts that name it "
            f"(grep -rl {blob} {parts}), then run the same command again"
        )


def _on_all_cores(function: Callable[[A], B], values: Sequence[A]) -> list[B]:
    with ThreadPoolExecutor(os.cpu_count(), thread_name_prefix="pictures") as pool:
        return list(pool.map(function, values))
