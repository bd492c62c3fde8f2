"""The arguments and options that several commands share, so that each reads and helps alike."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

Model = Annotated[
    str, typer.Argument(help="pocket, a torchvision name, or path/to/file.py:factory.")
]
Layers = Annotated[str, typer.Argument(help="Layers by dotted path: layer4, layer4.1.conv2,fc.")]
Workspace = Annotated[
    Path | None,
    typer.Option(help="Where all work is kept. Default: $DND_LOCAL_WORKSPACE or ./dnd-workspace."),
]
Probe = Annotated[
    str | None, typer.Option(help="Probe set: pocket, imagenet-val, broden, a folder, or A+B.")
]
Preset = Annotated[str, typer.Option(help="paper, fast or pocket. Default: by the target.")]
Settings = Annotated[
    Path | None, typer.Option("--config", help="TOML file of settings, over the preset.")
]
Devices = Annotated[str, typer.Option(help="cpu, or CUDA indices: 0 or 0,1,2,3.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON instead of a table.")]
Run = Annotated[str, typer.Argument(help="The run's name; `dnd-local runs` lists them.")]
Weights = Annotated[Path | None, typer.Option(help="The weights folder.")]
