"""The progress of a download: one bar on the error stream, notes above it."""

from __future__ import annotations

import sys
from threading import Lock

import typer
from rich.progress import BarColumn, DownloadColumn, TextColumn, TimeRemainingColumn
from rich.progress import Progress as Bars
from rich.progress import TransferSpeedColumn as Speed
from rich.text import Text

from dnd_local.cli.progress import bar_width
from dnd_local.cli.wordwise import console, print_line


class LandingBar:
    """A `Progress` of `store/fetch.py` as one bar; use as a context manager."""

    def __init__(self, what: str) -> None:
        self._console = console(err=True)
        self._bars = Bars(
            TextColumn("{task.description}"),
            BarColumn(bar_width=bar_width(self._console.width, 40 + len(what), 32)),
            DownloadColumn(),
            Speed(),
            TimeRemainingColumn(),
            console=self._console,
            disable=not sys.stderr.isatty(),
        )
        self._task = self._bars.add_task(what, total=None)
        self._lock = Lock()

    def __enter__(self) -> LandingBar:
        self._bars.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._bars.stop()

    def total(self, size: int) -> None:
        """Show how many bytes are to come."""
        self._bars.update(self._task, total=size)

    def landed(self, size: int) -> None:
        """Move the bar on, from any thread."""
        with self._lock:
            self._bars.advance(self._task, size)

    def ask(self, question: str) -> bool:
        """Return the answer to a question, with the bar out of the way."""
        self._bars.stop()
        answer = typer.confirm(question, err=True)
        self._bars.start()
        return answer

    def say(self, text: str) -> None:
        """Print a line above the bar."""
        print_line(self._console, Text(text))
