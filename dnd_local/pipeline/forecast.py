"""What a dissection would cost: what is there, what is missing, time from measured rates, disk."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Final

from dnd_local.core.cards import Card
from dnd_local.core.config import Config, Execution, PicturesConfig
from dnd_local.core.racing import BLOCK, pictures_by_round
from dnd_local.core.records import Neuron
from dnd_local.pipeline.lab import Lab
from dnd_local.pipeline.plan import (
    PICTURES,
    PLAN,
    RACE,
    RESPONSES,
    TRIAGE,
    plan_of,
    proposing,
    triages_of,
)
from dnd_local.pipeline.race_rounds import picture_blocks
from dnd_local.pipeline.selection import Selection
from dnd_local.pipeline.served import asks_language_model, check_language_model, settle
from dnd_local.pipeline.stage import Asked, Stage, roles_of
from dnd_local.store.naming import default_name
from dnd_local.store.runs import RunFolder, run_names

PICTURE_BYTES = 1.6
"""Bytes a pixel of a stored picture, three channels, losslessly packed: a cautious figure."""

LOSSY_BYTES = 0.4
"""The same as WebP, whatever its quality (`scripts/bench/disk.py`)."""

PUBLISHED_PAINTERS: Final = ("sd14", "sd15")
"""The painters that the published figure is about: they cost the same."""

PUBLISHED_SECONDS: Final = 38.8 / (5 * 10 * 50)
"""Seconds a denoising step of a picture of 512 x 512 on one V100: the authors of
Describe-and-Dissect (Bai et al., TMLR 2025) give 38.8 s a neuron, with 5 candidates of 10 pictures
of 50 steps, nearly all of it painting."""

PUBLISHED: Final = "published: 38.8 s a neuron on one V100 (Bai et al. 2025), newer GPUs are faster"


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
    are not known before they are drawn. `memory_bytes` is that of the largest engine. `files` and
    `disk_bytes` are what will be written, roughly. `neurons` is None where how many a layer has
    is not known before the weights are here; then all that follows from it is for one.

    `seconds` is the time of one device for all that is left, as far as it is known, by
    `rates`: which stages were measured here and where the painter's figure comes from. `shorter`
    are options with the seconds that would be left with each. `missing` has a line for whatever
    is not here.
    """

    run: str
    stages: tuple[StageForecast, ...]
    pictures: int
    disk_bytes: int
    free_bytes: int
    memory_bytes: int
    missing_weights: tuple[str, ...]
    missing: tuple[str, ...] = ()
    neurons: int | None = 0
    files: int = 0
    seconds: float | None = None
    rates: str = ""
    shorter: tuple[tuple[str, float], ...] = ()


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
    roles = roles_of(plan_of(config))
    missing = lab.missing(roles)
    if not lab.missing_weights(["language-model"]) and (
        missing or asks_language_model(lab, selection, ())
    ):
        check_language_model(config, execution, lab.weights)
    rates = measured_rates(config, execution)
    work = _blind(config, selection, rates) if missing else _seeing(lab, selection, rates)
    pictures = work.pictures
    seconds, source = _time(config, work, rates)
    return replace(
        work,
        run=name,
        disk_bytes=work.disk_bytes + int(pictures * _picture_bytes(config.pictures)),
        free_bytes=shutil.disk_usage(_existing(execution)).free,
        memory_bytes=lab.largest_memory(roles),
        missing_weights=lab.missing_weights(roles),
        missing=missing,
        files=sum(stage.items - stage.done for stage in work.stages)
        + pictures
        + (work.neurons or 1) * config.exemplars.count,
        seconds=seconds,
        rates=source,
        shorter=_shorter(config, work, seconds, rates),
    )


def _seeing(lab: Lab, selection: Selection, rates: Mapping[str, float]) -> Forecast:
    """Return stages, pictures, neurons, and bytes of responses of a run that lacks nothing."""
    counts = _neuron_counts(lab, selection)
    target = lab.config.network.name
    neurons = [
        Neuron(target, layer, i) for layer, ids in selection.resolve(counts).items() for i in ids
    ]
    asked = Asked(tuple(selection.layers), tuple(neurons))
    stages = tuple(_stage(lab, stage, asked, rates) for stage in plan_of(lab.config))
    read = next(one for one in stages if one.stage == RESPONSES.name)
    share = (read.items - read.done) / (read.items or 1)
    values = len(lab.probe) * sum(counts[layer] for layer in selection.layers)
    return Forecast("", stages, _pictures(lab, asked), int(2 * values * share), 0, 0, (),
                    neurons=len(neurons))  # fmt: skip


def _blind(config: Config, selection: Selection, rates: Mapping[str, float]) -> Forecast:
    """Return the same of a run that lacks something, so that no key and no part is known."""
    chosen = None if selection.ids is None else len(selection.ids) * len(selection.layers)
    neurons = chosen or 1
    proposals = sum(stage.when(config) for stage in proposing())
    concepts = neurons * config.concepts.count * proposals
    items = {
        RESPONSES.kind: 0,
        TRIAGE.kind: len(selection.layers),
        PICTURES.kind: concepts * len(picture_blocks(config, [""])),
        RACE.kind: neurons
        * (len(pictures_by_round(config.scores.race, config.pictures.count)) - 1),
    }
    plan = plan_of(config)
    stages = tuple(_of(stage.name, items.get(stage.kind, neurons), 0, rates) for stage in plan)
    return Forecast("", stages, concepts * config.pictures.count, 0, 0, 0, (), neurons=chosen)


def _picture_bytes(pictures: PicturesConfig) -> float:
    """Return the bytes that a picture takes on disk."""
    return pictures.size**2 * (LOSSY_BYTES if pictures.quality else PICTURE_BYTES)


def _time(config: Config, work: Forecast, rates: Mapping[str, float]) -> tuple[float | None, str]:
    """Return the seconds that one device needs, as far as they are known, and by which rates."""
    known = [stage.seconds for stage in work.stages if stage.seconds is not None]
    if PICTURES.name in rates or not work.pictures:
        return sum(known), "measured in this workspace"
    if config.pictures.model not in PUBLISHED_PAINTERS:
        return None, ""
    return sum(known) + _published(config, work.pictures), PUBLISHED


def _published(config: Config, pictures: int) -> float:
    """Return the seconds of painting by the published figure, scaled by steps and pixels."""
    work = pictures * config.pictures.steps * (config.pictures.size / 512) ** 2
    return PUBLISHED_SECONDS * work


def _shorter(
    config: Config, work: Forecast, seconds: float | None, rates: Mapping[str, float]
) -> tuple[tuple[str, float], ...]:
    """Return options that shorten the painting, with the seconds left under each."""
    painting = next(stage.seconds for stage in work.stages if stage.stage == PICTURES.name)
    if painting is None and seconds is not None:
        painting = _published(config, work.pictures)
    if not painting or seconds is None:
        return ()
    steps, count = config.pictures.steps, config.pictures.count
    shares = {"--pictures-steps 20": 20 / steps, "--pictures-count 5": 5 / count}
    return tuple(
        (option, round(seconds - painting * (1 - share), 1))
        for option, share in shares.items()
        if share < 1
    )


def _pictures(lab: Lab, asked: Asked) -> int:
    """Return how many pictures are left to paint, at most."""
    known = PICTURES.missing(lab, PICTURES.items(lab, asked))
    whole = len(picture_blocks(lab.config, [""]))
    concepts, rest = divmod(PICTURES.kind.unknown(lab, asked), whole)
    unknown = concepts * lab.config.pictures.count + rest * BLOCK
    return sum(item.count for item in known) + unknown


def measured_rates(config: Config, execution: Execution) -> dict[str, float]:
    """Return seconds an item of each stage, from the runs of this workspace that measured it.

    A run counts for a stage that it had with the same settings and on the same kind of device.
    """
    seconds: dict[str, float] = {}
    counts: dict[str, int] = {}
    on_cpu = execution.devices == ("cpu",)
    for name in run_names(execution.workspace):
        folder = RunFolder(execution.workspace, name)
        record = folder.read()
        if record.devices and (record.devices == ("cpu",)) != on_cpu:
            continue
        measured = folder.measured()
        for stage in PLAN:
            if stage.name in measured and stage.settings(record.config) == stage.settings(config):
                took, count = measured[stage.name]
                seconds[stage.name] = seconds.get(stage.name, 0.0) + took
                counts[stage.name] = counts.get(stage.name, 0) + count
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


def _stage(lab: Lab, stage: Stage[Any], asked: Asked, rates: Mapping[str, float]) -> StageForecast:
    items = stage.items(lab, asked)
    done = len(stage.there(lab, items))
    return _of(stage.name, len(items) + stage.kind.unknown(lab, asked), done, rates)


def _of(stage: str, items: int, done: int, rates: Mapping[str, float]) -> StageForecast:
    rate = rates.get(stage)
    left = items - done
    return StageForecast(stage, items, done, 0.0 if not left else rate and round(rate * left, 1))


def _existing(execution: Execution) -> str:
    """Return the nearest folder of the workspace that exists already."""
    folder = execution.workspace.absolute()
    while not folder.exists():
        folder = folder.parent
    return str(folder)
