"""The release's tables again, from the CSV files that the user has, with the nulls they lack.

Each function takes tables and metrics and gives figures: ours with an interval, the null of
unmatched pairs, constant words, and what was published where there is a figure for this very
case. docs/reproduce.md says what can and what cannot be recomputed.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final

from dnd_local.core.cards import Card
from dnd_local.core.descriptions import DescriptionTable
from dnd_local.core.errors import UserError
from dnd_local.evaluate.agreement import agreement, first_labels, references
from dnd_local.evaluate.intervals import Interval, PairedTest
from dnd_local.evaluate.matching import match
from dnd_local.evaluate.metric_opening import Opened
from dnd_local.evaluate.tables import ReadTable
from dnd_local.evaluate.text_similarity import EmbeddingCosine, References, TextMetric
from dnd_local.evaluate.text_truth import RELIABLE_ABOVE, Retrieval, reliable, retrieval
from dnd_local.store.outputs import Cell

LETTERS: Final = "mpnet cosine, letter by letter"
"""The metric behind the mpnet figures that were published for MILANNOTATIONS."""

LAST_LAYER_WORDS: Final = ("animal",)
ANNOTATION_WORDS: Final = ("depiction", "objects")
"""Constant words: one label for every neuron, the null that text similarity falls to."""

PUBLISHED: Final[Mapping[tuple[str, str, str], float]] = {
    ("last-layer", "DnD", "CLIP cosine"): 0.7598,
    ("last-layer", "DnD", "mpnet cosine"): 0.4586,
    ("last-layer", "DnD", "BERTScore"): 0.8286,
    ("last-layer", "MILAN", "CLIP cosine"): 0.7080,
    ("last-layer", "MILAN", "mpnet cosine"): 0.2788,
    ("last-layer", "MILAN", "BERTScore"): 0.8206,
    ("last-layer", "CLIP-Dissect", "CLIP cosine"): 0.7900,
    ("last-layer", "CLIP-Dissect", "mpnet cosine"): 0.5239,
    ("milannotations", "DnD", LETTERS): 0.109,
    ("milannotations", "MILAN", LETTERS): 0.139,
    ("captioner-swap", "DnD", "CLIP cosine"): 0.848,
    ("captioner-swap", "DnD", "BERTScore"): 0.887,
}
"""Published figures by table, describer and metric, for `PUBLISHED_NEURONS`."""

PUBLISHED_NEURONS: Final = {"last-layer": 1000, "captioner-swap": 200, "milannotations": 103}
"""How many neurons each published figure is over; another number is another case."""


@dataclass(frozen=True, slots=True)
class Figure(Card):
    """One recomputed figure; `constants` is the same metric for a constant word each.

    `retrieval` is how often a label finds its own class among all, where that means something;
    `published` the figure of the release, None where there is none for this case.
    """

    describer: str
    metric: str
    needs: str
    matched: Interval
    null: float
    gain: PairedTest
    constants: tuple[tuple[str, float], ...]
    retrieval: Retrieval | None = None
    published: float | None = None

    def record(self) -> dict[str, Cell]:
        """Return the figure as one flat record."""
        record: dict[str, Cell] = {
            "describer": self.describer,
            "metric": self.metric,
            "needs": self.needs,
            "neurons": self.matched.n,
            "value": self.matched.value,
            "low": self.matched.low,
            "high": self.matched.high,
            "published": self.published,
            "unmatched": self.null,
            "p_value": self.gain.p_value,
        }
        record.update({f"constant '{word}'": value for word, value in self.constants})
        record["top_1"] = self.retrieval.top_1 if self.retrieval else None
        record["top_5"] = self.retrieval.top_5 if self.retrieval else None
        return record


def last_layer(
    classes: ReadTable, tables: Sequence[ReadTable], metrics: Sequence[TextMetric], seed: int = 0
) -> tuple[Figure, ...]:
    """Return the similarity of last-layer labels to class names, for every table and metric."""
    return tuple(
        figure
        for read in tables
        for figure in _against(
            "last-layer", read, classes, metrics, LAST_LAYER_WORDS, len(classes.table.rows), seed
        )
    )


def milannotations(
    annotations: ReadTable,
    tables: Sequence[ReadTable],
    opened: Opened,
    above: float | None = RELIABLE_ABOVE,
    seed: int = 0,
) -> tuple[Figure, ...]:
    """Return the similarity of labels to human annotations on the neurons people agree on.

    All describers are held to the same neurons: those that every table describes and of which
    two annotators agree by CLIP cosine above `above` (None: every neuron).

    Raises:
        UserError: no neuron is left, or the filter's CLIP is not among the metrics.
    """
    cosine = opened.cosine("CLIP cosine")
    if above is not None and cosine is None:
        raise UserError(
            "which neurons annotators agree on is told by CLIP: give --metric clip (or "
            "clip=FOLDER), or --all-neurons"
        )
    matching = match([annotations.table, *(read.table for read in tables)])
    people = matching.columns[0]
    keep = (
        [True] * len(people)
        if above is None or cosine is None
        else reliable(cosine, [row.labels for row in people], above)
    )
    if not any(keep):
        raise UserError(f"of {len(keep)} neurons, two annotators agree above {above} on none")
    kept = [
        tuple(row for row, wanted in zip(column, keep, strict=True) if wanted)
        for column in matching.columns
    ]
    truth = replace(annotations, table=DescriptionTable("annotations", kept[0]))
    return tuple(
        figure
        for read, rows in zip(tables, kept[1:], strict=True)
        for figure in _against(
            "milannotations",
            replace(read, table=DescriptionTable(read.table.describer, rows)),
            truth,
            opened.metrics,
            ANNOTATION_WORDS,
            0,
            seed,
        )
    )


def as_published(opened: Opened) -> Opened:
    """Return the metrics with mpnet's letter by letter among them, as table 9 was computed.

    Raises:
        UserError: mpnet is not among the metrics.
    """
    mpnet = opened.cosine("mpnet cosine")
    if mpnet is None:
        raise UserError(
            "the published mpnet figures compare letter by letter, by mpnet: give --metric mpnet "
            "(or mpnet=FOLDER)"
        )
    return replace(opened, metrics=(*opened.metrics, mpnet.by_letters(LETTERS)))


def captioner_swap(
    left: ReadTable, right: ReadTable, metrics: Sequence[TextMetric], seed: int = 0
) -> tuple[Figure, ...]:
    """Return how alike two describers' labels are (one captioner for another)."""
    return tuple(_against("captioner-swap", left, right, metrics, (), 0, seed))


def _against(
    table: str,
    read: ReadTable,
    truth: ReadTable,
    metrics: Sequence[TextMetric],
    words: Sequence[str],
    classes: int,
    seed: int,
) -> list[Figure]:
    matching = match([read.table, truth.table])
    labels, refs = first_labels(matching.columns[0]), references(matching.columns[1], truth.stacked)
    name = read.table.describer
    figures = []
    for metric in metrics:
        figure, _ = agreement(metric, name, labels, truth.table.describer, refs, seed)
        figures.append(
            Figure(
                name,
                metric.name,
                metric.needs,
                figure.matched,
                figure.null,
                figure.gain,
                tuple((word, _constant(metric, word, refs)) for word in words),
                _retrieval(metric, labels, refs, classes),
                PUBLISHED.get((table, name, metric.name))
                if len(labels) == PUBLISHED_NEURONS.get(table)
                else None,
            )
        )
    return figures


def _constant(metric: TextMetric, word: str, refs: References) -> float:
    return float(metric.matched([word] * len(refs), refs).mean())


def _retrieval(
    metric: TextMetric, labels: Sequence[str], refs: References, classes: int
) -> Retrieval | None:
    """Return retrieval among all classes, None unless every class has a label."""
    if not isinstance(metric, EmbeddingCosine) or len(labels) != classes:
        return None
    return retrieval(metric, labels, [texts[0] for texts in refs])[0]
