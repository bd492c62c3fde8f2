"""Stage 3b: which candidate's pictures does the neuron itself prefer?"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from dnd_local.core.protocols import Blobs, Embedder, Target
from dnd_local.core.ranking import score_candidates
from dnd_local.core.records import BlobId, Concepts, Exemplars, Pictures, Scores


def score(
    batch: Sequence[tuple[Exemplars, Concepts]],
    pictures: Mapping[str, Pictures],
    target: Target,
    embedder: Embedder,
    blobs: Blobs,
    beta: int,
) -> list[Scores]:
    """Return every candidate of each neuron with all four scores.

    Args:
        batch: neurons of the same layer, with their exemplars and candidates.
        pictures: the generated pictures of every candidate text.
        beta: best pictures of a candidate that count.

    A picture shared by several neurons goes through each network once.
    """
    layer = batch[0][0].neuron.layer
    shared = [p.blob for _, own in batch for c in own.candidates for p in pictures[c.text].pictures]
    generated = list(dict.fromkeys(shared))
    exemplar_blobs = [e.blob for own, _ in batch for e in own.exemplars]
    every = list(dict.fromkeys(generated + exemplar_blobs))
    loaded = [blobs.get(blob) for blob in every]
    responses = target.responses(loaded[: len(generated)], [layer])[layer]
    vectors = embedder.embed_pictures(loaded)
    position = {blob: i for i, blob in enumerate(every)}

    def rows(wanted: Sequence[BlobId]) -> list[int]:
        return [position[blob] for blob in wanted]

    scored = []
    for exemplars, concepts in batch:
        neuron = exemplars.neuron
        own = [[p.blob for p in pictures[c.text].pictures] for c in concepts.candidates]
        # The mean of the cosines to the exemplars is the product with their mean vector.
        centre = vectors[rows([e.blob for e in exemplars.exemplars])].sum(axis=0)
        centre /= max(len(exemplars.exemplars), 1)
        # Summed row by row: a matrix product's rounding depends on how many rows there are.
        cosines = [(vectors[rows(blob_ids)] * centre).sum(axis=1).tolist() for blob_ids in own]
        scored.append(
            Scores(
                neuron,
                score_candidates(
                    [c.text for c in concepts.candidates],
                    [responses[rows(blob_ids), neuron.index].tolist() for blob_ids in own],
                    cosines,
                    beta,
                ),
            )
        )
    return scored
