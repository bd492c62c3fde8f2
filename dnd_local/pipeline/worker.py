"""One worker process of `executors.Processes`: ``python -m dnd_local.pipeline.worker job.json``."""

from __future__ import annotations

import sys
from pathlib import Path

from dnd_local.core.errors import DndError, disk_error
from dnd_local.pipeline.executors import (
    Job,
    Outcome,
    outcome_of,
    read_job,
    write_outcome,
)
from dnd_local.pipeline.lab import Lab
from dnd_local.pipeline.making import make_parts
from dnd_local.pipeline.plan import PLAN
from dnd_local.store.guard import go_offline
from dnd_local.store.in_use import at_work


def work(job: Job, rank: int, workers: int, device: str) -> None:
    """Make this worker's share of a job's parts and leave an outcome.

    Args:
        job: what all workers are told.
        rank: which worker this is, from 0.
        workers: how many there are; worker r makes every batch b with b % workers == r.
        device: where its models go.
    """
    stage = next(stage for stage in PLAN if stage.name == job.stage)
    lab = Lab(job.config, job.execution, device)
    batches = list(stage.batches(job.config, job.items))[rank::workers]
    try:
        # A worker may outlive the command that started it.
        with at_work(job.execution.workspace):
            result = make_parts(stage, lab, batches, lambda done: None)
    except DndError as error:
        write_outcome(job, rank, outcome_of(error))
    except OSError as error:
        if (refused := disk_error(error)) is None:
            raise
        write_outcome(job, rank, outcome_of(refused))
    else:
        write_outcome(job, rank, Outcome(failures=result.failures))
    finally:
        lab.close()


def main() -> None:
    """Find out from accelerate which share and which device is this process's."""
    job = read_job(Path(sys.argv[1]))
    # Before any model library is imported: some read their offline switches only once. A worker
    # never asks a language model, so no host is allowed here.
    go_offline()
    from accelerate import PartialState

    # Without a GPU and without `cpu`, accelerate would tell each process that it is the only one.
    state = PartialState(cpu=job.execution.devices == ("cpu",))
    device = "cpu" if state.device.type == "cpu" else str(state.device.index)
    work(job, state.process_index, state.num_processes, device)
    state.destroy_process_group()


if __name__ == "__main__":
    main()
