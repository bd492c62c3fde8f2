"""Making a stage's parts, batch by batch; failing batches are halved down to the bad item."""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from contextlib import closing
from dataclasses import dataclass
from functools import partial
from typing import Any

from dnd_local.core.errors import EngineError, NoReply, OutOfMemory
from dnd_local.pipeline.lab import Lab
from dnd_local.pipeline.overlap import EngineCalls, in_order
from dnd_local.pipeline.stage import Item, Stage


@dataclass(frozen=True, slots=True)
class Failure:
    """An item that a stage could not make a part for, and why."""

    stage: str
    item: str
    reason: str


def make_parts(
    stage: Stage[Any],
    lab: Lab,
    batches: Sequence[Sequence[Item]],
    advance: Callable[[int], None],
) -> list[Failure]:
    """Make and store the parts of every batch; return the items that failed on their own.

    A batch that fails is halved until the failing items stand alone, so that one bad item does
    not fail the others. If no part exists yet and the first batch fails completely, the engine is
    broken. If parts exist, the first batch may hold items that failed last time, so only the
    second batch decides.
    """
    folder = stage.parts(lab)
    may_be_the_items = folder.any_made()
    folder.describe(stage.meaning(lab))
    failures: list[Failure] = []
    done = 0
    with closing(_made(stage, lab, batches)) as results:
        for number, (batch, failed) in enumerate(zip(batches, results, strict=True)):
            failures += failed
            done += len(batch) - len(failed)
            if failed and not done and (number or not may_be_the_items):
                raise EngineError(
                    f"{stage.name} fails on every item; the first says: {failed[0].reason}"
                )
            if len(failed) < len(batch):
                advance(len(batch) - len(failed))
    return failures


def _made(
    stage: Stage[Any], lab: Lab, batches: Sequence[Sequence[Item]]
) -> Generator[list[Failure], None, None]:
    """Yield the failures of each batch in order, as soon as its parts are written."""
    tasks = [partial(_make_batch, stage, lab, batch) for batch in batches]
    if min(stage.at_once, len(batches)) <= 1:
        yield from (task() for task in tasks)
        return
    calls = EngineCalls()
    with (
        lab.engines_called_by(stage.roles, calls),
        closing(in_order(tasks, stage.at_once, calls)) as results,
    ):
        yield from results


def _make_batch(stage: Stage[Any], lab: Lab, batch: Sequence[Item]) -> list[Failure]:
    try:
        records = stage.run(lab, batch)
    except NoReply:
        raise
    except EngineError as error:
        if len(batch) == 1:
            return [Failure(stage.name, batch[0].name, _reason(error))]
        middle = len(batch) // 2
        return _make_batch(stage, lab, batch[:middle]) + _make_batch(stage, lab, batch[middle:])
    folder = stage.parts(lab)
    for item, record in zip(batch, records, strict=True):
        folder.write(item.name, record)
    return []


def _reason(error: EngineError) -> str:
    if isinstance(error, OutOfMemory):
        return f"out of memory, even alone; lower the stage's batch setting ({error})"
    return str(error)
