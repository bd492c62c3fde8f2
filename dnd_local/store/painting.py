"""How an image generator is meant to paint, as its entry in the weights manifest says it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Protocol

import msgspec
from msgspec import Meta, Struct

from dnd_local.core.config import Sampler


class Painting(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The settings of an image generator, or of a LoRA added to one; None: the generator's."""

    steps: Annotated[int, Meta(ge=1, le=1000)]
    guidance: Annotated[float, Meta(ge=0, le=100)]
    size: Annotated[int, Meta(ge=8, le=4096, multiple_of=8)] | None = None
    sampler: Sampler | None = None
    dtype: str | None = None

    def settings(self) -> dict[str, Any]:
        """Return them as the section `pictures` of the settings."""
        values: dict[str, Any] = msgspec.to_builtins(self)
        return {name: value for name, value in values.items() if value is not None}


class _Named(Protocol):
    @property
    def names(self) -> tuple[str, ...]: ...

    @property
    def painting(self) -> Painting | None: ...


def painting_of(entries: tuple[_Named, ...], pictures: Mapping[str, Any]) -> dict[str, Any]:
    """Return how the generator and the LoRA that a user names are meant to paint.

    Args:
        entries: of the weights manifest.
        pictures: the user's section `pictures`; its `model` and `lora` count.

    Returns:
        Settings of that section, empty where neither is named or neither says anything. A LoRA's
        win over the generator's.
    """
    meant: dict[str, Any] = {}
    for name in (pictures.get("model"), pictures.get("lora")):
        for entry in entries:
            if name in entry.names and entry.painting is not None:
                meant |= entry.painting.settings()
    return meant
