"""`dnd-local weights add`: a model of the user's own, registered under a name."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Annotated

import typer

from dnd_local.cli import weights_tables
from dnd_local.cli.arguments import AsJson, Weights
from dnd_local.cli.landing import LandingBar
from dnd_local.store.guard import go_offline


def add(
    name: Annotated[str, typer.Argument(help="What the model is called from now on.")],
    folder: Annotated[Path, typer.Argument(help="The folder that holds its files.")],
    role: Annotated[
        str,
        typer.Option(help="target, captioner, language-model, painter, embedder or latents."),
    ],
    source: Annotated[
        str,
        typer.Option(help="Of a target: how its files become a network, as docs/weights.md says."),
    ] = "",
    weights: Weights = None,
    yes: Annotated[bool, typer.Option("--yes", help="Convert pickles without asking.")] = False,
    as_json: AsJson = False,
) -> None:
    """Register a folder of your own as a model; every command then knows its name.

    Nothing is copied: the weights folder gets links to the files, and their hashes, which are
    checked before the model is read. Safetensors only; a pickle is converted after you agree, by a
    process without a network that builds tensors and nothing else. Of a model hub's folder the
    settings, the tokenizer and the safetensors are taken; the rest is listed as left out.

    Examples:

      dnd-local weights add my-blip path/to/blip --role captioner

      dnd-local weights add llama path/to/llama-awq --role language-model
    """
    from dnd_local.pipeline.own_models import OPTIONS, add_model
    from dnd_local.store.weights import Weights as Folder

    go_offline()
    with LandingBar("hashing") as bar:
        agrees = partial(_agrees, bar, yes)
        done = add_model(Folder.open(weights), name, folder, role, source, bar, agrees)
    entry = done.entry
    facts = {
        "registered" if not done.again else "unchanged": entry.id,
        "files": len(entry.files),
        "size": sum(file.size or 0 for file in entry.files),
        "memory": entry.memory or 0,
        "note": entry.note,
        "left_out": done.left_out,
        "use": OPTIONS[entry.role].format(name=entry.id),
    }
    weights_tables.tell_added(facts, as_json)


def _agrees(bar: LandingBar, yes: bool, pickles: Sequence[Path]) -> bool:
    """Return whether the user lets pickles be read."""
    if yes or not _asked_at():
        return yes
    names = ", ".join(map(str, pickles))
    return bar.ask(
        f"{names}: a pickle. Convert it to safetensors, in a process without a network that builds "
        "tensors and nothing else?"
    )


def _asked_at() -> bool:
    return sys.stdin.isatty()
