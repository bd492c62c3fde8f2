"""Being stopped: by Ctrl-C, or by the system's polite signal, which is treated alike."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

from dnd_local.core.errors import Interrupted


@contextmanager
def stoppable() -> Iterator[None]:
    """Turn Ctrl-C and SIGTERM into `Interrupted`, after everything inside has cleaned up.

    Raises:
        Interrupted: one of them came.
    """
    before = signal.signal(signal.SIGTERM, _interrupt)
    try:
        yield
    except KeyboardInterrupt:
        raise Interrupted(
            "interrupted; what was done is kept, and the same command goes on from there"
        ) from None
    finally:
        signal.signal(signal.SIGTERM, before)


def _interrupt(number: int, frame: FrameType | None) -> None:
    raise KeyboardInterrupt
