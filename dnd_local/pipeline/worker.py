"""One worker process of `executors.Processes`: ``python -m dnd_local.pipeline.worker job.json``."""

from __future__ import annotations

import sys
from pathlib import Path

from dnd_local.store.guard import go_offline

if __name__ == "__main__":
    go_offline()

from dnd_local.core.errors import DndError
from dnd_local.pipeline.executors import Outcome, make_parts, outcome_of, read_job, write_outcome
from dnd_local.pipeline.lab import Lab
from dnd_local.pipeline.plan import PLAN


def work(job_path: Path, rank: int, workers: int, device: str) -> None:
    """Make this worker's share of a job's parts and leave an outcome.

    Args:
        job_path: the job's file.
        rank: which worker this is, from 0.
        workers: how many there are; worker r makes every batch b with b % workers == r.
        device: where its models go.
    """
    job = read_job(job_path)
    stage = next(stage for stage in PLAN if stage.name == job.stage)
    lab = Lab(job.config, job.execution, device)
    batches = list(stage.batches(job.items))[rank::workers]
    try:
        failures = make_parts(stage, lab, batches, lambda done: None)
    except DndError as error:
        write_outcome(job, rank, outcome_of(error))
    else:
        write_outcome(job, rank, Outcome(failures=tuple(failures)))
    finally:
        lab.close()


def main() -> None:
    """Find out from accelerate which share and which device is this process's."""
    from accelerate import PartialState

    state = PartialState()
    device = "cpu" if state.device.type == "cpu" else str(state.device.index)
    work(Path(sys.argv[1]), state.process_index, state.num_processes, device)
    state.destroy_process_group()


if __name__ == "__main__":
    main()
