"""Which labels are judged on a run: rows with their layer, of neurons that the run has."""

from __future__ import annotations

from dataclasses import replace

import msgspec

from dnd_local.core.descriptions import DescriptionRow, DescriptionTable
from dnd_local.core.errors import UnknownName, UserError
from dnd_local.pipeline.lab import Lab
from dnd_local.pipeline.reading import OUTDATED, StoredRun


def on_devices(run: StoredRun, devices: tuple[str, ...]) -> StoredRun:
    """Return the run with engines that open on these devices, in this process."""
    execution = msgspec.structs.replace(run.lab.execution, devices=devices)
    return StoredRun(run.record, run.folder, Lab(run.record.config, execution, devices[0]))


def placed(run: StoredRun, labels: DescriptionTable) -> DescriptionTable:
    """Return labels with their layer: where they name none and the run has one, it is that."""
    known = run.record.neurons
    only = next(iter(known)) if len(known) == 1 else ""
    rows = tuple(replace(row, layer=row.layer or only) for row in labels.rows)
    return DescriptionTable(labels.describer, rows)


def of_layer(run: StoredRun, labels: DescriptionTable, layer: str) -> DescriptionTable:
    """Return the labels of one layer of the run, or all where none is named.

    Raises:
        UnknownName: the run has no such layer.
    """
    if not layer:
        return labels
    if layer not in run.record.neurons:
        raise UnknownName("layer", layer, run.record.neurons, f"Run '{run.record.name}' has these.")
    return labels.of_layer(layer)


def rows_of_run(run: StoredRun, labels: DescriptionTable) -> list[DescriptionRow]:
    """Return the rows with a label whose neuron the run has."""
    known = run.record.neurons
    rows = [
        row
        for row in placed(run, labels).rows
        if row.labels and row.neuron in known.get(row.layer, ())
    ]
    if not rows and run.outdated():
        raise UserError(
            f"run '{run.record.name}' has no labels to judge: {OUTDATED}; the same dissect command "
            "describes its neurons again"
        )
    if not rows:
        raise UserError(
            f"{labels.describer} has no label for a neuron of run '{run.record.name}' "
            f"(layers {', '.join(known)})"
        )
    return rows
