"""Neurons that share a concept: groups of labels whose vectors are alike.

Two labels are joined where their cosine is at least a threshold; a group is whatever hangs together
(a connected component). Everything is computed over the sorted distinct labels, so neither the
order of neurons nor which of them came first can matter.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final, TypeAlias

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from dnd_local.core.cards import Card
from dnd_local.core.descriptions import Description
from dnd_local.core.records import Neuron
from dnd_local.core.sequences import grouped
from dnd_local.store.outputs import Cell

SWEEP: Final = (0.5, 0.6, 0.7, 0.75, 0.8, 0.85, 0.9, 0.95, 1.0)
"""Cosines at which groups are counted; at 1 only equal labels are joined."""

ROUNDING: Final = 1e-6
"""Products of float32 unit vectors differ by so much with the machine: equal labels have 1."""

_BLOCK: Final = 512

Join: TypeAlias = tuple[int, int, float]
"""Two labels by their numbers, and their cosine."""


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


@dataclass(frozen=True, slots=True)
class LabelTree:
    """The tree of highest cosines over distinct labels: their groups at any threshold.

    Two labels are in one group at a threshold exactly if every join between them in the tree
    reaches it (a maximum spanning tree has the components of the whole graph at each threshold).

    Attributes:
        labels: sorted.
        joins: one fewer than labels.
        shares: for each cosine of `SWEEP`, the share of pairs of labels that reach it.
    """

    labels: tuple[str, ...]
    joins: tuple[Join, ...]
    shares: tuple[float, ...]

    def groups_of(self, above: float) -> dict[str, int]:
        """Return the number of each label's group at a threshold."""
        kept = [(left, right) for left, right, cosine in self.joins if cosine >= above - ROUNDING]
        ends = np.array(kept, dtype=np.int64).reshape(-1, 2)
        count = len(self.labels)
        graph = coo_array((np.ones(len(ends)), (ends[:, 0], ends[:, 1])), shape=(count, count))
        _, numbers = connected_components(graph, directed=False)
        return dict(zip(self.labels, map(int, numbers), strict=True))


def label_tree(vectors: Mapping[str, NDArray[np.float32]]) -> LabelTree:
    """Return the tree of highest cosines over labels, given the unit vector of each.

    Prim's algorithm, a row of cosines at a time: memory grows with the labels, not their pairs.
    """
    labels = tuple(sorted(vectors))
    rows = np.stack([vectors[label] for label in labels]).astype(np.float64)
    nearest = np.zeros(len(labels), dtype=np.int64)
    highest = np.full(len(labels), -np.inf)
    outside = np.ones(len(labels), dtype=np.bool_)
    joins, at = [], 0
    for _ in range(len(labels) - 1):
        outside[at] = False
        cosines = rows @ rows[at]
        higher = cosines > highest
        nearest[higher], highest[higher] = at, cosines[higher]
        at = int(np.argmax(np.where(outside, highest, -np.inf)))
        joins.append((int(nearest[at]), at, float(highest[at])))
    return LabelTree(labels, tuple(joins), _shares(rows))


def _shares(rows: NDArray[np.float64]) -> tuple[float, ...]:
    """Return the share of pairs of rows whose product reaches each cosine of `SWEEP`."""
    counts = np.zeros(len(SWEEP), dtype=np.int64)
    columns = np.arange(len(rows))
    for start in range(0, len(rows), _BLOCK):
        block = rows[start : start + _BLOCK]
        later = columns[None, :] > columns[start : start + _BLOCK, None]
        reached = (block @ rows.T)[later]
        counts += [int((reached >= above - ROUNDING).sum()) for above in SWEEP]
    pairs = len(rows) * (len(rows) - 1) // 2
    return tuple(float(count / max(pairs, 1)) for count in counts)


def group_neurons(
    descriptions: Sequence[Description], tree: LabelTree, above: float
) -> tuple[Group, ...]:
    """Return the groups of neurons by their first label, the largest first.

    Args:
        descriptions: the neurons; those without a label are in no group.
        tree: of their first labels.
        above: the least cosine of two labels that are joined.
    """
    number = tree.groups_of(above)
    labelled = [description for description in descriptions if description.labels]
    members = grouped(labelled, lambda description: number[description.labels[0].text])
    groups = [_group(group) for group in members.values()]
    return tuple(sorted(groups, key=lambda g: (-len(g.neurons), g.name, g.neurons[0])))


def sweep(descriptions: Sequence[Description], tree: LabelTree) -> tuple[Level, ...]:
    """Return how many groups there are at each cosine of `SWEEP`."""
    levels = []
    for above, share in zip(SWEEP, tree.shares, strict=True):
        sizes = [len(group.neurons) for group in group_neurons(descriptions, tree, above)]
        groups, alone = sum(size > 1 for size in sizes), sizes.count(1)
        levels.append(Level(above, groups, alone, sizes[0] / sum(sizes), share))
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
    counts = Counter(description.labels[0].text for description in members)
    counted = sorted(counts.items(), key=lambda c: (-c[1], c))
    neurons = sorted((member.neuron for member in members), key=lambda n: (n.layer, n.index))
    return Group(counted[0][0], tuple(counted), tuple(neurons))
