"""What a neuron's label is worth, and ``verdicts.csv``, where a run keeps it.

Made by `null_tests`, read by all that shows a run: nothing here computes.
"""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, Literal, TypeAlias

from dnd_local.core.cards import Card
from dnd_local.core.descriptions import Description, DescriptionRow
from dnd_local.core.errors import DamagedFile
from dnd_local.evaluate.exports import records_csv
from dnd_local.store.outputs import Cell, safe_cell, unguard
from dnd_local.store.runs import RunFolder
from dnd_local.store.sealed import BESIDE, read_beside, write_beside

Ruling: TypeAlias = Literal["supported", "weak", "no better than the null"]
Word: TypeAlias = Literal["supported", "weak", "abstained"]

RULINGS: Final[tuple[Ruling, ...]] = ("supported", "weak", "no better than the null")

LEGEND: Final[Mapping[Word, str]] = {
    "supported": "the label predicts the neuron, better than other labels and than one word that "
    "fits everything, by every measure that decides, and by more than chance over the layer",
    "weak": "the label predicts the neuron by some of the measures that decide; by the others, "
    "another label would do as well",
    "abstained": "another label would predict the neuron as well, so do not rely on it",
}
"""What each word says, for people."""

DECIDING: Final = frozenset({"correlation", "auprc", "auc"})
"""The measures that decide; F1, IoU and MAD say the same with a threshold and are shown."""

FILE: Final = "verdicts.csv"

NO_LABEL: Final = "no label"
"""Stands for the ruling in the line of a neuron that has no label to judge."""

_QUANTILE: Final = 1.96
"""A normal value is below its mean by more standard deviations in one case of forty."""

_FIELDS: Final = ("low", "high", "null_mean", "null_high", "word", "percentile")


@dataclass(frozen=True, slots=True)
class Judged(Card):
    """One measure of one label with its nulls.

    `null_mean` and `null_high` (95th percentile) are over labels that are not the neuron's,
    `word` is the constant word's figure (NaN where it has none), `percentile` the share of those
    labels that do worse, ties one half.
    """

    measure: str
    value: float
    low: float
    high: float
    null_mean: float
    null_high: float
    word: float
    percentile: float

    @property
    def clears(self) -> bool:
        """Whether the label is better than both nulls by more than chance."""
        return bool(self.low > self._level and self.value > self.null_high)

    @property
    def chance(self) -> float:
        """How likely a value at the level of the nulls gives this one: a normal tail.

        Its width is that of the lower half of the interval; 1 where a figure is not defined.
        """
        gap, width = self.value - self._level, (self.value - self.low) / _QUANTILE
        if math.isnan(gap) or math.isnan(width):
            return 1.0
        if width <= 0:
            return 0.0 if gap > 0 else 1.0
        return 0.5 * math.erfc(gap / width / math.sqrt(2))

    @property
    def _level(self) -> float:
        return self.null_mean if math.isnan(self.word) else max(self.null_mean, self.word)


@dataclass(frozen=True, slots=True)
class Verdict(Card):
    """What a neuron's label is worth, with the figures behind it.

    `support` is the mean percentile of the deciding measures, one number to sort neurons by.
    `reach` says how strongly the label's pictures excite the neuron: the share of natural images
    that excite it less than the median picture does (without pictures: than the median of those
    held-out images that the label fits best). NaN where it was not measured.
    """

    layer: str
    neuron: int
    label: str
    ruling: Ruling
    support: float
    measures: tuple[Judged, ...]
    reach: float = float("nan")

    @property
    def word(self) -> Word:
        """The ruling in one word: no better than the null is *abstained*."""
        return "abstained" if self.ruling == "no better than the null" else self.ruling

    def record(self) -> dict[str, Cell]:
        """Return the verdict as one flat record, a line of ``verdicts.csv``."""
        record: dict[str, Cell] = {
            "layer": self.layer,
            "neuron": self.neuron,
            "label": self.label,
            "verdict": self.ruling,
            "support": self.support,
            "reach": self.reach,
        }
        for judged in self.measures:
            record[judged.measure] = float(judged.value)
            for name in _FIELDS:
                record[f"{judged.measure}_{name}"] = float(getattr(judged, name))
        return record


@dataclass(frozen=True, slots=True)
class Verdicts(Card):
    """The verdicts that a run keeps, by layer and neuron; none where it was never judged."""

    by_neuron: Mapping[tuple[str, int], Verdict] = field(default_factory=dict)

    def of(self, description: Description) -> Verdict | None:
        """Return the verdict on a description's first label.

        None where there is none, or where it is about another label than the neuron has now.
        """
        neuron, labels = description.neuron, description.labels
        return self._on(neuron.layer, neuron.index, labels[0].text) if labels else None

    def of_row(self, row: DescriptionRow) -> Verdict | None:
        """Return the verdict on a row's first label, None as for `of`."""
        return self._on(row.layer, row.neuron, row.labels[0]) if row.labels else None

    def _on(self, layer: str, neuron: int, label: str) -> Verdict | None:
        verdict = self.by_neuron.get((layer, neuron))
        # As it comes back from the file, where a guard before a formula's sign is taken off.
        return (
            verdict if verdict is not None and verdict.label == unguard(safe_cell(label)) else None
        )

    def besides(self, layer: str) -> tuple[Verdict, ...]:
        """Return the verdicts on every other layer, none where none is named."""
        return tuple(
            verdict for verdict in self.by_neuron.values() if layer not in ("", verdict.layer)
        )

    def on(self, descriptions: Iterable[Description]) -> tuple[Verdict, ...]:
        """Return the verdicts on the labels that descriptions have now, in their order."""
        return tuple(verdict for verdict in map(self.of, descriptions) if verdict is not None)


def lines(verdicts: Sequence[Verdict], rows: Sequence[DescriptionRow]) -> list[dict[str, Cell]]:
    """Return the lines of ``verdicts.csv``: every verdict, then every neuron that got none.

    Those are the neurons of `rows` without a label: their verdict is "no label", without figures.
    """
    records = [verdict.record() for verdict in verdicts]
    # Verdicts on two layers may rest on different measures.
    columns = dict.fromkeys(name for record in records for name in record)
    unlabelled: list[dict[str, Cell]] = [
        {"layer": row.layer, "neuron": row.neuron, "label": "", "verdict": NO_LABEL}
        for row in rows
        if not row.labels
    ]
    return [{**dict.fromkeys(columns), **record} for record in records + unlabelled]


def counts(verdicts: Sequence[Verdict]) -> dict[Ruling, int]:
    """Return how many labels got each ruling."""
    return {ruling: sum(v.ruling == ruling for v in verdicts) for ruling in RULINGS}


def write_verdicts(
    run: RunFolder, verdicts: Sequence[Verdict], rows: Sequence[DescriptionRow] = ()
) -> None:
    """Write `lines` as a run's ``verdicts.csv``, over an earlier one, with its checksum beside."""
    data = records_csv(lines(verdicts, rows)).encode("utf-8")
    write_beside(run.folder / FILE, data, f"{run.name}/{FILE}")


def read_verdicts(folder: Path) -> Verdicts:
    """Return the verdicts that a run's folder keeps.

    Raises:
        DamagedFile: ``verdicts.csv`` cannot be read as one, or is not what its checksum promises.
    """
    path = folder / FILE
    try:
        verdicts = list(_parsed(read_beside(path, f"{folder.name}/{FILE}").decode("utf-8")))
    except FileNotFoundError:
        return Verdicts()
    except (ValueError, KeyError, TypeError, csv.Error) as error:
        raise DamagedFile(
            f"{path} is no file of verdicts any more ({type(error).__name__}: {error}); delete "
            f"it and {FILE}{BESIDE}, or judge again: dnd-local evaluate {folder.name}"
        ) from None
    return Verdicts({(verdict.layer, verdict.neuron): verdict for verdict in verdicts})


def _parsed(text: str) -> Iterator[Verdict]:
    reader = csv.DictReader(io.StringIO(text, newline=""))
    measures = [
        name.removesuffix("_percentile")
        for name in reader.fieldnames or ()
        if name.endswith("_percentile")
    ]
    by_name: dict[str, Ruling] = {ruling: ruling for ruling in RULINGS}
    for row in reader:
        if row["verdict"] == NO_LABEL:
            continue
        yield Verdict(
            layer=unguard(row["layer"]),
            neuron=int(row["neuron"]),
            label=unguard(row["label"]),
            ruling=by_name[row["verdict"]],
            support=_number(row["support"]),
            measures=tuple(
                Judged(
                    name,
                    _number(row[name]),
                    *(_number(row[f"{name}_{of}"]) for of in _FIELDS),
                )
                for name in measures
                if row[f"{name}_percentile"]
            ),
            # Files of before this figure was measured have no such column.
            reach=_number(row.get("reach") or ""),
        )


def _number(cell: str) -> float:
    """Return a cell's number; an empty one stands for NaN."""
    return float(cell) if cell else float("nan")
