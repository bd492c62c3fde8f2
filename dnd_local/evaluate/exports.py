"""Writing records: CSV that is safe to open in a spreadsheet, JSON lines and Parquet.

JSON lines and Parquet are not opened by spreadsheets and hold the bare text.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final, TypeAlias

import msgspec

from dnd_local.core.descriptions import DescriptionTable
from dnd_local.core.errors import UserError
from dnd_local.core.libraries import library
from dnd_local.store.outputs import Cell, csv_text

Record: TypeAlias = Mapping[str, Cell]

ENDINGS: Final = (".csv", ".jsonl", ".parquet")
"""What `write_records` can write."""

SCHEMA: Final = 1
"""Version of the columns that `table_records` gives; raised when one changes its meaning."""


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


def records_csv(records: Sequence[Record]) -> str:
    """Return records as CSV in the first record's columns; nothing where there is no record."""
    columns = tuple(records[0]) if records else ()
    rows = ([record[name] for name in columns] for record in records)
    return csv_text(columns, rows) if records else ""


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
            path.write_text(records_csv(records), encoding="utf-8", newline="")
        elif path.suffix == ".jsonl":
            path.write_text(jsonl_text(records), encoding="utf-8", newline="")
        elif path.suffix == ".parquet":
            _write_parquet(records, path)
        else:
            raise UserError(f"cannot write {path.name}: end it in {', '.join(ENDINGS)}")
    except OSError as error:
        raise UserError(f"cannot write {path}: {error.strerror}") from None


def _write_parquet(records: Sequence[Record], path: Path) -> None:
    parquet = library("pyarrow.parquet")  # loaded where it is used
    rows: list[dict[str, Any]] = [dict(record) for record in records]
    parquet.write_table(library("pyarrow").Table.from_pylist(rows), path)
