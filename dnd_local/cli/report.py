"""``report``: the site of a run, figures for a paper."""

from __future__ import annotations

import webbrowser
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from dnd_local.cli import tables
from dnd_local.cli.arguments import AsJson, Run, Weights, Workspace
from dnd_local.cli.progress import ProgressLines
from dnd_local.cli.wordwise import say
from dnd_local.core.amounts import count_text, size_text
from dnd_local.core.descriptions import SAME_CONCEPT
from dnd_local.core.errors import BadConfig

if TYPE_CHECKING:
    from dnd_local.core.records import Neuron
    from dnd_local.evaluate.comparisons import Compared
    from dnd_local.pipeline.reading import StoredRun
    from dnd_local.report.site import Site


SingleFile = Annotated[
    Path | None, typer.Option(help="Write one page in one file instead of the site, to pass on.")
]
Figures = Annotated[
    Path | None,
    typer.Option(help="Folder for a PDF and a PNG a neuron: exemplars and every label."),
]
Neurons = Annotated[
    str,
    typer.Option(help="Neurons of --single-file and --figures: 17,18 or layer4:17. Default: all."),
]
Compare = Annotated[
    list[str] | None,
    typer.Option(
        "--compare",
        help="Another run, pack or CSV of descriptions to compare with; the run remembers it.",
    ),
]
GroupAbove = Annotated[
    float,
    typer.Option(
        help="Labels of at least this cosine share a group on the groups page.", min=0, max=1
    ),
]


def report(
    run: Run,
    out: Annotated[
        Path | None, typer.Option(help="The site's folder. Default: report/ in the run's own.")
    ] = None,
    show: Annotated[bool, typer.Option("--open", help="Open it in the browser.")] = False,
    compare: Compare = None,
    layer: Annotated[str, typer.Option(help="The layer that --compare files are about.")] = "",
    group_above: GroupAbove = SAME_CONCEPT,
    single_file: SingleFile = None,
    figures: Figures = None,
    neurons: Neurons = "",
    workspace: Workspace = None,
    weights: Weights = None,
    as_json: AsJson = False,
) -> None:
    """Write a run as a folder of pages that open without a server or a network.

    Examples:

      dnd-local report pocket-layer4-1a2b3c4d --open

      dnd-local report my-run --compare another-run --compare milan.csv

      dnd-local report my-run --single-file neurons.html --neurons 17,18
    """
    from dnd_local.evaluate.comparisons import remember
    from dnd_local.pipeline.reading import open_run
    from dnd_local.pipeline.settings import default_workspace
    from dnd_local.report.figures import matplotlib_parts

    if figures:
        # Said before any page is written.
        matplotlib_parts(workspace or default_workspace())

    _check(
        single_file,
        figures,
        neurons,
        {"--out": out, "--compare": compare, "--group-above": group_above != SAME_CONCEPT},
    )
    stored = open_run(run, workspace, weights)
    chosen = [stored.neuron(text.strip()) for text in neurons.split(",")] if neurons else []
    others = _others(stored, compare or [], layer)
    if single_file:
        said, page = _write_single(stored, single_file, chosen)
    else:
        said, page = _write_site(stored, out, others, group_above)
    if compare:
        remember(stored, compare, layer)
    drawn = _write_figures(stored, figures, chosen) if figures else ()
    if as_json:
        tables.echo_json({**said, "figures": [str(path) for path in drawn]})
    else:
        if figures:
            say(f"{count_text(len(drawn) // 2, 'figure')} in {figures}")
        _say(said, page)
    if show:
        webbrowser.open(page.absolute().as_uri())


def _check(
    single_file: Path | None, figures: Path | None, neurons: str, site: Mapping[str, object]
) -> None:
    """Check that no option is given that would do nothing."""
    if neurons and not (single_file or figures):
        raise BadConfig(
            f"--neurons {neurons} is for --single-file and --figures; a site shows every neuron"
        )
    for option, value in site.items():
        if single_file and value:
            raise BadConfig(
                f"{option} is for the site, and --single-file writes none; leave one of them out"
            )


def _write_site(
    stored: StoredRun, out: Path | None, others: list[Compared] | None, group_above: float
) -> tuple[dict[str, Any], Path]:
    site = write_report(stored, out, others, group_above)
    said = {"index": str(site.index), "neurons": site.neurons, "pictures": site.pictures,
            "missing": site.missing, "left_out": site.left_out}  # fmt: skip
    return said, site.index


def _write_single(
    stored: StoredRun, path: Path, chosen: list[Neuron]
) -> tuple[dict[str, Any], Path]:
    from dnd_local.report.single import write_single

    page = write_single(stored, path, chosen)
    said = {"page": str(page.path), "neurons": page.neurons, "bytes": page.size,
            "picture_side": page.side, "missing": page.missing, "left_out": ()}  # fmt: skip
    return said, page.path


def _write_figures(stored: StoredRun, out: Path, chosen: list[Neuron]) -> tuple[Path, ...]:
    from dnd_local.evaluate.comparisons import recall
    from dnd_local.report.figures import write_figures

    return write_figures(stored, out, chosen, recall(stored).others)


def write_report(
    stored: StoredRun,
    out: Path | None = None,
    others: list[Compared] | None = None,
    group_above: float = SAME_CONCEPT,
) -> Site:
    """Write the report of a run with a line of progress, and return where it is."""
    from dnd_local.report.site import build_site

    with ProgressLines() as progress:
        return build_site(stored, out, others, progress, group_above)


def _others(stored: StoredRun, names: list[str], layer: str) -> list[Compared] | None:
    """Return the describers named, None where none is: the run then takes those it remembers."""
    from dnd_local.evaluate.comparisons import open_compared

    places = stored.lab.execution
    return [open_compared(n, layer, places.workspace, places.weights) for n in names] or None


def _say(said: Mapping[str, Any], page: Path) -> None:
    if said["missing"]:
        say(f"{count_text(said['missing'], 'picture')} left out, not on disk any more")
    for line in said["left_out"]:
        say(line)
    size = f", {size_text(said['bytes'])}" if "bytes" in said else ""
    say(f"Report of {count_text(said['neurons'], 'neuron')}: {page}{size}")
