"""How far describers agree: each metric with its null, its interval and a paired test."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from dnd_local.core.cards import Card
from dnd_local.core.descriptions import DescriptionRow
from dnd_local.evaluate.intervals import Interval, PairedTest, bootstrap_mean, paired_test
from dnd_local.evaluate.matching import Matching
from dnd_local.evaluate.text_similarity import References, TextMetric, Values
from dnd_local.store.outputs import Cell


@dataclass(frozen=True, slots=True)
class Agreement(Card):
    """One metric between two describers.

    `null` is the same metric with labels and references of different neurons; `gain` tests
    matched against unmatched, neuron by neuron. `needs` names the weights behind the metric.
    """

    metric: str
    needs: str
    left: str
    right: str
    matched: Interval
    null: float
    gain: PairedTest

    def record(self) -> dict[str, Cell]:
        """Return the figures as one flat record."""
        return {
            "metric": self.metric,
            "needs": self.needs,
            "left": self.left,
            "right": self.right,
            "neurons": self.matched.n,
            "mean": self.matched.value,
            "low": self.matched.low,
            "high": self.matched.high,
            "null": self.null,
            "gain": self.gain.difference.value,
            "gain_low": self.gain.difference.low,
            "gain_high": self.gain.difference.high,
            "p_value": self.gain.p_value,
        }


@dataclass(frozen=True, slots=True)
class Preference(Card):
    """Which of two describers is nearer to a third under one metric: positive, the `left`."""

    metric: str
    reference: str
    left: str
    right: str
    test: PairedTest

    def record(self) -> dict[str, Cell]:
        """Return the figures as one flat record."""
        return {
            "metric": self.metric,
            "reference": self.reference,
            "left": self.left,
            "right": self.right,
            "neurons": self.test.difference.n,
            "difference": self.test.difference.value,
            "low": self.test.difference.low,
            "high": self.test.difference.high,
            "p_value": self.test.p_value,
        }


@dataclass(frozen=True, slots=True)
class Comparison(Card):
    """All describers side by side: figures for every pair, preferences, a record a neuron."""

    agreements: tuple[Agreement, ...]
    preferences: tuple[Preference, ...]
    neurons: tuple[dict[str, Cell], ...]


def first_labels(rows: Sequence[DescriptionRow]) -> list[str]:
    """Return each neuron's best label."""
    return [row.labels[0] for row in rows]


def references(rows: Sequence[DescriptionRow], stacked: str) -> References:
    """Return what each neuron is compared with: its best label, or all where they are peers."""
    return [row.labels if stacked else row.labels[:1] for row in rows]


def agreement(
    metric: TextMetric,
    left: str,
    labels: Sequence[str],
    right: str,
    refs: References,
    seed: int = 0,
) -> tuple[Agreement, Values]:
    """Return one metric between describers `left` and `right`, and its values, shape (n,).

    Raises:
        UserError: fewer than two neurons.
    """
    matched = metric.matched(labels, refs)
    unmatched = metric.unmatched(labels, refs)
    figures = Agreement(
        metric.name,
        metric.needs,
        left,
        right,
        bootstrap_mean(matched, seed),
        float(unmatched.mean()),
        paired_test(matched, unmatched, seed),
    )
    return figures, matched


def compare(
    names: Sequence[str],
    stacked: Sequence[str],
    matching: Matching,
    metrics: Sequence[TextMetric],
    seed: int = 0,
) -> Comparison:
    """Return every metric between every pair of describers.

    The first describer is the reference of the preferences: of each two others, which is nearer
    to it. Where only one side's labels are peers (annotations), that side is the reference.

    Args:
        names: the describers, in the order of the columns of `matching`.
        stacked: for each, what its labels are where they are peers, else empty.
    """
    agreements: list[Agreement] = []
    preferences: list[Preference] = []
    records = _label_records(names, matching)
    for metric in metrics:
        to_first: list[tuple[str, Values]] = []
        for i in range(len(names)):
            for j in range(i + 1, len(names)):
                a, b = (j, i) if stacked[i] and not stacked[j] else (i, j)
                refs = references(matching.columns[b], stacked[b])
                labels = first_labels(matching.columns[a])
                figures, values = agreement(metric, names[a], labels, names[b], refs, seed)
                agreements.append(figures)
                for record, value in zip(records, values, strict=True):
                    record[f"{metric.name}: {names[a]} | {names[b]}"] = float(value)
                if i == 0:
                    to_first.append((names[j], values))
        preferences += _preferences(metric.name, names[0], to_first, seed)
    return Comparison(tuple(agreements), tuple(preferences), tuple(records))


def _preferences(
    metric: str, reference: str, values: Sequence[tuple[str, Values]], seed: int
) -> list[Preference]:
    return [
        Preference(metric, reference, one, other, paired_test(values_of_one, others, seed))
        for i, (one, values_of_one) in enumerate(values)
        for other, others in values[i + 1 :]
    ]


def _label_records(names: Sequence[str], matching: Matching) -> list[dict[str, Cell]]:
    records: list[dict[str, Cell]] = []
    for n, (layer, index) in enumerate(matching.keys):
        record: dict[str, Cell] = {"layer": layer, "neuron": index}
        for name, column in zip(names, matching.columns, strict=True):
            record[name] = " | ".join(column[n].labels)
        records.append(record)
    return records
