"""What a run is compared with in its report, and ``comparisons.json``, where it remembers that."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import msgspec

from dnd_local.core.cards import Card
from dnd_local.core.descriptions import DescriptionTable
from dnd_local.core.errors import DamagedFile, UserError
from dnd_local.evaluate.describers import open_describer, run_name, table_of_run
from dnd_local.evaluate.packs import is_pack
from dnd_local.evaluate.verdicts import Verdicts, read_verdicts
from dnd_local.pipeline.reading import StoredRun
from dnd_local.store.files import read_whole

FILE: Final = "comparisons.json"


class Remembered(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A describer as the user named it (a file by its full path), and the layer it is about."""

    name: str
    layer: str = ""


@dataclass(frozen=True, slots=True)
class Compared(Card):
    """A describer's labels and, where it is a run that was judged, the verdicts on them."""

    table: DescriptionTable
    verdicts: Verdicts = field(default_factory=Verdicts)


@dataclass(frozen=True, slots=True)
class Recalled(Card):
    """The describers that a run remembers, and one line for each that cannot be read any more."""

    others: tuple[Compared, ...]
    left_out: tuple[str, ...]


def compared_run(run: StoredRun) -> Compared:
    """Return a run's own labels and verdicts."""
    return Compared(table_of_run(run), read_verdicts(run.folder.folder))


def open_compared(name: str, layer: str, workspace: Path, weights: Path | None) -> Compared:
    """Return a describer by its name: a file where there is one, else a run.

    Raises:
        UserError: neither a file nor a run, or a file in no known format.
    """
    table = open_describer(name, layer, workspace, weights).table
    folder = workspace / "runs" / run_name(name)
    is_run = not _lies_there(name) and folder.is_dir()
    return Compared(table, read_verdicts(folder) if is_run else Verdicts())


def remember(run: StoredRun, names: Sequence[str], layer: str = "") -> None:
    """Write which describers a run was compared with last, in place of earlier ones."""
    kept = [Remembered(str(Path(n).absolute()) if _lies_there(n) else n, layer) for n in names]
    run.folder.write_bytes(FILE, msgspec.json.format(msgspec.json.encode(kept)))


def recall(run: StoredRun) -> Recalled:
    """Return the describers that a run was compared with last, none if it never was.

    Raises:
        DamagedFile: ``comparisons.json`` cannot be read.
    """
    execution = run.lab.execution
    others, left_out = [], []
    for one in _read(run.folder.folder / FILE):
        try:
            others.append(
                open_compared(one.name, one.layer, execution.workspace, execution.weights)
            )
        except UserError as error:
            left_out.append(f"{one.name} is left out of the comparison: {error}")
    return Recalled(tuple(others), tuple(left_out))


def _lies_there(name: str) -> bool:
    """Return whether a describer's name is the path of a file or a pack."""
    return Path(name).is_file() or is_pack(Path(name))


def _read(path: Path) -> list[Remembered]:
    try:
        return msgspec.json.decode(read_whole(path), type=list[Remembered])
    except FileNotFoundError:
        return []
    except msgspec.MsgspecError as error:
        raise DamagedFile(
            f"{path} is damaged ({error}); delete it, and name the describers again with --compare"
        ) from None
