"""``bench``: how long a run's stages took, beside another run or another machine."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from dnd_local.cli import completion, tables
from dnd_local.cli.arguments import AsJson, Run, Weights, Workspace
from dnd_local.cli.figures import checked_json, show_records
from dnd_local.cli.wordwise import say
from dnd_local.core.amounts import count_text, duration_text

if TYPE_CHECKING:
    from dnd_local.pipeline.times import RunTimes


def bench(
    run: Run,
    other: Annotated[
        str,
        typer.Argument(
            help="Another run, or a file that --out wrote, on another machine for example.",
            autocompletion=completion.runs,
        ),
    ] = "",
    out: Annotated[
        Path | None,
        typer.Option(help="Also write the times to this .json file.", callback=checked_json),
    ] = None,
    workspace: Workspace = None,
    weights: Weights = None,
    as_json: AsJson = False,
) -> None:
    """Show how long each stage of a run took, its share of the whole, and the loading of models.

    Nothing is computed: the figures are those of the run's sessions, all of them together; "each"
    is seconds a part without loading. With another run, how many times as fast as there a part is
    made.

    Examples:

      dnd-local bench my-run --out here.json

      dnd-local bench my-run there.json
    """
    from dnd_local.pipeline.times import encoded, time_records
    from dnd_local.store.files import write_atomic

    times = _times(run, workspace, weights)
    beside = _times(other, workspace, weights) if other else None
    if out is not None:
        write_atomic(out, encoded(times))
    if as_json:
        tables.echo_json(time_records(times, beside))
        return
    where = ", ".join(times.devices) or "no device on record"
    say(f"{times.run}: {count_text(times.neurons, 'neuron')} on {where}, "
        f"{duration_text(times.seconds)} in all", "")  # fmt: skip
    show_records(time_records(times, beside))
    if beside is not None:
        say("", f"Beside {beside.run} on {', '.join(beside.devices)}, "
                f"{duration_text(beside.seconds)} in all.")  # fmt: skip


def _times(name: str, workspace: Path | None, weights: Path | None) -> RunTimes:
    """Return the times of a run, or those in a file."""
    from dnd_local.pipeline.reading import open_run
    from dnd_local.pipeline.times import read_times, times_of

    if Path(name).suffix == ".json":
        return read_times(Path(name))
    return times_of(open_run(name, workspace, weights))
