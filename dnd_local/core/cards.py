"""The card that a record shows of itself in a notebook."""

from __future__ import annotations

import html
from dataclasses import fields
from typing import Any


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


def _short(value: Any) -> str:
    text = str(value)
    return text if len(text) <= 200 else text[:199] + "…"
