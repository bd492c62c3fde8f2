"""From a manifest id to a folder of verified files, or to one line that says what is wrong.

An engine gets a path from `Weights.folder` and from nowhere else. Large files are hashed once and
then known by size, times and inode (`<root>/.verified/`); what ships with the package is small
and is hashed anew by every process.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal, TypeAlias

from dnd_local.core.digest import file_sha256, key
from dnd_local.core.errors import DamagedFile, MissingWeights
from dnd_local.store.cures import all_missing_text, missing_text, repair
from dnd_local.store.manifest import Entry, File, Manifest, Shipped
from dnd_local.store.own_models import read_own
from dnd_local.store.pins import PINS_NAME, Pins
from dnd_local.store.resources import shipped, user_folder
from dnd_local.store.stamps import Stamp, read_stamps, stamp_of, write_stamps
from dnd_local.store.trust import extra_files, refuse_code, refuse_strangers

ROOT_VARIABLE: Final = "DND_LOCAL_WEIGHTS"
FileState: TypeAlias = Literal["have", "missing", "damaged", "unpinned"]


@dataclass(frozen=True, slots=True)
class EntryReport:
    """What is on disk of an entry: each file's state, the files nobody named, bytes present."""

    entry: Entry
    folder: Path
    files: tuple[tuple[str, FileState], ...]
    extras: tuple[str, ...]
    size: int

    @property
    def state(self) -> FileState:
        """The worst state of its files; a model that ships but has no file is missing."""
        if not self.files:
            return "missing"
        states = {state for _, state in self.files}
        order: tuple[FileState, ...] = ("damaged", "missing", "unpinned")
        return next((state for state in order if state in states), "have")


class Weights:
    """The weights folder, seen through the manifest and the lock.

    Args:
        root: the weights folder; it need not exist.
        manifest: what may be read.
        pins: hashes taken at the first pull.
        models: where the shipped models lie; the package's own folder by default.
    """

    def __init__(
        self, root: Path, manifest: Manifest, pins: Pins, models: Path | None = None
    ) -> None:
        self.root, self.manifest, self.pins = root, manifest, pins
        self._models = models
        self._checked: set[str] = set()

    @classmethod
    def open(cls, root: Path | None = None, manifest: Path | None = None) -> Weights:
        """Return the weights of a folder (the default one if not given) with its pins.

        The models that the user registered there lie over the shipped manifest; a manifest that
        is named lies over them.

        Raises:
            BadConfig: manifest, pins or own models cannot be read.
        """
        root = root or default_root()
        registered = read_own(root)
        if manifest is None:
            every = Manifest.read().under(registered)
        else:
            every = registered.under(Manifest.read(manifest))
        return cls(root, every, Pins.read(root / PINS_NAME))

    def place(self, entry: Entry) -> Path:
        """Return where an entry's files belong, whether or not they are there."""
        if not isinstance(entry.source, Shipped):
            return self.root / entry.id
        models = self._models or _shipped_models()
        return models / entry.source.folder

    def folder(self, name: str) -> Path:
        """Return the verified local folder of an id.

        The first call in a process checks every file (fast where its stamp is known) and that
        nothing else lies beside them; later calls answer from memory.

        Raises:
            UnknownName: the manifest has no such id.
            MissingWeights: files are missing, or no hash of them is known.
            DamagedFile: a file is not what its hash promises; it is named.
            Refused: the folder holds files that nobody named, or asks for code.
        """
        entry = self.manifest.entry(name)
        folder = self.place(entry)
        if name in self._checked:
            return folder
        absent = [file for file in entry.files if not (folder / file.path).is_file()]
        if absent or not entry.files:
            raise MissingWeights(self._missing_text(entry, len(absent)))
        refuse_strangers(name, folder, (file.path for file in entry.files))
        stamps = self._stamps(entry)
        fresh = {file.path: self._verify(entry, file, stamps) for file in entry.files}
        refuse_code(name, folder, (file.path for file in entry.files))
        if fresh != stamps:
            self._remember(entry, fresh)
        self._checked.add(name)
        return folder

    def digest(self, name: str) -> str:
        """Return the SHA-256 that stands for an id in keys; no file is read.

        It covers the path and hash of each file; a converted file counts by what it was made
        from, so that the version of the converter cannot change it. A target's `network`, which
        stands for its transform, is in it too.

        Raises:
            UnknownName: the manifest has no such id.
            MissingWeights: a hash is not known yet; a pull pins it.
        """
        entry = self.manifest.entry(name)
        hashes = []
        for file in entry.files:
            known = self.pins.hash_of(entry, file)
            if file.converted_from is not None:
                pin = self.pins.find(entry, file.path)
                known = file.converted_from.sha256 or (pin.origin if pin else None)
            if known is None:
                raise MissingWeights(self._missing_text(entry, 1))
            hashes.append((file.path, known))
        if not hashes:
            raise MissingWeights(self._missing_text(entry))
        # The same tensors read through another transform are another network.
        return key([sorted(hashes), entry.network] if entry.network else sorted(hashes))

    def missing(self, names: Iterable[str]) -> tuple[str, ...]:
        """Return those ids of which a file is absent or has no known hash; nothing is hashed.

        Raises:
            UnknownName: the manifest has no such id.
        """
        entries = [self.manifest.entry(name) for name in names]
        return tuple(entry.id for entry in entries if not self._complete(entry))

    def require(self, names: Iterable[str]) -> None:
        """Check in one go that weights are there, before anything slow starts.

        Raises:
            MissingWeights: some are not; the message names them all.
        """
        if text := self.how_to_get(names):
            raise MissingWeights(text)

    def how_to_get(self, names: Iterable[str]) -> str:
        """Return what is missing of ids and how to get it, a line a way; empty for nothing."""
        absent = [self.manifest.entry(name) for name in self.missing(names)]
        return all_missing_text(absent, [self.place(entry) for entry in absent], self.root)

    def report(
        self, name: str, *, deep: bool = False, progress: Callable[[int], None] | None = None
    ) -> EntryReport:
        """Return what is on disk of an id, damage included, raising nothing about it.

        Args:
            name: the id.
            deep: hash every file, whatever its stamp.
            progress: called with the size of each file once it is checked.
        """
        entry = self.manifest.entry(name)
        folder = self.place(entry)
        stamps = {} if deep else self._stamps(entry)
        states: list[tuple[str, FileState]] = []
        fresh: dict[str, Stamp] = {}
        size = 0
        for file in entry.files:
            path = folder / file.path
            try:
                fresh[file.path] = self._verify(entry, file, stamps)
                states.append((file.path, "have"))
            except DamagedFile:
                states.append((file.path, "damaged"))
            except MissingWeights:
                states.append((file.path, "unpinned" if path.is_file() else "missing"))
            length = path.stat().st_size if path.is_file() else 0
            size += length
            if progress is not None:
                progress(length)
        if fresh != stamps and fresh:
            self._remember(entry, fresh)
        extras = extra_files(folder, (file.path for file in entry.files))
        return EntryReport(entry, folder, tuple(states), extras, size)

    def vouch(self, name: str, paths: Iterable[str]) -> None:
        """Remember files that were hashed on their way here, so that they are not hashed again."""
        entry = self.manifest.entry(name)
        fresh = {path: stamp_of(self.place(entry) / path) for path in paths}
        self._remember(entry, {**self._stamps(entry), **fresh})

    def _verify(self, entry: Entry, file: File, stamps: Mapping[str, Stamp]) -> Stamp:
        """Return the stamp of a file that is what its hash promises."""
        path = self.place(entry) / file.path
        expected = self.pins.hash_of(entry, file)
        if not path.is_file():
            raise MissingWeights(self._missing_text(entry, 1))
        if expected is None:
            raise MissingWeights(
                f"'{entry.id}': no hash of {path} is known, so it cannot be trusted; "
                f"{repair(entry)}"
            )
        try:
            stamp = stamp_of(path)
            if stamps.get(file.path) == stamp:
                return stamp
            if file.size is not None and stamp[0] != file.size:
                raise self._damaged(entry, path, f"{stamp[0]} bytes long, not {file.size}")
            digest = file_sha256(path)
        except OSError as error:
            raise self._damaged(entry, path, f"not readable ({error.strerror})") from None
        if digest != expected:
            what = f"altered: its sha256 is {digest[:16]}..., not {expected[:16]}..."
            raise self._damaged(entry, path, what)
        return stamp

    def _damaged(self, entry: Entry, path: Path, what: str) -> DamagedFile:
        return DamagedFile(f"'{entry.id}': {path} is {what}; {repair(entry)}")

    def _missing_text(self, entry: Entry, absent: int = 0) -> str:
        return missing_text(entry, self.place(entry), absent)

    def _complete(self, entry: Entry) -> bool:
        folder = self.place(entry)
        return bool(entry.files) and all(
            (folder / file.path).is_file() and self.pins.hash_of(entry, file)
            for file in entry.files
        )

    def _rule(self, entry: Entry) -> str:
        return key([(file.path, self.pins.hash_of(entry, file)) for file in entry.files])

    def _stamps(self, entry: Entry) -> dict[str, Stamp]:
        """Return the stamps of files verified before; none for what ships."""
        if isinstance(entry.source, Shipped):
            return {}
        return read_stamps(self.root, entry.id, self._rule(entry))

    def _remember(self, entry: Entry, stamps: Mapping[str, Stamp]) -> None:
        if not isinstance(entry.source, Shipped):
            write_stamps(self.root, entry.id, self._rule(entry), stamps)


def default_root(
    environment: Mapping[str, str] = os.environ,
    platform: str = sys.platform,
    home: Path | None = None,
) -> Path:
    """Return the weights folder: `$DND_LOCAL_WEIGHTS`, else the user's data folder."""
    return user_folder(ROOT_VARIABLE, "weights", environment, platform, home)


def _shipped_models() -> Path:
    return shipped("pocket") / "models"
