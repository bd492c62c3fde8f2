"""Which signals a program under test hears, whatever this process was started to ignore.

A check that runs as a background job of a script inherits an ignored SIGINT, one under `nohup` an
ignored SIGHUP, and every child inherits them in turn.
"""

from __future__ import annotations

import signal
from collections.abc import Callable

STOPPING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


def hearing(*ignored: signal.Signals) -> Callable[[], None]:
    """Return a `preexec_fn` after which every signal to stop is heard, but for those `ignored`."""

    def set_signals() -> None:
        for number in STOPPING:
            signal.signal(number, signal.SIG_IGN if number in ignored else signal.SIG_DFL)

    return set_signals
