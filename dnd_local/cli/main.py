"""The command line: ``dnd-local COMMAND``. Importing it loads no model library."""

from __future__ import annotations

import io
import os
import sys
from typing import Annotated, NoReturn

import typer

from dnd_local import __version__
from dnd_local.cli import (
    ablate,
    baseline,
    bench,
    compare,
    concepts,
    dissect,
    doctor,
    evaluate,
    export,
    pocket,
    probe,
    prompts,
    report,
    reproduce,
    runs,
    targets,
    truth,
    upkeep,
    weights,
)
from dnd_local.cli.progress import NARROW
from dnd_local.cli.stopping import Stoppable
from dnd_local.cli.usage import UsageError, usage_line
from dnd_local.cli.wordwise import console, say
from dnd_local.core.errors import DndError, Interrupted, UserError, disk_error
from dnd_local.core.libraries import not_installed
from dnd_local.store.guard import go_offline

app = typer.Typer(
    name="dnd-local",
    cls=Stoppable,
    no_args_is_help=True,
    rich_markup_mode="rich",
    pretty_exceptions_enable=False,
    help="Say in plain words what each neuron of a vision network looks for, on your own machine.",
    epilog="Start here: dnd-local dissect pocket layer4 --ids 1,2,3",
)

OPEN = frozenset({"weights", "dissect"})
"""Commands that close the network themselves: a pull needs it, an allowed remote model too."""


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"dnd-local {__version__}")
        raise typer.Exit


@app.callback()
def main(
    context: typer.Context,
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print it and stop.")
    ] = False,
) -> None:
    # Before any model library is imported: some read their offline switches only once.
    if context.invoked_subcommand not in OPEN:
        go_offline()


app.command("dissect")(dissect.dissect)
app.command("triage")(dissect.triage)
app.command("status")(runs.status)
app.command("show")(runs.show)
app.command("runs")(runs.runs)
app.command("layers")(targets.layers)
app.command("report")(report.report)
app.command("compare")(compare.compare)
app.command("evaluate")(evaluate.evaluate)
app.command("truth")(truth.truth)
app.command("baseline")(baseline.baseline)
app.command("search")(concepts.search)
app.command("group")(concepts.group)
app.command("bench")(bench.bench)
app.command("export")(export.export)
app.command("ablate")(ablate.ablate)
app.command("doctor")(doctor.doctor)
app.command("verify")(upkeep.verify)
app.command("gc")(upkeep.gc)
app.add_typer(targets.app, name="targets", cls=Stoppable)
app.add_typer(reproduce.app, name="reproduce", cls=Stoppable)
app.add_typer(weights.app, name="weights", cls=Stoppable)
app.add_typer(probe.app, name="probe", cls=Stoppable)
app.add_typer(pocket.app, name="pocket", cls=Stoppable)
app.add_typer(prompts.app, name="prompts", cls=Stoppable)


def run() -> None:
    """Run the command line; an error of ours, or of the disk, is one line and its exit code."""
    _print_anything()
    if console().width < NARROW:
        app.rich_markup_mode = None  # plain help: columns side by side would cut names of options
    try:
        try:
            code = app(prog_name="dnd-local", standalone_mode=False)
        finally:
            _flush()
        sys.exit(code or 0)
    except DndError as error:
        _stop(error)
    except UsageError as error:
        _stop(UserError(usage_line(error)))
    except typer.Abort:
        _stop(Interrupted("nothing was done, since the question was not answered"))
    except ModuleNotFoundError as error:
        _stop(not_installed(error))
    except OSError as error:
        if (refused := disk_error(error)) is None:
            raise
        _stop(refused)


def _print_anything() -> None:
    """Let the output write a character that the locale's encoding lacks as an escape.

    Otherwise an ellipsis, or a word of a caption, would end the program under a Latin-1 locale.
    """
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


def _stop(error: DndError) -> NoReturn:
    say(f"dnd-local: {error}", err=True, style="red")
    sys.exit(error.exit_code)


def _flush() -> None:
    """Write out what was printed, while an error can still be reported.

    Raises:
        OSError: the output's disk is full; nothing more is printed then.
    """
    try:
        sys.stdout.flush()
    except OSError as error:
        # Python flushes once more when it exits, and would print a traceback.
        sys.stdout = open(os.devnull, "w", encoding="utf-8")  # noqa: SIM115
        error.filename = "the output"
        raise
