"""`probe prepare`: a user's archive of images becomes a probe set's folder.

Nothing leaves the folder: an archive with an absolute name, a ``..``, a link or a device is
refused whole. Files go to a hidden folder beside the goal, which is renamed at the end, so a
prepared set is complete or not there; the same command again goes on where it stopped.
"""

from __future__ import annotations

import csv
import gzip
import io
import lzma
import re
import shutil
import stat
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path, PurePosixPath
from typing import IO, Final, cast

from dnd_local.core.digest import CHUNK_BYTES, canonical
from dnd_local.core.errors import DamagedFile, DiskError, Refused, UserError
from dnd_local.store.files import write_atomic
from dnd_local.store.images import is_image
from dnd_local.store.probe_folder import RECORD, FolderProbe
from dnd_local.store.probe_sets import Prepared, known_set, read_record
from dnd_local.store.stamps import stamp_of

MAX_MEMBER_BYTES: Final = 1 << 28
"""Largest file taken out of an archive: no photograph is, a bomb may be."""

SPARE_BYTES: Final = 1 << 26
"""Disk left free, so that the run that follows can still write."""

INDEX: Final = "index.csv"
"""Broden lists its pictures here; the other images beside them are its label masks."""

_SOURCE: Final = ".source.json"
_DRIVE = re.compile(r"^[A-Za-z]:")
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")
_DAMAGED: Final = (
    tarfile.TarError,
    zipfile.BadZipFile,
    zlib.error,
    lzma.LZMAError,
    gzip.BadGzipFile,
    csv.Error,
    EOFError,
    NotImplementedError,
)


@dataclass(frozen=True, slots=True)
class _Member:
    """A plain file in an archive."""

    name: PurePosixPath
    size: int
    open: Callable[[], IO[bytes]]


def prepare(
    name: str,
    archive: Path,
    data_root: Path,
    cache_dir: Path,
    progress: Callable[[int], None],
) -> Prepared:
    """Return what lies in ``<data_root>/<name>``, taken out of `archive` if it was not there.

    Args:
        name: one of `KNOWN_SETS`.
        archive: a tar (plain or compressed) or zip of images, in folders or not. One that holds
            an `INDEX` gives the images of its ``image`` column, of others all.
        data_root: where prepared sets lie.
        cache_dir: where content hashes are remembered, so that a first run need not hash again.
        progress: hears how many images are out.

    Raises:
        UnknownName: no such set.
        UserError: no such archive, not an archive, no image in it, the disk is full, or the
            folder is there but was not made by this function.
        Refused: a member would land outside the folder, or is too large for an image.
        DamagedFile: the archive is broken.
    """
    known_set(name)
    goal = data_root / name
    if goal.exists():
        if (done := read_record(goal)) is not None:
            return done
        raise UserError(f"{goal} is already there but was not prepared here; move it away first")
    unfinished = data_root / f".{name}.partial"
    with _mendable(archive):
        _start(unfinished, archive)
        try:
            _extract(archive, unfinished, progress)
        except DiskError:
            raise  # What is out already is kept for when there is room again.
        except (UserError, *_DAMAGED):
            shutil.rmtree(unfinished, ignore_errors=True)
            raise
    probe = FolderProbe(unfinished, cache_dir, cached_as=goal)
    prepared = Prepared(name, len(probe), probe.digest, archive.name)
    (unfinished / _SOURCE).unlink()
    write_atomic(unfinished / RECORD, canonical(prepared))
    unfinished.rename(goal)
    return prepared


@contextmanager
def _mendable(archive: Path) -> Iterator[None]:
    """Turn what the archive libraries and the disk raise into one clear line."""
    try:
        yield
    except _DAMAGED as error:
        raise DamagedFile(f"{archive} is damaged ({error}); get it again") from None
    except OSError as error:
        where = error.filename or archive
        raise UserError(f"cannot take {archive} apart: {where}: {error.strerror}") from None


def _start(unfinished: Path, archive: Path) -> None:
    """Make the folder to extract into, empty unless it was begun from the same archive."""
    if not archive.is_file():
        raise UserError(f"no archive at {archive}; give the path of the file you have")
    source = canonical([str(archive.resolve()), stamp_of(archive)])
    if unfinished.exists() and _bytes_of(unfinished / _SOURCE) != source:
        shutil.rmtree(unfinished)
    write_atomic(unfinished / _SOURCE, source)


def _bytes_of(path: Path) -> bytes:
    return path.read_bytes() if path.exists() else b""


def _extract(archive: Path, folder: Path, progress: Callable[[int], None]) -> None:
    count = 0
    for member in _members(archive):
        if member.size > MAX_MEMBER_BYTES:
            raise Refused(
                f"{archive}: {member.name} has {member.size:,} bytes; no image is so large"
            )
        path = folder / member.name
        if not (path.is_file() and path.stat().st_size == member.size):
            _write(member, path)
        count += 1
        progress(count)
    if count == 0:
        raise UserError(f"{archive} holds no image; is it the right archive?")


def _write(member: _Member, path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    if shutil.disk_usage(path.parent).free < member.size + SPARE_BYTES:
        raise DiskError(f"the disk of {path.parent} is full; make room and run the command again")
    # Dotted, so that what a crash leaves behind is no image of the set.
    temporary = path.with_name(f".{path.name}.part")
    with member.open() as source, temporary.open("wb") as sink:
        shutil.copyfileobj(source, sink)
    temporary.replace(path)


def _members(archive: Path) -> Iterator[_Member]:
    """Yield the images of an archive, after a check of every name."""
    if zipfile.is_zipfile(archive):
        with zipfile.ZipFile(archive) as opened:
            yield from _zip_members(archive, opened)
    elif tarfile.is_tarfile(archive):
        with tarfile.open(archive) as opened_tar:
            yield from _tar_members(archive, opened_tar)
    else:
        raise UserError(f"{archive} is neither a tar nor a zip archive")


def _zip_members(archive: Path, opened: zipfile.ZipFile) -> Iterator[_Member]:
    infos = [(_safe(archive, info.filename), info) for info in opened.infolist()]
    for _, info in infos:
        mode = info.external_attr >> 16
        if stat.S_IFMT(mode) not in (0, stat.S_IFREG, stat.S_IFDIR):
            raise Refused(f"{archive}: {info.filename} is a link or device; nothing was taken out")
        if info.flag_bits & 1:
            raise UserError(f"{archive} is encrypted; decrypt it first")
    listed = _listed(opened, infos)
    for path, info in infos:
        if not info.is_dir() and is_image(path) and (not listed or path in listed):
            yield _Member(path, info.file_size, partial(opened.open, info))


def _listed(
    opened: zipfile.ZipFile, infos: Sequence[tuple[PurePosixPath, zipfile.ZipInfo]]
) -> set[PurePosixPath]:
    """Return the members that an `INDEX` names, empty where there is none or it names none."""
    listed: set[PurePosixPath] = set()
    for path, info in infos:
        if path.name == INDEX:
            with opened.open(info) as file, io.TextIOWrapper(file, "utf-8", "replace") as text:
                rows = csv.DictReader(text)
                listed |= {
                    path.parent / "images" / row["image"] for row in rows if row.get("image")
                }
    return listed & {path for path, _ in infos}


def _tar_members(archive: Path, opened: tarfile.TarFile) -> Iterator[_Member]:
    for info in opened:
        path = _safe(archive, info.name)
        if info.isdir():
            continue
        if not info.isreg():
            raise Refused(f"{archive}: {info.name} is a link or device; it was not taken out")
        if is_image(path):
            yield _Member(path, info.size, partial(_tar_file, opened, info))
    # A compressed tar's checksum stands behind its last member, and is compared when read.
    rest = cast(IO[bytes], opened.fileobj)
    while rest.read(CHUNK_BYTES):
        pass


def _tar_file(opened: tarfile.TarFile, info: tarfile.TarInfo) -> IO[bytes]:
    # None only for what is no regular file, and those were refused.
    return cast(IO[bytes], opened.extractfile(info))


def _safe(archive: Path, name: str) -> PurePosixPath:
    """Return a member's path.

    Raises:
        Refused: it is absolute, climbs, or holds what some file system would read as either.
    """
    path = PurePosixPath(name)
    outside = path.is_absolute() or ".." in path.parts or "\\" in name or _DRIVE.match(name)
    if outside or _CONTROL.search(name):
        raise Refused(f"{archive}: member {name!r} would not stay in its folder; refused")
    return path
