"""Worker processes on this machine, as a `Crew` sees them."""

from __future__ import annotations

import subprocess
import sys
import tempfile
from collections.abc import Callable
from contextlib import suppress
from typing import Final

from dnd_local.core.config import Execution
from dnd_local.core.errors import EngineError
from dnd_local.pipeline.crew import Order, Outcome
from dnd_local.pipeline.lab import Lab
from dnd_local.pipeline.worker import Post, decoded, encoded
from dnd_local.store.guard import child_environment
from dnd_local.store.netns import isolated_with_loopback, why_no_loopback

LAST_LINES: Final = 15
"""Lines of a worker's own words in the message when it ended."""


class ProcessHand:
    """A worker process, which ends with this one however this one ends."""

    def __init__(self, lab: Lab, number: int) -> None:
        execution = lab.execution
        device = execution.devices[number % len(execution.devices)]
        self._number = number
        self._said = tempfile.TemporaryFile()  # noqa: SIM115
        command, environment = launch(execution)
        self._process = subprocess.Popen(
            command, env=environment, start_new_session=True,
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self._said,
        )  # fmt: skip
        self._send(encoded(Post(config=lab.config, execution=execution, device=device)))

    def make(self, order: Order, advance: Callable[[int], None]) -> Outcome:
        """See `Hand`."""
        assert self._process.stdout is not None
        self._send(encoded(order))
        while line := self._process.stdout.readline():
            answer: int | Outcome = decoded(line, int | Outcome)
            if isinstance(answer, Outcome):
                return answer
            advance(answer)
        raise self._ended(order.stage)

    def close(self) -> None:
        """See `Hand`."""
        self._process.terminate()
        self._process.wait()
        for stream in (self._process.stdin, self._process.stdout, self._said):
            assert stream is not None
            with suppress(OSError):  # what was on its way to the worker goes nowhere
                stream.close()

    def _send(self, line: bytes) -> None:
        assert self._process.stdin is not None
        with suppress(BrokenPipeError):  # it ended; there will be no answer either
            self._process.stdin.write(line)
            self._process.stdin.flush()

    def _ended(self, stage: str) -> EngineError:
        self._process.wait()
        tail: list[str] = []
        with suppress(ValueError):  # closed here meanwhile, so nobody asks
            self._said.seek(0)
            tail = self._said.read().decode(errors="replace").strip().splitlines()[-LAST_LINES:]
        return EngineError(
            f"worker {self._number} of stage {stage} ended without an answer; its last lines:\n"
            + "\n".join(tail)
        )


def hire(lab: Lab) -> list[ProcessHand]:
    """Return `workers` processes, dealt out over the devices."""
    return [ProcessHand(lab, number) for number in range(lab.execution.workers)]


def launch(execution: Execution) -> tuple[list[str], dict[str, str]]:
    """Return the command and environment of a worker.

    Where the system allows it, a worker has a network namespace of its own that holds nothing but
    a loopback: a language model elsewhere is asked by the process that starts the workers.
    """
    environment = {**worker_environment(execution), **child_environment()}
    command = [sys.executable, "-P", "-m", "dnd_local.pipeline.worker"]
    return ([*isolated_with_loopback(command)] if not why_no_loopback() else command), environment


def worker_environment(execution: Execution) -> dict[str, str]:
    """Return how a worker's threads are to behave, unless the user's environment says otherwise."""
    return {
        "OMP_NUM_THREADS": str(_threads(execution)),
        # A thread that waits for work must not keep a core from another worker.
        "OMP_WAIT_POLICY": "passive",
    }


def _threads(execution: Execution) -> int:
    """Return how many threads a worker computes with.

    On the CPU each worker takes as many threads as one process alone would, even if there are
    fewer cores: how a sum is split over threads changes its rounding, and the number of workers
    must not change a result.
    """
    if execution.devices != ("cpu",):
        return 1
    from dnd_local.engines.device import cpu_threads

    return cpu_threads()
