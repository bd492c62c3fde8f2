"""How often descriptions of the pocket targets' neurons say what was planted in them.

A planted network is the only full test of a method that describes neurons: its answers are known
by construction.
"""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from typing import TypeAlias

import msgspec
import numpy as np

from dnd_local.core.descriptions import Description
from dnd_local.evaluate.intervals import Interval, bootstrap_mean
from dnd_local.evaluate.planted_truth import TargetTruth
from dnd_local.pipeline.lab import Lab
from dnd_local.pipeline.opening import POCKET_TARGETS
from dnd_local.pocket import words

Figures: TypeAlias = dict[str, Interval]

SHUFFLES = 20


class Pair(msgspec.Struct, frozen=True):
    """A neuron that repeats another one of a lower index."""

    neuron: int
    of: int


class Mixed(msgspec.Struct, frozen=True):
    """A neuron that fires for either of two objects."""

    neuron: int
    concepts: tuple[str, ...]


class Inhibited(msgspec.Struct, frozen=True):
    """A neuron that fires for everything but one object."""

    neuron: int
    by: str


class Oddities(msgspec.Struct, frozen=True):
    """The neurons planted in ``layer4`` of the second target to fool a describer."""

    dead: tuple[int, ...]
    constant: int
    duplicates: tuple[Pair, ...]
    polysemantic: Mixed
    inhibited: Inhibited

    def silent(self) -> dict[int, tuple[str, str]]:
        """Return the status of every neuron that triage must name, and a word of the reason."""
        return {
            **dict.fromkeys(self.dead, ("dead", "")),
            self.constant: ("constant", ""),
            **{pair.neuron: ("duplicate", f" {pair.of}") for pair in self.duplicates},
        }

    def neurons(self) -> tuple[int, ...]:
        """Return every planted neuron, in order."""
        return tuple(sorted({*self.silent(), self.polysemantic.neuron, self.inhibited.neuron}))


def read_oddities(lab: Lab, target: str) -> Oddities:
    """Return the planted oddities of a pocket target, from its ``config.json``.

    Raises:
        MissingWeights: the target is not there.
    """
    path = lab.weights.folder(POCKET_TARGETS[target]) / "config.json"
    sections = msgspec.json.decode(path.read_bytes(), type=dict[str, msgspec.Raw])
    return msgspec.json.decode(sections["oddities"], type=dict[str, Oddities])["layer4"]


def truth_figures(
    descriptions: Mapping[str, Sequence[Description]], truth: TargetTruth, seed: int
) -> Figures:
    """Return how often the first label, and one of three, names a neuron's planted concept.

    The null gives every neuron the label of another one of its layer.
    """
    figures: Figures = {}
    null: list[float] = []
    rng = random.Random(seed)
    for layer, described in descriptions.items():
        known = truth.known(layer)
        labels = [[label.text for label in d.labels] for d in described]
        wanted = [known[d.neuron.index] for d in described]
        first = [float(_names(_first(x), c)) for x, c in zip(labels, wanted, strict=True)]
        three = [
            float(any(_names(text, c) for text in x)) for x, c in zip(labels, wanted, strict=True)
        ]
        figures[f"truth.{layer}.top1"] = bootstrap_mean(first, seed)
        figures[f"truth.{layer}.top3"] = bootstrap_mean(three, seed)
        for kind in words.KINDS:
            part = [value for value, c in zip(first, wanted, strict=True) if c.kind == kind]
            if part:
                figures[f"truth.{layer}.{kind}.top1"] = bootstrap_mean(part, seed)
        null += _shuffled([_first(x) for x in labels], wanted, rng)
    figures["null.top1"] = bootstrap_mean(null, seed)
    return figures


def _names(label: str, concept: words.Concept) -> bool:
    return words.all_words().answer(label, concept.name) == "right"


def _first(labels: Sequence[str]) -> str:
    return labels[0] if labels else ""


def _shuffled(
    labels: list[str], wanted: Sequence[words.Concept], rng: random.Random
) -> list[float]:
    """Return each neuron's mean rightness over shuffles of the labels."""
    right = np.zeros(len(labels))
    for _ in range(SHUFFLES):
        mixed = rng.sample(labels, len(labels))
        right += [float(_names(text, c)) for text, c in zip(mixed, wanted, strict=True)]
    return [float(value) for value in right / SHUFFLES]


def oddity_figures(
    descriptions: Sequence[Description], odd: Oddities, costly: Sequence[int], seed: int
) -> Figures:
    """Return whether each planted oddity was handled.

    Args:
        descriptions: of the planted neurons.
        odd: what was planted.
        costly: the neurons for which something was captioned or painted.
        seed: of the intervals.

    Returns:
        The share of silent neurons named as what they are (``odd.named``), the share of them that
        cost captions or pictures (``odd.costly``), whether the polysemantic neuron's labels show
        both of its concepts (``odd.both``), and whether none of the inhibited neuron's names what
        inhibits it (``odd.inhibited``).
    """
    by_index = {description.neuron.index: description for description in descriptions}
    named = []
    for index, (status, word) in odd.silent().items():
        named.append(
            float(by_index[index].status == status and by_index[index].reason.endswith(word))
        )
    both, dog = (
        {c.name for label in by_index[i].labels for c in words.mentions(label.text)}
        for i in (odd.polysemantic.neuron, odd.inhibited.neuron)
    )
    return {
        "odd.named": bootstrap_mean(named, seed),
        "odd.costly": bootstrap_mean([float(i in costly) for i in odd.silent()], seed),
        "odd.both": bootstrap_mean([float(both >= set(odd.polysemantic.concepts))], seed),
        "odd.inhibited": bootstrap_mean([float(odd.inhibited.by not in dog)], seed),
    }


def canonical(concept: words.Concept) -> str:
    """Return the plainest label for a concept."""
    if concept.kind in ("colour", "pattern"):
        return f"{concept.name} background"
    return concept.name
