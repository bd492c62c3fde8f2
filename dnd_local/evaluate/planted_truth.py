"""Planted truth: networks whose neurons' meaning is known by construction.

It comes from a user's file or with the embedded targets; a label is right if it names what was
planted in its neuron.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import msgspec

from dnd_local.core.cards import Card
from dnd_local.core.concept_words import Answer, ConceptWords, concept_words
from dnd_local.core.descriptions import DescriptionTable
from dnd_local.core.errors import UserError
from dnd_local.evaluate.intervals import Interval, share
from dnd_local.evaluate.tables import read_text
from dnd_local.pipeline.lab import Lab
from dnd_local.pipeline.opening import POCKET_TARGETS
from dnd_local.pipeline.reading import StoredRun
from dnd_local.pocket import words as pocket_words
from dnd_local.store.outputs import Cell

HARD: Final = "pocket-hard"
"""The embedded target whose neurons are formulas; `hard_truth` knows what they mean."""


@dataclass(frozen=True, slots=True)
class Planted:
    """A network whose neurons' meaning is known: each neuron's concept, and the words for them."""

    neurons: Mapping[tuple[str, int], str]
    words: ConceptWords


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


class NeuronTruth(msgspec.Struct, frozen=True):
    """The meaning of a neuron: its concept and the concept's kind, None where it has none."""

    neuron: int
    kind: pocket_words.Kind
    concept: str | None = None


class TargetTruth(msgspec.Struct, frozen=True):
    """The content of a pocket target's ``truth.json``."""

    fc: tuple[NeuronTruth, ...]
    layer4: tuple[NeuronTruth, ...]

    def known(self, layer: str) -> dict[int, pocket_words.Concept]:
        """Return the concept of every neuron of a layer that has one."""
        neurons: tuple[NeuronTruth, ...] = getattr(self, layer)
        return {
            truth.neuron: pocket_words.Concept(truth.kind, truth.concept)
            for truth in neurons
            if truth.concept is not None
        }


class _ConceptEntry(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    kind: str
    words: tuple[str, ...] = ()


class _PlantedFile(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    concepts: dict[str, _ConceptEntry]
    neurons: dict[str, dict[int, str]]


def read_planted(path: Path) -> Planted:
    """Return the planted truth of a JSON file.

    ``{"concepts": {"dog": {"kind": "object", "words": ["puppy"]}}, "neurons": {"fc": {"0":
    "dog"}}}``; a concept's name is among its words, and a neuron without an entry has no
    truth. The ``truth.json`` of an embedded target is read too: its words are the pocket world's.

    Raises:
        UserError: the file cannot be read, has another shape, a word names two concepts, or a
            neuron has a concept that is not listed.
    """
    text, _ = read_text(path)
    try:
        if "concepts" not in msgspec.json.decode(text, type=dict[str, msgspec.Raw]):
            return _checked(of_pocket(msgspec.json.decode(text, type=TargetTruth)), path)
        file = msgspec.json.decode(text, type=_PlantedFile)
    except (msgspec.MsgspecError, RecursionError, UnicodeDecodeError) as error:
        raise UserError(f"{path} is no planted truth: {error}") from None
    words = concept_words(
        {name: entry.kind for name, entry in file.concepts.items()},
        {name: entry.words for name, entry in file.concepts.items()},
    )
    neurons = {
        (layer, index): concept
        for layer, concepts in file.neurons.items()
        for index, concept in concepts.items()
    }
    return _checked(Planted(neurons, words), path)


def planted_of_run(run: StoredRun) -> Planted:
    """Return the planted truth of a run's network; the embedded targets bring theirs along.

    Raises:
        UserError: the network is another one.
        MissingWeights: the target is not there.
    """
    name = run.record.config.network.name
    if name == HARD:
        raise UserError(
            f"the neurons of {HARD} are formulas, which no single word names: "
            "dnd-local pocket bench --hard"
        )
    if name not in POCKET_TARGETS:
        known = [target for target in POCKET_TARGETS if target != HARD]
        raise UserError(
            f"run '{run.record.name}' is about {name}, and planted truth is known of "
            f"{' and '.join(known)} only; give a file instead: "
            f"dnd-local truth {run.record.name} FILE.json"
        )
    return of_pocket(read_truth(run.lab, name))


def read_truth(lab: Lab, target: str) -> TargetTruth:
    """Return the meaning of the neurons of a pocket target.

    Raises:
        MissingWeights: the target is not there.
    """
    path = lab.weights.folder(POCKET_TARGETS[target]) / "truth.json"
    return msgspec.json.decode(path.read_bytes(), type=TargetTruth)


def of_pocket(truth: TargetTruth) -> Planted:
    """Return the truth of an embedded target, with every word that the pocket world has for it."""
    neurons = {
        (layer, index): concept.name
        for layer in ("fc", "layer4")
        for index, concept in truth.known(layer).items()
    }
    return Planted(neurons, pocket_words.all_words())


def planted_answers(labels: DescriptionTable, truth: Planted) -> tuple[PlantedAnswer, ...]:
    """Return whether each label names its neuron's planted concept; a missing label is silent.

    Raises:
        UserError: no neuron of the table has a planted concept.
    """
    answers = []
    for row in labels.rows:
        concept = truth.neurons.get((row.layer, row.neuron))
        if concept is not None:
            label = row.labels[0] if row.labels else ""
            answer = truth.words.answer(label, concept)
            answers.append(PlantedAnswer(row.layer, row.neuron, label, concept, answer))
    if not answers:
        raise UserError(f"none of the {len(labels.rows)} neurons has a planted concept")
    return tuple(answers)


def planted_accuracy(answers: Sequence[PlantedAnswer]) -> Interval:
    """Return the share of right answers with its exact interval."""
    return share([answer.answer == "right" for answer in answers])


def _checked(truth: Planted, path: Path) -> Planted:
    """Return `truth` if every planted concept has words."""
    if unknown := sorted(set(truth.neurons.values()) - truth.words.kinds.keys()):
        raise UserError(f"{path}: '{unknown[0]}' is planted but not among its concepts")
    return truth
