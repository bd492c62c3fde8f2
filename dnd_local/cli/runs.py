"""``runs``, ``status`` and ``show``: what has been done, read from disk."""

from __future__ import annotations

from typing import Annotated

import typer

from dnd_local.cli import tables
from dnd_local.cli.arguments import AsJson, Run, Weights, Workspace
from dnd_local.cli.evidence import print_evidence
from dnd_local.cli.verdicts import summary, tally
from dnd_local.cli.wordwise import console


def runs(workspace: Workspace = None, as_json: AsJson = False) -> None:
    """List the runs of a workspace.

    Example:

      dnd-local runs
    """
    from dnd_local.pipeline.reading import list_runs

    tables.show_runs(list_runs(workspace), as_json)


def status(
    run: Run, workspace: Workspace = None, weights: Weights = None, as_json: AsJson = False
) -> None:
    """Say how far a run is, stage by stage, and what its labels are worth once evaluated.

    Example:

      dnd-local status pocket-layer4-1a2b3c4d
    """
    from dnd_local.evaluate.verdicts import read_verdicts
    from dnd_local.pipeline.reading import open_run

    stored = open_run(run, workspace, weights)
    stages, verdicts = stored.status(), read_verdicts(stored.folder.folder)
    descriptions = stored.descriptions() if verdicts.by_neuron else ()
    if as_json:
        tables.echo_json({"stages": stages, "verdicts": tally(descriptions, verdicts)})
    else:
        tables.show_status(stages, summary(descriptions, verdicts, run))


def show(
    run: Run,
    neuron: Annotated[
        str,
        typer.Argument(
            help="17, or layer4:17 where a run has several layers. Default: a line for each."
        ),
    ] = "",
    workspace: Workspace = None,
    weights: Weights = None,
    as_json: AsJson = False,
) -> None:
    """Print a run's labels; for one neuron its exemplars, captions, phrases, candidates, scores.

    After `dnd-local evaluate` both say what the labels are worth.

    Examples:

      dnd-local show pocket-layer4-1a2b3c4d

      dnd-local show pocket-layer4-1a2b3c4d 3
    """
    from dnd_local.evaluate.verdicts import read_verdicts
    from dnd_local.pipeline.reading import open_run

    stored = open_run(run, workspace, weights)
    verdicts = read_verdicts(stored.folder.folder)
    if neuron:
        evidence = stored.evidence(neuron)
        verdict = verdicts.of(evidence.description)
        if as_json:
            worth = verdict.record() if verdict else None
            tables.echo_json({**evidence.as_json(), "verdict": worth})
        else:
            print_evidence(console(), evidence, verdict, run)
    else:
        tables.show_descriptions(run, stored.descriptions(), verdicts, as_json)
