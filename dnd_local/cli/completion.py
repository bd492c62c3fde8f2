"""What the shell offers when a model's name is being typed."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final

from dnd_local.core.errors import UserError
from dnd_local.store.manifest import PROFILES, Entry
from dnd_local.store.weights import Weights

_ROLES: Final[Mapping[str, tuple[str, ...]]] = {
    "target": ("target",),
    "captioner": ("captioner",),
    "language-model": ("language",),
    "painter": ("painter", "image generator"),
    "embedder": ("embedder", "picture and text"),
}
"""How the manifest's descriptions of a role begin."""

SETTINGS: Final[Mapping[str, str]] = {
    "captions.model": "captioner",
    "llm.model": "language-model",
    "pictures.model": "painter",
    "clip.model": "embedder",
}
"""The settings that name a model, with its role."""


def weights(incomplete: str) -> list[str]:
    """Return the ids and profiles that begin so."""
    return _beginning(incomplete, [*PROFILES, *(entry.id for entry in _entries())])


def targets(incomplete: str) -> list[str]:
    """Return the names of networks that begin so."""
    named = [one.id for one in _entries() if one.network or one.role == "target"]
    return _beginning(incomplete, ["pocket", "pocket-odd", *named])


def models(role: str) -> Callable[[str], list[str]]:
    """Return what completes the names of a role's models."""

    def complete(incomplete: str) -> list[str]:
        named = [entry.id for entry in _entries() if entry.role.startswith(_ROLES[role])]
        return _beginning(incomplete, named)

    return complete


def _entries() -> tuple[Entry, ...]:
    try:
        return Weights.open().manifest.entries
    except UserError:
        return ()


def _beginning(incomplete: str, names: list[str]) -> list[str]:
    return [name for name in names if name.startswith(incomplete)]
