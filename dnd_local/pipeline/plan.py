"""All stages on one screen, in the order they run; the method itself is in `stages/`."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from dnd_local.core.records import (
    Captions,
    Concepts,
    Exemplars,
    LayerTriage,
    Neuron,
    Phrases,
    Pictures,
    Responses,
    Scores,
)
from dnd_local.pipeline.lab import Lab
from dnd_local.pipeline.stage import Item, Stage, by_chunk, groups_of
from dnd_local.stages.captions import caption
from dnd_local.stages.concepts import conceive
from dnd_local.stages.exemplars import exemplify, top_images
from dnd_local.stages.phrases import simplify
from dnd_local.stages.pictures import paint
from dnd_local.stages.responses import respond
from dnd_local.stages.scores import score
from dnd_local.stages.triage import triage


def _responses(lab: Lab, items: Sequence[Item]) -> list[Responses]:
    chunk = items[0].index
    first = chunk * lab.config.probe.chunk
    indices = range(first, min(first + lab.config.probe.chunk, len(lab.probe)))
    layers = [item.layer for item in items]
    images = lab.read_ahead(indices)
    return respond(images, first, len(indices), layers, lab.target, lab.config.network.batch * 2)


RESPONSES = Stage(
    name="responses", version=1, record=Responses,
    settings=lambda c: (c.network, c.probe.chunk),
    roles=("target",), reads_probe=True, batches=by_chunk, run=_responses,
)  # fmt: skip


def responses_of(lab: Lab, layer: str) -> Iterator[Responses]:
    """Yield a layer's chunks of responses in order, one in memory at a time."""
    folder = RESPONSES.parts(lab)
    for chunk in range(lab.chunks):
        yield folder.read(Item.of_chunk(layer, chunk).name)


TRIAGE = Stage(
    name="triage", version=1, record=LayerTriage, needs=(RESPONSES,),
    settings=lambda c: (c.triage, c.ledger.triage), batches=groups_of(1),
    run=lambda lab, items: [
        triage(item.layer, responses_of(lab, item.layer), lab.config.triage, lab.config.ledger)
        for item in items
    ],
)  # fmt: skip


def _exemplars(lab: Lab, items: Sequence[Item]) -> list[Exemplars]:
    config, layer = lab.config, items[0].layer
    wanted = [item.index for item in items]
    top = top_images(responses_of(lab, layer), wanted, config.exemplars.images, lab.eligible)
    neurons = [Neuron(config.network.name, layer, index) for index in wanted]
    return exemplify(
        neurons, top, lab.target, lab.probe, lab.blobs, config.exemplars, config.ledger
    )


EXEMPLARS = Stage(
    name="exemplars", version=1, record=Exemplars, needs=(RESPONSES,),
    settings=lambda c: (
        c.exemplars, c.probe.holdout, c.seed if c.probe.holdout else 0,
        c.ledger.map_values, c.ledger.map_place, c.ledger.map_resize, c.ledger.crop_shape,
    ),
    roles=("target",), reads_probe=True, batches=groups_of(6), run=_exemplars,
)  # fmt: skip

CAPTIONS = Stage(
    name="captions", version=1, record=Captions, needs=(EXEMPLARS,),
    settings=lambda c: c.captions, roles=("captioner",), batches=groups_of(16),
    run=lambda lab, items: caption(EXEMPLARS.read(lab, items), lab.captioner, lab.blobs),
)  # fmt: skip

PHRASES = Stage(
    name="phrases", version=2, record=Phrases, needs=(CAPTIONS,),
    settings=lambda c: (c.llm, c.seed, c.ledger.wording, c.ledger.draws), roles=("language-model",),
    prompts=("simplify",), batches=groups_of(64),
    run=lambda lab, items: simplify(
        CAPTIONS.read(lab, items), lab.language_model, lab.prompts, lab.config.llm, lab.config.seed,
        lab.config.ledger,
    ),
)  # fmt: skip

CONCEPTS = Stage(
    name="concepts", version=2, record=Concepts, needs=(PHRASES,),
    settings=lambda c: (
        c.llm, c.concepts, c.seed, c.ledger.wording, c.ledger.top_up, c.ledger.draws,
    ),
    roles=("language-model",),
    prompts=("summarise", "merge"), batches=groups_of(64),
    run=lambda lab, items: conceive(
        PHRASES.read(lab, items), lab.language_model, lab.prompts, lab.config.llm,
        lab.config.concepts, lab.config.seed, lab.config.ledger,
    ),
)  # fmt: skip

PICTURES = Stage(
    name="pictures", version=1, record=Pictures,
    settings=lambda c: (c.pictures, c.seed, "select"), roles=("painter",), prompts=("picture",),
    batches=groups_of(8),
    run=lambda lab, items: paint(
        [item.text for item in items], lab.painter, lab.prompts, lab.blobs,
        lab.config.pictures.count, lab.config.seed,
    ),
)  # fmt: skip


def _scores(lab: Lab, items: Sequence[Item]) -> list[Scores]:
    batch = list(zip(EXEMPLARS.read(lab, items), CONCEPTS.read(lab, items), strict=True))
    texts = dict.fromkeys(c.text for _, concepts in batch for c in concepts.candidates)
    painted = PICTURES.read(lab, [Item.of_concept(text) for text in texts])
    pictures = dict(zip(texts, painted, strict=True))
    beta, ledger = lab.config.scores.beta, lab.config.ledger
    return score(batch, pictures, lab.target, lab.embedder, lab.blobs, beta, ledger)


SCORES = Stage(
    name="scores", version=1, record=Scores, needs=(EXEMPLARS, CONCEPTS, PICTURES),
    settings=lambda c: (c.scores.beta, c.clip, c.ledger.picture_size, c.ledger.cosine_over),
    roles=("target", "embedder"), batches=groups_of(4), run=_scores,
)  # fmt: skip

PLAN: tuple[Stage[Any], ...] = (
    RESPONSES, TRIAGE, EXEMPLARS, CAPTIONS, PHRASES, CONCEPTS, PICTURES, SCORES,
)  # fmt: skip
