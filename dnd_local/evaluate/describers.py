"""A describer by the name that a user gives: a file, class names, a pack, or a run."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from dnd_local.core.descriptions import DescriptionRow, DescriptionTable
from dnd_local.evaluate.packs import is_pack, read_pack
from dnd_local.evaluate.tables import ReadTable, read_table
from dnd_local.evaluate.text_truth import read_classes
from dnd_local.pipeline.reading import StoredRun, open_run


def open_describer(
    name: str, layer: str = "", workspace: Path | None = None, weights: Path | None = None
) -> ReadTable:
    """Return a describer's table: a file where there is one (class names: .txt), a pack where
    there is a folder of one, else a run.

    Raises:
        UserError: neither a file nor a run, or a file in no known format.
    """
    path = Path(name)
    if path.suffix.lower() == ".txt":
        return read_classes(path, layer)
    if path.is_file() or path.suffix.lower() in (".csv", ".tsv"):
        return read_table(path, layer)
    if is_pack(path):
        return read_pack(path, layer)
    table = table_of_run(open_run(run_name(name), workspace, weights))
    if layer:
        table = table.of_layer(layer)
    return ReadTable(table, name, "a run of this workspace")


def run_name(describer: str) -> str:
    """Return the run that a describer's name means: ``RUN``, or ``RUN/DESCRIBER``.

    What another describer made of a run is a run of its own, named after both.
    """
    return describer.replace("/", "-")


def table_of_run(run: StoredRun) -> DescriptionTable:
    """Return a run's labels as a table, its name the describer."""
    rows = tuple(
        DescriptionRow(
            describer=run.record.name,
            target=described.neuron.target,
            layer=described.neuron.layer,
            neuron=described.neuron.index,
            labels=tuple(label.text for label in described.labels),
            scores=tuple(label.score for label in described.labels),
            status=described.status,
        )
        for described in run.descriptions()
    )
    return DescriptionTable(run.record.name, rows)


def constant_word(word: str, like: DescriptionTable) -> ReadTable:
    """Return a describer that says one word of every neuron that `like` has a label for."""
    rows = tuple(
        replace(row, describer=word, labels=(word,), scores=()) for row in like.rows if row.labels
    )
    return ReadTable(DescriptionTable(word, rows), f"the word '{word}'", "one word")


def distinct_names(names: Sequence[str]) -> list[str]:
    """Return the names, numbered where two are the same."""
    return [
        name if names.count(name) == 1 else f"{name} ({names[: i + 1].count(name)})"
        for i, name in enumerate(names)
    ]
