"""Stage 3a: pictures of each candidate concept, shared by every neuron, layer and run."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from dnd_local.core.digest import seed
from dnd_local.core.protocols import Blobs, Painter, Prompts
from dnd_local.core.records import Picture, PicturePurpose, Pictures
from dnd_local.core.sequences import distinct


def paint(
    blocks: Sequence[tuple[str, range]],
    painter: Painter,
    prompts: Prompts,
    blobs: Blobs,
    run_seed: int,
    purpose: PicturePurpose = "select",
    quality: int = 0,
) -> list[Pictures]:
    """Return the pictures of each block: a concept, and the indices of its pictures.

    A picture's noise depends on (run seed, purpose, concept, index) and nothing else. Pictures
    for judging a description never share a seed with those that selected it. What is scored is the
    picture as it was kept, at `quality` (0: as it was painted).
    """
    texts = [prompts.messages("picture", label=concept)[-1].text for concept, _ in blocks]
    seeds = [[seed(run_seed, purpose, concept, i) for i in indices] for concept, indices in blocks]
    painted = painter.paint(
        [text for text, some in zip(texts, seeds, strict=True) for _ in some],
        [one for some in seeds for one in some],
    )
    stored = iter(blobs.put_all(painted, quality))
    return [
        Pictures(
            concept,
            text,
            purpose,
            tuple(Picture(next(stored), one) for one in some),
            indices.start,
        )
        for (concept, indices), text, some in zip(blocks, texts, seeds, strict=True)
    ]


def join_blocks(blocks: Sequence[Pictures]) -> tuple[Pictures, ...]:
    """Return one record a concept, its blocks put together in the order of their pictures."""
    joined: dict[str, Pictures] = {}
    for block in sorted(blocks, key=lambda block: block.first):
        before = joined.get(block.concept)
        pictures = (*before.pictures, *block.pictures) if before else block.pictures
        joined[block.concept] = replace(before or block, pictures=pictures)
    return tuple(joined[concept] for concept in distinct(block.concept for block in blocks))
