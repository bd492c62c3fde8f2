"""Progress for a person: one line a stage, on the error stream, nothing when piped.

While a model loads, a line below the stages says what its engine says: a server of a language
model takes minutes. What an engine warns of is printed, piped or not.
"""

from __future__ import annotations

import logging
import sys

from rich.markup import escape
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    ProgressColumn,
    SpinnerColumn,
    Task,
    TaskID,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.progress import Progress as Bars
from rich.text import Text

from dnd_local.cli.wordwise import console, print_line

ROOMY = 100
"""Width of a terminal, in characters, from which a stage's line has a bar and a rate."""

NARROW = 80
"""Width below which a stage's line has the stage's name without what it does."""

LONGEST_NOTE = 72
"""Characters of what an engine says that are shown."""

_ENGINES = logging.getLogger("dnd_local")


class _Count(MofNCompleteColumn):
    """Items done of all; nothing for what cannot be counted."""

    def render(self, task: Task) -> Text:
        return Text("") if task.total is None else super().render(task)


class _Rate(ProgressColumn):
    """Items a second, or seconds an item where that is easier to read."""

    def render(self, task: Task) -> Text:
        speed = task.speed
        if task.finished_time:  # the whole stage's, not that of its last moments
            speed = task.fields["missing"] / task.finished_time
        if not speed:
            return Text("")
        return Text(f"{speed:.1f}/s" if speed >= 1 else f"{1 / speed:.1f} s each")


def _columns(width: int) -> list[ProgressColumn]:
    """Return the columns of a stage's line that fit into a terminal without being cut."""
    title = "{task.description:<42}" if width >= NARROW else "{task.fields[short]:<20}"
    bar: list[ProgressColumn] = [BarColumn(bar_width=bar_width(width, 92, 24)), _Count(), _Rate()]
    return [
        SpinnerColumn(finished_text="[green]✓[/green]"),
        TextColumn(title),
        *(bar if width >= ROOMY else [_Count()]),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
    ]


def bar_width(width: int, rest: int, most: int) -> int:
    """Return how wide a bar is beside what takes `rest` columns of characters of a terminal."""
    return max(4, min(most, width - rest))


class ProgressLines:
    """A `Progress` as one line a stage; use as a context manager."""

    def __init__(self) -> None:
        out = console(err=True)
        self._longest = min(LONGEST_NOTE, out.width - 20)
        self._bars = Bars(*_columns(out.width), console=out, disable=not sys.stderr.isatty())
        self._tasks: dict[str, TaskID] = {}
        self._note: TaskID | None = None
        self._listener = _Listener(self)
        self._level = logging.NOTSET

    def __enter__(self) -> ProgressLines:
        self._level = _ENGINES.level
        _ENGINES.setLevel(logging.INFO)
        _ENGINES.addHandler(self._listener)
        self._bars.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._forget()
        self._bars.stop()
        _ENGINES.removeHandler(self._listener)
        _ENGINES.setLevel(self._level)

    def note(self, text: str) -> None:
        """Show what an engine is at, below the stages, until the stage moves on."""
        line = text if len(text) <= self._longest else text[: self._longest - 1] + "…"
        if self._note is None:
            self._note = self._bars.add_task("", total=None)
        self._bars.update(self._note, description=escape(line), short=escape(line))

    def warn(self, text: str) -> None:
        """Print what an engine warns of."""
        print_line(self._bars.console, Text(text, "yellow"))

    def _forget(self) -> None:
        if self._note is not None:
            self._bars.remove_task(self._note)
            self._note = None

    def start(self, stage: str, total: int, missing: int) -> None:
        """Show a stage's line; what was done before counts as done."""
        self._forget()
        from dnd_local.pipeline.plan import PLAN

        titles = {one.name: one.title for one in PLAN}
        title = titles.get(stage, stage)
        if stage in self._tasks:  # gone over again: its line moves to the end
            self._bars.remove_task(self._tasks[stage])
        self._tasks[stage] = self._bars.add_task(
            title, total=total, completed=total - missing,
            missing=missing, short=title.partition(":")[0],
        )  # fmt: skip

    def advance(self, stage: str, done: int) -> None:
        """Move a stage's line on."""
        self._forget()
        self._bars.advance(self._tasks[stage], done)

    def finish(self, stage: str, seconds: float) -> None:
        """Leave a stage's line as it is."""
        self._forget()
        self._bars.advance(self._tasks[stage], 0)  # or one with nothing to do is never done
        self._bars.stop_task(self._tasks[stage])


class _Listener(logging.Handler):
    """Shows what engines log."""

    def __init__(self, lines: ProgressLines) -> None:
        super().__init__(logging.INFO)
        self._lines = lines

    def emit(self, record: logging.LogRecord) -> None:
        tell = self._lines.warn if record.levelno >= logging.WARNING else self._lines.note
        tell(record.getMessage())
