"""Image columns of Parquet and Arrow files, as Hugging Face `datasets` writes them, read in place.

An image is a struct with its `bytes` (and the `path` that it once had), or plain bytes.
"""

from __future__ import annotations

from bisect import bisect_right
from collections import OrderedDict
from collections.abc import Sequence
from functools import cached_property
from itertools import accumulate
from pathlib import Path
from threading import Lock
from typing import Any, Final

from dnd_local.core.errors import UnknownName, UserError
from dnd_local.core.libraries import library
from dnd_local.core.protocols import UnreadableImage
from dnd_local.core.records import Pixels
from dnd_local.store.images import decode, raise_system_error
from dnd_local.store.probe_folder import shown
from dnd_local.store.probe_packed import PackedProbe, unreadable

GROUPS_HELD: Final = 2
"""Row groups of Parquet held in memory: images that lie together are read together."""

USUAL: Final = ("image", "img")
"""Columns that are taken where several hold images."""


class ColumnProbe(PackedProbe):
    """The images of one column of Parquet or Arrow files, a row each.

    Args:
        root, files, cache_dir: as `PackedProbe`; all of one kind.
        column: the column; the only one with images, or one of `USUAL`, if empty.

    Raises:
        UserError: a file that is not what its ending says, no image column, or several.
        UnknownName: no such column.
    """

    def __init__(self, root: Path, files: Sequence[str], cache_dir: Path, column: str = "") -> None:
        super().__init__(root, files, cache_dir)
        self.kind = "parquet" if self.files[0].endswith(".parquet") else "arrow"
        opener = _Parquet if self.kind == "parquet" else _Arrow
        self._tables = [_open(opener, self.root / name) for name in self.files]
        self.column = _column(self._tables[0].schema, column, self.root / self.files[0])
        self.rules = {"column": self.column}
        self._starts = [0, *accumulate(table.rows for table in self._tables)]
        self._lock = Lock()
        for name, table in zip(self.files, self._tables, strict=True):
            if self.column not in table.schema.names:
                raise UserError(f"{root / name} has no column '{self.column}', as the first has")
        if not len(self):
            raise UserError(f"{root / self.files[0]}: no row in it")

    def __len__(self) -> int:
        return int(self._starts[-1])

    def name(self, index: int) -> str:
        """Return the file's name, the row, and the path that the image once had, if it says so."""
        file, row = self._find(index)
        path = self._paths[index]
        return f"{shown(self.files[file])}/{row}" + (f"/{shown(path)}" if path else "")

    def pixels(self, index: int) -> Pixels:
        """Return an image as RGB.

        Raises:
            UnreadableImage: the image cannot be used; the message is the reason.
            DiskError: the system does not give the file.
        """
        file, row = self._find(index)
        try:
            with self._lock:  # pyarrow reads in threads of its own; a row group is read once
                value = self._tables[file].value(row, self.column)
        except _broken() as error:
            raise_system_error(error, self.path(file))
            raise UnreadableImage(f"broken image: {_one_line(error)}") from None
        data = value.get("bytes") if isinstance(value, dict) else value
        if not data:
            raise UnreadableImage("the column holds no bytes for it, only a path at best")
        return decode(bytes(data))

    def _find(self, index: int) -> tuple[int, int]:
        if not 0 <= index < len(self):
            raise IndexError(f"probe image {index} of {len(self)}")
        file = bisect_right(self._starts, index) - 1
        return file, index - self._starts[file]

    @cached_property
    def _paths(self) -> list[str]:
        paths = []
        for file, table in enumerate(self._tables):
            try:
                paths += table.paths(self.column)
            except _broken() as error:
                raise unreadable(self.path(file), error) from None
        return paths


class _Parquet:
    """A Parquet file, a few of its row groups held."""

    def __init__(self, path: Path) -> None:
        self._file: Any = library("pyarrow.parquet").ParquetFile(path, memory_map=True)
        self.schema = self._file.schema_arrow
        groups = range(self._file.num_row_groups)
        self._starts = [0, *accumulate(self._file.metadata.row_group(i).num_rows for i in groups)]
        self.rows = self._starts[-1]
        self._held: OrderedDict[int, Any] = OrderedDict()

    def value(self, row: int, column: str) -> Any:
        group = bisect_right(self._starts, row) - 1
        if group not in self._held:
            self._held[group] = self._file.read_row_group(group, columns=[column]).column(0)
            while len(self._held) > GROUPS_HELD:
                self._held.popitem(last=False)
        self._held.move_to_end(group)
        return self._held[group][row - self._starts[group]].as_py()

    def paths(self, column: str) -> list[str]:
        if not _has_field(self.schema, column, "path"):
            return [""] * self.rows
        read = self._file.read(columns=[f"{column}.path"]).column(0).to_pylist()
        return [(one or {}).get("path") or "" for one in read]


class _Arrow:
    """An Arrow file, mapped into memory: the stream that `save_to_disk` writes, or a file."""

    def __init__(self, path: Path) -> None:
        arrow = library("pyarrow")
        mapped = arrow.memory_map(str(path))
        try:
            self._table = arrow.ipc.open_stream(mapped).read_all()
        except arrow.ArrowInvalid:
            self._table = arrow.ipc.open_file(mapped).read_all()
        self.schema, self.rows = self._table.schema, self._table.num_rows

    def value(self, row: int, column: str) -> Any:
        return self._table.column(column)[row].as_py()

    def paths(self, column: str) -> list[str]:
        if not _has_field(self.schema, column, "path"):
            return [""] * self.rows
        flat = library("pyarrow.compute").struct_field(self._table.column(column), "path")
        return [path or "" for path in flat.to_pylist()]


def _open(opener: Any, path: Path) -> Any:
    try:
        return opener(path)
    except _broken() as error:
        raise unreadable(path, error) from None


def _broken() -> tuple[type[Exception], ...]:
    """Return what pyarrow raises over a damaged file, when it is opened or at a damaged row."""
    return (library("pyarrow").ArrowException, OSError, ValueError, MemoryError, OverflowError)


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split())


def _column(schema: Any, wanted: str, path: Path) -> str:
    if wanted:
        if wanted not in schema.names:
            raise UnknownName("column", wanted, schema.names, f"It was looked for in {path}.")
        return wanted
    able = [field.name for field in schema if _holds_images(field.type)]
    usual = [name for name in USUAL if name in able]
    chosen = usual[:1] or able
    if not able:
        raise UserError(
            f"{path} has no column of image bytes (its columns: {', '.join(schema.names)})"
        )
    if len(chosen) > 1:
        raise UserError(
            f"{path} has several columns of bytes ({', '.join(able)}); say which: {path}::{able[0]}"
        )
    return chosen[0]


def _holds_images(kind: Any) -> bool:
    types = library("pyarrow").types
    if types.is_struct(kind):
        return any(field.name == "bytes" and _holds_images(field.type) for field in kind)
    return bool(types.is_binary(kind) or types.is_large_binary(kind))


def _has_field(schema: Any, column: str, name: str) -> bool:
    kind = schema.field(column).type
    return library("pyarrow").types.is_struct(kind) and any(field.name == name for field in kind)
