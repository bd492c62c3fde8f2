"""The groups page: neurons that share a concept, and how many groups there are at which cosine."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from dnd_local.core.cards import Card
from dnd_local.core.descriptions import SAME_CONCEPT, Description
from dnd_local.core.records import Neuron
from dnd_local.core.sequences import grouped
from dnd_local.evaluate.groups import (
    Group,
    LabelTree,
    Level,
    group_neurons,
    group_records,
    label_tree,
    sweep,
)
from dnd_local.pipeline.label_vectors import Vectors
from dnd_local.report.cards import CardView
from dnd_local.store.outputs import Cell


@dataclass(frozen=True, slots=True)
class LabelView(Card):
    """A first label and the neurons that have it; `number` is its place among sorted labels."""

    number: int
    text: str
    cards: tuple[CardView, ...]


@dataclass(frozen=True, slots=True)
class GroupView(Card):
    """A group of two neurons or more, or one neuron alone."""

    name: str
    count: int
    labels: tuple[LabelView, ...]


@dataclass(frozen=True, slots=True)
class GroupsView(Card):
    """The groups page.

    Attributes:
        above: the cosine at which labels are joined.
        groups: of two neurons or more, the largest first.
        alone: labels of one neuron that are joined to no other.
        levels: the sweep.
        joins: the tree of highest cosines as the page's script reads it, "left,right,cosine;...".
        labelled: how many neurons have a label.
        unlabelled: how many have none, and are in no group.
        tables: the records of the tables that the site offers, by file name.
    """

    above: float
    groups: tuple[GroupView, ...]
    alone: tuple[LabelView, ...]
    levels: tuple[Level, ...]
    joins: str
    labelled: int
    unlabelled: int
    tables: Mapping[str, list[dict[str, Cell]]]


def groups_view(
    descriptions: Sequence[Description],
    cards: Sequence[CardView],
    vectors: Mapping[str, Vectors],
    above: float = SAME_CONCEPT,
) -> GroupsView | None:
    """Return the groups of a run's neurons, None where no neuron has a label.

    Args:
        descriptions: the neurons.
        cards: of the same neurons.
        vectors: the unit vector of each first label.
        above: the least cosine of two labels that are joined.
    """
    if not vectors:
        return None
    tree = label_tree(vectors)
    groups, levels = group_neurons(descriptions, tree, above), sweep(descriptions, tree)
    views = _views(groups, tree, {card.neuron: card for card in cards})
    labelled = sum(view.count for view in views)
    return GroupsView(
        above=above,
        groups=tuple(view for view in views if view.count > 1),
        alone=tuple(view.labels[0] for view in views if view.count == 1),
        levels=levels,
        joins=";".join(f"{left},{right},{cosine:.7f}" for left, right, cosine in tree.joins),
        labelled=labelled,
        unlabelled=len(descriptions) - labelled,
        tables={
            "groups.csv": group_records(groups),
            "sweep.csv": [level.record() for level in levels],
        },
    )


def _views(
    groups: Sequence[Group], tree: LabelTree, cards: Mapping[Neuron, CardView]
) -> list[GroupView]:
    numbers = {text: number for number, text in enumerate(tree.labels)}
    views = []
    for group in groups:
        of_label = grouped((cards[neuron] for neuron in group.neurons), lambda card: card.label)
        labels = tuple(
            LabelView(numbers[text], text, tuple(of_label[text])) for text, _ in group.labels
        )
        views.append(GroupView(group.name, len(group.neurons), labels))
    return views
