"""All stages on one screen, in the order they run; the method itself is in `stages/`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from typing import Any, Final

import msgspec

from dnd_local.core.config import Config
from dnd_local.core.config_reading import as_before
from dnd_local.core.racing import judge_round, pictures_by_round
from dnd_local.core.records import (
    Captions,
    Concepts,
    Exemplars,
    LayerTriage,
    Neuron,
    Phrases,
    PicturePurpose,
    Pictures,
    RaceRound,
    Responses,
    Scores,
)
from dnd_local.core.sequences import distinct
from dnd_local.pipeline.lab import Lab
from dnd_local.pipeline.race_rounds import Race, blocks, picture_blocks, races
from dnd_local.pipeline.stage import (
    Asked,
    Item,
    Kind,
    Stage,
    by_chunk,
    by_painted_batch,
    groups_of,
    neuron_of,
)
from dnd_local.stages.captions import caption
from dnd_local.stages.concepts import conceive
from dnd_local.stages.exemplars import exemplify, top_images
from dnd_local.stages.phrases import simplify
from dnd_local.stages.pictures import join_blocks, paint
from dnd_local.stages.responses import respond
from dnd_local.stages.scores import score
from dnd_local.stages.triage import triage


def _chunks(lab: Lab, asked: Asked) -> list[Item]:
    return [Item.of_chunk(layer, i) for i in range(lab.chunks) for layer in asked.layers]


def _layers(lab: Lab, asked: Asked) -> list[Item]:
    return [Item.of_layer(layer) for layer in asked.layers]


def _live_neurons(lab: Lab, asked: Asked) -> list[Item]:
    """List the neurons worth describing; before triage that may be every one."""
    layers = tuple(distinct(neuron.layer for neuron in asked.neurons))
    triages = triages_of(lab, layers)
    return [
        Item.of_neuron(neuron)
        for neuron in asked.neurons
        if neuron.layer not in triages
        or triages[neuron.layer].neurons[neuron.index].verdict == "live"
    ]


def _races(lab: Lab, asked: Asked) -> list[Race]:
    """Return the race of every neuron whose candidates are known."""
    # Only live neurons have concepts, so the triage need not be read again for each neuron.
    known = CONCEPTS.there(lab, [Item.of_neuron(neuron) for neuron in asked.neurons])
    return races(lab, RACE, CONCEPTS.read(lab, known))


def _candidate_pictures(lab: Lab, asked: Asked) -> list[Item]:
    """List the pictures of every candidate concept that are known to be wanted, in blocks."""
    return blocks(pair for race in _races(lab, asked) for pair in race.counts.items())


def _unknown_neurons(lab: Lab, asked: Asked) -> int:
    return len(CONCEPTS.missing(lab, _live_neurons(lab, asked)))


def _unknown_pictures(lab: Lab, asked: Asked) -> int:
    every = lab.config.concepts.count * len(picture_blocks(lab.config, [""]))
    later = sum(race.unpainted() for race in _races(lab, asked)) if RACE.when(lab.config) else 0
    return _unknown_neurons(lab, asked) * every + later


def _race_rounds(lab: Lab, asked: Asked) -> list[Item]:
    return [item for race in _races(lab, asked) for item in race.items()]


def _unknown_rounds(lab: Lab, asked: Asked) -> int:
    by_round = pictures_by_round(lab.config.scores.race, lab.config.pictures.count)
    later = sum(max(race.left - 1, 0) for race in _races(lab, asked))
    return _unknown_neurons(lab, asked) * (len(by_round) - 1) + later


CHUNK: Final = Kind(_chunks, follows="layers")
LAYER: Final = Kind(_layers, follows="layers")
NEURON: Final = Kind(_live_neurons, single=True)
PICTURE_BLOCK: Final = Kind(_candidate_pictures, _unknown_pictures)
RACE_ROUND: Final = Kind(_race_rounds, _unknown_rounds)


def _responses(lab: Lab, items: Sequence[Item]) -> list[Responses]:
    chunk = items[0].index
    first = chunk * lab.config.probe.chunk
    indices = range(first, min(first + lab.config.probe.chunk, len(lab.probe)))
    layers = [item.layer for item in items]
    images = lab.read_ahead_as_seen(indices)
    return respond(images, first, len(indices), layers, lab.target, lab.config.network.batch * 2)


RESPONSES = Stage(
    name="responses", title="responses: the network over the probe set", kind=CHUNK, on_demand=True,
    version=1, record=Responses,
    settings=lambda c: (as_before("network", c.network), c.probe.chunk),
    roles=("target",), reads_probe=True, batches=by_chunk, run=_responses,
)  # fmt: skip


def responses_of(lab: Lab, layer: str) -> Iterator[Responses]:
    """Yield a layer's chunks of responses in order, one in memory at a time."""
    folder = RESPONSES.parts(lab)
    for chunk in range(lab.chunks):
        yield folder.read(Item.of_chunk(layer, chunk).name)


TRIAGE = Stage(
    name="triage", title="triage: live, dead, constant, duplicate", kind=LAYER,
    version=1, record=LayerTriage, needs=(RESPONSES,),
    settings=lambda c: (c.triage, c.ledger.triage), batches=groups_of(1),
    run=lambda lab, items: [
        triage(
            item.layer, partial(responses_of, lab, item.layer), lab.config.triage, lab.config.ledger
        )
        for item in items
    ],
)  # fmt: skip


def triages_of(lab: Lab, layers: Sequence[str]) -> dict[str, LayerTriage]:
    """Return the triage of each layer that has one."""
    items = TRIAGE.there(lab, TRIAGE.items(lab, Asked(tuple(layers))))
    return {part.layer: part for part in TRIAGE.read(lab, items)}


def _exemplars(lab: Lab, items: Sequence[Item]) -> list[Exemplars]:
    config, layer = lab.config, items[0].layer
    wanted = [item.index for item in items]
    top = top_images(responses_of(lab, layer), wanted, config.exemplars.images, lab.eligible)
    neurons = [Neuron(config.network.name, layer, index) for index in wanted]
    return exemplify(
        neurons, top, lab.target, lab.seen_probe, lab.blobs, config.exemplars, config.ledger
    )


EXEMPLARS = Stage(
    name="exemplars", title="exemplars: top images and crops", kind=NEURON,
    version=1, record=Exemplars, needs=(RESPONSES,),
    settings=lambda c: (
        as_before("exemplars", c.exemplars), c.probe.holdout, c.seed if c.probe.holdout else 0,
        c.ledger.map_values, c.ledger.map_place, c.ledger.map_resize, c.ledger.crop_shape,
    ),
    roles=("target",), reads_probe=True, batches=groups_of(6), at_once=3, run=_exemplars,
)  # fmt: skip

CAPTIONS = Stage(
    name="captions", title="captions", kind=NEURON,
    version=1, record=Captions, needs=(EXEMPLARS,),
    settings=lambda c: c.captions, roles=("captioner",), batches=groups_of(16), at_once=3,
    run=lambda lab, items: caption(EXEMPLARS.read(lab, items), lab.captioner, lab.blobs),
)  # fmt: skip

PHRASES = Stage(
    name="phrases", title="phrases: captions cut short", kind=NEURON,
    version=2, record=Phrases, needs=(CAPTIONS,),
    settings=lambda c: (c.llm, c.seed, c.ledger.wording, c.ledger.draws), roles=("language-model",),
    prompts=("simplify",), batches=groups_of(64), at_once=4,
    run=lambda lab, items: simplify(
        CAPTIONS.read(lab, items), lab.language_model, lab.prompts, lab.config.llm, lab.config.seed,
        lab.config.ledger,
    ),
)  # fmt: skip

CONCEPTS = Stage(
    name="concepts", title="concepts: candidate labels", kind=NEURON,
    version=3, record=Concepts, needs=(PHRASES,),
    settings=lambda c: (
        c.llm, c.concepts, c.seed, c.ledger.wording, c.ledger.top_up, c.ledger.draws,
    ),
    roles=("language-model",),
    prompts=("summarise", "merge"), batches=groups_of(64), at_once=4,
    run=lambda lab, items: conceive(
        PHRASES.read(lab, items), lab.language_model, lab.prompts, lab.config.llm,
        lab.config.concepts, lab.config.seed, lab.config.ledger,
    ),
)  # fmt: skip


def paint_blocks(lab: Lab, items: Sequence[Item], purpose: PicturePurpose) -> list[Pictures]:
    """Return the pictures of each block, painted for `purpose`."""
    blocks = [(item.text, range(item.index, item.index + item.count)) for item in items]
    config = lab.config
    return paint(
        blocks, lab.painter, lab.prompts, lab.blobs, config.seed, purpose, config.pictures.quality
    )


def painted_alike(config: Config, purpose: PicturePurpose) -> Any:
    """Return what can change a picture: all its settings but how many pictures are asked for."""
    pictures = as_before("pictures", msgspec.structs.replace(config.pictures, count=1))
    return (pictures, config.seed, purpose)


PICTURES = Stage(
    name="pictures", title="pictures: painting the candidates", kind=PICTURE_BLOCK,
    join=join_blocks, version=2, record=Pictures,
    settings=lambda c: painted_alike(c, "select"), roles=("painter",), prompts=("picture",),
    batches=by_painted_batch, at_once=3, run=lambda lab, items: paint_blocks(lab, items, "select"),
)  # fmt: skip


def _scores(
    lab: Lab, items: Sequence[Item], before: Mapping[Neuron, int] | None = None
) -> list[tuple[Race, Scores]]:
    """Return each neuron's race and the scores of its pictures so far; see `races` for `before`."""
    batch = list(zip(EXEMPLARS.read(lab, items), CONCEPTS.read(lab, items), strict=True))
    raced = races(lab, RACE, [concepts for _, concepts in batch], before)
    counts = [race.counts for race in raced]
    parts = PICTURES.read(lab, blocks(pair for each in counts for pair in each.items()))
    scored = score(
        batch, {one.concept: one for one in join_blocks(parts)}, lab.target, lab.embedder,
        lab.blobs, lab.config.scores.beta, lab.config.ledger, counts, lab.config.pictures.count,
    )  # fmt: skip
    return list(zip(raced, scored, strict=True))


def _race(lab: Lab, items: Sequence[Item]) -> list[RaceRound]:
    before = {neuron_of(lab, item): item.round for item in items}
    scored = _scores(lab, [Item.of_neuron(neuron) for neuron in before], before)
    config = lab.config
    return [
        judge_round(
            scores, race.running, config.scores.rule, config.scores.beta, config.pictures.count,
            config.seed,
        )
        for race, scores in scored
    ]  # fmt: skip


RACE = Stage(
    name="race", title="race: who gets more pictures", kind=RACE_ROUND,
    version=1, record=RaceRound, needs=(EXEMPLARS, CONCEPTS, PICTURES),
    settings=lambda c: (
        c.scores.race, c.scores.rule, c.scores.beta, c.clip, c.pictures.count, c.seed,
        c.ledger.picture_size,
    ),
    roles=("target", "embedder"), batches=groups_of(4), at_once=3, run=_race,
    when=lambda c: c.scores.race > 0, back_to=PICTURES,
)  # fmt: skip

SCORES = Stage(
    name="scores", title="scores: which candidate fits", kind=NEURON,
    version=1, record=Scores, needs=(EXEMPLARS, CONCEPTS, PICTURES, RACE),
    settings=lambda c: (
        c.scores.beta, c.clip, c.pictures.count, c.ledger.picture_size, c.ledger.cosine_over,
    ),
    roles=("target", "embedder"), batches=groups_of(4), at_once=3,
    run=lambda lab, items: [scores for _, scores in _scores(lab, items)],
)  # fmt: skip

PLAN: tuple[Stage[Any], ...] = (
    RESPONSES, TRIAGE, EXEMPLARS, CAPTIONS, PHRASES, CONCEPTS, PICTURES, RACE, SCORES,
)  # fmt: skip
"""Every stage; `plan_of` leaves out those that the settings do not ask for."""


def plan_of(config: Config) -> tuple[Stage[Any], ...]:
    """Return the stages of a run under these settings, in order."""
    return tuple(stage for stage in PLAN if stage.when(config))
