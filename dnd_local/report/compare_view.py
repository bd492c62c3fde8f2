"""Several describers of the same neurons side by side, those they disagree on first."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np

from dnd_local.core.cards import Card
from dnd_local.core.descriptions import DescriptionRow
from dnd_local.core.sequences import distinct
from dnd_local.evaluate.comparisons import Compared
from dnd_local.evaluate.describers import distinct_names
from dnd_local.evaluate.matching import match
from dnd_local.evaluate.text_similarity import TextMetric, TokenF1
from dnd_local.evaluate.verdicts import Verdict
from dnd_local.report import plots
from dnd_local.report.cards import CardView


@dataclass(frozen=True, slots=True)
class ComparedNeuron(Card):
    """A neuron with every describer's row and the verdict on its first label, None where unjudged.

    `likeness` is the mean over all pairs of describers, `likenesses` that of each pair. `card` is
    the neuron in the run that the site is about, None where it is not in it.
    """

    layer: str
    index: int
    rows: tuple[DescriptionRow, ...]
    verdicts: tuple[Verdict | None, ...]
    likeness: float
    likenesses: tuple[float, ...]
    card: CardView | None


@dataclass(frozen=True, slots=True)
class Pair(Card):
    """How far two describers agree over all neurons, and on neurons shifted by one (the null)."""

    left: str
    right: str
    matched: float
    null: float | None


@dataclass(frozen=True, slots=True)
class CompareView(Card):
    """The compare page, least alike neurons first; `judged` counts verdicts a describer."""

    metric: str
    describers: tuple[str, ...]
    judged: tuple[int, ...]
    how: str
    notes: tuple[str, ...]
    neurons: tuple[ComparedNeuron, ...]
    pairs: tuple[Pair, ...]
    likenesses: plots.Bars
    layers: tuple[str, ...]


def compare_view(
    describers: Sequence[Compared],
    cards: Mapping[tuple[str, int], CardView] | None = None,
    metric: TextMetric | None = None,
) -> CompareView:
    """Return the neurons that all describe, those they disagree on first.

    Args:
        describers: their labels and verdicts.
        cards: the site's neurons by layer and index, for strips and links.
        metric: how likeness of two labels is measured; by default by the words they share.

    Raises:
        UserError: fewer than two describers, or no neuron in common.
    """
    metric = metric or TokenF1()
    tables = [describer.table for describer in describers]
    matching = match(tables)
    names = distinct_names([table.describer for table in tables])
    labels = [[row.labels[0] for row in column] for column in matching.columns]
    by_pair, pairs = [], []
    for i, j in combinations(range(len(tables)), 2):
        values = metric.matched(labels[i], [(text,) for text in labels[j]])
        by_pair.append(values)
        null = None
        if len(values) > 1:
            null = float(metric.unmatched(labels[i], [(text,) for text in labels[j]]).mean())
        pairs.append(Pair(names[i], names[j], float(values.mean()), null))
    likeness = np.stack(by_pair, axis=1)
    neurons = [
        ComparedNeuron(
            layer=column_rows[0].layer or layer,
            index=index,
            rows=column_rows,
            verdicts=tuple(
                describer.verdicts.of_row(row)
                for describer, row in zip(describers, column_rows, strict=True)
            ),
            likeness=float(likeness[n].mean()),
            likenesses=tuple(likeness[n].tolist()),
            card=_card(cards or {}, layer, index),
        )
        for n, ((layer, index), column_rows) in enumerate(
            zip(matching.keys, zip(*matching.columns, strict=True), strict=True)
        )
    ]
    return CompareView(
        metric=metric.name,
        describers=tuple(names),
        judged=tuple(sum(n.verdicts[i] is not None for n in neurons) for i in range(len(names))),
        how=matching.how,
        notes=matching.notes,
        neurons=tuple(sorted(neurons, key=lambda neuron: neuron.likeness)),
        pairs=tuple(pairs),
        likenesses=plots.value_histogram(
            [neuron.likeness for neuron in neurons], bins=20, within=(0.0, 1.0)
        ),
        layers=tuple(distinct(neuron.layer for neuron in neurons)),
    )


def _card(cards: Mapping[tuple[str, int], CardView], layer: str, index: int) -> CardView | None:
    """Return the neuron's card; where the tables name no layer, the run must have only one."""
    if layer or len({name for name, _ in cards}) != 1:
        return cards.get((layer, index))
    return cards.get((next(iter(cards))[0], index))
