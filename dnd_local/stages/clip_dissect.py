"""CLIP-Dissect, the baseline: the concept of a given list whose CLIP scores fit a neuron best.

Oikarinen and Weng, "CLIP-Dissect: Automatic Description of Neuron Representations in Deep Vision
Networks" (ICLR 2023): its five similarity functions with the constants of its published code, in
numpy. The matrix of CLIP scores (images x concepts) can be far larger than memory, so it is
never held whole: each function takes the rows or the columns it needs.

One departure: rank reorder is scaled by the error of a random order, which the published code
estimates from five shuffles; here it is the exact expectation. The scale is one number a neuron,
so no neuron's best concept changes.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final, Literal, TypeAlias

import numpy as np
from numpy.typing import ArrayLike, NDArray

from dnd_local.core.descriptions import DescriptionRow, DescriptionTable
from dnd_local.core.errors import UserError
from dnd_local.core.ranking import highest
from dnd_local.core.records import Neuron

Array: TypeAlias = NDArray[np.float64]
Similarity: TypeAlias = Literal["soft-wpmi", "wpmi", "cosine", "cosine-cubed", "rank-reorder"]

SOFT_WPMI_TOP: Final = 100
WPMI_TOP: Final = 28
RANK_REORDER_SHARE: Final = 0.05
"""How many of a neuron's strongest images each function looks at."""

_TINY: Final = 1e-7
_BLOCK: Final = 256
"""Concepts in one block of the functions that need whole columns of the score matrix."""


def describe(
    neurons: Sequence[Neuron],
    responses: ArrayLike,
    pictures: ArrayLike,
    texts: ArrayLike,
    concepts: Sequence[str],
    similarity: Similarity = "soft-wpmi",
    count: int = 3,
) -> DescriptionTable:
    """Return the `count` best concepts of every neuron, best first, with their similarities.

    A neuron whose responses are all equal gets no label: every image is its strongest.

    Args:
        neurons: one a column of `responses`.
        responses: shape (n_images, n_neurons); a row with NaN (a skipped image) is left out.
        pictures: CLIP unit vectors of the images, shape (n_images, dimensions).
        texts: CLIP unit vectors of the concepts, shape (n_concepts, dimensions).
        concepts: the concepts as they are to be shown.

    Raises:
        UserError: an unknown similarity, no concept, or fewer than two usable images.
    """
    values = np.asarray(responses, dtype=np.float64)
    usable = np.isfinite(values).all(axis=1)
    if usable.sum() < 2:
        raise UserError(f"CLIP-Dissect needs two usable images at least; it got {usable.sum()}")
    if not concepts:
        raise UserError("the concept list is empty; CLIP-Dissect chooses among its concepts")
    values = values[usable]
    images = np.asarray(pictures, dtype=np.float64)[usable]
    words = np.asarray(texts, dtype=np.float64)
    scores = similarities(similarity, values, images, words)
    rows = []
    for column, neuron in enumerate(neurons):
        constant = np.ptp(values[:, column]) == 0
        best = [] if constant else highest(scores[column], count)
        rows.append(
            DescriptionRow(
                describer=f"clip-dissect:{similarity}",
                target=neuron.target,
                layer=neuron.layer,
                neuron=neuron.index,
                labels=tuple(concepts[i] for i in best),
                scores=tuple(float(scores[column, i]) for i in best),
                status="constant" if constant else "described",
            )
        )
    return DescriptionTable(f"clip-dissect:{similarity}", tuple(rows))


def similarities(name: Similarity, responses: Array, pictures: Array, texts: Array) -> Array:
    """Return the similarity of every neuron to every concept, shape (n_neurons, n_concepts).

    Raises:
        UserError: an unknown name.
    """
    if name not in SIMILARITIES:
        raise UserError(f"unknown similarity '{name}'; use {', '.join(SIMILARITIES)}")
    return SIMILARITIES[name](responses, pictures, texts)


def soft_wpmi(responses: Array, pictures: Array, texts: Array) -> Array:
    """Return soft weighted pointwise mutual information (the paper's choice).

    Over a neuron's `SOFT_WPMI_TOP` strongest images, log(1 + p (q - 1)), q the softmax over
    concepts of 10 x the CLIP score, p falling from .998 to .97 with the rank; minus the log of
    its mean over neurons.
    """
    top = _strongest(responses, SOFT_WPMI_TOP)
    belongs = 0.998 - np.arange(len(top))[:, None] / len(top) * (0.998 - 0.97)

    def evidence(images: NDArray[np.intp]) -> Array:
        chance = _softmax(10 * pictures[images] @ texts.T)
        return np.asarray(np.log(1 + belongs * (chance - 1) + _TINY).sum(axis=0))

    return _mutual_information(top, evidence, weight=1.0)


def wpmi(responses: Array, pictures: Array, texts: Array) -> Array:
    """Return weighted pointwise mutual information.

    As `soft_wpmi` over the `WPMI_TOP` strongest images, each a certain example (p = 1), softmax
    of 2 x the CLIP score, and 0.6 of the log of the mean over neurons taken off.
    """
    top = _strongest(responses, WPMI_TOP)

    def evidence(images: NDArray[np.intp]) -> Array:
        return np.asarray(np.log(_softmax(2 * pictures[images] @ texts.T) + _TINY).sum(axis=0))

    return _mutual_information(top, evidence, weight=0.6)


def cosine(responses: Array, pictures: Array, texts: Array) -> Array:
    """Return the cosine over images of responses and CLIP scores.

    Both products factor through the embedding space, so no matrix of scores is formed.
    """
    along = responses.T @ pictures @ texts.T
    of_texts = np.sqrt(np.einsum("cd,de,ce->c", texts, pictures.T @ pictures, texts, optimize=True))
    of_neurons = np.linalg.norm(responses, axis=0)
    return _ratio(along, of_neurons[:, None] * of_texts)


def cosine_cubed(responses: Array, pictures: Array, texts: Array) -> Array:
    """Return the cosine over images of centred and cubed responses and CLIP scores.

    The cube lets the strongest images speak; norms below .001 count as .001.
    """
    centred = (responses - responses.mean(axis=0)) ** 3
    centred /= np.maximum(np.linalg.norm(centred, axis=0), 1e-3)
    blocks = []
    for start in range(0, len(texts), _BLOCK):
        scores = pictures @ texts[start : start + _BLOCK].T
        cubed = (scores - scores.mean(axis=0)) ** 3
        cubed /= np.maximum(np.linalg.norm(cubed, axis=0), 1e-3)
        blocks.append(centred.T @ cubed)
    return np.concatenate(blocks, axis=1)


def rank_reorder(responses: Array, pictures: Array, texts: Array) -> Array:
    """Return minus the error of giving a neuron's strongest images the concept's order.

    Over the strongest `RANK_REORDER_SHARE` of the images: mean |response - response put in the
    order of the CLIP scores|^3, in units of a random order's error, over the square root of the
    mean CLIP score.
    """
    top = _strongest(responses, max(2, int(len(responses) * RANK_REORDER_SHARE)))
    fits = np.empty((responses.shape[1], len(texts)))
    for neuron in range(responses.shape[1]):
        images = top[:, neuron]
        falling = responses[images, neuron]
        scores = pictures[images] @ texts.T
        place = np.argsort(np.argsort(scores, axis=0, kind="stable"), axis=0, kind="stable")
        reordered = falling[::-1][place]
        error = (np.abs(falling[:, None] - reordered) ** 3).mean(axis=0)
        chance = (np.abs(falling[:, None] - falling) ** 3).mean()
        level = np.sqrt(np.maximum(scores.mean(axis=0), _TINY))
        fits[neuron] = -_ratio(error, chance * level)
    return fits


SIMILARITIES: Final[dict[str, Callable[[Array, Array, Array], Array]]] = {
    "soft-wpmi": soft_wpmi,
    "wpmi": wpmi,
    "cosine": cosine,
    "cosine-cubed": cosine_cubed,
    "rank-reorder": rank_reorder,
}
"""Every similarity function by its name; each takes responses (n_images, n_neurons), pictures
(n_images, dimensions) and texts (n_concepts, dimensions)."""


def _strongest(responses: Array, count: int) -> NDArray[np.intp]:
    """Return each neuron's `count` strongest images, strongest first, (count, n_neurons).

    Ties go to the earlier image.
    """
    order = np.argsort(-responses, axis=0, kind="stable")
    return np.asarray(order[: min(count, len(responses))])


def _mutual_information(
    top: NDArray[np.intp], evidence: Callable[[NDArray[np.intp]], Array], weight: float
) -> Array:
    given = np.stack([evidence(top[:, neuron]) for neuron in range(top.shape[1])])
    highest_each = given.max(axis=0)
    overall = highest_each + np.log(np.exp(given - highest_each).mean(axis=0))
    return np.asarray(given - weight * overall)


def _softmax(scores: Array) -> Array:
    raised = np.exp(scores - scores.max(axis=1, keepdims=True))
    return np.asarray(raised / raised.sum(axis=1, keepdims=True))


def _ratio(top: Array, bottom: Array) -> Array:
    """Return `top` / `bottom`, 0 where the latter is 0 (a neuron that never fires)."""
    return np.divide(top, bottom, out=np.zeros(top.shape), where=bottom > 0)
