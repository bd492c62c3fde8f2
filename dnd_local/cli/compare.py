"""``compare`` describers with each other, and ``reproduce`` the release's tables."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from dnd_local.cli import tables
from dnd_local.cli.arguments import AsJson, Devices, Weights, Workspace
from dnd_local.cli.figures import checked_folder, say, say_figure, write_all

if TYPE_CHECKING:
    from dnd_local.evaluate.exports import Cell
    from dnd_local.evaluate.metric_opening import Opened
    from dnd_local.evaluate.reproduce import Figure
    from dnd_local.evaluate.tables import ReadTable
    from dnd_local.evaluate.text_similarity import TextMetric

Metrics = Annotated[
    list[str] | None,
    typer.Option(
        "--metric",
        help="token-f1, clip, mpnet, minilm, bertscore, or NAME=FOLDER. Default: all that can run.",
    ),
]
Out = Annotated[
    Path | None,
    typer.Option(help="Folder for the figures as CSV and JSON lines.", callback=checked_folder),
]
Layer = Annotated[str, typer.Option(help="Only this layer; names the layer of files without.")]
Seed = Annotated[int, typer.Option(help="Seed of intervals and tests.", min=0)]
Baseline = Annotated[
    Path | None, typer.Option(help="BERTScore's rescaling file for its model (.tsv).")
]
Describers = Annotated[
    list[str],
    typer.Argument(
        help="Runs, RUN/DESCRIBER, class names (.txt), or CSV files: DnD, MILAN, MILANNOTATIONS, "
        "CLIP-Dissect, NetDissect."
    ),
]


class Table(StrEnum):
    """What can be recomputed from the release's files."""

    last_layer = "last-layer"
    milannotations = "milannotations"
    captioner_swap = "captioner-swap"
    scoring_rules = "scoring-rules"


def compare(
    describers: Describers,
    metric: Metrics = None,
    layer: Layer = "",
    out: Out = None,
    baseline: Baseline = None,
    seed: Seed = 0,
    workspace: Workspace = None,
    weights: Weights = None,
    devices: Devices = "cpu",
    as_json: AsJson = False,
) -> None:
    """Say how far describers agree, neuron by neuron, against labels of other neurons.

    The first is the reference: of two others, a paired test says which is nearer to it.

    Examples:

      dnd-local compare my-run released/layer4.csv --layer layer4

      dnd-local compare MILANNOTATIONS.csv my-run milan.csv --metric mpnet=models/mpnet
    """
    from dnd_local.evaluate.agreement import compare as compare_tables
    from dnd_local.evaluate.describers import open_describer
    from dnd_local.evaluate.matching import match

    reads = [open_describer(name, layer, workspace, weights) for name in describers]
    matching = match([read.table for read in reads])
    names = _distinct([read.table.describer for read in reads])
    with open_all_metrics(metric, weights, devices, baseline) as opened:
        found = compare_tables(
            names, [read.stacked for read in reads], matching, opened.metrics, seed
        )
    agreements = [own.record() for own in found.agreements]
    preferences = [own.record() for own in found.preferences]
    if as_json:
        tables.echo_json(
            {
                "agreements": agreements,
                "preferences": preferences,
                "neurons": found.neurons,
                "matched": {"by": matching.how, "notes": matching.notes},
                **read_record(reads, opened),
            }
        )
    else:
        say_read(reads, opened)
        say(f"Matched by {matching.how}: {len(matching.keys)} neurons", *matching.notes, "")
        for own in agreements:
            say_figure(_title(own, f"{own['left']} | {own['right']}"), "mean", own)
        if preferences:
            say("", f"Nearer to {names[0]} (positive: the left one):", "")
            for own in preferences:
                say_figure(_title(own, f"{own['left']} - {own['right']}"), "difference", own)
    write_all(out, {"agreement": agreements, "preference": preferences, "neurons": found.neurons})


def reproduce(
    table: Annotated[Table, typer.Argument(help="Which table of the release.")],
    files: Annotated[
        list[str],
        typer.Argument(help="The truth first (classes, annotations), then describers; for "
                            "captioner-swap one side; for scoring-rules the rating file."),
    ],
    against: Annotated[
        list[str] | None, typer.Option(help="captioner-swap: the other side's files.")
    ] = None,
    metric: Metrics = None,
    layer: Layer = "",
    agree_above: Annotated[
        float, typer.Option(help="milannotations: CLIP cosine at which two annotators agree.")
    ] = 0.81,
    all_neurons: Annotated[
        bool, typer.Option(help="milannotations: also neurons on which annotators disagree.")
    ] = False,
    out: Out = None,
    baseline: Baseline = None,
    seed: Seed = 0,
    weights: Weights = None,
    devices: Devices = "cpu",
    as_json: AsJson = False,
) -> None:  # fmt: skip
    """Recompute a table of the release from your copy of its files, with the nulls it lacks.

    Examples:

      dnd-local reproduce last-layer imagenet_labels.txt resnet50_imagenet_broden_fc.csv

      dnd-local reproduce captioner-swap BLIP-Layer4.csv --against BLIP2-Layer4.csv

      dnd-local reproduce scoring-rules RN50_table_4_scoring_function.csv
    """
    if table is Table.scoring_rules:
        _scoring_rules(files, seed, out, as_json)
        return
    with open_all_metrics(metric, weights, devices, baseline) as opened:
        if table is Table.milannotations:
            above = None if all_neurons else agree_above
            reads, figures = _milannotations(files, layer, opened, above, seed)
        elif table is Table.last_layer:
            reads, figures = _last_layer(files, layer, opened.metrics, seed)
        else:
            reads, figures = _captioner_swap(files, against or [], layer, opened.metrics, seed)
    records = [figure.record() for figure in figures]
    if as_json:
        tables.echo_json({"figures": records, **read_record(reads, opened)})
    else:
        say_read(reads, opened)
        say("")
        say_figures(records)
    write_all(out, {table.value: records})


@contextmanager
def open_all_metrics(
    specs: Sequence[str] | None, weights: Path | None, devices: str, baseline: Path | None
) -> Iterator[Opened]:
    """Hand over the metrics that a command's options ask for."""
    from dnd_local.evaluate.metric_opening import open_metrics
    from dnd_local.pipeline.request import read_devices
    from dnd_local.store.weights import Weights as WeightsFolder

    folder_of = WeightsFolder.open(weights).folder
    with open_metrics(
        specs or (), folder_of, baseline=baseline, devices=read_devices(devices)
    ) as opened:
        yield opened


def _last_layer(
    files: Sequence[str], layer: str, metrics: Sequence[TextMetric], seed: int
) -> tuple[list[ReadTable], tuple[Figure, ...]]:
    from dnd_local.core.errors import UserError
    from dnd_local.evaluate import reproduce as again
    from dnd_local.evaluate.text_truth import read_classes

    if len(files) < 2:
        raise UserError(f"nothing to hold against {files[0]}: name a describer's file after it")
    reads = _files(files[1:], layer)
    # Truth without a layer's name matches any: what a last layer is called differs by source.
    classes = read_classes(Path(files[0]))
    return [classes, *reads], again.last_layer(classes, reads, metrics, seed)


def _milannotations(
    files: Sequence[str], layer: str, opened: Opened, above: float | None, seed: int
) -> tuple[list[ReadTable], tuple[Figure, ...]]:
    from dnd_local.core.errors import UserError
    from dnd_local.evaluate import reproduce as again

    annotations, *reads = _files(files, layer)
    if not annotations.stacked:
        raise UserError(f"{annotations.source} holds no annotations; name that file first")
    figures = again.milannotations(annotations, reads, opened, above, seed)
    return [annotations, *reads], figures


def _captioner_swap(
    files: Sequence[str],
    against: Sequence[str],
    layer: str,
    metrics: Sequence[TextMetric],
    seed: int,
) -> tuple[list[ReadTable], tuple[Figure, ...]]:
    from dnd_local.core.errors import UserError
    from dnd_local.evaluate import reproduce as again

    left, right = _files(files, layer), _files(against, layer)
    if len(left) != 1 or len(right) != 1:
        raise UserError("captioner-swap takes one side's files, and the other's after --against")
    return [*left, *right], again.captioner_swap(left[0], right[0], metrics, seed)


def _scoring_rules(files: Sequence[str], seed: int, out: Path | None, as_json: bool) -> None:
    from dnd_local.core.errors import UserError
    from dnd_local.evaluate.ratings import scoring_rules

    if len(files) != 1:
        raise UserError(f"scoring-rules takes the one rating file, not {len(files)} files")
    found = scoring_rules(Path(files[0]), seed)
    records = [own.record() for own in found.rules]
    if as_json:
        tables.echo_json({"rules": records, "random_rule": found.random_rule,
                          "rater_agreement": found.rater_agreement})  # fmt: skip
    else:
        for own in records:
            say_figure(f"{own['rule']}, {own['units']} units", "value", own)
        say("", f"A rule drawn at random (the null): {found.random_rule:.4f}. "
                f"Rank correlation of the two raters: {found.rater_agreement:.2f}.")  # fmt: skip
    write_all(out, {"scoring-rules": records})


def _files(names: Sequence[str], layer: str) -> list[ReadTable]:
    """Return one table a describer; files of one format for several layers are joined."""
    from dnd_local.evaluate.reproduce import join
    from dnd_local.evaluate.tables import read_table

    return list(join([read_table(Path(name), layer) for name in names]))


def _distinct(names: Sequence[str]) -> list[str]:
    """Return the names, numbered where two are the same."""
    return [
        name if names.count(name) == 1 else f"{name} ({names[: i + 1].count(name)})"
        for i, name in enumerate(names)
    ]


def say_figures(records: Sequence[Mapping[str, Cell]]) -> None:
    """Print recomputed figures, each with its nulls."""
    for own in records:
        say_figure(_title(own, str(own["describer"])), "value", own)


def _title(record: Mapping[str, Cell], who: str) -> str:
    needs = f" ({record['needs']})" if record.get("needs") else ""
    return f"{who}, {record['metric']}{needs}, {record['neurons']} neurons"


def read_record(reads: Sequence[ReadTable], opened: Opened) -> dict[str, list[str]]:
    """Return the lines of `say_read` for JSON."""
    lines = [line for read in reads for line in (read.summary(), *read.notes)]
    return {"read": lines, "left_out": list(opened.left_out)}


def say_read(reads: Sequence[ReadTable], opened: Opened) -> None:
    """Print what was read and which metrics cannot run."""
    for read in reads:
        say(read.summary(), *(f"  {note}" for note in read.notes))
    say(*opened.left_out)
