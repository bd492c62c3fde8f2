"""Which entries of the manifest are for which role of an engine."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Final

from dnd_local.core.protocols import LATENTS
from dnd_local.store.manifest import Entry

_BEGINNINGS: Final[Mapping[str, tuple[str, ...]]] = {
    "target": ("target",),
    "captioner": ("captioner",),
    "language-model": ("language",),
    "painter": ("painter", "image generator"),
    "embedder": ("embedder", "picture and text"),
    LATENTS: (LATENTS,),
}
"""How the manifest's descriptions of a role begin."""


def serving(entries: Iterable[Entry], role: str) -> list[str]:
    """Return the ids of the entries that are for a role or for latents, in their order."""
    return [entry.id for entry in entries if entry.role.startswith(_BEGINNINGS[role])]
