"""``pocket bench``: what the embedded models and the method on them are worth."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import typer

from dnd_local.cli import tables
from dnd_local.cli.arguments import AsJson, Devices, Workspace
from dnd_local.cli.figures import show_records
from dnd_local.cli.progress import ProgressLines
from dnd_local.cli.wordwise import say
from dnd_local.core.errors import BadConfig

if TYPE_CHECKING:
    from dnd_local.evaluate.hard_bench import HardBench

PLOTS: Final = "plots"
"""The folder of a bench's plots, within its run."""

app = typer.Typer(help="The embedded miniature world, whose neurons' meaning is known.")


@app.callback()
def pocket() -> None:
    """The embedded miniature world, whose neurons' meaning is known."""


@app.command()
def bench(
    workspace: Workspace = None,
    devices: Devices = "cpu",
    seed: Annotated[int, typer.Option(help="Of held-out choices and intervals.", min=0)] = 0,
    hard: Annotated[
        bool, typer.Option("--hard", help="The hard bench: planted formulas and fakes.")
    ] = False,
    frozen: Annotated[
        bool,
        typer.Option("--frozen", help="With --hard: the half for reporting; log every look."),
    ] = False,
    each: Annotated[
        int, typer.Option(help="With --hard: so many neurons of each kind; 0 is all.", min=0)
    ] = 0,
    rounds: Annotated[
        int, typer.Option(help="With --hard: as dissect --rounds does.", min=0, max=5)
    ] = 0,
    contrast: Annotated[
        int, typer.Option(help="With --hard: as dissect --contrast does.", min=0, max=100)
    ] = 0,
    meanings: Annotated[
        int, typer.Option(help="With --hard: as dissect --meanings does.", min=1, max=4)
    ] = 1,
    out: Annotated[Path | None, typer.Option(help="Also write the figures to this file.")] = None,
    as_json: AsJson = False,
) -> None:
    """Measure the embedded models and the whole method on known truth, with intervals and nulls.

    With --hard: neurons that follow a formula of the world's attributes, and fakes that follow
    nothing; how often each describer's label is right, and how often a verdict supports a fake. The
    run keeps every answer, counts by kind and plots (PNG and SVG); the same command again grades
    and judges the labels that are there. docs/truth.md says what is in it, and logs every look at
    its frozen half.

    Examples:

      dnd-local pocket bench --json

      dnd-local pocket bench --hard --each 4
    """
    from dnd_local.evaluate.hard_bench import run_hard_bench
    from dnd_local.evaluate.pocket_bench import run_bench
    from dnd_local.pipeline.dissection import Dissection

    every = {"rounds": (rounds, 0), "contrast": (contrast, 0), "meanings": (meanings, 1)}
    mode = {name: value for name, (value, usual) in every.items() if value != usual}
    _check(hard, ["--frozen"] * frozen + ["--each"] * bool(each) + [f"--{x}" for x in mode], seed)
    dissection = Dissection(model="pocket", layer="fc", workspace=workspace, devices=devices)
    if hard:
        with ProgressLines() as progress:
            done = run_hard_bench(
                dissection.execution(), progress, frozen=frozen, each=each, mode=mode
            )
        _show_hard(done, as_json, out)
        return
    with ProgressLines() as progress:
        figures = run_bench(dissection.execution(), progress, seed)
    tables.show_figures(figures, as_json, out)


def _show_hard(done: HardBench, as_json: bool, out: Path | None) -> None:
    """Print the figures as JSON, or for people two tables; the plots go beside the answers."""
    from dnd_local.evaluate.hard_figures import describer_records, hard_figures, kind_records
    from dnd_local.report.bench_plots import write_bench_plots

    figures = hard_figures(done.answers)
    write_bench_plots(done.answers, done.folder / PLOTS, done.folder.parents[1])
    if out is not None:
        tables.write_figures(figures, out)
    if as_json:
        tables.echo_json(figures)
    else:
        ours = [record for record in kind_records(done.answers) if record["describer"] == "ours"]
        show_records(describer_records(figures))
        show_records([{name: record[name] for name in list(record)[1:]} for record in ours])
    say(f"Answers, counts by kind and plots: {done.folder}", err=True)


def _check(hard: bool, of_hard: Sequence[str], seed: int) -> None:
    """Refuse options of the other bench, which would change nothing.

    Raises:
        BadConfig: one was given.
    """
    idle = (["--seed"] if seed else []) if hard else of_hard
    if idle:
        wanted = "leave it out" if hard else "add --hard"
        raise BadConfig(f"{' and '.join(idle)} would change nothing here: {wanted}")
