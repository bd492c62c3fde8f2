"""Tables one can read, or JSON for programs: nothing is decided here."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table
from rich.text import Text

from dnd_local.cli.evidence import about_scores
from dnd_local.cli.outcomes import forecast_lines, why_barren
from dnd_local.cli.verdicts import COLUMNS, cells, summary
from dnd_local.cli.wordwise import print_rows
from dnd_local.core.amounts import count_text, duration_text, number_text
from dnd_local.core.descriptions import Description
from dnd_local.core.digest import canonical
from dnd_local.core.records import LayerInfo, LayerTriage
from dnd_local.store.files import write_atomic

if TYPE_CHECKING:
    from dnd_local.evaluate.intervals import Interval
    from dnd_local.evaluate.verdicts import Verdicts
    from dnd_local.pipeline.catalogue import KnownTarget
    from dnd_local.pipeline.forecast import Forecast
    from dnd_local.pipeline.reading import RunSummary, StageStatus
    from dnd_local.pipeline.runner import RunResult

STATUS_COLOURS = {"described": "green", "failed": "red", "abstained": "yellow"}


def console() -> Console:
    """Return the console that tables go to."""
    return Console(highlight=False, emoji=False)


def echo_json(value: Any) -> None:
    """Print a value as one JSON document."""
    typer.echo(msgspec.json.format(canonical(value)).decode())


def time_text(seconds: float | None) -> str:
    """Return a duration as people write it; a question mark where it was never measured."""
    return "?" if seconds is None else duration_text(seconds)


def print_descriptions(
    out: Console, descriptions: Sequence[Description], verdicts: Verdicts, run: str
) -> None:
    """Print neurons with their labels, what scores are, and the verdicts where there are any."""
    judged = bool(verdicts.on(descriptions))
    names = ("Neuron", "Label", "Score", *(COLUMNS if judged else ()), "Second", "Third", "Status")
    rows = []
    for description in descriptions:
        first, second, third = [*(label.text for label in description.labels), "", "", ""][:3]
        score = number_text(description.labels[0].score) if description.labels else ""
        status = Text(description.status, style=STATUS_COLOURS.get(description.status, "dim"))
        if description.reason:
            status += Text(f" ({description.reason})", style="dim")
        neuron = f"{description.neuron.layer} {description.neuron.index}"
        worth = cells(verdicts.of(description)) if judged else ()
        rows.append((neuron, Text(first, style="bold"), score, *worth, second, third, status))
    print_rows(out, names, rows, right=("Neuron", "Score", "Support", "Reach"), head=2)
    if any(description.labels for description in descriptions):
        out.print()
        for line in about_scores(descriptions[0].rule, run, judged=judged):
            out.print(line)
    _print_summary(out, summary(descriptions, verdicts, run))


def show_descriptions(
    run: str, descriptions: Sequence[Description], verdicts: Verdicts, as_json: bool
) -> None:
    """Print the labels of a run's neurons, with their verdicts where there are any."""
    if as_json:
        worth = [verdict.record() for verdict in verdicts.on(descriptions)]
        echo_json({"run": run, "descriptions": descriptions, "verdicts": worth})
        return
    print_descriptions(console(), descriptions, verdicts, run)


def _print_summary(out: Console, lines: Sequence[str]) -> None:
    if lines:
        out.print("\n" + "\n".join(lines), soft_wrap=True)


def show_result(result: RunResult, as_json: bool) -> None:
    """Print a run's descriptions and where its files are; exit with 3 if items failed."""
    from dnd_local.evaluate.verdicts import read_verdicts

    verdicts = read_verdicts(result.folder)
    if as_json:
        worth = [verdict.record() for verdict in verdicts.on(result.descriptions)]
        echo_json({"run": result.record.name, "made": result.made,
                   "descriptions": result.descriptions, "verdicts": worth,
                   "failures": result.failures})  # fmt: skip
    else:
        out = console()
        print_descriptions(out, result.descriptions, verdicts, result.record.name)
        if not result.made:
            out.print("\nAll of this was done before; nothing was computed again.")
        folder = plain(result.folder)
        out.print(f"\nRun [bold]{result.record.name}[/bold]: {folder}", soft_wrap=True)
        out.print(f"Look closer: dnd-local show {result.record.name} NEURON", soft_wrap=True)
        out.print(f"Pages:       dnd-local report {result.record.name} --open", soft_wrap=True)
        for failure in result.failures:
            what = plain(f"{failure.stage} {failure.item}: {failure.reason}")
            out.print(f"[red]failed[/red] {what}", soft_wrap=True)
        _print_summary(out, why_barren(result) if result.barren else ())
    if result.failures or result.barren:
        raise typer.Exit(3)


def show_triage(results: Sequence[LayerTriage], as_json: bool) -> None:
    """Print the class of every neuron, and the counts."""
    if as_json:
        echo_json(results)
        return
    out = console()
    for result in results:
        table = Table(box=None, pad_edge=False, header_style="bold")
        for name in ("Neuron", "Class", "Min", "Mean", "Max", "Spread", "Active"):
            table.add_column(name, justify="left" if name == "Class" else "right")
        for neuron in result.neurons:
            verdict = (
                neuron.verdict if neuron.twin is None else f"{neuron.verdict} of {neuron.twin}"
            )
            figures = (neuron.minimum, neuron.mean, neuron.maximum, neuron.spread)
            table.add_row(
                str(neuron.index),
                verdict,
                *(f"{x:.4g}" for x in figures),
                f"{neuron.active_share:.1%}",
            )
        out.print(table)
        counts: dict[str, int] = {}
        for neuron in result.neurons:
            counts[neuron.verdict] = counts.get(neuron.verdict, 0) + 1
        words = ", ".join(f"{count} {verdict}" for verdict, count in sorted(counts.items()))
        out.print(
            f"\n{plain(result.layer)}: {count_text(len(result.neurons), 'neuron')} over "
            f"{count_text(result.n_images, 'image')} ({result.n_skipped} skipped): {words}"
        )
        if result.kept_as != "float16":
            out.print(f"Its responses are kept in {result.kept_as}: float16 would blur them.")


def show_layers(layers: Sequence[LayerInfo], as_json: bool) -> None:
    """Print the layers of a network."""
    if as_json:
        echo_json(layers)
        return
    table = Table(box=None, pad_edge=False, header_style="bold")
    for name in ("Layer", "Kind", "Output", "Neurons", "Map"):
        table.add_column(name, justify="right" if name == "Neurons" else "left")
    for layer in layers:
        shape = " x ".join(map(str, layer.shape))
        spatial = "yes" if layer.spatial else "no"
        table.add_row(plain(layer.path), layer.kind, shape, str(layer.neurons), spatial)
    console().print(table)


def show_forecast(forecast: Forecast, as_json: bool) -> None:
    """Print what a run would cost."""
    if as_json:
        echo_json(forecast)
        return
    out = console()
    table = Table(box=None, pad_edge=False, header_style="bold")
    for name in ("Stage", "Items", "Done", "Time left"):
        table.add_column(name, justify="left" if name == "Stage" else "right")
    for stage in forecast.stages:
        table.add_row(stage.stage, str(stage.items), str(stage.done), time_text(stage.seconds))
    out.print(f"Run [bold]{forecast.run}[/bold] (nothing was computed)\n")
    out.print(table)
    for line in forecast_lines(forecast):
        out.print(line, soft_wrap=True)


def plain(text: object) -> str:
    """Return text from models and users so that rich prints it as it is."""
    return escape(str(text))


def show_targets(targets: Sequence[KnownTarget], as_json: bool) -> None:
    """Print the networks known by name."""
    if as_json:
        echo_json(targets)
        return
    out = console()
    out.print(_table(("Target", "Kind", "Weights"), ((t.name, t.kind, t.weights) for t in targets)))
    out.print("\nAny other network: path/to/file.py:factory, returning (module, transform).")


def show_runs(runs: Sequence[RunSummary], as_json: bool) -> None:
    """Print the runs of a workspace."""
    if as_json:
        echo_json(runs)
        return
    rows = (
        (r.name, r.target, ", ".join(r.layers), str(r.neurons),
         f"{r.captioner}, {r.llm}, {r.painter}")
        for r in runs
    )  # fmt: skip
    table = _table(("Run", "Target", "Layers", "Neurons", "Captions, labels, pictures by"), rows)
    table.columns[0].no_wrap = True  # every other command takes it
    console().print(table if runs else "No runs here yet.")


def show_status(stages: Sequence[StageStatus], verdicts: Sequence[str]) -> None:
    """Print how far each stage of a run is, and the lines about its verdicts."""
    rows = ((s.stage, f"{s.done} of {s.of}", time_text(s.seconds)) for s in stages)
    console().print(_table(("Stage", "Done", "Time spent"), rows))
    _print_summary(console(), verdicts)


def _table(names: Sequence[str], rows: Iterable[Sequence[str]]) -> Table:
    table = Table(box=None, pad_edge=False, header_style="bold")
    for name in names:
        table.add_column(name, overflow="fold")
    for row in rows:
        table.add_row(*map(plain, row))
    return table


def show_figures(figures: Mapping[str, Interval], as_json: bool, out: Path | None) -> None:
    """Print figures with their intervals, and write them to `out` as JSON if it is given."""
    if out is not None:
        write_atomic(out, msgspec.json.format(canonical(figures)) + b"\n")
    if as_json:
        echo_json(figures)
        return
    rows = (
        (name, number_text(interval.value),
         f"{number_text(interval.low)} to {number_text(interval.high)}", str(interval.n))
        for name, interval in figures.items()
    )  # fmt: skip
    console().print(_table(("Figure", "Value", "95 % interval", "n"), rows))
