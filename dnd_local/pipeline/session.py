"""One call's work on a run: what is missing is made, stage by stage, and counted."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Final, Protocol

from dnd_local.core.amounts import count_text
from dnd_local.core.config import Config, Execution
from dnd_local.core.errors import EngineError, UserError
from dnd_local.core.records import LayerTriage
from dnd_local.core.sequences import distinct
from dnd_local.pipeline.cluster import hire_on, joined
from dnd_local.pipeline.crew import Crew
from dnd_local.pipeline.executors import Executor, InProcess
from dnd_local.pipeline.hands import hire
from dnd_local.pipeline.lab import Lab
from dnd_local.pipeline.making import Failure
from dnd_local.pipeline.plan import plan_of, triages_of
from dnd_local.pipeline.sharing import Shared
from dnd_local.pipeline.stage import Asked, Item, Stage
from dnd_local.store.in_use import at_work, tidy
from dnd_local.store.leases import Leases
from dnd_local.store.naming import default_name
from dnd_local.store.runs import RunFolder

LOOK_AGAIN_SECONDS: Final = 1.0
"""Where all that is missing is in other processes' hands: seconds to the next look, at least."""
LOOK_AGAIN_AT_LAST: Final = 30.0
"""And at most; in between five times as long as a look takes."""

_LOG = logging.getLogger(__name__)


class Progress(Protocol):
    """What a person watching is told."""

    def start(self, stage: str, total: int, missing: int) -> None:
        """A stage begins: of `total` items `missing` are to be made."""

    def advance(self, stage: str, done: int) -> None:
        """`done` more items are made."""

    def finish(self, stage: str, seconds: float) -> None:
        """A stage has ended."""


class Quiet:
    """A `Progress` that tells nobody."""

    def start(self, stage: str, total: int, missing: int) -> None:
        """Do nothing."""

    def advance(self, stage: str, done: int) -> None:
        """Do nothing."""

    def finish(self, stage: str, seconds: float) -> None:
        """Do nothing."""


@dataclass(slots=True)
class Session:
    """One call's work on a run: makes what is missing, stage by stage, and keeps count.

    `made` counts parts; `left` those that other processes had in hand when the plan was last gone
    over; `gaps` are the failures that are the lack of another part.
    """

    lab: Lab
    executor: Executor
    run: RunFolder
    progress: Progress
    failures: list[Failure] = field(default_factory=list)
    seconds: dict[str, float] = field(default_factory=dict)
    made: int = 0
    gaps: list[Failure] = field(default_factory=list)
    left: int = 0
    shown: set[str] = field(default_factory=set)

    def make_all(self, asked: Asked, plan: Sequence[Stage[Any]] = ()) -> None:
        """Make what is missing of `asked`, stage by stage; only live neurons cost.

        The plan is that of the settings, if none is given.

        Where processes share the work, the plan is gone over until no other process has a part in
        hand that is missing here: what it makes may be what the next stage wants.
        """
        plan = plan or plan_of(self.lab.config)
        while True:
            before, started = self.made, time.monotonic()
            self.left = 0
            self._go_over(asked, plan)
            if not self.left:
                return
            # What could not be made for want of a part may be when that part is there.
            self.failures = [one for one in self.failures if one not in self.gaps]
            self.gaps.clear()
            if self.made == before:
                _LOG.info("waiting for %s in other processes' hands", count_text(self.left, "part"))
                looked = time.monotonic() - started
                time.sleep(min(max(LOOK_AGAIN_SECONDS, 5 * looked), LOOK_AGAIN_AT_LAST))

    def _go_over(self, asked: Asked, plan: Sequence[Stage[Any]]) -> None:
        place = 0
        while place < len(plan):
            stage, before = plan[place], self.made
            items = stage.items(self.lab, asked)
            if items and (not stage.on_demand or self._in_demand(stage, asked, plan)):
                self.make(stage, items)
            back = stage.back_to if self.made > before else None
            place = place + 1 if back is None else plan.index(back)

    def _in_demand(self, stage: Stage[Any], asked: Asked, plan: Sequence[Stage[Any]]) -> bool:
        """Return whether a stage that needs `stage` has work."""
        users = [user for user in plan if stage in user.needed(self.lab.config)]
        return any(user.missing(self.lab, user.items(self.lab, asked)) for user in users)

    def make(self, stage: Stage[Any], items: Sequence[Item]) -> None:
        """Make the missing parts of a stage, but not those that rest on a part that is missing."""
        missing = stage.missing(self.lab, distinct(items))
        blocked = stage.blocked(self.lab, missing)
        failed = {(one.stage, one.item) for one in self.failures}
        for item, (need, gap) in blocked.items():
            if gap.name != item.name:
                # The failure on record is that of the input, under another item's name.
                reason = f"'{gap.text or gap.name}' could not be made"
                self.gaps.append(Failure(need.name, item.name, reason))
        self._note_failures(self.gaps)
        untried = [i for i in missing if i not in blocked and (stage.name, i.name) not in failed]
        todo = self.executor.free(stage, untried)
        self.left += len(untried) - len(todo)
        total = len(set(items)) - len(blocked) - (len(untried) - len(todo))
        if not todo and stage.name in self.shown:
            return
        self.shown.add(stage.name)
        self.progress.start(stage.name, total, len(todo))
        started = time.monotonic()
        if todo:
            self._make(stage, todo, total)
        self.progress.finish(stage.name, time.monotonic() - started)

    def _make(self, stage: Stage[Any], todo: list[Item], total: int) -> None:
        started, loaded = time.monotonic(), self.lab.loading
        place = stage.parts(self.lab).folder.name
        with at_work(self.lab.execution.workspace):
            self.run.event("start", stage=stage.name, items=len(todo), of=total, parts=place)
            result = self.executor.make(
                stage, todo, lambda done: self.progress.advance(stage.name, done)
            )
        took = time.monotonic() - started
        self._note_failures(result.failures)
        self.made += result.parts
        self.left += len(todo) - result.parts - len(result.failures)
        self.seconds[stage.name] = self.seconds.get(stage.name, 0.0) + took
        self.run.event(
            "finish",
            stage=stage.name,
            items=result.parts + len(result.failures),
            failed=len(result.failures),
            seconds=round(took, 3),
            loading=round(self.lab.loading - loaded, 3),
        )

    def _note_failures(self, failures: Iterable[Failure]) -> None:
        self.failures += [one for one in failures if one not in self.failures]

    def triage(self, layers: Sequence[str]) -> dict[str, LayerTriage]:
        """Return the triage of each layer, making it and the responses if need be.

        Raises:
            EngineError: the network failed on part of the probe set.
            UserError: no image of the probe set could be read.
        """
        self.make_all(Asked(tuple(layers)))
        triages = triages_of(self.lab, layers)
        if len(triages) < len(layers):
            raise EngineError(f"triage is not possible: {self.failures[0].reason}")
        for layer, result in triages.items():
            if not result.n_images:
                raise UserError(
                    f"no image of the probe set could be read for layer {layer} "
                    f"({result.n_skipped} skipped); `dnd-local probe info` says why"
                )
        return triages


@contextmanager
def open_session(
    config: Config,
    execution: Execution,
    layers: Sequence[str],
    name: str,
    progress: Progress | None,
) -> Iterator[Session]:
    """Hand over a session on a run; its engines are let go at the end, however it ends.

    What killed writers left half written in the workspace is swept first.
    """
    run = RunFolder(execution.workspace, name or default_name(config, layers))
    tidy(execution.workspace)
    lab = Lab(config, execution, execution.devices[0])
    with ExitStack() as held:
        try:
            executor: Executor = InProcess(lab)
            if execution.shared:
                executor = Shared(lab, held.enter_context(Leases(execution.workspace)))
            elif execution.cluster:
                held.enter_context(joined(execution.cluster))
                executor = held.enter_context(closing(Crew(lab, partial(hire_on, lab))))
            elif execution.workers > 1:
                executor = held.enter_context(closing(Crew(lab, partial(hire, lab))))
            yield Session(lab, executor, run, progress or Quiet())
        finally:
            lab.close()
