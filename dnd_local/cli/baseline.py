"""``baseline``: CLIP-Dissect as a describer of the same neurons."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer

from dnd_local.cli import tables
from dnd_local.cli.arguments import (
    AsJson,
    Devices,
    Ids,
    Layers,
    Model,
    Preset,
    Probe,
    RunSeed,
    Settings,
    Weights,
    Workspace,
)
from dnd_local.cli.figures import checked_file, show_records
from dnd_local.cli.options import with_settings
from dnd_local.cli.progress import ProgressLines
from dnd_local.cli.wordwise import say


class Method(StrEnum):
    """Describers that need no language model."""

    clip_dissect = "clip-dissect"


@with_settings("network", "probe", "triage", "clip", "compat")
def baseline(
    method: Annotated[Method, typer.Argument(help="clip-dissect.")],
    model: Model,
    layer: Layers,
    concepts: Annotated[Path, typer.Option(help="The concept list, one a line.")],
    similarity: Annotated[
        str,
        typer.Option(help="soft-wpmi, wpmi, cosine, cosine-cubed or rank-reorder."),
    ] = "soft-wpmi",
    ids: Ids = "all",
    out: Annotated[
        Path | None,
        typer.Option(
            help="CSV, .jsonl or .parquet file. Default: named after all.", callback=checked_file
        ),
    ] = None,
    probe: Probe = None,
    preset: Preset = "",
    config: Settings = None,
    workspace: Workspace = None,
    weights: Weights = None,
    devices: Devices = "cpu",
    seed: RunSeed = None,
    as_json: AsJson = False,
    *,
    settings: dict[str, Any],
) -> None:
    """Describe neurons by CLIP-Dissect: the best of your concepts, on a run's own responses.

    The CSV that it writes goes into `compare`, `evaluate --labels` and `truth --labels`.

    Example:

      dnd-local baseline clip-dissect pocket fc --concepts words.txt
    """
    from dnd_local.evaluate.baseline import clip_dissect, read_concepts
    from dnd_local.evaluate.exports import table_records, write_records
    from dnd_local.pipeline.dissection import Dissection

    dissection = Dissection(
        model=model, layer=layer, ids=ids, probe=probe, preset=preset, config=config,
        workspace=workspace, weights=weights, devices=devices, seed=seed, settings=settings,
    )  # fmt: skip
    words = read_concepts(concepts)
    with ProgressLines() as progress:
        table = clip_dissect(
            dissection.make_config(), dissection.execution(), dissection.selection(), words,
            similarity,  # type: ignore[arg-type]  # checked there, with the names that would do
            progress,
        )  # fmt: skip
    records = table_records(table)
    target = out or Path(f"{method.value}-{similarity}-{Path(model).stem}-{layer}.csv")
    write_records(records, target)
    if as_json:
        tables.echo_json(records)
        return
    show_records(records, ("layer", "neuron", "status", "label_1", "score_1", "label_2", "label_3"))
    say("", f"Written: {target}")
