"""``compare``: how far describers agree, neuron by neuron."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Annotated

import typer

from dnd_local.cli import tables
from dnd_local.cli.arguments import Workspace
from dnd_local.cli.figures import say_figure, write_all
from dnd_local.cli.text_figures import (
    TextOptions,
    figure_title,
    read_record,
    say_read,
    with_text_options,
)
from dnd_local.cli.wordwise import say
from dnd_local.core.amounts import count_text

if TYPE_CHECKING:
    from dnd_local.store.outputs import Cell

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
    word: Annotated[
        list[str] | None,
        typer.Option("--word", help="One word for every neuron, as a further describer: a floor."),
    ] = None,
    workspace: Workspace = None,
    *,
    options: TextOptions,
) -> None:
    """Say how far describers agree, neuron by neuron, against labels of other neurons.

    The first is the reference: of two others, a paired test says which is nearer to it.

    Examples:

      dnd-local compare my-run released/layer4.csv --layer layer4

      dnd-local compare my-run my-run/gpt-4o my-run-redrawn --word object

      dnd-local compare MILANNOTATIONS.csv my-run milan.csv --metric mpnet=models/mpnet
    """
    from dnd_local.evaluate.agreement import compare as compare_tables
    from dnd_local.evaluate.describers import constant_word, distinct_names, open_describer
    from dnd_local.evaluate.matching import match

    reads = [open_describer(name, options.layer, workspace, options.weights) for name in describers]
    reads += [constant_word(text, reads[0].table) for text in word or ()]
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
        _say_figures(agreements, preferences, names[0])
    write_all(
        options.out,
        {"agreement": agreements, "preference": preferences, "neurons": comparison.neurons},
    )


def _say_figures(
    agreements: Sequence[Mapping[str, Cell]],
    preferences: Sequence[Mapping[str, Cell]],
    reference: str,
) -> None:
    """Print how alike each pair is, and which of two is nearer to the first describer."""
    for record in agreements:
        title = figure_title(record, f"{record['left']} | {record['right']}")
        say_figure(title, "mean", record)
    if preferences:
        say("", f"Nearer to {reference} (positive: the left one):", "")
        for record in preferences:
            title = figure_title(record, f"{record['left']} - {record['right']}")
            say_figure(title, "difference", record)
