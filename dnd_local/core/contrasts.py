"""What a neuron leaves cold: the record of images that excite it less."""

from __future__ import annotations

from dataclasses import dataclass

from dnd_local.core.cards import Card
from dnd_local.core.records import Exemplar, Neuron


@dataclass(frozen=True, slots=True)
class Contrasts(Card):
    """Probe images that excite a neuron less than its exemplars do.

    `cold` are images with a response no higher than the median, those most like the exemplars
    first; `middling` those whose response is nearest to half-way from the median to the exemplars.
    """

    neuron: Neuron
    cold: tuple[Exemplar, ...]
    middling: tuple[Exemplar, ...]

    @property
    def images(self) -> tuple[Exemplar, ...]:
        """All of them, in the order in which they are captioned."""
        return (*self.cold, *self.middling)
