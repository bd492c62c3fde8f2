"""``reproduce``: the release's tables again, from the user's copy of its files."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from dnd_local.cli import tables
from dnd_local.cli.arguments import AgreeAbove, AllNeurons, AsJson, Out, Seed
from dnd_local.cli.figures import say_figure, write_all
from dnd_local.cli.text_figures import (
    TextOptions,
    least_agreement,
    show_text_figures,
    with_text_options,
)
from dnd_local.cli.wordwise import say
from dnd_local.core.amounts import count_text

if TYPE_CHECKING:
    from dnd_local.evaluate.tables import ReadTable

app = typer.Typer(
    no_args_is_help=True,
    help="Recompute a table of the release from your copy of its files, with the nulls it lacks.",
)

Describers = Annotated[
    list[str],
    typer.Argument(
        help="The describers' CSV files, or DESCRIBER=FILE (clip-dissect=FILE.csv); those of one "
        "describer are joined."
    ),
]


@app.command("last-layer")
@with_text_options
def last_layer(
    classes: Annotated[Path, typer.Argument(help="The class names, one a line.")],
    describers: Describers,
    options: TextOptions,
) -> None:
    """Last-layer labels against class names.

    Example:

      dnd-local reproduce last-layer imagenet_labels.txt resnet50_imagenet_broden_fc.csv
    """
    from dnd_local.evaluate import reproduce
    from dnd_local.evaluate.text_truth import read_classes

    reads = _joined(describers, options.layer)
    # Truth without a layer's name matches any: what a last layer is called differs by source.
    truth = read_classes(classes)
    with options.metrics() as opened:
        figures = reproduce.last_layer(truth, reads, opened.metrics, options.seed)
    show_text_figures("last-layer", figures, [truth, *reads], opened, options.out, options.as_json)


@app.command("milannotations")
@with_text_options
def milannotations(
    annotations: Annotated[Path, typer.Argument(help="The MILANNOTATIONS file of a network.")],
    describers: Describers,
    agree_above: AgreeAbove = None,
    all_neurons: AllNeurons = False,
    published: Annotated[
        bool,
        typer.Option(
            "--as-published",
            help="Also mpnet letter by letter, as the published figures were computed.",
        ),
    ] = False,
    *,
    options: TextOptions,
) -> None:
    """Labels against human annotations, on the neurons that people agree on.

    Example:

      dnd-local reproduce milannotations MILANNOTATIONS.csv resnet152_layer4.csv milan=m.csv
    """
    from dnd_local.core.errors import UserError
    from dnd_local.evaluate import reproduce
    from dnd_local.evaluate.tables import read_table

    above = least_agreement(agree_above, all_neurons)
    people = read_table(annotations, options.layer)
    if not people.stacked:
        raise UserError(f"{people.source} holds no annotations; name that file first")
    reads = _joined(describers, options.layer)
    with options.metrics() as asked:
        opened = reproduce.as_published(asked) if published else asked
        figures = reproduce.milannotations(people, reads, opened, above, options.seed)
    show_text_figures(
        "milannotations", figures, [people, *reads], opened, options.out, options.as_json
    )


@app.command("captioner-swap")
@with_text_options
def captioner_swap(
    files: Annotated[list[str], typer.Argument(help="One captioner's files, a layer each.")],
    against: Annotated[list[str], typer.Option(help="The other captioner's; give it repeatedly.")],
    options: TextOptions,
) -> None:
    """Labels with one captioner against labels with another.

    Example:

      dnd-local reproduce captioner-swap BLIP-Layer4.csv --against BLIP2-Layer4.csv
    """
    from dnd_local.core.errors import UserError
    from dnd_local.evaluate import reproduce

    left, right = _joined(files, options.layer), _joined(against, options.layer)
    for side in (left, right):
        if len(side) != 1:
            raise UserError(
                f"{', '.join(read.source for read in side)} are {len(side)} describers; a side "
                "takes the files of one"
            )
    with options.metrics() as opened:
        figures = reproduce.captioner_swap(left[0], right[0], opened.metrics, options.seed)
    show_text_figures(
        "captioner-swap", figures, [*left, *right], opened, options.out, options.as_json
    )


@app.command("scoring-rules")
def scoring_rules(
    ratings: Annotated[Path, typer.Argument(help="The release's file of human ratings.")],
    out: Out = None,
    seed: Seed = 0,
    as_json: AsJson = False,
) -> None:
    """Human ratings of the four scoring rules.

    Example:

      dnd-local reproduce scoring-rules RN50_table_4_scoring_function.csv
    """
    from dnd_local.evaluate.ratings import scoring_rules as rate

    rated = rate(ratings, seed)
    records = [rule.record() for rule in rated.rules]
    if as_json:
        tables.echo_json({"rules": records, "random_rule": rated.random_rule,
                          "rater_agreement": rated.rater_agreement})  # fmt: skip
    else:
        for rule, record in zip(rated.rules, records, strict=True):
            units = count_text(rule.rating.n, "unit")
            say_figure(f"{record['rule']}, {units}", "value", record)
        say("", f"A rule drawn at random (the null): {rated.random_rule:.4f}. "
                f"Rank correlation of the two raters: {rated.rater_agreement:.2f}.")  # fmt: skip
    write_all(out, {"scoring-rules": records})


def _joined(files: Sequence[str], layer: str) -> list[ReadTable]:
    """Return one table a describer; files of one describer for several layers are joined."""
    from dnd_local.evaluate.release_files import join, read_release

    return list(join([read_release(file, layer) for file in files]))
