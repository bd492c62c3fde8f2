"""``runs``, ``status`` and ``show``: what has been done, read from disk."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from dnd_local.cli import tables
from dnd_local.cli.dissect import AsJson, Workspace

Run = Annotated[str, typer.Argument(help="The run's name; `dnd-local runs` lists them.")]
Weights = Annotated[Path | None, typer.Option(help="The weights folder.")]


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
    """Say how far a run is, stage by stage.

    Example:

      dnd-local status pocket-layer4-1a2b3c4d
    """
    from dnd_local.pipeline.reading import open_run

    tables.show_status(open_run(run, workspace, weights).status(), as_json)


def show(
    run: Run,
    neuron: Annotated[str, typer.Argument(help="17, or layer4:17 where a run has several layers.")],
    workspace: Workspace = None,
    weights: Weights = None,
    as_json: AsJson = False,
) -> None:
    """Print the evidence for one neuron: exemplars, captions, phrases, candidates, scores.

    Example:

      dnd-local show pocket-layer4-1a2b3c4d 3
    """
    from dnd_local.pipeline.reading import open_run

    tables.show_evidence(open_run(run, workspace, weights).evidence(neuron), as_json)
