"""``report``: the site of a run, figures for a paper."""

from __future__ import annotations

import webbrowser
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from dnd_local.cli import tables
from dnd_local.cli.arguments import AsJson, Run, Weights, Workspace
from dnd_local.cli.progress import ProgressLines
from dnd_local.core.amounts import count_text

if TYPE_CHECKING:
    from dnd_local.evaluate.comparisons import Compared
    from dnd_local.pipeline.reading import StoredRun
    from dnd_local.report.site import Site


def report(
    run: Run,
    out: Annotated[
        Path | None, typer.Option(help="The site's folder. Default: report/ in the run's own.")
    ] = None,
    show: Annotated[bool, typer.Option("--open", help="Open it in the browser.")] = False,
    compare: Annotated[
        list[str] | None,
        typer.Option(
            "--compare",
            help="Another run, pack or CSV of descriptions to compare with; the run remembers it.",
        ),
    ] = None,
    layer: Annotated[str, typer.Option(help="The layer that --compare files are about.")] = "",
    figures: Annotated[
        Path | None, typer.Option(help="Folder for one PNG a neuron, exemplars and labels.")
    ] = None,
    workspace: Workspace = None,
    weights: Weights = None,
    as_json: AsJson = False,
) -> None:
    """Write a run as a folder of pages that open without a server or a network.

    Examples:

      dnd-local report pocket-layer4-1a2b3c4d --open

      dnd-local report my-run --compare another-run --compare milan.csv
    """
    from dnd_local.evaluate.comparisons import remember
    from dnd_local.pipeline.reading import open_run
    from dnd_local.report.figures import write_figures

    stored = open_run(run, workspace, weights)
    site = write_report(stored, out, _others(stored, compare or [], layer))
    if compare:
        remember(stored, compare, layer)
    drawn = write_figures(stored, figures) if figures else ()
    if as_json:
        tables.echo_json({"index": str(site.index), "neurons": site.neurons,
                          "pictures": site.pictures, "missing": site.missing,
                          "left_out": site.left_out,
                          "figures": [str(path) for path in drawn]})  # fmt: skip
    else:
        _say(site, len(drawn), figures)
    if show:
        webbrowser.open(site.index.as_uri())


def write_report(
    stored: StoredRun, out: Path | None = None, others: list[Compared] | None = None
) -> Site:
    """Write the report of a run with a line of progress, and return where it is."""
    from dnd_local.report.site import build_site

    with ProgressLines() as progress:
        return build_site(stored, out, others, progress)


def _others(stored: StoredRun, names: list[str], layer: str) -> list[Compared] | None:
    """Return the describers named, None where none is: the run then takes those it remembers."""
    from dnd_local.evaluate.comparisons import open_compared

    places = stored.lab.execution
    return [open_compared(n, layer, places.workspace, places.weights) for n in names] or None


def _say(site: Site, drawn: int, figures: Path | None) -> None:
    if site.missing:
        typer.echo(f"{count_text(site.missing, 'picture')} left out, not on disk any more")
    for line in site.left_out:
        typer.echo(line)
    if figures:
        typer.echo(f"{count_text(drawn, 'figure')} in {figures}")
    typer.echo(f"Report of {count_text(site.neurons, 'neuron')}: {site.index}")
