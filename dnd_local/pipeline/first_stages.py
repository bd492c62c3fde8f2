"""The stages from images to candidate concepts, and those that look at less exciting images."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial
from typing import Any, Final
from weakref import WeakKeyDictionary

import msgspec

from dnd_local.core.config import Config
from dnd_local.core.config_reading import as_before
from dnd_local.core.records import (
    Captions,
    Concepts,
    Exemplars,
    LayerTriage,
    Neuron,
    Phrases,
    Responses,
)
from dnd_local.core.sequences import distinct
from dnd_local.pipeline.lab import Lab
from dnd_local.pipeline.stage import Asked, Item, Kind, Stage, by_chunk, groups_of
from dnd_local.pipeline.top_windows import TopWindows
from dnd_local.stages.captions import caption
from dnd_local.stages.concepts import conceive
from dnd_local.stages.exemplars import exemplify, top_images
from dnd_local.stages.phrases import simplify
from dnd_local.stages.responses import respond
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


CHUNK: Final = Kind(_chunks, follows="layers")
LAYER: Final = Kind(_layers, follows="layers")
NEURON: Final = Kind(_live_neurons, single=True)


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
    roles=("target",), reads_probe=True, batches=by_chunk, at_once=2, run=_responses,
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


_TOPS: Final = WeakKeyDictionary[Lab, TopWindows]()


def _tops(lab: Lab) -> TopWindows:
    """Return what is known of top images for as long as a lab is at work."""
    return _TOPS.setdefault(lab, TopWindows())


def _expect_exemplars(lab: Lab, items: Sequence[Item]) -> None:
    _tops(lab).expect((item.layer, item.index) for item in items)


def _exemplars(lab: Lab, items: Sequence[Item]) -> list[Exemplars]:
    config, layer = lab.config, items[0].layer
    wanted = [item.index for item in items]

    def find(neurons: Sequence[int]) -> list[list[int]]:
        chunks = responses_of(lab, layer)
        return top_images(chunks, neurons, config.exemplars.images, lab.eligible)

    top = _tops(lab).of(layer, wanted, find)
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
    expects=_expect_exemplars,
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


def first_asked(config: Config) -> dict[str, Any]:
    """Return the settings of the first candidates: what is proposed later changes none of them."""
    return as_before(
        "concepts", msgspec.structs.replace(config.concepts, rounds=0, contrast=0, meanings=1)
    )


CONCEPTS = Stage(
    name="concepts", title="concepts: candidate labels", kind=NEURON,
    version=3, record=Concepts, needs=(PHRASES,),
    settings=lambda c: (
        c.llm, first_asked(c), c.seed, c.ledger.wording, c.ledger.top_up, c.ledger.draws,
    ),
    roles=("language-model",),
    prompts=("summarise", "merge"), batches=groups_of(64), at_once=4,
    run=lambda lab, items: conceive(
        PHRASES.read(lab, items), lab.language_model, lab.prompts, lab.config.llm,
        lab.config.concepts, lab.config.seed, lab.config.ledger,
    ),
)  # fmt: skip
