"""The arguments and options that several commands share, so that each reads and helps alike."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from dnd_local.cli import completion
from dnd_local.cli.figures import checked_folder

RARE = "Less often"
"""The panel of a command's help for options that no ordinary day needs."""

Model = Annotated[
    str,
    typer.Argument(
        help="pocket, a torchvision name, a network of your own (`weights add`), or "
        "path/to/file.py:factory.",
        autocompletion=completion.targets,
    ),
]
Layers = Annotated[
    str,
    typer.Argument(
        help="Layers by dotted path: layer4, layer4.1.conv2,fc.", autocompletion=completion.layers
    ),
]
Ids = Annotated[str, typer.Option(help="Neurons: 1,2,3 or 0-63 or all or @FILE.")]
RunSeed = Annotated[
    int | None, typer.Option("--seed", help="Seed of the run.", min=0, rich_help_panel=RARE)
]
Workspace = Annotated[
    Path | None,
    typer.Option(help="Where all work is kept. Default: $DND_LOCAL_WORKSPACE or ./dnd-workspace."),
]
Probe = Annotated[
    str | None,
    typer.Option(
        help="Probe set: pocket, imagenet-val, broden, a folder or file of images, or A+B.",
        autocompletion=completion.probe_sets,
    ),
]
Preset = Annotated[
    str,
    typer.Option(
        help="paper, released, fast, draft or pocket. Default: by the target.",
        autocompletion=completion.presets,
    ),
]
Settings = Annotated[
    Path | None,
    typer.Option("--config", help="TOML file of settings, over the preset.", rich_help_panel=RARE),
]
Devices = Annotated[str, typer.Option(help="cpu, or CUDA indices: 0 or 0,1,2,3.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON instead of a table.")]
Run = Annotated[
    str,
    typer.Argument(
        help="The run's name; `dnd-local runs` lists them.", autocompletion=completion.runs
    ),
]
Weights = Annotated[Path | None, typer.Option(help="The weights folder.", rich_help_panel=RARE)]
Out = Annotated[
    Path | None,
    typer.Option(help="Folder for the figures as CSV and JSON lines.", callback=checked_folder),
]
Seed = Annotated[int, typer.Option(help="Seed of intervals and tests.", min=0)]
Metrics = Annotated[
    list[str] | None,
    typer.Option(
        "--metric",
        help="token-f1, clip, mpnet, minilm, bertscore, or NAME=FOLDER. Default: all that can run.",
    ),
]
Baseline = Annotated[
    Path | None, typer.Option(help="BERTScore's rescaling file for its model (.tsv).")
]
FileLayer = Annotated[
    str, typer.Option("--layer", help="Only this layer; names the layer of files without.")
]
AgreeAbove = Annotated[
    float | None,
    typer.Option(
        help="Only neurons with two annotators of a higher CLIP cosine than this. Default: 0.81."
    ),
]
AllNeurons = Annotated[
    bool, typer.Option("--all-neurons", help="Also neurons on which annotators disagree.")
]
