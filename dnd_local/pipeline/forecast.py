"""What a dissection would cost: what is there, what is missing, time from measured rates, disk."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from typing import Any

from dnd_local.core.cards import Card
from dnd_local.core.config import Config, Execution
from dnd_local.core.records import Neuron
from dnd_local.pipeline.lab import Lab
from dnd_local.pipeline.plan import PICTURES, PLAN, picture_blocks, triages_of
from dnd_local.pipeline.selection import Selection
from dnd_local.pipeline.served import asks_language_model, check_language_model, settle
from dnd_local.pipeline.stage import Asked, Stage, roles_of
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
    are not known before they are drawn. `memory_bytes` is that of the largest engine;
    `how_to_get_them` is a line a way, empty where no weights are missing.
    """

    run: str
    stages: tuple[StageForecast, ...]
    pictures: int
    disk_bytes: int
    free_bytes: int
    memory_bytes: int
    missing_weights: tuple[str, ...]
    how_to_get_them: str


def forecast(
    config: Config, execution: Execution, selection: Selection, name: str = ""
) -> Forecast:
    """Return what a run would cost, opening the network only if its layers are not known yet.

    Raises:
        UserError: the run would fail at its language model, or at a layer or index.
    """
    name = name or default_name(config, selection.layers)
    config = settle(config, execution, name)
    lab = Lab(config, execution, execution.devices[0])
    absent = lab.missing_weights(roles_of(PLAN))
    if not lab.missing_weights(["language-model"]) and (
        absent or asks_language_model(lab, selection, ())
    ):
        check_language_model(config, execution, lab.weights)
    counts = _neuron_counts(lab, selection) if not absent else dict.fromkeys(selection.layers, 0)
    wanted = selection.resolve(counts) if not absent else {}
    neurons = [Neuron(config.network.name, layer, i) for layer, ids in wanted.items() for i in ids]
    asked = Asked(tuple(selection.layers), tuple(neurons))
    rates = measured_rates(execution)
    pictures = 0 if absent else _pictures(lab, asked)
    return Forecast(
        run=name,
        stages=tuple(_stage(lab, stage, asked, rates, bool(absent)) for stage in PLAN),
        pictures=pictures,
        disk_bytes=int(pictures * config.pictures.size**2 * PICTURE_BYTES),
        free_bytes=shutil.disk_usage(_existing(execution)).free,
        memory_bytes=lab.largest_memory(roles_of(PLAN)),
        missing_weights=absent,
        how_to_get_them=lab.weights.how_to_get(absent),
    )


def _pictures(lab: Lab, asked: Asked) -> int:
    """Return how many pictures are left to paint, at most."""
    known = PICTURES.missing(lab, PICTURES.items(lab, asked))
    blocks = picture_blocks(lab.config, [""])
    unknown = PICTURES.kind.unknown(lab, asked) // len(blocks) * lab.config.pictures.count
    return sum(item.count for item in known) + unknown


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
    triages = triages_of(lab, selection.layers)
    if len(triages) == len(selection.layers):
        return {layer: len(part.neurons) for layer, part in triages.items()}
    try:
        layers_of_target = lab.target.layers()
        selection.check(layers_of_target)
        return {layer.path: layer.neurons for layer in layers_of_target}
    finally:
        lab.close()


def _stage(
    lab: Lab, stage: Stage[Any], asked: Asked, rates: dict[str, float], blind: bool
) -> StageForecast:
    """Return one stage's forecast; without weights (`blind`) no key and no part is known."""
    if blind:
        known = stage.items(lab, asked) if stage.kind.follows == "layers" else []
        return _of(stage.name, len(known), 0, rates)
    items = stage.items(lab, asked)
    done = len(stage.there(lab, items))
    return _of(stage.name, len(items) + stage.kind.unknown(lab, asked), done, rates)


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
