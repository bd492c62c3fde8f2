"""Who makes a stage's missing parts: this process, or one process a device.

Parts are per item, so there is no queue and nothing to merge: a worker takes every n-th batch of
what is missing, writes parts and exits. Exit frees the device. `sharing` has a third way.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Protocol

import msgspec

from dnd_local.core.config import Config, Execution
from dnd_local.core.errors import (
    BadConfig,
    DamagedFile,
    DndError,
    EngineError,
    MissingWeights,
    NoReply,
    Refused,
    UserError,
)
from dnd_local.pipeline.lab import Lab
from dnd_local.pipeline.making import Failure, Made, make_parts
from dnd_local.pipeline.stage import Item, Stage
from dnd_local.store.guard import child_environment
from dnd_local.store.netns import isolated_with_loopback, why_no_loopback

POLL_SECONDS = 0.2


class Executor(Protocol):
    """Makes parts."""

    def free(self, stage: Stage[Any], items: Sequence[Item]) -> list[Item]:
        """Return those of the missing `items` that nobody else has in hand."""

    def make(
        self, stage: Stage[Any], items: Sequence[Item], advance: Callable[[int], None]
    ) -> Made:
        """Make the parts of `items`; `advance` hears of each few that are done.

        What is neither made nor failed afterwards, another process has in hand.

        Raises:
            UserError: something that the user can mend and that stops every item.
            EngineError: an engine that is broken for every item.
        """


class InProcess:
    """Makes parts in this process, with the engines of one `Lab`."""

    def __init__(self, lab: Lab) -> None:
        self.lab = lab

    def free(self, stage: Stage[Any], items: Sequence[Item]) -> list[Item]:
        """See `Executor`."""
        return list(items)

    def make(
        self, stage: Stage[Any], items: Sequence[Item], advance: Callable[[int], None]
    ) -> Made:
        """See `Executor`. An engine stays open while the stages that follow each other use it."""
        if stage.roles:
            self.lab.keep(stage.roles)
        return make_parts(stage, self.lab, list(stage.batches(self.lab.config, items)), advance)


class Job(msgspec.Struct, frozen=True, kw_only=True):
    """What the worker processes of one stage are told."""

    config: Config
    execution: Execution
    stage: str
    items: tuple[Item, ...]
    outcome: Path


class Outcome(msgspec.Struct, frozen=True, kw_only=True):
    """What one worker process answers, in a file of its own."""

    failures: tuple[Failure, ...] = ()
    error: str = ""
    message: str = ""


class Processes:
    """Makes parts in `execution.workers` processes, started through accelerate's launcher."""

    def __init__(self, lab: Lab) -> None:
        self.lab = lab

    def free(self, stage: Stage[Any], items: Sequence[Item]) -> list[Item]:
        """See `Executor`."""
        return list(items)

    def make(
        self, stage: Stage[Any], items: Sequence[Item], advance: Callable[[int], None]
    ) -> Made:
        """See `Executor`. Ctrl-C and errors end every worker; what they wrote stays.

        One language model server serves all, with every device: that stage runs in this process.
        """
        if "language-model" in stage.roles and self.lab.config.llm.engine != "transformers":
            return InProcess(self.lab).make(stage, items, advance)
        # What was opened here for a look at the layers would hold memory that a worker needs.
        self.lab.close()
        execution = self.lab.execution
        with tempfile.TemporaryDirectory(prefix="dnd-local-") as scratch:
            job = Job(
                config=self.lab.config,
                execution=execution,
                stage=stage.name,
                items=tuple(items),
                outcome=Path(scratch),
            )
            path = Path(scratch) / "job.json"
            path.write_bytes(msgspec.json.encode(job, enc_hook=str))
            command, environment = launch(path, execution)
            with (
                (Path(scratch) / "stderr").open("wb") as said,
                subprocess.Popen(
                    command, env=environment, start_new_session=True,
                    stdout=subprocess.DEVNULL, stderr=said,
                ) as process,
            ):  # fmt: skip
                try:
                    self._watch(process, stage, items, advance)
                except BaseException:
                    # The launcher ends its workers, each in a session of its own, and then itself.
                    process.terminate()
                    process.wait()
                    raise
            failures = _gather(Path(scratch), execution.workers, stage)
            return Made(len(items) - len(failures), failures)

    def _watch(
        self,
        process: subprocess.Popen[bytes],
        stage: Stage[Any],
        items: Sequence[Item],
        advance: Callable[[int], None],
    ) -> None:
        folder, names = stage.parts(self.lab), [item.name for item in items]
        done = 0
        running = True
        while running:
            running = process.poll() is None
            now = len(names) - len(folder.missing(names))
            if now > done:
                advance(now - done)
                done = now
            if running:
                time.sleep(POLL_SECONDS)


def launch(job: Path, execution: Execution) -> tuple[list[str], dict[str, str]]:
    """Return the command and environment that start a job's workers through accelerate.

    Where the system allows it, launcher and workers share a network namespace that holds nothing
    but a loopback, on which they find each other: a language model elsewhere is asked by the
    process that starts them, never by a worker.
    """
    environment = {"OMP_NUM_THREADS": str(_threads(execution)), **child_environment()}
    # "-m" would put the current folder, and a module of any name that lies there, first.
    environment["PYTHONSAFEPATH"] = "1"
    command = [sys.executable, "-m", "accelerate.commands.launch"]
    command += ["--num_processes", str(execution.workers), "--num_machines", "1"]
    command += ["--mixed_precision", "no", "--dynamo_backend", "no", "--main_process_port", "0"]
    if execution.workers > 1:
        # On the CPU too: the launcher's --cpu silently starts one process.
        command += ["--multi_gpu"]
    if execution.devices == ("cpu",):
        environment["ACCELERATE_USE_CPU"] = "true"
    else:
        command += ["--gpu_ids", ",".join(execution.devices)]
    command += ["-m", "dnd_local.pipeline.worker", str(job)]
    if why_no_loopback():
        return command, environment
    # An interface that the user's environment names for this would not be there.
    meeting = {"GLOO_SOCKET_IFNAME": "lo", "NCCL_SOCKET_IFNAME": "lo"}
    return [*isolated_with_loopback(command)], {**environment, **meeting}


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


def _gather(scratch: Path, workers: int, stage: Stage[Any]) -> tuple[Failure, ...]:
    """Return all workers' failures, or raise the error that stopped one of them."""
    failures: list[Failure] = []
    for rank in range(workers):
        path = scratch / f"outcome-{rank}.json"
        if not path.exists():
            tail = (scratch / "stderr").read_text(errors="replace").strip().splitlines()[-15:]
            raise EngineError(
                f"worker {rank} of stage {stage.name} ended without an answer; its last lines:\n"
                + "\n".join(tail)
            )
        outcome = msgspec.json.decode(path.read_bytes(), type=Outcome)
        if outcome.error:
            raise _ERRORS.get(outcome.error, EngineError)(outcome.message)
        failures += outcome.failures
    return tuple(failures)


_ERRORS: dict[str, type[DndError]] = {
    kind.__name__: kind
    for kind in (UserError, BadConfig, MissingWeights, DamagedFile, Refused, EngineError, NoReply)
}
"""Errors that cross from a worker with their type; any other user error arrives as `UserError`."""


def outcome_of(error: DndError) -> Outcome:
    """Return the outcome that carries `error` from a worker to the process that started it."""
    name = type(error).__name__
    fallback = "UserError" if isinstance(error, UserError) else "EngineError"
    return Outcome(error=name if name in _ERRORS else fallback, message=str(error))


def read_job(path: Path) -> Job:
    """Return the job in a file written by `Processes`."""
    return msgspec.json.decode(path.read_bytes(), type=Job, dec_hook=lambda kind, text: kind(text))


def write_outcome(job: Job, rank: int, outcome: Outcome) -> None:
    """Write a worker's answer into the file that the process which started it reads."""
    path = job.outcome / f"outcome-{rank}.json"
    temporary = path.with_suffix(".tmp")
    temporary.write_text(json.dumps(msgspec.to_builtins(outcome)), "utf-8")
    temporary.replace(path)
