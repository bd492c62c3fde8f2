"""The files that other tools open: CSV and JSON lines of a run's descriptions and candidates.

A spreadsheet runs a cell that starts with ``=``, ``+``, ``-``, ``@`` (some take wide forms of them
too), a tab or a line's end as a formula, and labels come from a language model. So in CSV such a
*text* cell gets a leading apostrophe (`safe_cell`), which reading takes off again (`unguard`);
numbers stay as they are.
"""

from __future__ import annotations

import csv
import math
from collections.abc import Iterable, Sequence
from typing import TypeAlias

from dnd_local.core.descriptions import Description
from dnd_local.core.digest import canonical
from dnd_local.core.records import RULES, Scores
from dnd_local.core.sequences import grouped
from dnd_local.store.runs import RunFolder

Cell: TypeAlias = str | int | float | bool | None

_FORMULA_STARTS = (*"=+-@", *"\uff1d\uff0b\uff0d\uff20", "\t", "\r", "\n")
DESCRIPTION_COLUMNS = ("Neuron ID", "Label 1", "Label 2", "Label 3")
CANDIDATE_COLUMNS = ("Layer", "Neuron ID", "Candidate", *RULES)


def safe_cell(text: str) -> str:
    """Return `text` so that no spreadsheet reads it as a formula."""
    return f"'{text}" if text.startswith(_FORMULA_STARTS) else text


def unguard(text: str) -> str:
    """Return a CSV cell without the apostrophe that `safe_cell` puts before a formula's sign."""
    return text[1:] if safe_cell(text[1:]) == text else text


def csv_text(columns: Sequence[str], rows: Iterable[Sequence[Cell]]) -> str:
    """Return a table as CSV: empty for None and NaN, risky text guarded, line feeds."""
    lines = _Lines()
    # Python puts quotes around a carriage return only where lines end in one: without them its
    # rest would be a row, and a formula, of its own.
    writer = csv.writer(lines, lineterminator="\r\n")
    writer.writerow(map(safe_cell, columns))
    writer.writerows(map(_csv_cell, row) for row in rows)
    return "".join(lines.written)


class _Lines:
    """Keeps the lines of a CSV writer, each ended by a line feed."""

    def __init__(self) -> None:
        self.written: list[str] = []

    def write(self, line: str) -> None:
        self.written.append(line.removesuffix("\r\n") + "\n")


def description_files(descriptions: Sequence[Description]) -> dict[str, bytes]:
    """Return the CSV of each layer by file name, columns as the original release writes them.

    One layer gives ``descriptions.csv``; several give ``descriptions-<layer>.csv`` each.
    Neurons without a label keep their row, with empty cells.
    """
    layers = grouped(descriptions, lambda description: description.neuron.layer)
    files = {}
    for layer, in_layer in layers.items():
        rows: list[list[Cell]] = []
        for d in in_layer:
            labels = [label.text for label in d.labels[:3]]
            rows.append([d.neuron.index, *labels, *[""] * (3 - len(labels))])
        name = "descriptions.csv" if len(layers) == 1 else f"descriptions-{layer}.csv"
        files[name] = csv_text(DESCRIPTION_COLUMNS, rows).encode()
    return files


def candidates_csv(scores: Iterable[Scores]) -> bytes:
    """Return every candidate of every neuron with the score of every rule, as CSV."""
    rows: Iterable[list[Cell]] = (
        [scored.neuron.layer, scored.neuron.index, candidate.text, *map(candidate.score, RULES)]
        for scored in scores
        for candidate in scored.candidates
    )
    return csv_text(CANDIDATE_COLUMNS, rows).encode()


def descriptions_jsonl(descriptions: Iterable[Description]) -> bytes:
    """Return one JSON object a neuron; no times, paths or run name, so runs compare by bytes."""
    return b"".join(canonical(description) + b"\n" for description in descriptions)


def write_results(
    run: RunFolder, descriptions: Sequence[Description], scores: Sequence[Scores]
) -> None:
    """Write ``descriptions*.csv``, ``candidates.csv`` and ``descriptions.jsonl`` of a run."""
    files = description_files(descriptions)
    for old in run.folder.glob("descriptions*.csv"):
        if old.name not in files:
            old.unlink()
    files["candidates.csv"] = candidates_csv(scores)
    files["descriptions.jsonl"] = descriptions_jsonl(descriptions)
    for name, data in files.items():
        run.write_bytes(name, data)


def _csv_cell(value: Cell) -> Cell:
    if isinstance(value, float) and math.isnan(value):
        return ""
    return safe_cell(value) if isinstance(value, str) else value
