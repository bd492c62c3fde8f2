"""Neurons that share a concept: groups of labels whose vectors are alike.

Two labels are joined where their cosine is at least a threshold; a group is whatever hangs together
(a connected component). Everything is computed over the sorted distinct labels, so neither the
order of neurons nor which of them came first can matter.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array
from scipy.sparse.csgraph import connected_components

from dnd_local.core.cards import Card
from dnd_local.core.descriptions import Description
from dnd_local.core.records import Neuron
from dnd_local.store.outputs import Cell

SWEEP: Final = (0.5, 0.6, 0.7, 0.75, 0.8, 0.85, 0.9, 0.95, 1.0)
"""Cosines at which groups are counted; at 1 only equal labels are joined."""

_ROUNDING: Final = 1e-6
"""Products of float32 unit vectors differ by so much with the machine: equal labels have 1."""


@dataclass(frozen=True, slots=True)
class Group(Card):
    """Neurons that share a concept, named by their most frequent label; `labels` with counts."""

    name: str
    labels: tuple[tuple[str, int], ...]
    neurons: tuple[Neuron, ...]


@dataclass(frozen=True, slots=True)
class Level(Card):
    """The groups at one cosine: how many of two neurons or more, and how many neurons alone.

    `largest` is the share of labelled neurons in the largest group; near 1, the threshold joins
    everything. `joined` is the share of pairs of *different* labels that are joined directly.
    """

    above: float
    groups: int
    alone: int
    largest: float
    joined: float

    def record(self) -> dict[str, Cell]:
        """Return the level as one flat record."""
        return {
            "cosine": self.above,
            "groups": self.groups,
            "alone": self.alone,
            "largest": self.largest,
            "pairs_joined": self.joined,
        }


@dataclass(frozen=True, slots=True, eq=False)
class LabelCosines:
    """The cosines of distinct labels, (n_labels, n_labels), the labels sorted."""

    labels: tuple[str, ...]
    cosines: NDArray[np.float64]

    def groups_of(self, above: float) -> dict[str, int]:
        """Return the number of each label's group at a threshold."""
        joined = csr_array(self.cosines >= above - _ROUNDING)
        _, numbers = connected_components(joined, directed=False)
        return dict(zip(self.labels, map(int, numbers), strict=True))


def label_cosines(vectors: Mapping[str, NDArray[np.float32]]) -> LabelCosines:
    """Return the cosines of labels, given the unit vector of each."""
    labels = tuple(sorted(vectors))
    rows = np.stack([vectors[label] for label in labels]).astype(np.float64)
    cosines = rows @ rows.T
    np.fill_diagonal(cosines, 1.0)
    return LabelCosines(labels, cosines)


def group_neurons(
    descriptions: Sequence[Description], cosines: LabelCosines, above: float
) -> tuple[Group, ...]:
    """Return the groups of neurons by their first label, the largest first.

    Args:
        descriptions: the neurons; those without a label are in no group.
        cosines: of their first labels.
        above: the least cosine of two labels that are joined.
    """
    number = cosines.groups_of(above)
    members: dict[int, list[Description]] = {}
    for description in descriptions:
        if description.labels:
            members.setdefault(number[description.labels[0].text], []).append(description)
    groups = [_group(description) for description in members.values()]
    return tuple(sorted(groups, key=lambda g: (-len(g.neurons), g.name, g.neurons[0])))


def sweep(descriptions: Sequence[Description], cosines: LabelCosines) -> tuple[Level, ...]:
    """Return how many groups there are at each cosine of `SWEEP`."""
    levels = []
    different = cosines.cosines[np.triu_indices(len(cosines.labels), k=1)]
    for above in SWEEP:
        sizes = [len(group.neurons) for group in group_neurons(descriptions, cosines, above)]
        joined = float((different >= above - _ROUNDING).mean()) if different.size else 0.0
        levels.append(
            Level(
                above,
                sum(size > 1 for size in sizes),
                sizes.count(1),
                sizes[0] / sum(sizes),
                joined,
            )
        )
    return tuple(levels)


def group_records(groups: Sequence[Group]) -> list[dict[str, Cell]]:
    """Return one record a neuron: the number and the name of its group, and how large that is."""
    return [
        {
            "group": number,
            "name": group.name,
            "size": len(group.neurons),
            "layer": neuron.layer,
            "neuron": neuron.index,
        }
        for number, group in enumerate(groups)
        for neuron in group.neurons
    ]


def _group(members: Sequence[Description]) -> Group:
    texts = [member.labels[0].text for member in members]
    counted = sorted(((text, texts.count(text)) for text in set(texts)), key=lambda c: (-c[1], c))
    neurons = sorted((member.neuron for member in members), key=lambda n: (n.layer, n.index))
    return Group(counted[0][0], tuple(counted), tuple(neurons))
