"""What a person watching sees: one line a stage, on the error stream, nothing when piped."""

from __future__ import annotations

import sys

from rich.console import Console
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

WORDS = {
    "responses": "responses: the network over the probe set",
    "triage": "triage: live, dead, constant, duplicate",
    "exemplars": "exemplars: top images and crops",
    "captions": "captions",
    "phrases": "phrases: captions cut short",
    "concepts": "concepts: candidate labels",
    "pictures": "pictures: painting the candidates",
    "scores": "scores: which candidate fits",
}


class _Rate(ProgressColumn):
    """Items a second, or seconds an item where that is easier to read."""

    def render(self, task: Task) -> Text:
        if not task.speed:
            return Text("")
        if task.speed >= 1:
            return Text(f"{task.speed:.1f}/s")
        return Text(f"{1 / task.speed:.1f} s each")


class ProgressLines:
    """A `Progress` as one line a stage; use as a context manager."""

    def __init__(self) -> None:
        self._bars = Bars(
            SpinnerColumn(finished_text="[green]✓[/green]"),
            TextColumn("{task.description:<42}"),
            BarColumn(bar_width=24),
            MofNCompleteColumn(),
            _Rate(),
            TimeElapsedColumn(),
            TimeRemainingColumn(),
            console=Console(stderr=True),
            disable=not sys.stderr.isatty(),
        )
        self._tasks: dict[str, TaskID] = {}

    def __enter__(self) -> ProgressLines:
        self._bars.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._bars.stop()

    def start(self, stage: str, total: int, missing: int) -> None:
        """Show a stage's line; what was done before counts as done."""
        words = WORDS.get(stage, stage)
        self._tasks[stage] = self._bars.add_task(words, total=total, completed=total - missing)

    def advance(self, stage: str, done: int) -> None:
        """Move a stage's line on."""
        self._bars.advance(self._tasks[stage], done)

    def finish(self, stage: str, seconds: float) -> None:
        """Leave a stage's line as it is."""
        self._bars.stop_task(self._tasks[stage])
