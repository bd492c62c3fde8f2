"""The card that a record shows of itself in a notebook."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import fields
from typing import Any, ClassVar

from dnd_local.core.harmless import html_text

MOST_LINES = 50
"""Records shown of a long list within a record."""


_BREAK = "overflow-wrap: anywhere"
"""Long words break, so that a table fits a narrow notebook."""


class Card:
    """Mixin: a record shows itself in a notebook as a two-column table.

    Several records of one kind within it are a table of their own, a line each.
    """

    __slots__ = ()

    def _repr_html_(self) -> str:
        rows = "".join(
            f"<tr><th scope='row'>{html_text(name)}</th>{_cell(getattr(self, name))}</tr>"
            for name in _names(self)
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
        return f"<div>{html_text(repr(self))}</div>"

    def _repr_html_(self) -> str:
        drawn = Drawn.draw[-1](self) if Drawn.draw else None
        return drawn or self.plain_html()


def _names(record: Card) -> list[str]:
    return [field.name for field in fields(record)]  # type: ignore[arg-type]


def _cell(value: Any) -> str:
    """Return one cell: a table where `value` holds several records of one kind."""
    if _is_list_of_records(value):
        names = _names(value[0])
        head = "".join(f"<th scope='col' style='{_BREAK}'>{html_text(name)}</th>" for name in names)
        lines = "".join(
            f"<tr>{''.join(_text(getattr(record, name)) for name in names)}</tr>"
            for record in value[:MOST_LINES]
        )
        more = f"and {len(value) - MOST_LINES:,} more" if len(value) > MOST_LINES else ""
        return f"<td><table><tr>{head}</tr>{lines}</table>{more}</td>"
    return _text(value)


def _is_list_of_records(value: Any) -> bool:
    """Tell whether `value` is a sequence of records of one kind, and not empty."""
    return (
        isinstance(value, tuple | list)
        and len({type(item) for item in value}) == 1
        and isinstance(value[0], Card)
    )


def _text(value: Any) -> str:
    return f"<td style='{_BREAK}'>{html_text(_short(value))}</td>"


def _short(value: Any) -> str:
    text = str(value)
    return text if len(text) <= 200 else text[:199] + "…"
