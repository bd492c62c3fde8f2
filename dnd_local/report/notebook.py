"""A neuron as a card for a notebook: what its page opens with, with the pictures inside it."""

from __future__ import annotations

from dataclasses import dataclass

from dnd_local.core.cards import Card
from dnd_local.core.records import Exemplar
from dnd_local.evaluate.verdicts import Verdict, read_verdicts
from dnd_local.pipeline.evidence import Evidence
from dnd_local.pipeline.reading import StoredRun
from dnd_local.report.pages import render
from dnd_local.report.shelf import data_uri


@dataclass(frozen=True, slots=True)
class NotebookExemplar(Card):
    """An exemplar with its picture as a data URI, empty where it is gone."""

    exemplar: Exemplar
    phrase: str
    src: str


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


def neuron_card(run: StoredRun, neuron: str) -> NeuronCard:
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
