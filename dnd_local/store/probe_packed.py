"""What probe sets have in common that lie in a few large files: hashed whole, read in place."""

from __future__ import annotations

import os
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

from dnd_local.core.digest import key, sha256
from dnd_local.core.errors import UserError
from dnd_local.core.protocols import UnreadableImage
from dnd_local.store.content_hashes import content_hashes
from dnd_local.store.images import DECODING, raise_system_error
from dnd_local.store.probe_folder import shown


class PackedProbe:
    """Images in files that hold many each.

    Args:
        root: the folder of the files.
        files: their paths in it; the images are numbered in the order of these.
        cache_dir: where content hashes are remembered between runs.

    Attributes:
        kind: what holds the images, as `probe info` says it.
        ignored: files beside them that were passed over.
        rules: what else decides how an image looks; a part of the digest.
    """

    kind = ""

    def __init__(self, root: Path, files: Sequence[str], cache_dir: Path) -> None:
        self.root, self.files = root, tuple(files)
        self.ignored = 0
        self.rules: dict[str, Any] = {}
        place = "\0".join([os.path.abspath(root), *self.files])
        self.memory = cache_dir / f"{sha256(os.fsencode(place))[:16]}.json"

    @cached_property
    def digest(self) -> str:
        """SHA-256 over the kind, the files' names and content hashes, and the rules of reading."""
        hashes = content_hashes(self.root, self.files, self.memory)
        files = [[shown(name), one] for name, one in zip(self.files, hashes, strict=True)]
        return key({"decoding": DECODING, "kind": self.kind, "files": files, **self.rules})

    def size_on_disk(self) -> int:
        """Return the bytes of the files."""
        return sum((self.root / name).stat().st_size for name in self.files)

    def path(self, file: int) -> Path:
        """Return the path of one of the files."""
        return self.root / self.files[file]


def read_span(path: Path, offset: int, size: int) -> bytes:
    """Return `size` bytes of a file from `offset` on.

    Raises:
        UnreadableImage: the file ends before.
        DiskError: the system does not give it.
    """
    try:
        with path.open("rb") as file:
            file.seek(offset)
            data = file.read(size)
    except OSError as error:
        raise_system_error(error, path)
        raise UnreadableImage(f"broken image: {error.strerror}") from None
    if len(data) < size:
        raise UnreadableImage("broken image: its file ends within it")
    return data


def unreadable(path: Path, error: Exception) -> UserError:
    """Return the error of a file that is not what its name says."""
    return UserError(f"cannot read {path}: {' '.join(str(error).split())}")
