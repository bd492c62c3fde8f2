"""A stored run judged: verdicts for its labels, or for another describer's on the same neurons."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final, Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from dnd_local.core.cards import Card
from dnd_local.core.descriptions import DescriptionRow, DescriptionTable
from dnd_local.core.errors import UnknownName, UserError
from dnd_local.evaluate.evidence import (
    HeldOut,
    fresh_pictures,
    held_out,
    other_probe,
    picture_evidence,
    probe_evidence,
)
from dnd_local.evaluate.exports import Cell
from dnd_local.evaluate.faithfulness import CONSTANT_WORD, judge
from dnd_local.evaluate.intervals import Interval, bootstrap_mean
from dnd_local.evaluate.truth import Answer, Vocabulary
from dnd_local.evaluate.verdicts import Verdict
from dnd_local.pipeline.reading import OUTDATED, StoredRun
from dnd_local.pipeline.runner import Progress

Source: TypeAlias = Literal["images", "pictures"]
SOURCES: Final[tuple[Source, ...]] = ("images", "pictures")


@dataclass(frozen=True, slots=True)
class PlantedAnswer(Card):
    """What a label says of the concept that was planted in its neuron."""

    layer: str
    neuron: int
    label: str
    concept: str
    answer: Answer

    def record(self) -> dict[str, Cell]:
        """Return the answer as one flat record."""
        return {
            "layer": self.layer,
            "neuron": self.neuron,
            "label": self.label,
            "concept": self.concept,
            "answer": self.answer,
        }


def judge_run(
    run: StoredRun,
    labels: DescriptionTable,
    *,
    probe: str = "",
    sources: Sequence[Source] = SOURCES,
    word: str = CONSTANT_WORD,
    seed: int = 0,
    progress: Progress | None = None,
) -> tuple[Verdict, ...]:
    """Return a verdict for every labelled neuron of the run, layer by layer.

    Args:
        run: whose network and images judge.
        labels: whose labels are judged; rows of neurons that the run has not are left out.
        probe: another probe set (A+B) instead of the run's own held-out images.
        sources: ``images``: CLIP-simulated against real responses on held-out images;
            ``pictures``: responses to fresh pictures of the label against held-out images.
        word: the constant word of the second null.

    Raises:
        UserError: the run holds no image out and no probe is named, no label is for a neuron of
            the run, or a layer has fewer than two different labels.
    """
    rows = _of_run(run, labels)
    images = other_probe(run, probe) if probe else held_out(run)
    texts = [*(row.labels[0] for row in rows), word]
    pictured = fresh_pictures(run, texts, progress) if "pictures" in sources else {}
    verdicts: list[Verdict] = []
    for layer in dict.fromkeys(row.layer for row in rows):
        own = [row for row in rows if row.layer == layer]
        verdicts += _judge_layer(run, layer, own, images, pictured, sources, word, seed)
    return tuple(verdicts)


def placed(run: StoredRun, labels: DescriptionTable) -> DescriptionTable:
    """Return labels with their layer: where they name none and the run has one, it is that."""
    known = run.record.neurons
    only = next(iter(known)) if len(known) == 1 else ""
    rows = tuple(replace(row, layer=row.layer or only) for row in labels.rows)
    return DescriptionTable(labels.describer, rows)


def of_layer(run: StoredRun, labels: DescriptionTable, layer: str) -> DescriptionTable:
    """Return the labels of one layer of the run, or all where none is named.

    Raises:
        UnknownName: the run has no such layer.
    """
    if not layer:
        return labels
    if layer not in run.record.neurons:
        raise UnknownName("layer", layer, run.record.neurons, f"Run '{run.record.name}' has these.")
    return labels.of_layer(layer)


def planted(
    labels: DescriptionTable, truth: Mapping[tuple[str, int], str], words: Vocabulary
) -> tuple[PlantedAnswer, ...]:
    """Return what each label says of its neuron's planted concept; no label is silent.

    Raises:
        UserError: no neuron of the table has a planted concept.
    """
    answers = []
    for row in labels.rows:
        concept = truth.get((row.layer, row.neuron))
        if concept is not None:
            label = row.labels[0] if row.labels else ""
            answer = words.answer(label, concept)
            answers.append(PlantedAnswer(row.layer, row.neuron, label, concept, answer))
    if not answers:
        raise UserError(f"none of the {len(labels.rows)} neurons has a planted concept")
    return tuple(answers)


def planted_accuracy(answers: Sequence[PlantedAnswer], seed: int = 0) -> Interval:
    """Return the share of right answers with its interval."""
    return bootstrap_mean([own.answer == "right" for own in answers], seed)


def _judge_layer(
    run: StoredRun,
    layer: str,
    rows: Sequence[DescriptionRow],
    images: HeldOut,
    pictured: Mapping[str, Mapping[str, NDArray[np.float32]]],
    sources: Sequence[Source],
    word: str,
    seed: int,
) -> tuple[Verdict, ...]:
    columns = [row.neuron for row in rows]
    labels = [row.labels[0] for row in rows]
    return judge(
        [(layer, index) for index in columns],
        labels,
        probe_evidence(layer, columns, images, [*labels, word], run.lab)
        if "images" in sources
        else None,
        picture_evidence(layer, columns, images, pictured) if "pictures" in sources else None,
        word=word,
        seed=seed,
    )


def _of_run(run: StoredRun, labels: DescriptionTable) -> list[DescriptionRow]:
    """Return the rows with a label whose neuron the run has."""
    known = run.record.neurons
    rows = [
        row
        for row in placed(run, labels).rows
        if row.labels and row.neuron in known.get(row.layer, ())
    ]
    if not rows and run.outdated():
        raise UserError(
            f"run '{run.record.name}' has no labels to judge: {OUTDATED}; the same dissect command "
            "describes its neurons again"
        )
    if not rows:
        raise UserError(
            f"{labels.describer} has no label for a neuron of run '{run.record.name}' "
            f"(layers {', '.join(known)})"
        )
    return rows
