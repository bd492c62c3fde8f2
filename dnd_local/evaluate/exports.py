"""Writing tables: CSV that is safe to open in a spreadsheet, JSON lines and Parquet.

A spreadsheet runs a cell that starts with ``=``, ``+``, ``-``, ``@``, a tab or a carriage return
as a formula, and labels come from a language model. So in CSV such a *text* cell gets a leading
apostrophe (`safe_cell`), which reading takes off again (`unguard`); numbers stay as they are.
JSON lines and Parquet are not opened by spreadsheets and hold the bare text.
"""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final, TypeAlias

import msgspec

from dnd_local.core.descriptions import DescriptionTable
from dnd_local.core.errors import UserError
from dnd_local.store.outputs import safe_cell

Cell: TypeAlias = str | int | float | bool | None
Record: TypeAlias = Mapping[str, Cell]

ENDINGS: Final = (".csv", ".jsonl", ".parquet")
"""What `write_records` can write."""

SCHEMA: Final = 1
"""Version of the columns that `table_records` gives; raised when one changes its meaning."""


def unguard(text: str) -> str:
    """Return a CSV cell without the apostrophe that `safe_cell` puts before a formula's sign."""
    return text[1:] if safe_cell(text[1:]) == text else text


def table_records(table: DescriptionTable) -> list[dict[str, Cell]]:
    """Return one record a neuron, best label first; scores are empty where there are none.

    Columns: describer, target, layer, neuron, status, then label_1, score_1, … to the most
    labels that a neuron has, three at least.
    """
    width = max(3, *(len(row.labels) for row in table.rows)) if table.rows else 3
    records: list[dict[str, Cell]] = []
    for row in table.rows:
        record: dict[str, Cell] = {
            "describer": row.describer,
            "target": row.target,
            "layer": row.layer,
            "neuron": row.neuron,
            "status": row.status,
        }
        for i in range(width):
            record[f"label_{i + 1}"] = row.labels[i] if i < len(row.labels) else None
            record[f"score_{i + 1}"] = row.scores[i] if i < len(row.scores) else None
        records.append(record)
    return records


def csv_text(records: Sequence[Record]) -> str:
    """Return records as CSV: the first record's columns, empty for None and NaN, risky text
    guarded, lines ended by a line feed."""
    out = io.StringIO(newline="")
    if records:
        writer = csv.writer(out, lineterminator="\n")
        writer.writerow([safe_cell(name) for name in records[0]])
        writer.writerows([_csv_cell(record[name]) for name in records[0]] for record in records)
    return out.getvalue()


def jsonl_text(records: Sequence[Record]) -> str:
    """Return records as JSON lines; NaN, which JSON has not, becomes null."""
    lines = [msgspec.json.encode(dict(record)).decode("utf-8") for record in records]
    return "".join(line + "\n" for line in lines)


def write_records(records: Sequence[Record], path: Path) -> None:
    """Write records as CSV, JSON lines or Parquet, by the file's ending.

    Raises:
        UserError: another ending, pyarrow missing for Parquet, or the file cannot be written.
    """
    try:
        if path.suffix == ".csv":
            path.write_text(csv_text(records), encoding="utf-8", newline="")
        elif path.suffix == ".jsonl":
            path.write_text(jsonl_text(records), encoding="utf-8", newline="")
        elif path.suffix == ".parquet":
            _write_parquet(records, path)
        else:
            raise UserError(f"cannot write {path.name}: end it in {', '.join(ENDINGS)}")
    except OSError as error:
        raise UserError(f"cannot write {path}: {error.strerror}") from None


def _csv_cell(value: Cell) -> str | int | float:
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return ""
    return safe_cell(value) if isinstance(value, str) else value


def _write_parquet(records: Sequence[Record], path: Path) -> None:
    try:
        import pyarrow  # loaded where it is used
        import pyarrow.parquet
    except ImportError:
        raise UserError("Parquet needs pyarrow: pip install 'dnd-local[eval]'") from None
    rows: list[dict[str, Any]] = [dict(record) for record in records]
    pyarrow.parquet.write_table(pyarrow.Table.from_pylist(rows), path)
