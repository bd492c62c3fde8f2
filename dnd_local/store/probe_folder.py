"""A folder of images as a probe set."""

from __future__ import annotations

import os
import unicodedata
from collections.abc import Iterator
from functools import cached_property
from pathlib import Path
from typing import Final, Literal

from dnd_local.core.digest import key, sha256
from dnd_local.core.errors import UserError
from dnd_local.core.records import Pixels
from dnd_local.store.content_hashes import content_hashes
from dnd_local.store.images import DECODING, decode, image_suffixes

RECORD: Final = "probe.json"
"""The file at the top of a prepared folder that says what is in it."""


class NoImages(UserError):
    """A folder without images; it may be a probe set of another kind."""


class FolderProbe:
    """The images of a folder and its subfolders, by relative path.

    Files are taken by their ending; names that start with a dot are passed over, other files
    counted in `ignored`. Links are followed, but for one that leads back into a folder above it.

    Args:
        root: the folder.
        cache_dir: where content hashes are remembered between runs.
        cached_as: the path under which they are remembered, if not `root`.

    Raises:
        UserError: no such folder, or one that cannot be read.
        NoImages: no image in it.
    """

    kind = "folder"

    def __init__(self, root: Path, cache_dir: Path, cached_as: Path | None = None) -> None:
        self.root = root
        place = os.path.abspath(cached_as or root)
        self._memory = cache_dir / f"{sha256(os.fsencode(place))[:16]}.json"
        if place == os.path.dirname(place):
            raise UserError(f"{place} is the whole file system; name a folder of images")
        files = list(files_of(root))
        images = [file for file in files if Path(file).suffix.lower() in image_suffixes()]
        self._files = tuple(file for _, file in sorted((shown(file), file) for file in images))
        self.ignored = len(files) - len(images) - (RECORD in files)
        if not images:
            raise NoImages(f"folder {root} holds no image ({self.ignored} other files)")

    @cached_property
    def digest(self) -> str:
        """SHA-256 over the relative paths, the content hashes and the decoding rules."""
        hashes = content_hashes(self.root, self._files, self._memory)
        names = [shown(file) for file in self._files]
        return key({"decoding": DECODING, "files": list(zip(names, hashes, strict=True))})

    def size_on_disk(self) -> int:
        """Return the bytes of all image files that are still there."""
        paths = (self.root / file for file in self._files)
        return sum(path.stat().st_size for path in paths if path.exists())

    def __len__(self) -> int:
        return len(self._files)

    def name(self, index: int) -> str:
        """Return an image's path in the folder."""
        return shown(self._files[index])

    def pixels(self, index: int) -> Pixels:
        """Return an image as RGB.

        Raises:
            UnreadableImage: the image cannot be used; the message is the reason.
        """
        return decode(self.root / self._files[index])


def shown(path: str) -> str:
    """Return a path as text: composed Unicode, bytes that are no UTF-8 as escapes.

    The same file then has the same name on file systems that compose names and that do not.
    """
    text = os.fsencode(path).decode("utf-8", "backslashreplace")
    return unicodedata.normalize("NFC", text)


def files_of(root: Path) -> Iterator[str]:
    """Yield the path in `root` of every file that does not start with a dot, with slashes.

    Raises:
        UserError: a folder cannot be read.
    """
    waiting: list[tuple[str, frozenset[tuple[int, int]]]] = [("", frozenset())]
    while waiting:
        inner, above = waiting.pop()
        folder = root / inner
        try:
            status = folder.stat()
            here = (status.st_dev, status.st_ino)
            if here in above:
                continue
            with os.scandir(folder) as entries:
                for entry in entries:
                    if entry.name.startswith("."):
                        continue
                    path = f"{inner}/{entry.name}" if inner else entry.name
                    kind = _kind(entry)
                    if kind == "folder":
                        waiting.append((path, above | {here}))
                    elif kind == "file":
                        yield path
        except OSError as error:
            raise UserError(f"cannot read probe folder {folder}: {error.strerror}") from None


def _kind(entry: os.DirEntry[str]) -> Literal["folder", "file", "other"]:
    """Return what a name stands for; a link to itself, a pipe or a device is neither."""
    try:
        return "folder" if entry.is_dir() else "file" if entry.is_file() else "other"
    except OSError:
        return "other"
