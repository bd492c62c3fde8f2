"""``export``: a run's labels as a folder to publish or to open elsewhere."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from dnd_local.cli import tables
from dnd_local.cli.arguments import AsJson, Run, Weights, Workspace
from dnd_local.cli.figures import checked_folder
from dnd_local.cli.wordwise import say


def export(
    run: Run,
    pack: Annotated[
        Path, typer.Option(help="The pack's folder, new or of a pack.", callback=checked_folder)
    ],
    workspace: Workspace = None,
    weights: Weights = None,
    as_json: AsJson = False,
) -> None:
    """Write labels, candidates, verdicts and where they come from as a folder to publish.

    CSV, JSON lines and Parquet, with a card and the hash of every file. The folder stands where a
    describer is asked for: `compare`, `report --compare`, `evaluate --labels`, `truth --labels`.

    Examples:

      dnd-local export my-run --pack resnet50-layer4

      dnd-local compare another-run resnet50-layer4
    """
    from dnd_local.evaluate.packs import write_pack
    from dnd_local.pipeline.reading import open_run

    written = write_pack(open_run(run, workspace, weights), pack)
    if as_json:
        tables.echo_json(written)
        return
    say(", ".join(f"{count} {name}" for name, count in written.counts.items()))
    say(f"Pack of schema {written.schema}: {pack} ({', '.join(sorted(written.files))})")
