"""Images that excite a neuron less than its exemplars: cold ones that look alike, middling ones.

They say what a label must exclude, and where it is too wide or too narrow.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final

import numpy as np
from numpy.typing import ArrayLike, NDArray

from dnd_local.core.contrasts import Contrasts
from dnd_local.core.protocols import Blobs, Embedder, ProbeSet
from dnd_local.core.records import Captions, Exemplar, Exemplars, Pixels

GROUP: Final = 64
"""Pictures handed to the embedder at once."""


def contrast(
    batch: Sequence[Exemplars],
    drawn: Sequence[int],
    responses: NDArray[np.floating],
    vectors: NDArray[np.float32],
    probe: ProbeSet,
    embedder: Embedder,
    blobs: Blobs,
    cold: int,
    middling: int,
) -> list[Contrasts]:
    """Return each neuron's cold and middling images among those drawn.

    Args:
        batch: the neurons with their exemplars.
        drawn: the indices of the drawn images, (n_drawn,).
        responses: each neuron's response to them, (n_drawn, n_neurons of the batch), no NaN.
        vectors: their embeddings, unit vectors, (n_drawn, dimensions).
        probe: where their pictures come from.
        embedder: embeds the exemplars.
        blobs: where pictures are kept.
        cold: how many cold images.
        middling: how many middling ones.
    """
    records = []
    for exemplars, values in zip(batch, responses.T, strict=True):
        shown = {exemplar.image for exemplar in exemplars.exemplars}
        others = np.array([index not in shown for index in drawn], dtype=np.bool_)
        centre = _centre(exemplars, embedder, blobs)
        weakest = min((e.response for e in exemplars.exemplars), default=float(values.max()))
        chosen = (
            coldest(values, vectors @ centre, others, cold),
            halfway(values, weakest, others, middling),
        )
        records.append(
            Contrasts(
                exemplars.neuron,
                *(_kept([(drawn[i], float(values[i])) for i in some], probe, blobs)
                  for some in chosen),
            )
        )  # fmt: skip
    return records


def coldest(
    values: NDArray[np.floating],
    likeness: ArrayLike,
    others: NDArray[np.bool_],
    count: int,
) -> list[int]:
    """Return the places of images with a response up to the median, most alike first.

    Args:
        values: responses (n,).
        likeness: to the exemplars, (n,); of equals the first comes first.
        others: which images are no exemplars, (n,).
        count: how many, at most.
    """
    allowed = others & (values <= np.median(values))
    order = np.argsort(-np.asarray(likeness, dtype=np.float64), kind="stable")
    return [int(i) for i in order if allowed[i]][:count]


def halfway(
    values: NDArray[np.floating], weakest: float, others: NDArray[np.bool_], count: int
) -> list[int]:
    """Return the places of images above the median and below the exemplars, nearest to the middle.

    `weakest` is the lowest response of an exemplar; of equals the first comes first.
    """
    middle = float(np.median(values))
    allowed = others & (values > middle) & (values < weakest)
    distances = np.abs(values.astype(np.float64) - (middle + weakest) / 2)
    return [int(i) for i in np.argsort(distances, kind="stable") if allowed[i]][:count]


def embed_in_groups(pictures: Iterable[Pixels], embedder: Embedder) -> NDArray[np.float32]:
    """Return the embedding of each picture, (n, dimensions); few pictures are in memory at once."""
    vectors: list[NDArray[np.float32]] = []
    group: list[Pixels] = []
    for picture in pictures:
        group.append(picture)
        if len(group) == GROUP:
            vectors.append(embedder.embed_pictures(group))
            group = []
    if group or not vectors:
        vectors.append(embedder.embed_pictures(group))
    return np.concatenate(vectors)


def parted(contrasts: Contrasts, captions: Captions) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Return the captions of the cold and of the middling images."""
    count = len(contrasts.cold)
    return captions.texts[:count], captions.texts[count:]


def _centre(exemplars: Exemplars, embedder: Embedder, blobs: Blobs) -> NDArray[np.float32]:
    pictures = blobs.get_all([exemplar.blob for exemplar in exemplars.exemplars])
    total: NDArray[np.float32] = embedder.embed_pictures(pictures).sum(axis=0)
    return total


def _kept(
    chosen: Sequence[tuple[int, float]], probe: ProbeSet, blobs: Blobs
) -> tuple[Exemplar, ...]:
    """Return probe images with their responses, their pictures kept."""
    kept = blobs.put_all([probe.pixels(index) for index, _ in chosen])
    return tuple(
        Exemplar(index, probe.name(index), None, response, blob)
        for (index, response), blob in zip(chosen, kept, strict=True)
    )
