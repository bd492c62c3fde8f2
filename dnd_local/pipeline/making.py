"""Making a stage's parts, batch by batch; failing batches are halved down to the bad item."""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from contextlib import AbstractContextManager, closing, nullcontext
from dataclasses import dataclass
from functools import partial
from typing import Any, TypeAlias

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


@dataclass(frozen=True, slots=True)
class Made:
    """How many parts were made, and the items that failed on their own."""

    parts: int = 0
    failures: tuple[Failure, ...] = ()

    def __add__(self, other: Made) -> Made:
        return Made(self.parts + other.parts, self.failures + other.failures)


Holding: TypeAlias = Callable[[Sequence[Item]], AbstractContextManager[Sequence[Item]]]
"""Gives, for as long as a batch is being made, those of its items that this process makes."""


def make_parts(
    stage: Stage[Any],
    lab: Lab,
    batches: Sequence[Sequence[Item]],
    advance: Callable[[int], None],
    holding: Holding = nullcontext,
) -> Made:
    """Make and store the parts of every batch; say how many there are and which items failed.

    A batch that fails is halved until the failing items stand alone, so that one bad item does
    not fail the others. If no part exists yet and the first batch fails completely, the engine is
    broken. If parts exist, the first batch may hold items that failed last time, so only the
    second batch decides.
    """
    folder = stage.parts(lab)
    may_be_the_items = folder.any_made()
    folder.describe(stage.meaning(lab))
    stage.expects(lab, [item for batch in batches for item in batch])
    every = Made()
    with closing(_results(stage, lab, batches, holding)) as results:
        for number, result in enumerate(results):
            every += result
            if result.failures and not every.parts and (number or not may_be_the_items):
                raise EngineError(
                    f"{stage.name} fails on every item; the first says: {result.failures[0].reason}"
                )
            if result.parts:
                advance(result.parts)
    return every


def _results(
    stage: Stage[Any], lab: Lab, batches: Sequence[Sequence[Item]], holding: Holding
) -> Generator[Made, None, None]:
    """Yield what came of each batch in order, as soon as its parts are written."""
    tasks = [partial(_make_held, stage, lab, batch, holding) for batch in batches]
    if min(stage.at_once, len(batches)) <= 1:
        yield from (task() for task in tasks)
        return
    calls = EngineCalls()
    with (
        lab.engines_called_by(stage.roles, calls),
        closing(in_order(tasks, stage.at_once, calls)) as results,
    ):
        yield from results


def _make_held(stage: Stage[Any], lab: Lab, batch: Sequence[Item], holding: Holding) -> Made:
    with holding(batch) as held:
        return _make_batch(stage, lab, held) if held else Made()


def _make_batch(stage: Stage[Any], lab: Lab, batch: Sequence[Item]) -> Made:
    try:
        records = stage.run(lab, batch)
    except NoReply:
        raise
    except EngineError as error:
        if len(batch) == 1:
            return Made(0, (Failure(stage.name, batch[0].name, _reason(error)),))
        middle = len(batch) // 2
        return _make_batch(stage, lab, batch[:middle]) + _make_batch(stage, lab, batch[middle:])
    folder, narrow = stage.parts(lab), lab.narrowed(stage.roles)
    for item, record in zip(batch, records, strict=True):
        folder.write(item.name, record, narrow)
    return Made(len(batch))


def _reason(error: EngineError) -> str:
    if isinstance(error, OutOfMemory):
        return f"out of memory, even alone; lower the stage's batch setting ({error})"
    return str(error)
