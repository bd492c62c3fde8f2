"""``compare``: how far describers agree, neuron by neuron."""

from __future__ import annotations

from typing import Annotated

import typer

from dnd_local.cli import tables
from dnd_local.cli.arguments import Workspace
from dnd_local.cli.figures import say, say_figure, write_all
from dnd_local.cli.text_figures import (
    TextOptions,
    figure_title,
    read_record,
    say_read,
    with_text_options,
)
from dnd_local.core.amounts import count_text

Describers = Annotated[
    list[str],
    typer.Argument(
        help="Runs, RUN/DESCRIBER, packs, class names (.txt), or CSV files: DnD, MILAN, "
        "MILANNOTATIONS, CLIP-Dissect, NetDissect."
    ),
]


@with_text_options
def compare(
    describers: Describers,
    workspace: Workspace = None,
    *,
    options: TextOptions,
) -> None:
    """Say how far describers agree, neuron by neuron, against labels of other neurons.

    The first is the reference: of two others, a paired test says which is nearer to it.

    Examples:

      dnd-local compare my-run released/layer4.csv --layer layer4

      dnd-local compare MILANNOTATIONS.csv my-run milan.csv --metric mpnet=models/mpnet
    """
    from dnd_local.evaluate.agreement import compare as compare_tables
    from dnd_local.evaluate.describers import distinct_names, open_describer
    from dnd_local.evaluate.matching import match

    reads = [open_describer(name, options.layer, workspace, options.weights) for name in describers]
    matching = match([read.table for read in reads])
    names = distinct_names([read.table.describer for read in reads])
    with options.metrics() as opened:
        comparison = compare_tables(
            names, [read.stacked for read in reads], matching, opened.metrics, options.seed
        )
    agreements = [agreement.record() for agreement in comparison.agreements]
    preferences = [preference.record() for preference in comparison.preferences]
    if options.as_json:
        tables.echo_json(
            {
                "agreements": agreements,
                "preferences": preferences,
                "neurons": comparison.neurons,
                "matched": {"by": matching.how, "notes": matching.notes},
                **read_record(reads, opened),
            }
        )
    else:
        say_read(reads, opened)
        say(
            f"Matched by {matching.how}: {count_text(len(matching.keys), 'neuron')}",
            *matching.notes,
            "",
        )
        for record in agreements:
            title = figure_title(record, f"{record['left']} | {record['right']}")
            say_figure(title, "mean", record)
        if preferences:
            say("", f"Nearer to {names[0]} (positive: the left one):", "")
            for record in preferences:
                title = figure_title(record, f"{record['left']} - {record['right']}")
                say_figure(title, "difference", record)
    write_all(
        options.out,
        {"agreement": agreements, "preference": preferences, "neurons": comparison.neurons},
    )
