"""What a dissection would cost: what is there, what is missing, time from measured rates, disk."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from typing import Any

from dnd_local.core.cards import Card
from dnd_local.core.config import Config, Execution
from dnd_local.pipeline.lab import Lab
from dnd_local.pipeline.plan import (
    CAPTIONS,
    CONCEPTS,
    EXEMPLARS,
    PHRASES,
    PLAN,
    RESPONSES,
    SCORES,
    TRIAGE,
)
from dnd_local.pipeline.selection import Selection
from dnd_local.pipeline.stage import Item, Stage, roles_of
from dnd_local.store.runs import RunFolder, default_name, run_names

PICTURE_BYTES = 1.6
"""Bytes a pixel of a stored picture, three channels, losslessly packed: a cautious figure."""


@dataclass(frozen=True, slots=True)
class StageForecast(Card):
    """One stage: items in all, how many are done, seconds for the rest (None: never measured)."""

    stage: str
    items: int
    done: int
    seconds: float | None


@dataclass(frozen=True, slots=True)
class Forecast(Card):
    """A whole run.

    `pictures` is an upper bound: candidates that neurons share are painted once, and repeats
    are not known before they are drawn. `memory_bytes` is that of the largest engine.
    """

    run: str
    stages: tuple[StageForecast, ...]
    pictures: int
    disk_bytes: int
    free_bytes: int
    memory_bytes: int
    missing_weights: tuple[str, ...]


def forecast(
    config: Config, execution: Execution, selection: Selection, name: str = ""
) -> Forecast:
    """Return what a run would cost, opening the network only if its layers are not known yet."""
    lab = Lab(config, execution, execution.devices[0])
    absent = lab.missing_weights(roles_of(PLAN))
    counts = _neuron_counts(lab, selection) if not absent else dict.fromkeys(selection.layers, 0)
    wanted = selection.resolve(counts) if not absent else {}
    items = {
        RESPONSES: [Item.of_chunk(x, i) for i in range(lab.chunks) for x in selection.layers],
        TRIAGE: [Item.of_layer(layer) for layer in selection.layers],
    }
    neurons = [Item(f"{layer}-{i:05d}", layer, i) for layer, ids in wanted.items() for i in ids]
    rates = measured_rates(execution)
    stages = [
        _stage(lab, stage, items.get(stage, neurons), rates, bool(absent))
        for stage in (RESPONSES, TRIAGE, EXEMPLARS, CAPTIONS, PHRASES, CONCEPTS)
    ]
    missing = len(neurons) if absent else len(SCORES.parts(lab).missing([i.name for i in neurons]))
    concepts = missing * config.concepts.count
    pictures = concepts * config.pictures.count
    stages.append(_of("pictures", concepts, 0, rates))
    stages.append(_of("scores", len(neurons), len(neurons) - missing, rates))
    return Forecast(
        run=name or default_name(config, selection.layers),
        stages=tuple(stages),
        pictures=pictures,
        disk_bytes=int(pictures * config.pictures.size**2 * PICTURE_BYTES),
        free_bytes=shutil.disk_usage(_existing(execution)).free,
        memory_bytes=lab.largest_memory(roles_of(PLAN)),
        missing_weights=absent,
    )


def measured_rates(execution: Execution) -> dict[str, float]:
    """Return seconds an item of each stage, from every run of this workspace that measured it."""
    seconds: dict[str, float] = {}
    counts: dict[str, int] = {}
    for name in run_names(execution.workspace):
        for stage, (took, made) in RunFolder(execution.workspace, name).measured().items():
            seconds[stage] = seconds.get(stage, 0.0) + took
            counts[stage] = counts.get(stage, 0) + made
    return {stage: seconds[stage] / counts[stage] for stage in seconds if counts[stage]}


def _neuron_counts(lab: Lab, selection: Selection) -> dict[str, int]:
    layers = [Item.of_layer(layer) for layer in selection.layers]
    if not TRIAGE.parts(lab).missing([item.name for item in layers]):
        return {own.layer: len(own.neurons) for own in TRIAGE.read(lab, layers)}
    try:
        found = lab.target.layers()
        selection.check(found)
        return {layer.path: layer.neurons for layer in found}
    finally:
        lab.close()


def _stage(
    lab: Lab, stage: Stage[Any], items: list[Item], rates: dict[str, float], blind: bool
) -> StageForecast:
    if blind:
        return _of(stage.name, len(items), 0, rates)
    missing = stage.parts(lab).missing([item.name for item in items])
    return _of(stage.name, len(items), len(items) - len(missing), rates)


def _of(stage: str, items: int, done: int, rates: dict[str, float]) -> StageForecast:
    rate = rates.get(stage)
    left = items - done
    return StageForecast(stage, items, done, 0.0 if not left else rate and round(rate * left, 1))


def _existing(execution: Execution) -> str:
    """Return the nearest folder of the workspace that exists already."""
    folder = execution.workspace.absolute()
    while not folder.exists():
        folder = folder.parent
    return str(folder)
