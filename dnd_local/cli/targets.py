"""``targets`` and ``layers``: what can be dissected."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from dnd_local.cli import completion, tables
from dnd_local.cli.arguments import AsJson, Model, Weights
from dnd_local.cli.wordwise import say
from dnd_local.core.amounts import count_text
from dnd_local.core.protocols import LATENTS

if TYPE_CHECKING:
    from dnd_local.engines.factory_check import Examined

Layout = Annotated[
    str, typer.Option(help="Axes of what the network leaves undecided: tokens:1+14x16.")
]

Latents = Annotated[
    str,
    typer.Option(
        help="A sparse autoencoder: list the layers whose latents it gives.",
        autocompletion=completion.models(LATENTS),
    ),
]

app = typer.Typer(rich_markup_mode="rich")


@app.callback(invoke_without_command=True)
def targets(context: typer.Context, weights: Weights = None, as_json: AsJson = False) -> None:
    """List the networks that can be dissected by name, or check one of your own.

    Examples:

      dnd-local targets

      dnd-local targets check my/net.py:make encoder.layers.5
    """
    from dnd_local.pipeline.catalogue import known_targets

    if context.invoked_subcommand is None:
        tables.show_targets(known_targets(weights), as_json)


@app.command()
def check(
    factory: Annotated[str, typer.Argument(help="path/to/file.py:factory")],
    layer: Annotated[str, typer.Argument(help="A layer that you mean to dissect.")] = "",
    layout: Layout = "",
    as_json: AsJson = False,
) -> None:
    """Examine a network of your own before any work; every run does so at its start.

    The factory is called twice, its transform and its network run twice on two pictures of noise.
    What will not do is one line: what came back, and what is wanted.

    Examples:

      dnd-local targets check my/net.py:make

      dnd-local targets check my/net.py:make encoder.layers.5
    """
    from dnd_local.pipeline.catalogue import check_target

    _show(check_target(factory, layer, layout), as_json)


def layers(
    model: Model,
    weights: Weights = None,
    layout: Layout = "",
    latents: Latents = "",
    as_json: AsJson = False,
) -> None:
    """List a network's layers: path, kind, output shape, neurons, and whether they have a map.

    Examples:

      dnd-local layers pocket

      dnd-local layers resnet50
    """
    from dnd_local.pipeline.catalogue import layers_of

    tables.show_layers(layers_of(model, weights, layout, latents), as_json)


def _show(examined: Examined, as_json: bool) -> None:
    """Print what a user's own network was found to be."""
    if as_json:
        tables.echo_json(examined)
        return
    known = "known" if examined.followed else "not known, so there will be no attention crops"
    rows = [
        ("built twice", f"the same {examined.tensors} tensors, {examined.parameters:,} parameters"),
        ("transform", f"{examined.input} of every picture, the same each time"),
        ("region it keeps", known),
        ("network", f"{examined.output} for 2 pictures, the same each time, no NaN"),
        ("layers", f"{examined.layers} can be dissected"),
    ]
    if examined.layer is not None:
        mapped = "with a map" if examined.layer.spatial else "without a map"
        what = f"{examined.layer.kind}, {count_text(examined.layer.neurons, 'neuron')} {mapped}"
        rows.append((f"layer {examined.layer.path}", what))
    say(f"{examined.name} will do")
    for what, value in rows:
        say(f"  {what + ':':17}{value}")
