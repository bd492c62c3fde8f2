"""A run from start to end: responses, triage, and the method for every live neuron asked for."""

from __future__ import annotations

import html
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from dnd_local.core.cards import Drawn
from dnd_local.core.config import Config, Execution
from dnd_local.core.descriptions import Description
from dnd_local.core.errors import EngineError, UserError
from dnd_local.core.records import LayerTriage
from dnd_local.core.sequences import distinct
from dnd_local.pipeline.describing import describe_all, read_scores, rejections
from dnd_local.pipeline.executors import Executor, InProcess, Processes
from dnd_local.pipeline.lab import Lab
from dnd_local.pipeline.making import Failure
from dnd_local.pipeline.plan import PLAN, RESPONSES, TRIAGE, triages_of
from dnd_local.pipeline.selection import Selection
from dnd_local.pipeline.served import asks_language_model, check_language_model, settle
from dnd_local.pipeline.stage import Asked, Item, Stage, places, require
from dnd_local.pipeline.surroundings import isolation, remote_host, software
from dnd_local.store.in_use import at_work, tidy
from dnd_local.store.naming import default_name
from dnd_local.store.outputs import write_results
from dnd_local.store.runs import PLACES, RunFolder, RunRecord


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


@dataclass(frozen=True, slots=True)
class RunResult(Drawn):
    """What a run came to: its record, a description for each neuron, and what failed.

    `made` counts the parts that this call had to make; 0 means that all was done before.
    `rejected` counts the language model's replies that were no candidate, by reason, most first.
    """

    record: RunRecord
    folder: Path
    descriptions: tuple[Description, ...]
    failures: tuple[Failure, ...]
    made: int
    rejected: tuple[tuple[str, int], ...] = ()

    @property
    def barren(self) -> bool:
        """Whether every live neuron of the run failed."""
        statuses = {description.status for description in self.descriptions}
        return "failed" in statuses and "described" not in statuses

    def failures_html(self) -> str:
        """Return a line for each item that failed."""
        said = (f"{one.stage} {one.item}: {one.reason}" for one in self.failures)
        return "".join(f"<div>failed: {html.escape(line)}</div>" for line in said)

    def plain_html(self) -> str:
        """Return a table of the neurons and their labels."""
        rows = "".join(
            f"<tr><td>{html.escape(row.neuron.layer)}</td><td>{row.neuron.index}</td>"
            f"<td><b>{html.escape(row.title)}</b></td>"
            f"<td>{html.escape(', '.join(x.text for x in row.labels[1:]) or row.reason)}</td>"
            "</tr>"
            for row in self.descriptions
        )
        return (
            "<table><tr><th>Layer</th><th>Neuron</th><th>Label</th><th>Other labels</th></tr>"
            f"{rows}</table>{self.failures_html()}"
            f"<div>Run {html.escape(self.record.name)}: {html.escape(str(self.folder))}</div>"
        )


@dataclass(slots=True)
class Session:
    """One call's work on a run: makes what is missing, stage by stage, and keeps count."""

    lab: Lab
    executor: Executor
    run: RunFolder
    progress: Progress
    failures: list[Failure] = field(default_factory=list)
    seconds: dict[str, float] = field(default_factory=dict)
    made: int = 0
    shown: set[str] = field(default_factory=set)

    def make_all(self, asked: Asked, plan: Sequence[Stage[Any]] = PLAN) -> None:
        """Make what is missing of `asked`, stage by stage; only live neurons cost."""
        for stage in plan:
            items = stage.items(self.lab, asked)
            if items and (not stage.on_demand or self._in_demand(stage, asked, plan)):
                self.make(stage, items)

    def _in_demand(self, stage: Stage[Any], asked: Asked, plan: Sequence[Stage[Any]]) -> bool:
        """Return whether a stage that needs `stage` has work."""
        users = [user for user in plan if stage in user.needs]
        return any(user.missing(self.lab, user.items(self.lab, asked)) for user in users)

    def make(self, stage: Stage[Any], items: Sequence[Item]) -> None:
        """Make the missing parts of a stage, but not those that rest on a part that is missing."""
        missing = stage.missing(self.lab, distinct(items))
        blocked = stage.blocked(self.lab, missing)
        for item, (need, gap) in blocked.items():
            if gap.name != item.name:
                # The failure on record is that of the input, under another item's name.
                reason = f"'{gap.text or gap.name}' could not be made"
                self.failures.append(Failure(need.name, item.name, reason))
        todo = [item for item in missing if item not in blocked]
        total = len(set(items)) - len(blocked)
        if not todo and stage.name in self.shown:
            return
        self.shown.add(stage.name)
        self.progress.start(stage.name, total, len(todo))
        started = time.monotonic()
        if todo:
            self._make(stage, todo, total)
        self.progress.finish(stage.name, time.monotonic() - started)

    def _make(self, stage: Stage[Any], todo: list[Item], total: int) -> None:
        started = time.monotonic()
        place = stage.parts(self.lab).folder.name
        with at_work(self.lab.execution.workspace):
            self.run.event("start", stage=stage.name, items=len(todo), of=total, parts=place)
            failed = self.executor.make(
                stage, todo, lambda done: self.progress.advance(stage.name, done)
            )
        took = time.monotonic() - started
        self.failures += failed
        self.made += len(todo) - len(failed)
        self.seconds[stage.name] = self.seconds.get(stage.name, 0.0) + took
        self.run.event(
            "finish",
            stage=stage.name,
            items=len(todo),
            failed=len(failed),
            seconds=round(took, 3),
        )

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


def dissect_neurons(
    config: Config,
    execution: Execution,
    selection: Selection,
    name: str = "",
    progress: Progress | None = None,
) -> RunResult:
    """Return the descriptions of the neurons selected, making only what is not on disk yet.

    Args:
        config: what can change a result.
        execution: where it is computed.
        selection: layers, and indices or all.
        name: the run's name; made from target, layers and settings if empty.
        progress: who is told how far it is.

    Raises:
        UserError: missing weights, an unknown layer, an index that the layer has not, …: nothing
            was made, or what was made stays.
    """
    name = name or default_name(config, selection.layers)
    config = settle(config, execution, name)
    with open_session(config, execution, selection.layers, name, progress) as session:
        return _dissect(session, selection)


def _dissect(session: Session, selection: Selection) -> RunResult:
    lab, run = session.lab, session.run
    config, execution = lab.config, lab.execution
    earlier = run.check(config)
    require(lab, PLAN)
    server = ""
    if asks_language_model(lab, selection, earlier.wanted() if earlier else ()):
        server = check_language_model(config, execution, lab.weights)
    _check_first(lab, selection)
    layers = [*(earlier.neurons if earlier else ()), *selection.layers]
    triages = session.triage(distinct(layers))
    widths = {layer: len(triage.neurons) for layer, triage in triages.items()}
    if earlier:
        earlier.check_widths(widths)
    wanted = selection.resolve(widths)
    record = run.extend(config, wanted, execution.manifest, execution.prompts, execution.weights)
    session.make_all(Asked(tuple(record.neurons), record.wanted()))
    descriptions = describe_all(lab, record, session.failures)
    scores = read_scores(lab, record)
    if session.made:
        record = run.update(
            seconds=_added(record.seconds, session.seconds),
            devices=execution.devices,
            software=software(),
            remote_llm=remote_host(execution.llm_url) or record.remote_llm,
            llm_server=server or record.llm_server,
            isolation=isolation(execution.workers),
        )
    run.write_json(PLACES, places(lab, PLAN))
    for stage in PLAN:
        stage.explain(lab)
    write_results(run, descriptions, scores)
    return RunResult(
        record, run.folder.absolute(), descriptions, tuple(session.failures), session.made,
        rejections(lab, record),
    )  # fmt: skip


def triage_layers(
    config: Config,
    execution: Execution,
    layers: tuple[str, ...],
    progress: Progress | None = None,
) -> tuple[LayerTriage, ...]:
    """Return the class of every neuron of `layers`; needs nothing but the target and the probe set.

    Raises:
        UserError: missing weights or probe set, or an unknown layer.
    """
    with open_session(config, execution, layers, "", progress) as session:
        require(session.lab, (RESPONSES, TRIAGE))
        _check_first(session.lab, Selection(layers))
        return tuple(session.triage(layers).values())


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
    executor = Processes(lab) if execution.workers > 1 else InProcess(lab)
    try:
        yield Session(lab, executor, run, progress or Quiet())
    finally:
        lab.close()


def _check_first(lab: Lab, selection: Selection) -> None:
    """Check layers and indices before the pass over the probe set, not after it."""
    if TRIAGE.missing(lab, TRIAGE.items(lab, Asked(tuple(selection.layers)))):
        selection.check(lab.target.layers())


def _added(old: Mapping[str, float], new: Mapping[str, float]) -> dict[str, float]:
    return {s: round(old.get(s, 0.0) + new.get(s, 0.0), 3) for s in {**old, **new}}
