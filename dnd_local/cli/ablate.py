"""``ablate``: what happens to each class when neurons are silenced by their labels."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from dnd_local.cli import tables
from dnd_local.cli.arguments import AsJson, Devices, Model, Out, Seed, Settings, Weights, Workspace
from dnd_local.cli.figures import show_records, write_all
from dnd_local.cli.progress import ProgressLines
from dnd_local.cli.wordwise import say
from dnd_local.core.errors import BadConfig
from dnd_local.core.sequences import distinct

if TYPE_CHECKING:
    from dnd_local.evaluate.ablation import Ablation

SHOWN = ("class", "pictures", "before", "after", "change", "size_extreme", "response_extreme",
         "beyond")  # fmt: skip


class Classifier(StrEnum):
    """Who answers."""

    head = "head"
    forest = "forest"


def ablate(
    model: Model,
    layer: Annotated[str, typer.Argument(help="The layer whose neurons are silenced.")],
    match: Annotated[
        str, typer.Option(help="Neurons whose first label has this in it: 'purple|pink'.")
    ],
    data: Annotated[Path, typer.Option(help="Pictures, in one folder a class.")],
    labels: Annotated[
        str,
        typer.Option(help="Whose labels: a run or a file. Default: the only run of this layer."),
    ] = "",
    keep: Annotated[
        bool, typer.Option("--keep", help="Silence all others instead: prune to these neurons.")
    ] = False,
    classifier: Annotated[
        Classifier,
        typer.Option(help="The network's own outputs, or a random forest on the layer."),
    ] = Classifier.head,
    classes: Annotated[
        Path | None, typer.Option(help="Names of the network's outputs, one a line.")
    ] = None,
    controls: Annotated[int, typer.Option(help="Random sets of each kind.", min=1)] = 100,
    config: Settings = None,
    devices: Devices = "cpu",
    out: Out = None,
    seed: Seed = 0,
    workspace: Workspace = None,
    weights: Weights = None,
    as_json: AsJson = False,
) -> None:
    """Silence neurons by their labels and count right answers, class by class.

    The same is done to random sets of as many neurons, and of as many with the same mean response:
    what they lose too, the labels do not explain.

    Examples:

      dnd-local ablate pocket layer4 --match dog --data pictures --labels my-run

      dnd-local ablate resnet50.py:build layer4 --match 'purple|pink' --data EuroSAT --keep
    """
    from dnd_local.evaluate.ablation_opening import Asked, silence

    if classifier is Classifier.forest and classes is not None:
        raise BadConfig("--classes would change nothing: a forest learns the folders' own names")
    asked = Asked(
        model, layer, match, data, labels=labels, keep=keep, classifier=classifier.value,
        classes=classes, controls=controls, config=config, devices=devices, seed=seed,
        workspace=workspace, weights=weights,
    )  # fmt: skip
    with ProgressLines() as progress:
        ablation = silence(asked, progress)
    _show(ablation, as_json)
    write_all(out, {"ablation": ablation.records(), "controls": ablation.control_records()})


def _show(ablation: Ablation, as_json: bool) -> None:
    """Print the matched neurons, a table of classes and what it says in words."""
    from dnd_local.evaluate.ablation_words import sentences

    matched, words = ablation.matched, list(sentences(ablation))
    means = {control.kind: control.mean_response for control in ablation.controls}
    if as_json:
        tables.echo_json({"matched": matched, "classes": ablation.records(), "sentences": words,
                          "mean_response": {"these": ablation.mean_response, **means}})  # fmt: skip
        return
    named = ", ".join(distinct(matched.labels))
    numbers = ", ".join(map(str, matched.neurons))
    say(f"Labels of {matched.describer}. Neurons {numbers}: {named}", "")
    show_records(ablation.records(), SHOWN)
    controls = ", ".join(f"{kind} {mean:.4g}" for kind, mean in means.items())
    say("", f"Mean response: these {ablation.mean_response:.4g}; controls: {controls}", *words)
    if ablation.unreadable:
        say(f"{ablation.unreadable} pictures could not be read and count nowhere.")
