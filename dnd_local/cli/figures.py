"""Records as tables for people and as files, for the commands that compare and judge."""

from __future__ import annotations

import math
import os
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path

from dnd_local.cli.wordwise import console, print_rows, say
from dnd_local.core.errors import UserError
from dnd_local.core.libraries import library
from dnd_local.evaluate.exports import ENDINGS, write_records
from dnd_local.store.outputs import Cell


def show_records(records: Sequence[Mapping[str, Cell]], columns: Sequence[str] = ()) -> None:
    """Print records as one table; `columns` chooses and orders, all where none is named.

    A column that is empty throughout is left out.
    """
    if not records:
        return
    names = [
        name
        for name in (columns or list(records[0]))
        if any(not _empty(record.get(name)) for record in records)
    ]
    numeric = [
        name.replace("_", " ")
        for name in names
        if any(isinstance(record.get(name), float | int) for record in records)
    ]
    rows = [[_shown(record.get(name)) for name in names] for record in records]
    print_rows(console(), [name.replace("_", " ") for name in names], rows, right=numeric, head=2)


def say_figure(title: str, value: str, record: Mapping[str, Cell]) -> None:
    """Print a figure as two lines: itself with its interval, then what it must be held against."""
    shown = f"{_shown(record[value])} [{_shown(record['low'])}, {_shown(record['high'])}]"
    if not _empty(record.get("published")):
        shown += f", published {_shown(record['published'])}"
    say(f"{title}: {shown}")
    against = []
    for name, words in (
        ("null", "unmatched pairs"),
        ("unmatched", "unmatched pairs"),
        ("minus_topk_compare", "less topk-compare's"),
    ):
        if not _empty(record.get(name)):
            against.append(f"{words} {_shown(record.get(name))}")
    against += [
        f"{name} {_shown(cell)}" for name, cell in record.items() if name.startswith("constant ")
    ]
    for name, words in (("top_1", "own class nearest"), ("top_5", "among the nearest five")):
        share = record.get(name)
        if isinstance(share, float):
            against.append(f"{words} {share:.1%}")
    p_value = record.get("p_value")
    if isinstance(p_value, float):
        against.append("p < .001" if p_value < 0.001 else f"p = {p_value:.3f}")
    if against:
        say(f"  {'; '.join(against)}")


def checked_folder(out: Path | None) -> Path | None:
    """Return the folder that results will go to, before anything is computed for it.

    Raises:
        UserError: it is no folder, or there is no way to make it or write into it.
    """
    if out is not None:
        nearest = next(path for path in (out, *out.absolute().parents) if path.exists())
        if not nearest.is_dir():
            raise UserError(f"cannot write into {out}: {nearest} is not a folder")
        if not os.access(nearest, os.W_OK):
            raise UserError(f"cannot write into {out}: {nearest} is read-only for you")
    return out


def checked_file(out: Path | None) -> Path | None:
    """Return the file that a table will go to, before anything is computed for it.

    Raises:
        UserError: its ending is none that can be written, its folder is not there, or the library
            that writes Parquet is not.
    """
    out = _checked_place(out, ENDINGS)
    if out is not None and out.suffix == ".parquet":
        library("pyarrow.parquet")
    return out


def checked_json(out: Path | None) -> Path | None:
    """Return the JSON file that something will go to, before anything is computed for it.

    Raises:
        UserError: its ending is another, or its folder is not there.
    """
    return _checked_place(out, (".json",))


def _checked_place(out: Path | None, endings: Collection[str]) -> Path | None:
    if out is not None:
        if out.suffix not in endings:
            raise UserError(f"cannot write {out.name}: end it in {', '.join(endings)}")
        if out.is_dir() or not out.absolute().parent.is_dir():
            raise UserError(f"cannot write {out}: that is a folder, or its folder is not there")
        checked_folder(out.parent)
    return out


def write_all(out: Path | None, files: Mapping[str, Sequence[Mapping[str, Cell]]]) -> None:
    """Write each named list of records into the folder `out` as CSV and JSON lines, and say so.

    Raises:
        UserError: the folder cannot be made or a file not written.
    """
    if out is None:
        return
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(f"cannot make the folder {out}: {error.strerror}") from None
    for name, records in files.items():
        if records:
            for ending in (".csv", ".jsonl"):
                write_records(records, out / f"{name}{ending}")
    written = ", ".join(name for name, records in files.items() if records)
    # Beside the output, not in it: what --json prints must stay one document.
    say(f"Written as .csv and .jsonl in {out}: {written}", err=True)


def _empty(value: Cell) -> bool:
    return value is None or value == "" or (isinstance(value, float) and math.isnan(value))


def _shown(value: Cell) -> str:
    if _empty(value):
        return ""
    return f"{value:.4f}" if isinstance(value, float) else str(value)
