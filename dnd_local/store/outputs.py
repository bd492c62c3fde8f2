"""The files that other tools open: CSV and JSON lines of a run's descriptions and candidates.

CSV cells are safe for spreadsheets: text that a spreadsheet would run as a formula is preceded by
an apostrophe.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Sequence

from dnd_local.core.descriptions import Description
from dnd_local.core.digest import canonical
from dnd_local.core.records import RULES, Scores
from dnd_local.core.sequences import grouped
from dnd_local.store.runs import RunFolder

_FORMULA_STARTS = ("=", "+", "-", "@", "\t", "\r")
DESCRIPTION_COLUMNS = ("Neuron ID", "Label 1", "Label 2", "Label 3")
CANDIDATE_COLUMNS = ("Layer", "Neuron ID", "Candidate", *RULES)


def safe_cell(text: str) -> str:
    """Return `text` so that no spreadsheet reads it as a formula."""
    return f"'{text}" if text.startswith(_FORMULA_STARTS) else text


def description_files(descriptions: Sequence[Description]) -> dict[str, bytes]:
    """Return the CSV of each layer by file name, columns as the original release writes them.

    One layer gives ``descriptions.csv``; several give ``descriptions-<layer>.csv`` each.
    Neurons without a label keep their row, with empty cells.
    """
    layers = grouped(descriptions, lambda description: description.neuron.layer)
    files = {}
    for layer, in_layer in layers.items():
        rows = []
        for d in in_layer:
            labels = [safe_cell(label.text) for label in d.labels[:3]]
            rows.append([str(d.neuron.index), *labels, *[""] * (3 - len(labels))])
        name = "descriptions.csv" if len(layers) == 1 else f"descriptions-{layer}.csv"
        files[name] = _csv(DESCRIPTION_COLUMNS, rows)
    return files


def candidates_csv(scores: Iterable[Scores]) -> bytes:
    """Return every candidate of every neuron with the score of every rule, as CSV."""
    return _csv(
        CANDIDATE_COLUMNS,
        (
            [own.neuron.layer, str(own.neuron.index), safe_cell(candidate.text)]
            + [repr(candidate.score(rule)) for rule in RULES]
            for own in scores
            for candidate in own.candidates
        ),
    )


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


def _csv(columns: Sequence[str], rows: Iterable[Sequence[str]]) -> bytes:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(columns)
    writer.writerows(rows)
    return text.getvalue().encode("utf-8")
