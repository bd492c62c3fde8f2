"""What happened in a run and when: one line an event, each with its checksum."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from filelock import FileLock

from dnd_local.core.digest import canonical
from dnd_local.store.files import naming, read_whole
from dnd_local.store.sealed import sealed, unseal


class EventLog:
    """A file of events, ``events.jsonl``, that is only ever added to."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def add(self, kind: str, **facts: Any) -> None:
        """Append an event."""
        line = canonical(sealed({"time": round(time.time(), 3), "event": kind, **facts})) + b"\n"
        with naming(self.path):
            self.path.parent.mkdir(parents=True, exist_ok=True)
            # One write of one line in append mode; the lock is for machines that share a disk.
            with (
                FileLock(self.path.with_suffix(".lock")),
                self.path.open("a+b", buffering=0) as file,
            ):
                if _is_cut(file.fileno()):
                    line = b"\n" + line
                file.write(line)

    def lines(self) -> Iterator[dict[str, Any]]:
        """Yield the events; a line that was cut off or damaged is left out."""
        yield from (event for event in self._read() if event is not None)

    def damaged(self) -> int:
        """Return how many lines were cut off or damaged."""
        return sum(event is None for event in self._read())

    def _read(self) -> Iterator[dict[str, Any] | None]:
        for line in read_whole(self.path).splitlines() if self.path.exists() else []:
            try:
                yield unseal(line, dict[str, Any])
            except ValueError:
                yield None

    def measured(self) -> dict[str, tuple[float, int]]:
        """Return (seconds, items made) of each stage over all sessions."""
        totals: dict[str, tuple[float, int]] = {}
        for event in self.lines():
            if event["event"] == "finish":
                took, items = totals.get(event["stage"], (0.0, 0))
                new = event["items"] - event["failed"]
                totals[event["stage"]] = (took + event["seconds"], items + new)
        return totals


def _is_cut(file: int) -> bool:
    """Return whether a crash left a last line without its end."""
    size = os.fstat(file).st_size
    return size > 0 and os.pread(file, 1, size - 1) != b"\n"
