"""Everything that is known about a neuron: the parts of every stage that concern it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from dnd_local.core.cards import Card
from dnd_local.core.descriptions import Description
from dnd_local.core.records import (
    Captions,
    Concepts,
    Exemplars,
    LayerTriage,
    Neuron,
    Phrases,
    Pictures,
    RaceRound,
    Scores,
    Triage,
)
from dnd_local.pipeline.lab import Lab
from dnd_local.pipeline.plan import (
    CAPTIONS,
    CONCEPTS,
    EXEMPLARS,
    PHRASES,
    PICTURES,
    PLAN,
    RACE,
    SCORES,
    plan_of,
)
from dnd_local.pipeline.stage import Asked, Item, Stage

P = TypeVar("P")


@dataclass(frozen=True, slots=True)
class Evidence(Card):
    """Everything that is known about one neuron.

    `parts` holds the records of every stage that works for neurons, by the stage's name; none
    where a stage has not run for this neuron.
    """

    neuron: Neuron
    triage: Triage
    parts: Mapping[str, tuple[Any, ...]]
    description: Description

    def all_of(self, stage: Stage[P]) -> tuple[P, ...]:
        """Return every record of a stage that concerns this neuron."""
        return self.parts.get(stage.name, ())

    def of(self, stage: Stage[P]) -> P | None:
        """Return the record of a stage that makes one a neuron, None where it has not run."""
        records = self.all_of(stage)
        return records[0] if records else None

    @property
    def exemplars(self) -> Exemplars | None:
        return self.of(EXEMPLARS)

    @property
    def captions(self) -> Captions | None:
        return self.of(CAPTIONS)

    @property
    def phrases(self) -> Phrases | None:
        return self.of(PHRASES)

    @property
    def concepts(self) -> Concepts | None:
        return self.of(CONCEPTS)

    @property
    def pictures(self) -> tuple[Pictures, ...]:
        return self.all_of(PICTURES)

    @property
    def race(self) -> tuple[RaceRound, ...]:
        return self.all_of(RACE)

    @property
    def scores(self) -> Scores | None:
        return self.of(SCORES)

    def as_json(self) -> dict[str, Any]:
        """Return the evidence as plain data: one record, a list of records, or null a stage."""
        stages = [stage for stage in PLAN if stage.name in self.parts]
        records = {
            stage.name: self.of(stage) if stage.kind.single else self.all_of(stage)
            for stage in stages
        }
        return {
            "neuron": self.neuron,
            "triage": self.triage,
            **records,
            "description": self.description,
        }


def gather_evidence(
    lab: Lab, descriptions: Sequence[Description], triages: Mapping[str, LayerTriage]
) -> Iterator[Evidence]:
    """Yield everything about each described neuron, in order; one listing of parts a stage.

    Args:
        lab: the stores of the run.
        descriptions: the neurons wanted.
        triages: the triage of their layers.
    """
    neurons = tuple(description.neuron for description in descriptions)
    asked = Asked(tuple(triages), neurons)
    stages = [stage for stage in plan_of(lab.config) if stage.kind.follows == "neurons"]
    there = {stage.name: set(stage.there(lab, stage.items(lab, asked))) for stage in stages}
    for neuron, description in zip(neurons, descriptions, strict=True):
        parts: dict[str, tuple[Any, ...]] = {}
        for stage in stages:
            if stage.kind.single:
                items = [Item.of_neuron(neuron)]
            else:
                items = stage.items(lab, Asked((neuron.layer,), (neuron,)))
            records = stage.read(lab, [item for item in items if item in there[stage.name]])
            parts[stage.name] = tuple(stage.join(records))
        verdict = triages[neuron.layer].neurons[neuron.index]
        yield Evidence(neuron, verdict, parts, description)
