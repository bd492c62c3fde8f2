"""Stage 3a: pictures of each candidate concept, shared by every neuron, layer and run."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from dnd_local.core.digest import seed
from dnd_local.core.protocols import Blobs, Painter, Prompts
from dnd_local.core.records import Picture, Pictures

Purpose = Literal["select", "judge"]


def paint(
    concepts: Sequence[str],
    painter: Painter,
    prompts: Prompts,
    blobs: Blobs,
    count: int,
    run_seed: int,
    purpose: Purpose = "select",
) -> list[Pictures]:
    """Return `count` pictures of each concept.

    A picture's noise depends on (run seed, purpose, concept, index) and nothing else. Pictures
    for judging a description never share a seed with those that selected it.
    """
    texts = [prompts.messages("picture", label=concept)[-1].text for concept in concepts]
    seeds = [
        [seed(run_seed, purpose, concept, index) for index in range(count)] for concept in concepts
    ]
    painted = iter(
        painter.paint(
            [text for text in texts for _ in range(count)], [one for own in seeds for one in own]
        )
    )
    return [
        Pictures(
            concept, text, purpose, tuple(Picture(blobs.put(next(painted)), one) for one in own)
        )
        for concept, text, own in zip(concepts, texts, seeds, strict=True)
    ]
