"""Replies kept on disk: a run can be made again from them, without any model.

``replay:RUN`` repeats what the language model of a finished run said, ``replay:RUN/DESCRIBER``
what a model elsewhere answered to the questions about that run's neurons.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

import msgspec

from dnd_local.core.conversations import Exchange, Reply
from dnd_local.core.errors import DamagedFile, Refused
from dnd_local.engines.language_model_replay import book_of
from dnd_local.store.parts import PartFolder
from dnd_local.store.runs import RunFolder

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,60}")


def replies_of(name: str, workspace: Path) -> dict[str, Reply]:
    """Return the replies named ``RUN`` or ``RUN/DESCRIBER``, by request id.

    Raises:
        UnknownName: there is no such run.
        Refused: the run was never finished, or the describer's name will not do.
    """
    run, slash, describer = name.partition("/")
    if slash:
        RunFolder(workspace, run).read()
        return read_book(workspace, run, describer)
    return book_of(exchanges_of(run, workspace))


def book_path(workspace: Path, run: str, describer: str) -> Path:
    """Return the file that keeps a describer's replies about a run.

    Raises:
        Refused: the describer's name could not be a file's name.
    """
    if not _NAME.fullmatch(describer):
        raise Refused(
            f"describer '{describer}' will not do as a name; use letters, digits, '.', '_' and '-'"
        )
    return RunFolder(workspace, run).folder / "describers" / f"{describer}.json"


def read_book(workspace: Path, run: str, describer: str) -> dict[str, Reply]:
    """Return a describer's replies about a run, by request id; none where there are none yet.

    Raises:
        DamagedFile: the book cannot be read as one.
    """
    folder = RunFolder(workspace, run)
    name = str(book_path(workspace, run, describer).relative_to(folder.folder))
    try:
        return folder.read_json(name, dict[str, Reply], "delete it and import again")
    except FileNotFoundError:
        return {}


def exchanges_of(run: str, workspace: Path) -> tuple[Exchange, ...]:
    """Return every exchange behind a run's phrases and concepts, neuron by neuron.

    Raises:
        UnknownName: there is no such run.
        Refused: the run was never finished, so where its parts lie is not known.
    """
    folder = RunFolder(workspace, run)
    items = [neuron.part_name for neuron in folder.read().wanted()]
    places = folder.places()
    if not places:
        raise Refused(f"run '{run}' was never finished, so its replies cannot be replayed")
    exchanges: list[Exchange] = []
    for place in places.values():
        parts = _asked_parts(workspace / "artefacts", place)
        if parts is not None:
            missing = set(parts.missing(items))
            for item in items:
                if item not in missing:
                    exchanges += parts.read(item).exchanges
    return tuple(exchanges)


@dataclass(frozen=True, slots=True)
class _Asked:
    """What is read here of a part that a language model had a hand in."""

    exchanges: tuple[Exchange, ...]


def _asked_parts(root: Path, place: str) -> PartFolder[_Asked] | None:
    """Return a folder of parts, None where no language model had a hand in them.

    Raises:
        DamagedFile: what the folder's key stands for cannot be read.
    """
    path = root / place / "key.json"
    if not path.parent.is_dir():  # the stage had nothing to do
        return None
    try:
        meaning = msgspec.json.decode(path.read_bytes())
        asks = "language-model" in meaning["of"]["weights"]
    except (OSError, ValueError, KeyError, TypeError):
        raise DamagedFile(
            f"{path} cannot be read, so the replies beside it cannot be; run the same dissect "
            "command again"
        ) from None
    stage, _, key16 = place.rpartition("-")
    return PartFolder(root, stage, key16, _Asked) if asks else None
