"""A run from start to end: responses, triage, and the method for every live neuron asked for."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from dnd_local.core.cards import Drawn
from dnd_local.core.config import Config, Execution
from dnd_local.core.descriptions import Description
from dnd_local.core.harmless import html_text
from dnd_local.core.records import LayerTriage
from dnd_local.core.sequences import distinct
from dnd_local.pipeline.describing import describe_all, read_scores, rejections
from dnd_local.pipeline.lab import Lab
from dnd_local.pipeline.making import Failure
from dnd_local.pipeline.plan import RESPONSES, TRIAGE, plan_of
from dnd_local.pipeline.selection import Selection
from dnd_local.pipeline.served import asks_language_model, check_language_model, settle
from dnd_local.pipeline.session import Progress, Session, open_session
from dnd_local.pipeline.stage import Asked, places, require
from dnd_local.pipeline.surroundings import isolation, remote_host, software
from dnd_local.store.naming import default_name
from dnd_local.store.outputs import write_results
from dnd_local.store.runs import PLACES, RunRecord


@dataclass(frozen=True, slots=True)
class RunResult(Drawn):
    """What a run came to: its record, a description for each neuron, and what failed.

    `made` counts the parts that this call had to make; 0 means that all was done before.
    Where a neuron failed, `rejected` counts the language model's replies that were no candidate, by
    reason, most first.
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
        return "".join(f"<div>failed: {html_text(line)}</div>" for line in said)

    def plain_html(self) -> str:
        """Return a table of the neurons and their labels."""
        rows = "".join(
            f"<tr><td>{html_text(row.neuron.layer)}</td><td>{row.neuron.index}</td>"
            f"<td><b>{html_text(row.title)}</b></td>"
            f"<td>{html_text(', '.join(x.text for x in row.labels[1:]) or row.reason)}</td>"
            "</tr>"
            for row in self.descriptions
        )
        return (
            "<table><tr><th>Layer</th><th>Neuron</th><th>Label</th><th>Other labels</th></tr>"
            f"{rows}</table>{self.failures_html()}"
            f"<div>Run {html_text(self.record.name)}: {html_text(str(self.folder))}</div>"
        )


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
    plan = plan_of(config)
    require(lab, plan)
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
    scores = read_scores(lab, record)
    descriptions = describe_all(lab, record, session.failures, scored=scores)
    failed = any(description.status == "failed" for description in descriptions)
    if session.made:
        record = run.update(
            session.seconds,
            devices=execution.devices,
            software=software(),
            remote_llm=remote_host(execution.llm_url) or record.remote_llm,
            llm_server=server or record.llm_server,
            isolation=isolation(execution.workers, execution.cluster),
        )
    run.write_json(PLACES, places(lab, plan))
    for stage in plan:
        stage.explain(lab)
    write_results(run, descriptions, scores)
    return RunResult(
        record, run.folder.absolute(), descriptions, tuple(session.failures), session.made,
        rejections(lab, record) if failed else (),
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


def _check_first(lab: Lab, selection: Selection) -> None:
    """Check layers and indices before the pass over the probe set, not after it."""
    if TRIAGE.missing(lab, TRIAGE.items(lab, Asked(tuple(selection.layers)))):
        selection.check(lab.target.layers())
