"""How far a run is, in the cell of a notebook: one line a stage, drawn anew as it goes on."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from importlib import import_module
from typing import Any

from dnd_local.core.amounts import duration_text
from dnd_local.core.harmless import html_text
from dnd_local.pipeline.plan import PLAN

NOTEBOOK_SHELL = "ZMQInteractiveShell"
"""What IPython calls the shell behind a notebook; in a terminal it has another."""


@dataclass(slots=True)
class _Line:
    title: str
    total: int
    done: int
    seconds: float | None = None


class NotebookProgress:
    """A `Progress` that draws its lines into a notebook's cell.

    Args:
        display: IPython's `display`, called with `display_id=True`.
        as_html: IPython's `HTML`.
    """

    def __init__(self, display: Any, as_html: Any) -> None:
        self._display, self._as_html = display, as_html
        self._lines: dict[str, _Line] = {}
        self._cell: Any = None

    def start(self, stage: str, total: int, missing: int) -> None:
        """Show a stage's line; what was done before counts as done."""
        titles = {one.name: one.title for one in PLAN}
        self._lines[stage] = _Line(titles.get(stage, stage), total, total - missing)
        self._draw()

    def advance(self, stage: str, done: int) -> None:
        """Move a stage's line on."""
        self._lines[stage].done += done
        self._draw()

    def finish(self, stage: str, seconds: float) -> None:
        """Leave a stage's line with the time it took."""
        self._lines[stage].seconds = seconds
        self._draw()

    def _draw(self) -> None:
        shown = self._as_html(f"<table>{''.join(map(_row, self._lines.values()))}</table>")
        if self._cell is None:
            self._cell = self._display(shown, display_id=True)
        else:
            self._cell.update(shown)


def notebook_progress() -> NotebookProgress | None:
    """Return a progress that draws into the notebook that this process serves, if it does."""
    # Looked up, not imported: who has no notebook need not load IPython.
    shell = sys.modules.get("IPython")
    if shell is None or type(shell.get_ipython()).__name__ != NOTEBOOK_SHELL:
        return None
    shown = import_module("IPython.display")
    return NotebookProgress(shown.display, shown.HTML)


def _row(line: _Line) -> str:
    seconds = "" if line.seconds is None else duration_text(line.seconds)
    return (
        f"<tr><td style='text-align: left'>{html_text(line.title)}</td>"
        f"<td><progress max='{max(line.total, 1)}' value='{line.done or line.total == 0:d}'>"
        f"</progress></td><td>{line.done:,} of {line.total:,}</td><td>{seconds}</td></tr>"
    )
