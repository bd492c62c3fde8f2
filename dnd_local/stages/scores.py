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
    counts: Sequence[Mapping[str, int]] = (),
    whole: int = 0,
) -> list[Scores]:
    """Return every candidate of each neuron with the score of every rule.

    Args:
        batch: neurons of the same layer, with their exemplars and candidates.
        pictures: the generated pictures of every candidate text.
        beta: best pictures of a candidate that count.
        ledger: in which size pictures are judged, and which of them count.
        counts: for each neuron, how many of a candidate's pictures are its own: another neuron's
            race may have painted more. All where it is left out.
        whole: how many each candidate would have without a race, see `score_candidates`.

    A picture shared by several neurons goes through each network once.
    """
    layer = batch[0][0].neuron.layer
    shown = _shown(batch, pictures, counts)
    generated = distinct(blob for texts in shown for each in texts for blob in each)
    kept = distinct(e.blob for chosen, _ in batch for e in chosen.exemplars)
    seen = [_SEEN[ledger.picture_size](picture) for picture in blobs.get_all(generated)]
    responses = target.responses(seen, [layer])[layer]
    vectors = embedder.embed_pictures(seen + blobs.get_all(kept))
    painted = {blob: i for i, blob in enumerate(generated)}
    # Apart from the painted ones: the same picture may be seen in another size there.
    exemplary = {blob: i for i, blob in enumerate(kept, start=len(generated))}

    scored = []
    for (exemplars, concepts), blobs_shown in zip(batch, shown, strict=True):
        neuron = exemplars.neuron
        rows = [[painted[blob] for blob in each] for each in blobs_shown]
        # The mean of the cosines to the exemplars is the product with their mean vector.
        centre = vectors[[exemplary[e.blob] for e in exemplars.exemplars]].sum(axis=0)
        centre /= max(len(exemplars.exemplars), 1)
        # Summed row by row: a matrix product's rounding depends on how many rows there are.
        cosines = [(vectors[each] * centre).sum(axis=1).tolist() for each in rows]
        scored.append(
            Scores(
                neuron,
                score_candidates(
                    [c.text for c in concepts.candidates],
                    [responses[each, neuron.index].tolist() for each in rows],
                    cosines,
                    beta,
                    ledger,
                    whole,
                ),
            )
        )
    return scored


def _shown(
    batch: Sequence[tuple[Exemplars, Concepts]],
    pictures: Mapping[str, Pictures],
    counts: Sequence[Mapping[str, int]],
) -> list[list[list[BlobId]]]:
    """Return, for each neuron and each of its candidates, the pictures that count."""
    return [
        [
            [p.blob for p in pictures[c.text].pictures[: counts[i][c.text] if counts else None]]
            for c in concepts.candidates
        ]
        for i, (_, concepts) in enumerate(batch)
    ]
