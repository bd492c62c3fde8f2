"""The race of each neuron as far as its parts tell: its rounds, and who gets how many pictures."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from dnd_local.core.config import Config
from dnd_local.core.racing import BLOCK, goes_on, pictures_by_round, pictures_of_each
from dnd_local.core.records import Concepts, Neuron, RaceRound
from dnd_local.core.sequences import distinct
from dnd_local.pipeline.lab import Lab
from dnd_local.pipeline.stage import Item, Stage


@dataclass(frozen=True, slots=True)
class Race:
    """A neuron's candidates, the rounds of its race that are over, and pictures by round.

    Without a race there is one count of pictures and no round.
    """

    neuron: Neuron
    texts: tuple[str, ...]
    rounds: tuple[RaceRound, ...]
    by_round: tuple[int, ...]

    @property
    def counts(self) -> dict[str, int]:
        """How many pictures each candidate has, or is to get next."""
        return pictures_of_each(self.texts, self.rounds, self.by_round)

    @property
    def running(self) -> tuple[str, ...]:
        """The candidates that are left."""
        return self.rounds[-1].running if self.rounds else self.texts

    @property
    def left(self) -> int:
        """How many rounds there are to come, at most."""
        rounds = len(self.by_round) - 1
        return rounds - len(self.rounds) if goes_on(self.texts, self.rounds) else 0

    def items(self) -> list[Item]:
        """Return the rounds that are over, and the next one."""
        rounds = len(self.rounds) + min(self.left, 1)
        return [Item.of_neuron(self.neuron, number) for number in range(rounds)]

    def unpainted(self) -> int:
        """Return how many blocks of pictures may be asked for after the next round, at most."""
        if not self.left:
            return 0
        later = self.by_round[-1] - self.by_round[len(self.rounds)]
        return len(self.running) * -(-later // BLOCK)


def races(
    lab: Lab,
    stage: Stage[RaceRound],
    concepts: Iterable[Concepts],
    before: Mapping[Neuron, int] | None = None,
) -> list[Race]:
    """Return the race of each neuron.

    Args:
        lab: the stores of the run.
        stage: the one whose parts are the rounds.
        concepts: the candidates of each neuron.
        before: for each neuron, the round before which its race is wanted; as it is now if None.
    """
    by_round = pictures_by_round(lab.config.scores.race, lab.config.pictures.count)
    texts = {part.neuron: tuple(distinct(c.text for c in part.candidates)) for part in concepts}
    rounds: dict[Neuron, tuple[RaceRound, ...]] = dict.fromkeys(texts, ())
    for number in range(len(by_round) - 1):
        going = [
            neuron
            for neuron, over in rounds.items()
            if len(over) == number
            and goes_on(texts[neuron], over)
            and (before is None or number < before[neuron])
        ]
        there = stage.there(lab, [Item.of_neuron(neuron, number) for neuron in going])
        for part in stage.read(lab, there):
            rounds[part.neuron] = (*rounds[part.neuron], part)
    return [Race(neuron, texts[neuron], over, by_round) for neuron, over in rounds.items()]


def blocks(counts: Iterable[tuple[str, int]]) -> list[Item]:
    """Return the items of so many pictures of each text: blocks of `BLOCK`, the last may be short.

    A run that asks for fewer pictures of a concept shares its blocks with one that asks for more.
    """
    most: dict[str, int] = {}
    for text, count in counts:
        most[text] = max(count, most.get(text, 0))
    return [
        Item.of_block(text, first, min(BLOCK, count - first))
        for text, count in most.items()
        for first in range(0, count, BLOCK)
    ]


def picture_blocks(config: Config, texts: Iterable[str]) -> list[Item]:
    """Return the items of all pictures of each text."""
    return blocks((text, config.pictures.count) for text in texts)
