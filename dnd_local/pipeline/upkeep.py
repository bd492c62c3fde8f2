"""Upkeep of a workspace: is every byte what it should be, and what does no run refer to."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Final
from urllib.parse import unquote

import msgspec

from dnd_local.core.amounts import count_text
from dnd_local.core.cards import Card
from dnd_local.core.digest import key, sha256
from dnd_local.core.errors import DamagedFile, Refused, UserError
from dnd_local.pipeline.reading import open_run
from dnd_local.pipeline.replies import read_book
from dnd_local.pipeline.stage import Stage, places
from dnd_local.store.blobs import BlobFolder
from dnd_local.store.files import LEASE, SUFFIX, read_whole
from dnd_local.store.parts import PartFolder
from dnd_local.store.runs import PLACES, RunFolder
from dnd_local.store.sealed import BESIDE, read_beside

AGAIN: Final = "run the same command again"

_DIGEST: Final = re.compile(rb'"([0-9a-f]{64})"')
"""Whatever in a part may be the name of a picture."""
_NAMES: Final = re.compile(rb'"(?:blob|map)":"([0-9a-f]{64})"')
"""What surely is one."""
_FOLDER: Final = re.compile(r"(?P<stage>.+)-(?P<key>[0-9a-f]{16})")


@dataclass(frozen=True, slots=True)
class Fault(Card):
    """Something in a workspace that is not what it should be, and what was or can be done."""

    path: Path
    fault: str
    mended: bool
    remedy: str


@dataclass(frozen=True, slots=True)
class Health(Card):
    """What `check_workspace` read, and the faults among it."""

    parts: int
    pictures: int
    runs: int
    faults: tuple[Fault, ...]

    @property
    def left(self) -> tuple[Fault, ...]:
        """The faults that are still there."""
        return tuple(fault for fault in self.faults if not fault.mended)


@dataclass(frozen=True, slots=True)
class Unneeded(Card):
    """What no run of a workspace refers to.

    `unknown` names folders among the parts that this version does not know; they stay.
    """

    folders: tuple[Path, ...]
    pictures: tuple[Path, ...]
    size: int
    unknown: tuple[Path, ...]


def check_workspace(
    workspace: Path, stages: Sequence[Stage[Any]], *, repair: bool = False
) -> Health:
    """Read every part, picture and run file of a workspace, and say what is damaged.

    Args:
        workspace: where to look.
        stages: every stage that keeps parts there.
        repair: whether to remove damaged parts and pictures, and the parts that name a picture
            that is gone or damaged. The command that made them makes them again.
    """
    pictures = _read_pictures(workspace)
    faults = [_removed(path, "is not what its name promises", repair) for path in pictures.damaged]
    parts = 0
    for folder in _part_folders(workspace, stages):
        faults += _bad_meaning(folder)
        for path in _files(folder.folder):
            parts += 1
            if why := _bad_part(folder, path, pictures):
                faults.append(_removed(path, why, repair))
    runs = _run_folders(workspace)
    faults += [fault for run in runs for fault in _bad_run_files(workspace, run)]
    return Health(parts, len(pictures.whole) + len(pictures.damaged), len(runs), tuple(faults))


def find_unneeded(
    workspace: Path,
    stages: Sequence[Stage[Any]],
    weights: Path | None = None,
    data: Path | None = None,
) -> Unneeded:
    """Return the folders of parts that no run refers to, and the pictures that no part names then.

    A run refers to the folders that its settings lead to with today's weights, prompts and images,
    to those it ended with, and to those it was last at work in.

    Raises:
        Refused: a run does not say which folders it refers to.
    """
    kept: set[str] = set()
    for run in _run_folders(workspace):
        kept |= _referred(run, workspace, stages, weights, data)
    artefacts = workspace / "artefacts"
    there = {path.name: path for path in _folders(artefacts)}
    known = {folder.folder.name for folder in _part_folders(workspace, stages)}
    folders = sorted(known - kept)
    unknown = sorted(there.keys() - known)
    named: set[str] = set()
    for name in there.keys() - set(folders):
        for path in there[name].rglob("*.json"):
            named.update(match.decode() for match in _DIGEST.findall(read_whole(path)))
    pictures = [path for path in _picture_files(workspace) if path.stem not in named]
    doomed = [*pictures, *(path for name in folders for path in there[name].iterdir())]
    return Unneeded(
        tuple(there[name] for name in folders),
        tuple(pictures),
        sum(path.stat().st_size for path in doomed),
        tuple(there[name] for name in unknown),
    )


def remove_unneeded(unneeded: Unneeded) -> None:
    """Remove what `find_unneeded` found: a folder's parts first, then what says of it."""
    for path in unneeded.pictures:
        path.unlink(missing_ok=True)
    for folder in unneeded.folders:
        for path in sorted(folder.iterdir(), key=lambda one: one.name == "key.json"):
            path.unlink(missing_ok=True)
        folder.rmdir()
    for folder in {path.parent for path in unneeded.pictures}:
        if not any(folder.iterdir()):
            folder.rmdir()


def _part_folders(workspace: Path, stages: Iterable[Stage[Any]]) -> Iterator[PartFolder[Any]]:
    """Yield the folders of parts whose stage is known."""
    by_name = {stage.name: stage for stage in stages}
    for path in _folders(workspace / "artefacts"):
        match = _FOLDER.fullmatch(path.name)
        if match and match["stage"] in by_name:
            stage = by_name[match["stage"]]
            yield PartFolder(path.parent, stage.name, match["key"], stage.record)


def _bad_meaning(folder: PartFolder[Any]) -> Iterator[Fault]:
    """Yield what is wrong with the file that says what a folder's key stands for."""
    path = folder.folder / "key.json"
    try:
        meaning = msgspec.json.decode(read_whole(path))
        if meaning["key"] == key(meaning["of"]) and meaning["key"].startswith(folder.key):
            return
        why = "does not fit its key"
    except FileNotFoundError:
        why = "is gone"
    except (ValueError, KeyError, TypeError, RecursionError):
        why = "cannot be read"
    yield Fault(path, why, False, AGAIN)


def _bad_part(folder: PartFolder[Any], path: Path, pictures: _Pictures) -> str:
    """Return what is wrong with a part or with a picture that it names, "" where nothing is."""
    item = unquote(path.name[: -len(path.suffix)])
    if path != folder.path(item):
        return "is no part of this stage"
    try:
        folder.read(item)
    except DamagedFile as error:
        return str(error).removeprefix(f"part {path} ").partition(";")[0]
    names = _NAMES.findall(read_whole(path)) if path.suffix == ".json" else []
    absent = [name.decode() for name in names if name.decode() not in pictures.whole]
    return f"names picture {absent[0]}, which is not there whole" if absent else ""


@dataclass(frozen=True, slots=True)
class _Pictures:
    """The names of the pictures that are whole, and the files of those that are not."""

    whole: frozenset[str]
    damaged: tuple[Path, ...]


def _read_pictures(workspace: Path) -> _Pictures:
    whole, damaged = set(), []
    for path in _picture_files(workspace):
        if BlobFolder(workspace / "blobs").path(path.stem) == path and _is_whole(path):
            whole.add(path.stem)
        else:
            damaged.append(path)
    return _Pictures(frozenset(whole), tuple(damaged))


def _is_whole(path: Path) -> bool:
    return sha256(read_whole(path)) == path.stem


def _picture_files(workspace: Path) -> list[Path]:
    folders = _folders(workspace / "blobs")
    return sorted(path for folder in folders for path in _files(folder))


def _removed(path: Path, why: str, repair: bool) -> Fault:
    if repair:
        path.unlink()
    return Fault(
        path, why, repair, AGAIN if repair else f"`dnd-local verify --repair`, then {AGAIN}"
    )


def _bad_run_files(workspace: Path, name: str) -> Iterator[Fault]:
    run = RunFolder(workspace, name)
    reads: dict[Path, Callable[[], object]] = {
        run.folder / "run.json": run.read,
        run.folder / PLACES: run.places,
        **{
            path: partial(read_book, workspace, name, path.stem)
            for path in sorted((run.folder / "describers").glob("*.json"))
        },
        **{
            (path := seal.with_name(seal.name.removesuffix(BESIDE))): partial(
                read_beside, path, f"{name}/{path.name}"
            )
            for seal in sorted(run.folder.glob(f"*{BESIDE}"))
        },
    }
    for path, read in reads.items():
        try:
            if path.exists():
                read()
        except (UserError, ValueError) as error:
            yield Fault(path, str(error).removeprefix(f"{path} "), False, "")
    lost = run.damaged_events()
    if lost:
        why = f"has {count_text(lost, 'damaged line')}, whose times do not count"
        yield Fault(run.folder / "events.jsonl", why, False, "")


def _referred(
    name: str,
    workspace: Path,
    stages: Sequence[Stage[Any]],
    weights: Path | None,
    data: Path | None,
) -> set[str]:
    """Return the names of the folders of parts that a run refers to.

    Raises:
        Refused: it does not say.
    """
    folder = RunFolder(workspace, name)
    starts = [event for event in folder.events() if event["event"] == "start"]
    last = {event["stage"]: event.get("parts", "") for event in starts}
    try:
        if not (folder.folder / "run.json").exists():
            # Stopped in its pass over the probe set, or only triage was asked for.
            if last and all(last.values()):
                return set(last.values())
            raise Refused("it was stopped before its neurons were known")
        lab = open_run(name, workspace, weights, data).lab
        return {*last.values(), *folder.places().values(), *places(lab, stages).values()}
    except UserError as error:
        raise Refused(
            f"what run '{name}' refers to cannot be told, so nothing was removed ({error}); run "
            f"its command again, or delete {folder.folder}"
        ) from None


def _run_folders(workspace: Path) -> list[str]:
    return [path.name for path in _folders(workspace / "runs")]


def _folders(root: Path) -> list[Path]:
    return sorted(path for path in root.iterdir() if path.is_dir()) if root.is_dir() else []


def _files(folder: Path) -> list[Path]:
    """Return a folder's files but for what says of it, temporary ones and leases."""
    return [
        path
        for path in sorted(folder.iterdir())
        if path.name != "key.json" and not path.name.endswith((SUFFIX, LEASE))
    ]
