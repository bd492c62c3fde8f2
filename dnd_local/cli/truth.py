"""``truth``: labels against the known meaning of neurons."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import typer

from dnd_local.cli import tables
from dnd_local.cli.arguments import (
    AgreeAbove,
    AllNeurons,
    AsJson,
    Devices,
    Metrics,
    Out,
    Run,
    Seed,
    Weights,
    Workspace,
)
from dnd_local.cli.figures import show_records, write_all
from dnd_local.cli.text_figures import least_agreement, metrics_asked_for, show_text_figures
from dnd_local.cli.wordwise import say
from dnd_local.core.errors import BadConfig, UnknownName

if TYPE_CHECKING:
    from dnd_local.core.descriptions import DescriptionTable
    from dnd_local.evaluate.tables import ReadTable
    from dnd_local.pipeline.reading import StoredRun

PLANTED: Final = "planted"
"""The truth that an embedded target brings along."""

CLASSES: Final = "classes"
"""The class names that a network brings along."""

Known = Annotated[
    str,
    typer.Argument(
        metavar="TRUTH",
        help="planted (of the embedded targets), planted concepts (.json), classes (of a "
        "torchvision or embedded network's last layer), class names (.txt), human "
        "annotations (.csv).",
    ),
]
"""What labels are held against."""


def truth(
    run: Run,
    known: Known,
    labels: Annotated[
        str, typer.Option(help="Another describer's labels on this run's neurons.")
    ] = "",
    layer: Annotated[str, typer.Option(help="Only this layer's neurons.")] = "",
    metric: Metrics = None,
    agree_above: AgreeAbove = None,
    all_neurons: AllNeurons = False,
    devices: Devices = "cpu",
    out: Out = None,
    seed: Seed = 0,
    workspace: Workspace = None,
    weights: Weights = None,
    as_json: AsJson = False,
) -> None:
    """Hold labels against known truth: planted concepts, class names or human annotations.

    Planted concepts: does the label name the concept? Class names and annotations: how alike are
    the texts, beside the same figure for labels of other neurons and for one constant word?

    Examples:

      dnd-local truth my-run planted

      dnd-local truth my-run classes --metric mpnet

      dnd-local truth my-run my-network.json --labels clip-dissect.csv
    """
    from dnd_local.evaluate.describers import open_describer
    from dnd_local.evaluate.judged_rows import of_layer, placed
    from dnd_local.evaluate.text_truth import classes_of_run
    from dnd_local.pipeline.reading import open_run

    by_words = known == PLANTED or known.endswith(".json")
    texts_only = {"--metric": bool(metric), "--devices": devices != "cpu", "--seed": seed != 0}
    people_only = {"--agree-above": agree_above is not None, "--all-neurons": all_neurons}
    if by_words:
        _refuse(texts_only | people_only, f"{known} asks whether a label names a concept")
    stored = open_run(run, workspace, weights)
    read = open_describer(labels or run, layer if labels else "", workspace, weights)
    table = of_layer(stored, placed(stored, read.table), layer)
    if by_words:
        _against_planted(stored, table, known, out, as_json)
        return
    texts = classes_of_run(stored) if known == CLASSES else _texts(known)
    if not texts.stacked:
        _refuse(people_only, f"{known} is not of several annotators")
    least = least_agreement(agree_above, all_neurons)
    with metrics_asked_for(metric, weights, devices) as opened:
        from dnd_local.evaluate import reproduce

        labelled = replace(read, table=table)
        figures = (
            reproduce.milannotations(texts, [labelled], opened, least, seed)
            if texts.stacked
            else reproduce.last_layer(texts, [labelled], opened.metrics, seed)
        )
    show_text_figures("truth", figures, [texts, labelled], opened, out, as_json)


def _texts(known: str) -> ReadTable:
    """Return the true texts of a file.

    Raises:
        UnknownName: it is neither a file nor the name of a truth.
    """
    from dnd_local.evaluate.describers import open_describer

    try:
        return open_describer(known)
    except UnknownName:
        hint = "It takes planted, classes, a .json, .txt or .csv file."
        raise UnknownName("truth", known, (PLANTED, CLASSES), hint) from None


def _refuse(options: Mapping[str, bool], why: str) -> None:
    """Refuse options that this kind of truth has no use for.

    Raises:
        BadConfig: one of them was given.
    """
    given = [name for name, used in options.items() if used]
    if given:
        raise BadConfig(f"{' and '.join(given)} would change nothing: {why}; leave it out")


def _against_planted(
    stored: StoredRun,
    table: DescriptionTable,
    known: str,
    out: Path | None,
    as_json: bool,
) -> None:
    """Print how often a label names the concept that was planted in its neuron."""
    from dnd_local.evaluate.planted_truth import (
        planted_accuracy,
        planted_answers,
        planted_of_run,
        read_planted,
    )

    planted = planted_of_run(stored) if known == PLANTED else read_planted(Path(known))
    answers = planted_answers(table, planted)
    accuracy = planted_accuracy(answers)
    records = [answer.record() for answer in answers]
    if as_json:
        tables.echo_json({"describer": table.describer, "accuracy": accuracy, "answers": records})
    else:
        show_records(records)
        say("", f"{table.describer}: {accuracy.value:.1%} right of {accuracy.n} "
                f"(95 % interval {accuracy.low:.1%} to {accuracy.high:.1%})")  # fmt: skip
    write_all(out, {"planted": records})
