"""What to tell a user whose weights are missing or damaged, by where the weights come from."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Final

from dnd_local.core.amounts import size_text
from dnd_local.store.manifest import Entry, Local, Shipped, User

_TRAIN: Final = (
    "they ship with dnd-local, but not with this copy; train them in a checkout: "
    "scripts/pocket/train"
)


def repair(entry: Entry) -> str:
    """Return what to do about a file of an entry that is not what its hash promises."""
    match entry.source:
        case Shipped():
            return "install dnd-local again"
        case Local(folder=folder):
            return (
                f"put the old file back{f' into {folder}' if folder else ''}, or, if the new one "
                f"is meant, add it as another model: dnd-local weights add NAME FOLDER --role "
                f"{entry.role}{_source_option(entry)}"
            )
        case _:
            return f"get it again: dnd-local weights pull {entry.id}"


def missing_text(entry: Entry, place: Path, absent: int = 0) -> str:
    """Return one line about an entry that is missing, or of which `absent` files are."""
    size = f", {size_text(entry.known_size)}" if entry.known_size else ", of unknown size"
    part = f" ({absent} of {len(entry.files)} files)" if absent else ""
    text = f"weights '{entry.id}' ({entry.role}{size}) are not in {place}{part}; "
    match entry.source:
        case Shipped():
            return text + _TRAIN
        case User(page=page):
            return text + f"its terms leave the download to you: {page}"
        case Local(folder=folder):
            return text + (
                f"{f'they were in {folder}; ' if folder else ''}say where they are: dnd-local "
                f"weights add {entry.id} FOLDER --role {entry.role}{_source_option(entry)}"
            )
        case _:
            return text + f"get them on a connected machine: dnd-local weights pull {entry.id}"


def all_missing_text(absent: Sequence[Entry], places: Sequence[Path], root: Path) -> str:
    """Return what to say of several missing entries, a line a reason."""
    lines = []
    # What ships, and what is a user's own, cannot be pulled: each gets a line of its own.
    groups = {
        "own": [entry for entry in absent if entry.own],
        "shipped": [entry for entry in absent if isinstance(entry.source, Shipped)],
    }
    groups["pulled"] = [one for one in absent if one not in groups["own"] + groups["shipped"]]
    place = {entry.id: one for entry, one in zip(absent, places, strict=True)}
    for kind, entries in groups.items():
        ids = [entry.id for entry in entries]
        if kind == "own" or len(entries) == 1:
            lines += [missing_text(entry, place[entry.id]) for entry in entries]
        elif kind == "shipped" and entries:
            lines.append(f"weights {', '.join(ids)} are not here; {_TRAIN}")
        elif entries:
            size = size_text(sum(entry.known_size for entry in entries))
            lines.append(
                f"weights {', '.join(ids)} ({size} or more) are not in {root}; get them on a "
                f"connected machine: dnd-local weights pull {' '.join(ids)}"
            )
    return "\n".join(lines)


def _source_option(entry: Entry) -> str:
    return f" --source {entry.network}" if entry.network else ""
