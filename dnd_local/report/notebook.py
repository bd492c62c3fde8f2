"""What a notebook shows: a run, a result, a neuron, a comparison, with pictures and verdicts."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from dnd_local.core.cards import Card
from dnd_local.core.descriptions import Description
from dnd_local.core.errors import UserError
from dnd_local.core.records import Exemplar
from dnd_local.evaluate.comparisons import compared_run, open_compared
from dnd_local.evaluate.verdicts import Verdict, read_verdicts
from dnd_local.pipeline.evidence import Evidence
from dnd_local.pipeline.reading import StoredRun, open_run
from dnd_local.pipeline.runner import RunResult
from dnd_local.report.cards import STRIP
from dnd_local.report.compare_view import CompareView, compare_view
from dnd_local.report.gather import exemplar_blobs
from dnd_local.report.pages import render
from dnd_local.report.shelf import data_uri

ROWS: Final = 20
"""Neurons that a table in a notebook shows."""

THUMB_SIDE: Final = 64
"""Longest side of a thumbnail in such a table."""


@dataclass(frozen=True, slots=True)
class NotebookExemplar(Card):
    """An exemplar with its picture as a data URI, empty where it is gone."""

    exemplar: Exemplar
    phrase: str
    src: str


@dataclass(frozen=True, slots=True)
class RunRow(Card):
    """A neuron in a run's table: its description, thumbnails as data URIs, its verdict."""

    description: Description
    pictures: tuple[str, ...]
    verdict: Verdict | None


@dataclass(frozen=True, slots=True)
class Comparison:
    """Describers of the same neurons; the last line of a cell shows those that differ most.

    `view` holds every neuron, least alike first; `pictures` thumbnails of those shown.
    """

    view: CompareView
    pictures: Mapping[tuple[str, int], tuple[str, ...]]

    def _repr_html_(self) -> str:
        shown = self.view.neurons[:ROWS]
        return render("comparison_card.html", view=self.view, shown=shown, pictures=self.pictures)


@dataclass(frozen=True, slots=True)
class NeuronCard:
    """A neuron's labels, exemplars and candidates; the last line of a cell shows it.

    `verdict` is on the first label, None where the run was not evaluated.
    """

    evidence: Evidence
    exemplars: tuple[NotebookExemplar, ...]
    verdict: Verdict | None = None

    def _repr_html_(self) -> str:
        return render("card.html", e=self.evidence, exemplars=self.exemplars, verdict=self.verdict)


def neuron_card(run: StoredRun, neuron: int | str) -> NeuronCard:
    """Return the card of the neuron written as ``17``, or ``layer4:17`` among several layers.

    Raises:
        BadConfig: `neuron` cannot be read, or the layer is needed.
        UserError: the run has no such neuron.
    """
    evidence = run.evidence(neuron)
    exemplars = evidence.exemplars.exemplars if evidence.exemplars else ()
    phrases = evidence.phrases.texts if evidence.phrases else ()
    return NeuronCard(
        evidence,
        tuple(
            NotebookExemplar(
                exemplar, phrases[i] if i < len(phrases) else "",
                data_uri(run.lab.blobs, exemplar.blob),
            )
            for i, exemplar in enumerate(exemplars)
        ),
        read_verdicts(run.folder.folder).of(evidence.description),
    )  # fmt: skip


def compare(run: StoredRun, *describers: str, layer: str = "") -> Comparison:
    """Return a run beside other describers: runs of its workspace, or files of descriptions.

    Args:
        run: the run.
        describers: names of runs, or paths.
        layer: the layer that files without one are about.

    Raises:
        UserError: a describer cannot be read, or has no neuron in common with the run.
    """
    places = run.lab.execution
    others = [open_compared(name, layer, places.workspace, places.weights) for name in describers]
    view = compare_view([compared_run(run), *others])
    blobs = exemplar_blobs(run).by_neuron
    shown = {(row.layer, row.index) for row in view.neurons[:ROWS]}
    return Comparison(
        view,
        {
            (neuron.layer, neuron.index): _thumbs(run, pictures)
            for neuron, pictures in blobs.items()
            if (neuron.layer, neuron.index) in shown
        },
    )


def html_of(value: object) -> str | None:
    """Return a run or a result as a notebook shows it, None where its evidence cannot be read."""
    try:
        if isinstance(value, RunResult):
            run = open_run(value.record.name, value.folder.parents[1])
            return _run_html(run) + value.failures_html()
        return _run_html(value) if isinstance(value, StoredRun) else None
    except UserError:
        return None


def _run_html(run: StoredRun) -> str:
    descriptions, verdicts = run.descriptions(), read_verdicts(run.folder.folder)
    blobs = exemplar_blobs(run).by_neuron
    index = run.folder.folder / "report" / "index.html"
    return render(
        "run_card.html",
        record=run.record,
        counts=Counter(description.status for description in descriptions),
        judged=Counter(verdict.word for verdict in verdicts.on(descriptions)),
        rows=[
            RunRow(
                description,
                _thumbs(run, blobs.get(description.neuron, ())),
                verdicts.of(description),
            )
            for description in descriptions[:ROWS]
        ],
        of=len(descriptions),
        link=index.absolute().as_uri() if index.is_file() else "",
    )


def _thumbs(run: StoredRun, blobs: Sequence[str]) -> tuple[str, ...]:
    return tuple(data_uri(run.lab.blobs, blob, THUMB_SIDE) for blob in blobs[:STRIP])
