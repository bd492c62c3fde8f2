"""A neuron in short: what the grid, neighbours, the map and previous/next show of it."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

from dnd_local.core.cards import Card
from dnd_local.core.descriptions import Description, Label, Status
from dnd_local.core.digest import sha256
from dnd_local.core.records import Neuron, Triage
from dnd_local.evaluate.verdicts import Verdict
from dnd_local.report.shelf import Shelf, Shown

STRIP: Final = 5
"""Exemplars in a card's strip."""

_SAFE = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,79}")
_UNSAFE = re.compile(r"[^A-Za-z0-9._-]")


@dataclass(frozen=True, slots=True)
class CardView(Card):
    """A neuron in short.

    `page` is its address from the site's root; `strip` has an entry an exemplar, None where its
    picture is gone. `verdict` is on the best label, None where it was not judged.
    """

    page: str
    neuron: Neuron
    status: Status
    reason: str
    labels: tuple[Label, ...]
    maximum: float
    strip: tuple[Shown | None, ...]
    verdict: Verdict | None = None

    @property
    def label(self) -> str:
        """The best label; without one, what is known instead."""
        return self.labels[0].text if self.labels else self.reason or self.status

    @property
    def score(self) -> float | None:
        """The best label's score."""
        return self.labels[0].score if self.labels else None


def page_of(neuron: Neuron) -> str:
    """Return the stable address of a neuron's page from the site's root.

    A layer's name comes from a user's network: what no file name takes is replaced, and a digest
    keeps two such names apart.
    """
    layer = neuron.layer
    if not _SAFE.fullmatch(layer):
        digest = sha256(layer.encode("utf-8", "replace"))[:8]
        layer = f"_{_UNSAFE.sub('_', layer)[:60]}-{digest}"
    return f"neurons/{layer}-{neuron.index:05d}.html"


def card_of(
    description: Description,
    triage: Triage,
    blobs: tuple[str, ...],
    shelf: Shelf,
    verdict: Verdict | None = None,
) -> CardView:
    """Return a neuron in short; `blobs` are its exemplars, best first."""
    shelf.put(blobs[:STRIP])
    return CardView(
        page=page_of(description.neuron),
        neuron=description.neuron,
        status=description.status,
        reason=description.reason,
        labels=description.labels,
        maximum=triage.maximum,
        strip=tuple(shelf.get(blob) for blob in blobs[:STRIP]),
        verdict=verdict,
    )
