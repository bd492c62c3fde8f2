"""Stage 3b: which candidate's pictures does the neuron itself prefer?"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Final

from dnd_local.core import regions
from dnd_local.core.ledger import OURS, Ledger, Side
from dnd_local.core.protocols import Blobs, Embedder, Target
from dnd_local.core.ranking import score_candidates
from dnd_local.core.records import BlobId, Concepts, Exemplars, Pictures, Pixels, Scores
from dnd_local.core.sequences import distinct

RELEASED_SIDE: Final = 32
"""The square of pixels that the released code shrinks a generated picture to."""

_SEEN: Final[Mapping[Side, Callable[[Pixels], Pixels]]] = {
    "ours": lambda picture: picture,
    "released": lambda picture: regions.squash(picture, RELEASED_SIDE),
}
"""Row 5 of the ledger: a generated picture as target and embedder see it."""


def score(
    batch: Sequence[tuple[Exemplars, Concepts]],
    pictures: Mapping[str, Pictures],
    target: Target,
    embedder: Embedder,
    blobs: Blobs,
    beta: int,
    ledger: Ledger = OURS,
) -> list[Scores]:
    """Return every candidate of each neuron with the score of every rule.

    Args:
        batch: neurons of the same layer, with their exemplars and candidates.
        pictures: the generated pictures of every candidate text.
        beta: best pictures of a candidate that count.
        ledger: in which size pictures are judged, and which of them count.

    A picture shared by several neurons goes through each network once.
    """
    layer = batch[0][0].neuron.layer
    shared = [
        p.blob
        for _, candidates in batch
        for c in candidates.candidates
        for p in pictures[c.text].pictures
    ]
    generated = distinct(shared)
    kept = distinct(e.blob for chosen, _ in batch for e in chosen.exemplars)
    seen = [_SEEN[ledger.picture_size](picture) for picture in blobs.get_all(generated)]
    responses = target.responses(seen, [layer])[layer]
    vectors = embedder.embed_pictures(seen + blobs.get_all(kept))
    painted = {blob: i for i, blob in enumerate(generated)}
    # Apart from the painted ones: the same picture may be seen in another size there.
    exemplary = {blob: i for i, blob in enumerate(kept, start=len(generated))}

    def rows(wanted: Sequence[BlobId]) -> list[int]:
        return [painted[blob] for blob in wanted]

    scored = []
    for exemplars, concepts in batch:
        neuron = exemplars.neuron
        shown = [rows([p.blob for p in pictures[c.text].pictures]) for c in concepts.candidates]
        # The mean of the cosines to the exemplars is the product with their mean vector.
        centre = vectors[[exemplary[e.blob] for e in exemplars.exemplars]].sum(axis=0)
        centre /= max(len(exemplars.exemplars), 1)
        # Summed row by row: a matrix product's rounding depends on how many rows there are.
        cosines = [(vectors[each] * centre).sum(axis=1).tolist() for each in shown]
        scored.append(
            Scores(
                neuron,
                score_candidates(
                    [c.text for c in concepts.candidates],
                    [responses[each, neuron.index].tolist() for each in shown],
                    cosines,
                    beta,
                    ledger,
                ),
            )
        )
    return scored
