"""`weights add`: a folder of the user's own becomes a model of the weights folder, by its name.

Nothing is copied. The weights folder gets a folder of the model's name with links to the files
that make it up, and the own manifest gets their hashes. A pickle is converted, after consent, and
the file made from it lies where the link would be.
"""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, TypeAlias

import msgspec

from dnd_local.core.digest import file_sha256
from dnd_local.core.errors import BadConfig, DamagedFile, Refused, UserError
from dnd_local.store.convert import convert
from dnd_local.store.fetch import Progress
from dnd_local.store.manifest import (
    PROFILES,
    SCHEMA,
    Entry,
    EntryId,
    File,
    Licence,
    Local,
    Manifest,
    Origin,
)
from dnd_local.store.own_models import locked, put_own, read_own, same_model
from dnd_local.store.stamps import Stamp, stamp_of
from dnd_local.store.survey import PLAIN_NAMES, SHARDS, Survey, Taken, survey
from dnd_local.store.tensor_files import Tensors, check_index, read_tensors
from dnd_local.store.trust import refuse_code
from dnd_local.store.weights import Weights

Consent: TypeAlias = Callable[[Sequence[Path]], bool]
"""Asks the user whether to read pickles."""

_SCRATCH: Final = ".add-"
_SHARE: Final = 1.25
_SPARE_BYTES: Final = 1_000_000_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Wish:
    """What is to be registered.

    `network` says how a target's files become a network; `note` is kept with the entry; `prefer`
    as in `survey`; `spare` is bytes of device memory on top, for a model that needs much room.
    """

    name: str
    folder: Path
    role: str
    network: str = ""
    note: str = ""
    prefer: Sequence[str] = PLAIN_NAMES
    spare: int = 0


@dataclass(frozen=True, slots=True)
class Added:
    """What was registered: the entry, the files left out, and whether it was there before."""

    entry: Entry
    left_out: tuple[str, ...]
    again: bool


@dataclass(frozen=True, slots=True)
class _Hashed:
    """A file to take, its hash and size, and its stamp before it was read."""

    taken: Taken
    sha256: str
    stamp: Stamp


def add(
    weights: Weights,
    wish: Wish,
    progress: Progress,
    consent: Consent,
    trial: Callable[[Path], None] = lambda folder: None,
) -> Added:
    """Register a folder under a name and return its entry.

    Args:
        weights: the weights folder.
        wish: what to register.
        progress: who watches.
        consent: whether pickles may be read and converted.
        trial: called with the model's finished folder; raises if no engine could read it.

    Raises:
        BadConfig: the name will not do, or is another model's.
        MissingWeights, DamagedFile, Refused: from the folder; see `survey` and `refuse_code`.
        UserError: the folder is not there, or what `trial` says.
    """
    _check_name(weights, wish.name)
    folder = _checked_folder(weights.root, wish.folder)
    taken = survey(folder, wish.prefer)
    refuse_code(wish.name, folder, (_relative(folder, one) for one in taken.files))
    pickles = [one.source for one in taken.files if one.pickle]
    if pickles and not consent(pickles):
        raise Refused(
            f"{pickles[0]} is a pickle, which can run code when it is read without care; it is "
            "converted to safetensors, by a process without a network that builds tensors and "
            "nothing else, after you agree: add --yes"
        )
    _check_tensors(taken)
    progress.total(sum(one.source.stat().st_size for one in taken.files))
    hashed = [_hash(one, progress) for one in taken.files]
    with locked(weights.root):
        return _register(weights, wish, folder, taken, hashed, trial)


def _check_name(weights: Weights, name: str) -> None:
    """Refuse a name that no entry can have, or that means another model already."""
    others = {one for entry in weights.manifest.entries if not entry.own for one in entry.names}
    if name in PROFILES or name in others:
        raise BadConfig(f"'{name}' is the name of what dnd-local ships or pulls; choose another")
    try:
        msgspec.convert(name, EntryId)
    except msgspec.ValidationError:
        raise BadConfig(
            f"'{name}' will not do as a name; use small letters, digits, '.', '_' and '-', at most "
            "64, starting with a letter or digit"
        ) from None


def _checked_folder(root: Path, folder: Path) -> Path:
    if not folder.is_dir():
        what = "is a file" if folder.exists() else "is not there"
        raise UserError(f"{folder} {what}; give the folder that holds the model's files")
    folder = folder.absolute()
    if folder.resolve().is_relative_to(root.resolve()):
        raise UserError(
            f"{folder} lies in the weights folder {root}, where dnd-local keeps its links; move "
            "the model elsewhere"
        )
    return folder


def _check_tensors(taken: Survey) -> None:
    """Refuse safetensors files that are not whole, before anything is hashed."""
    read_tensors(one.source for one in taken.files if _is_tensors(one) and not one.pickle)
    for one in taken.files:
        if one.path.endswith(SHARDS):
            check_index(one.source)


def _hash(one: Taken, progress: Progress) -> _Hashed:
    stamp = stamp_of(one.source)
    digest = file_sha256(one.source)
    progress.landed(stamp[0])
    return _Hashed(one, digest, stamp)


def _register(
    weights: Weights,
    wish: Wish,
    folder: Path,
    taken: Survey,
    hashed: Sequence[_Hashed],
    trial: Callable[[Path], None],
) -> Added:
    """Make the model's folder of links, try it, and write its entry."""
    for left in weights.root.glob(f"{_SCRATCH}*"):  # of a process that was killed: we hold the lock
        shutil.rmtree(left)
    place = weights.root / wish.name
    old = next((one for one in read_own(weights.root).entries if one.id == wish.name), None)
    if old is None and (place.exists() or place.is_symlink()):
        raise UserError(f"{place} is there already and no model of that name is; move it away")
    with tempfile.TemporaryDirectory(dir=weights.root, prefix=_SCRATCH) as scratch:
        copy = Path(scratch) / wish.name
        files = [_land(one, folder, copy) for one in hashed]
        tensors = read_tensors(copy / one.path for one in taken.files if _is_tensors(one))
        entry = _entry(wish, folder, files, tensors)
        if old is not None and not same_model(old, entry):
            raise BadConfig(
                f"'{wish.name}' is registered already, with other files or another role; choose "
                f"another name, or remove it first: dnd-local weights remove {wish.name}"
            )
        _try(trial, copy, folder)
        changed = [one.taken.source for one in hashed if stamp_of(one.taken.source) != one.stamp]
        if changed:
            raise DamagedFile(f"{changed[0]} changed while it was read; run the same command again")
        # The entry first: an entry without its folder says what to do, a folder alone says nothing.
        put_own(weights.root, entry)
        if place.exists():
            place.rename(Path(scratch) / "old")
        copy.rename(place)
    weights.manifest = weights.manifest.under(Manifest(schema=SCHEMA, entries=(entry,)))
    weights.vouch(entry.id, [file.path for file in entry.files])
    return Added(entry, taken.left_out, old is not None)


def _land(one: _Hashed, folder: Path, copy: Path) -> File:
    """Put a file into the model's folder, as a link or converted, and return its line."""
    target = copy / one.taken.path
    target.parent.mkdir(parents=True, exist_ok=True)
    if not one.taken.pickle:
        target.symlink_to(one.taken.source)
        return File(path=one.taken.path, size=one.stamp[0], sha256=one.sha256)
    convert(one.taken.source, target)
    origin = Origin(path=_relative(folder, one.taken), size=one.stamp[0], sha256=one.sha256)
    return File(
        path=one.taken.path,
        size=target.stat().st_size,
        sha256=file_sha256(target),
        converted_from=origin,
    )


def _entry(wish: Wish, folder: Path, files: Sequence[File], tensors: Tensors) -> Entry:
    return Entry(
        id=wish.name,
        role=wish.role,
        source=Local(folder=str(folder)),
        licence=Licence(spdx=None, link=None),
        gated=None,
        files=tuple(files),
        dtype=tensors.precision,
        profiles=(),
        memory=int(_SHARE * tensors.size) + _SPARE_BYTES + wish.spare,
        note=wish.note,
        network=wish.network,
    )


def _try(trial: Callable[[Path], None], copy: Path, folder: Path) -> None:
    try:
        trial(copy)
    except UserError as error:
        # The user knows the folder by its own name only.
        raise UserError(str(error).replace(str(copy), str(folder))) from None


def _is_tensors(one: Taken) -> bool:
    return one.path.endswith(".safetensors")


def _relative(folder: Path, one: Taken) -> str:
    return one.source.relative_to(folder).as_posix()
