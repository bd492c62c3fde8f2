"""Which neurons of a run are about something: by words of their labels, and by meaning."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from dnd_local.core.cards import Card
from dnd_local.core.descriptions import Description
from dnd_local.core.errors import UserError
from dnd_local.store.outputs import Cell


@dataclass(frozen=True, slots=True)
class Hit(Card):
    """A neuron by the label that answers best: whether the words stand in it, and their cosine.

    `place` counts the neuron's labels from 1.
    """

    layer: str
    neuron: int
    place: int
    label: str
    words: bool
    cosine: float

    def record(self) -> dict[str, Cell]:
        """Return the hit as one flat record."""
        return {
            "layer": self.layer,
            "neuron": self.neuron,
            "label": self.label,
            "place": self.place,
            "by": "words" if self.words else "meaning",
            "cosine": self.cosine,
        }


@dataclass(frozen=True, slots=True)
class Search(Card):
    """What a search found, best first, and the median cosine of all labels to the words."""

    hits: tuple[Hit, ...]
    median: float


def search_labels(
    descriptions: Sequence[Description],
    words: str,
    asked: NDArray[np.float32],
    vectors: Mapping[str, NDArray[np.float32]],
    top: int,
) -> Search:
    """Return every neuron with the words in a label, then the `top` others nearest in meaning.

    A label has the words if each stands in it as a word, in any order; case does not matter.

    Args:
        descriptions: the neurons.
        words: what is sought.
        asked: their unit vector.
        vectors: the unit vector of each label.
        top: how many neurons to give by meaning alone.

    Raises:
        UserError: there is no word in what is sought.
    """
    sought = set(_words(words))
    if not sought:
        raise UserError(f"'{words}' has no word to look for")
    hits = []
    cosines = []
    for description in descriptions:
        matches = [
            Hit(
                description.neuron.layer, description.neuron.index, place, label.text,
                sought <= set(_words(label.text)), float(vectors[label.text] @ asked),
            )
            for place, label in enumerate(description.labels, start=1)
        ]  # fmt: skip
        cosines += [hit.cosine for hit in matches]
        if matches:
            hits.append(min(matches, key=_rank))
    hits.sort(key=_rank)
    by_words = [hit for hit in hits if hit.words]
    by_meaning = [hit for hit in hits if not hit.words][:top]
    return Search((*by_words, *by_meaning), float(np.median(cosines)) if cosines else 0.0)


def _rank(hit: Hit) -> tuple[bool, float, str, int, int]:
    # Cosines are rounded so that the last bit, which differs between machines, decides nothing.
    return (not hit.words, -round(hit.cosine, 5), hit.layer, hit.neuron, hit.place)


def _words(text: str) -> list[str]:
    return re.findall(r"\w+", text.lower())
