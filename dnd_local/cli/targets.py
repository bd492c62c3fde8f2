"""``targets`` and ``layers``: what can be dissected."""

from __future__ import annotations

from typing import Annotated

import typer

from dnd_local.cli import tables
from dnd_local.cli.arguments import AsJson, Model, Weights


def targets(weights: Weights = None, as_json: AsJson = False) -> None:
    """List the networks that can be dissected by name.

    Example:

      dnd-local targets
    """
    from dnd_local.pipeline.catalogue import known_targets

    tables.show_targets(known_targets(weights), as_json)


def layers(
    model: Model,
    weights: Weights = None,
    layout: Annotated[
        str, typer.Option(help="Axes of what the network leaves undecided: tokens:1+14x16.")
    ] = "",
    as_json: AsJson = False,
) -> None:
    """List a network's layers: path, kind, output shape, neurons, and whether they have a map.

    Examples:

      dnd-local layers pocket

      dnd-local layers resnet50
    """
    from dnd_local.pipeline.catalogue import layers_of

    tables.show_layers(layers_of(model, weights, layout), as_json)
