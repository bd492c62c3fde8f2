"""``pocket bench``: what the embedded models and the method on them are worth."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from dnd_local.cli import tables
from dnd_local.cli.arguments import AsJson, Devices, Workspace
from dnd_local.cli.progress import ProgressLines

app = typer.Typer(help="The embedded miniature world, whose neurons' meaning is known.")


@app.callback()
def pocket() -> None:
    """The embedded miniature world, whose neurons' meaning is known."""


@app.command()
def bench(
    workspace: Workspace = None,
    devices: Devices = "cpu",
    seed: Annotated[int, typer.Option(help="Of held-out choices and intervals.", min=0)] = 0,
    out: Annotated[Path | None, typer.Option(help="Also write the figures to this file.")] = None,
    as_json: AsJson = False,
) -> None:
    """Measure the embedded models and the whole method on known truth, with intervals and nulls.

    Example:

      dnd-local pocket bench --json
    """
    from dnd_local.evaluate.pocket_bench import run_bench
    from dnd_local.pipeline.dissection import Dissection

    dissection = Dissection(model="pocket", layer="fc", workspace=workspace, devices=devices)
    with ProgressLines() as progress:
        figures = run_bench(dissection.execution(), progress, seed)
    tables.show_figures(figures, as_json, out)
