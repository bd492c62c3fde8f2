"""Being stopped: by Ctrl-C, by the system's polite signal (`kill`), by a terminal that closes.

All three are treated alike: the command cleans up and ends with one line, which says what was kept
and how to go on. A signal that the program was started to ignore stays ignored, as a careful Unix
program leaves it: a shell's background job ignores the Ctrl-C that is meant for another, and under
`nohup` a terminal may close. Such a run is stopped with `kill`, which is always heard.
"""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from types import FrameType
from typing import Any, Final

import typer
from typer.core import TyperGroup

from dnd_local.core.errors import Interrupted

KEPT: Final = "what was done is kept, and the same command goes on from there"
UNCHANGED: Final = "nothing was changed"
UNWRITTEN: Final = "nothing was written; the same command starts from the beginning"

AFTER: Final[Mapping[str, str]] = {
    "dissect": KEPT,
    "triage": KEPT,
    "status": UNCHANGED,
    "show": UNCHANGED,
    "runs": UNCHANGED,
    "targets": UNCHANGED,
    "targets check": UNCHANGED,
    "layers": UNCHANGED,
    "doctor": UNCHANGED,
    "verify": "what a repair removed is gone; the same command starts from the beginning",
    "gc": "what was removed is gone, and the same command removes the rest",
    "report": "the pages are not complete; pictures that were converted are kept, and the same "
    "command writes the rest",
    "export": "the pack is not complete and will not open; the same command writes it anew",
    "compare": UNWRITTEN,
    "bench": UNWRITTEN,
    "search": UNWRITTEN,
    "group": UNWRITTEN,
    "truth": UNWRITTEN,
    "ablate": UNWRITTEN,
    "reproduce last-layer": UNWRITTEN,
    "reproduce milannotations": UNWRITTEN,
    "reproduce captioner-swap": UNWRITTEN,
    "reproduce scoring-rules": UNWRITTEN,
    "evaluate": "no verdict was written; pictures that were painted are kept, and the same "
    "command goes on from there",
    "baseline": "no label was written; the responses are kept, and the same command goes on "
    "from there",
    "pocket bench": KEPT,
    "weights add": "nothing was registered; the same command starts from the beginning",
    "weights pull": KEPT,
    "weights pack": "no bundle was written; the same command starts from the beginning",
    "weights unpack": "models that are complete are kept, and the same command brings the others",
    "weights verify": UNCHANGED,
    "weights list": UNCHANGED,
    "weights remove": "what was removed is gone, and the same command removes the rest",
    "probe prepare": KEPT,
    "probe info": UNCHANGED,
    "prompts export": UNWRITTEN,
    "prompts import": KEPT,
    "prompts import-release": UNWRITTEN,
}
"""The last line of a stopped command, by the words of the command."""


class Stoppable(TyperGroup):
    """Commands that end with a line of `AFTER` when they are stopped."""

    def invoke(self, ctx: Any) -> Any:
        """Run the command that was asked for.

        Raises:
            Interrupted: it was stopped.
        """
        with stoppable(lambda: AFTER.get(command_words(ctx), UNCHANGED)):
            return super().invoke(ctx)


def command_words(ctx: typer.Context) -> str:
    """Return the words of the command that a group runs, without the program's name."""
    words = [ctx.invoked_subcommand or ""]
    while ctx.parent is not None:
        words.insert(0, ctx.info_name or "")
        ctx = ctx.parent  # type: ignore[assignment]  # typed as click's own
    return " ".join(words).strip()


@contextmanager
def stoppable(after: Callable[[], str] = lambda: KEPT) -> Iterator[None]:
    """Turn the signals to stop into `Interrupted`, after everything inside has cleaned up.

    Args:
        after: called at the end; returns the line that says what was kept and how to go on.

    Raises:
        Interrupted: one of them came.
    """
    before = {number: signal.getsignal(number) for number in _heard()}
    for number in before:
        signal.signal(number, _interrupt)
    try:
        yield
    except KeyboardInterrupt:
        raise Interrupted(f"interrupted; {after()}") from None
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _heard() -> list[signal.Signals]:
    """Return the signals to turn into an interrupt; Python does so itself with Ctrl-C."""
    hangs_up = signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN
    return [signal.SIGTERM, *([signal.SIGHUP] if hangs_up else [])]


def _interrupt(number: int, frame: FrameType | None) -> None:
    raise KeyboardInterrupt
