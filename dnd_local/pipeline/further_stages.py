"""Stages that only an option asks for: images that excite less, exemplars in groups."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

from dnd_local.core.config import Config
from dnd_local.core.contrasts import Contrasts
from dnd_local.core.meanings import ExemplarGroups
from dnd_local.core.records import Captions, Concepts, Neuron, Responses, SkippedImage
from dnd_local.engines.clusters import clusters
from dnd_local.pipeline.first_stages import (
    CONCEPTS,
    EXEMPLARS,
    NEURON,
    PHRASES,
    RESPONSES,
    responses_of,
)
from dnd_local.pipeline.lab import Lab
from dnd_local.pipeline.stage import Item, Stage, groups_of
from dnd_local.stages.captions import caption_images
from dnd_local.stages.concepts import Asking, conceive
from dnd_local.stages.contrasts import contrast, embed_in_groups, parted
from dnd_local.stages.meanings import group, phrases_of
from dnd_local.stages.rounds import in_lines
from dnd_local.store.probe_subset import draw

# ---- images that excite less -------------------------------------------------------------------

DRAWN: Final = 1000
"""Probe images among which those that excite less are looked for, drawn by the seed."""

MIDDLING: Final = 5
"""Middling images that are captioned, and cold ones where no number is asked for."""


def looks_at_less(config: Config) -> bool:
    """Return whether captions of images that excite less are asked for."""
    return bool(config.concepts.contrast or config.concepts.rounds)


def _cold(config: Config) -> int:
    return config.concepts.contrast or MIDDLING


def _contrasts(lab: Lab, items: Sequence[Item]) -> list[Contrasts]:
    places = draw("contrast", lab.config.seed, lab.probe.digest, len(lab.probe))
    order = [int(i) for i in np.argsort(places, kind="stable") if lab.eligible[i]]
    wanted = np.sort(order[:DRAWN])
    columns = [item.index for item in items]
    values = np.concatenate([
        chunk.values[wanted[_within(wanted, chunk)] - chunk.first][:, columns]
        for chunk in responses_of(lab, items[0].layer)
    ])  # fmt: skip
    usable = ~np.isnan(values).any(axis=1)
    drawn = [int(i) for i in wanted[usable]]
    pictures = (image for _, image in lab.read_ahead(drawn) if not isinstance(image, SkippedImage))
    vectors = embed_in_groups(pictures, lab.embedder)
    return contrast(
        EXEMPLARS.read(lab, items), drawn, values[usable], vectors, lab.probe, lab.embedder,
        lab.blobs, _cold(lab.config), MIDDLING,
    )  # fmt: skip


def _within(indices: NDArray[np.intp], chunk: Responses) -> NDArray[np.bool_]:
    """Return which images a chunk of responses covers, shape (n_indices,)."""
    return (indices >= chunk.first) & (indices < chunk.first + len(chunk.values))


CONTRASTS = Stage(
    name="contrasts", title="contrasts: images that excite less", kind=NEURON,
    version=1, record=Contrasts, needs=(RESPONSES, EXEMPLARS), when=looks_at_less,
    settings=lambda c: (_cold(c), c.clip, c.seed), roles=("embedder",), reads_probe=True,
    batches=groups_of(64), run=_contrasts,
)  # fmt: skip

CONTRAST_CAPTIONS = Stage(
    name="contrast-captions", title="contrast-captions: of images that excite less", kind=NEURON,
    version=1, record=Captions, needs=(CONTRASTS,), when=looks_at_less,
    settings=lambda c: c.captions, roles=("captioner",), batches=groups_of(16), at_once=3,
    run=lambda lab, items: caption_images(
        [(part.neuron, part.images) for part in CONTRASTS.read(lab, items)],
        lab.captioner, lab.blobs,
    ),
)  # fmt: skip


def captions_of_less(
    lab: Lab, items: Sequence[Item]
) -> list[tuple[tuple[str, ...], tuple[str, ...]]]:
    """Return the captions of each neuron's cold and of its middling images."""
    parts = zip(CONTRASTS.read(lab, items), CONTRAST_CAPTIONS.read(lab, items), strict=True)
    return [parted(contrasts, captions) for contrasts, captions in parts]


def _contrasted(lab: Lab, items: Sequence[Item]) -> list[Concepts]:
    known = [frozenset(c.text for c in part.candidates) for part in CONCEPTS.read(lab, items)]
    asking = [
        Asking("contrast", {"others": in_lines(cold)}, labels, ("contrast",))
        for (cold, _), labels in zip(captions_of_less(lab, items), known, strict=True)
    ]
    return conceive(
        PHRASES.read(lab, items), lab.language_model, lab.prompts, lab.config.llm,
        lab.config.concepts, lab.config.seed, lab.config.ledger, asking,
    )  # fmt: skip


CONTRASTED = Stage(
    name="contrasted", title="contrasted: candidates that exclude cold images", kind=NEURON,
    version=1, record=Concepts, needs=(PHRASES, CONCEPTS, CONTRASTS, CONTRAST_CAPTIONS),
    when=lambda c: c.concepts.contrast > 0, settings=CONCEPTS.settings, roles=("language-model",),
    prompts=("contrast", "merge"), batches=groups_of(64), at_once=4, run=_contrasted,
)  # fmt: skip


# ---- several meanings --------------------------------------------------------------------------

MOST_MEANINGS: Final = 4


def has_meanings(config: Config) -> bool:
    """Return whether several meanings of a neuron are looked for."""
    return config.concepts.meanings > 1


GROUPS = Stage(
    name="groups", title="groups: exemplars that look alike", kind=NEURON,
    version=1, record=ExemplarGroups, needs=(EXEMPLARS,), when=has_meanings,
    settings=lambda c: (c.concepts.meanings, c.clip), roles=("embedder",), batches=groups_of(64),
    run=lambda lab, items: group(
        EXEMPLARS.read(lab, items), lab.embedder, lab.blobs, lab.config.concepts.meanings, clusters
    ),
)  # fmt: skip


def _of_group(lab: Lab, items: Sequence[Item], number: int) -> list[Concepts]:
    """Return the candidates of group `number` of each neuron, none where it has no such group."""
    pairs = zip(PHRASES.read(lab, items), GROUPS.read(lab, items), strict=True)
    shown = [phrases_of(phrases, groups, number) for phrases, groups in pairs]
    batch = [phrases for phrases in shown if phrases is not None]
    proposed = conceive(
        batch, lab.language_model, lab.prompts, lab.config.llm, lab.config.concepts,
        lab.config.seed, lab.config.ledger, [Asking(about=("group", number))] * len(batch),
    )  # fmt: skip
    new = {concepts.neuron: concepts for concepts in proposed}
    target = lab.config.network.name
    neurons = [Neuron(target, item.layer, item.index) for item in items]
    return [new.get(neuron, Concepts(neuron, (), (), ())) for neuron in neurons]


def _group_stage(number: int) -> Stage[Concepts]:
    return Stage(
        name=f"meaning-{number}", title=f"meaning-{number}: candidates of a group of exemplars",
        kind=NEURON, version=1, record=Concepts, needs=(PHRASES, GROUPS),
        settings=CONCEPTS.settings, roles=("language-model",), prompts=("summarise", "merge"),
        batches=groups_of(64), at_once=4, run=lambda lab, items: _of_group(lab, items, number),
        when=lambda c: c.concepts.meanings > max(number, 1),
    )  # fmt: skip


OF_GROUP: Final = tuple(_group_stage(number) for number in range(MOST_MEANINGS))
