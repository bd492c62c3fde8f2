"""The card that a record shows of itself in a notebook."""

from __future__ import annotations

import html
from collections.abc import Callable
from dataclasses import fields
from typing import Any, ClassVar


class Card:
    """Mixin: a record shows itself in a notebook as a two-column table."""

    __slots__ = ()

    def _repr_html_(self) -> str:
        rows = "".join(
            f"<tr><th scope='row'>{html.escape(field.name)}</th>"
            f"<td style='overflow-wrap: anywhere'>{html.escape(_short(getattr(self, field.name)))}"
            "</td></tr>"
            for field in fields(self)  # type: ignore[arg-type]
        )
        return f"<table><caption>{type(self).__name__}</caption>{rows}</table>"


class Drawn:
    """Mixin: shows itself in a notebook as the report draws it, or else as `plain_html`.

    The report lies above whoever holds results, so the package's front door says how to draw:
    a function from a value to HTML, None where it cannot.
    """

    __slots__ = ()
    draw: ClassVar[list[Callable[[Any], str | None]]] = []

    def plain_html(self) -> str:
        """Return what is shown without the report."""
        return f"<div>{html.escape(repr(self))}</div>"

    def _repr_html_(self) -> str:
        drawn = Drawn.draw[-1](self) if Drawn.draw else None
        return drawn or self.plain_html()


def _short(value: Any) -> str:
    text = str(value)
    return text if len(text) <= 200 else text[:199] + "…"
