"""Tables one can read, or JSON for programs: nothing is decided here."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
import typer
from rich.console import Console
from rich.markup import escape
from rich.text import Text

from dnd_local.cli.evidence import about_scores
from dnd_local.cli.outcomes import forecast_lines, why_barren
from dnd_local.cli.verdicts import COLUMNS, cells, summary
from dnd_local.cli.wordwise import console, print_line, print_rows, say
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
    more = max((len(one.labels) for one in descriptions), default=0) - 1
    others = ("Second", "Third")[: max(more, 0)]
    names = ("Neuron", "Label", "Score", *(COLUMNS if judged else ()), *others, "Status")
    rows = []
    for description in descriptions:
        texts = [*(label.text for label in description.labels), "", "", ""][: 1 + len(others)]
        score = number_text(description.labels[0].score) if description.labels else ""
        status = Text(description.status, style=STATUS_COLOURS.get(description.status, "dim"))
        if description.reason:
            status += Text(f" ({description.reason})", style="dim")
        neuron = f"{description.neuron.layer} {description.neuron.index}"
        worth = cells(verdicts.of(description)) if judged else ()
        rows.append((neuron, Text(texts[0], style="bold"), score, *worth, *texts[1:], status))
    print_rows(
        out, names, rows, right=("Neuron", "Score", "Support", "Reach"), whole=("Neuron",), head=2
    )
    if any(description.labels for description in descriptions):
        out.print()
        for line in about_scores(descriptions[0].rule, run, judged=judged):
            print_line(out, line)
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
        print_line(out, "\n" + "\n".join(lines))


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
            print_line(out, "\nAll of this was done before; nothing was computed again.")
        folder = plain(result.folder)
        print_line(out, f"\nRun [bold]{result.record.name}[/bold]: {folder}")
        print_line(out, f"Look closer: dnd-local show {result.record.name} NEURON")
        print_line(out, f"Pages:       dnd-local report {result.record.name} --open")
        for failure in result.failures:
            what = plain(f"{failure.stage} {failure.item}: {failure.reason}")
            print_line(out, f"[red]failed[/red] {what}")
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
        rows = []
        for neuron in result.neurons:
            verdict = (
                neuron.verdict if neuron.twin is None else f"{neuron.verdict} of {neuron.twin}"
            )
            figures = (neuron.minimum, neuron.mean, neuron.maximum, neuron.spread)
            numbers = (f"{x:.4g}" for x in figures)
            rows.append((str(neuron.index), verdict, *numbers, f"{neuron.active_share:.1%}"))
        names = ("Neuron", "Class", "Min", "Mean", "Max", "Spread", "Active")
        print_rows(out, names, rows, right=tuple(set(names) - {"Class"}), head=2)
        counts: dict[str, int] = {}
        for neuron in result.neurons:
            counts[neuron.verdict] = counts.get(neuron.verdict, 0) + 1
        words = ", ".join(f"{count} {verdict}" for verdict, count in sorted(counts.items()))
        print_line(
            out,
            f"\n{plain(result.layer)}: {count_text(len(result.neurons), 'neuron')} over "
            f"{count_text(result.n_images, 'image')} ({result.n_skipped} skipped): {words}",
        )
        if result.kept_as != "float16":
            print_line(out, f"Its responses are kept in {result.kept_as}: float16 would blur them.")


def show_layers(layers: Sequence[LayerInfo], as_json: bool) -> None:
    """Print the layers of a network."""
    if as_json:
        echo_json(layers)
        return
    rows = [
        (layer.path, layer.kind, " x ".join(map(str, layer.shape)), str(layer.neurons),
         "yes" if layer.spatial else "no")
        for layer in layers
    ]  # fmt: skip
    names = ("Layer", "Kind", "Output", "Neurons", "Map")
    print_rows(console(), names, rows, right=("Neurons",), whole=("Output",))


def show_forecast(forecast: Forecast, as_json: bool) -> None:
    """Print what a run would cost."""
    if as_json:
        echo_json(forecast)
        return
    out = console()
    rows = [
        (stage.stage, str(stage.items), str(stage.done), time_text(stage.seconds))
        for stage in forecast.stages
    ]
    print_line(out, f"Run [bold]{plain(forecast.run)}[/bold] (nothing was computed)\n")
    names = ("Stage", "Items", "Done", "Time left")
    print_rows(out, names, rows, right=names[1:], whole=names)
    for line in forecast_lines(forecast):
        print_line(out, line)


def plain(text: object) -> str:
    """Return text from models and users so that rich prints it as it is."""
    return escape(str(text))


def show_targets(targets: Sequence[KnownTarget], as_json: bool) -> None:
    """Print the networks known by name."""
    if as_json:
        echo_json(targets)
        return
    out = console()
    rows = [(target.name, target.kind, target.weights) for target in targets]
    print_rows(out, ("Target", "Kind", "Weights"), rows)
    print_line(out, "\nAny other network: path/to/file.py:factory, returning (module, transform).")


def show_runs(runs: Sequence[RunSummary], as_json: bool) -> None:
    """Print the runs of a workspace, then those that cannot be read; exit with 3 if there are."""
    faults = [run for run in runs if run.fault]
    rows = [
        (run.name, run.target, ", ".join(run.layers), str(run.neurons),
         f"{run.captioner}, {run.llm}, {run.painter}")
        for run in runs
        if not run.fault
    ]  # fmt: skip
    names = ("Run", "Target", "Layers", "Neurons", "Captions, labels, pictures by")
    if as_json:
        echo_json(runs)
    elif rows:
        print_rows(console(), names, rows)
    elif not faults:
        say("No runs here yet.")
    say(*(f"{run.name}: {run.fault}" for run in faults), err=True, style="red")
    if faults:
        raise typer.Exit(3)


def show_status(stages: Sequence[StageStatus], verdicts: Sequence[str]) -> None:
    """Print how far each stage of a run is, and the lines about its verdicts."""
    rows = [(one.stage, f"{one.done} of {one.of}", time_text(one.seconds)) for one in stages]
    names = ("Stage", "Done", "Time spent")
    print_rows(console(), names, rows, whole=names)
    _print_summary(console(), verdicts)


def write_figures(figures: Mapping[str, Interval], out: Path) -> None:
    """Write figures with their intervals to a file as JSON."""
    write_atomic(out, msgspec.json.format(canonical(figures)) + b"\n")


def show_figures(figures: Mapping[str, Interval], as_json: bool, out: Path | None) -> None:
    """Print figures with their intervals, and write them to `out` as JSON if it is given."""
    if out is not None:
        write_figures(figures, out)
    if as_json:
        echo_json(figures)
        return
    rows = [
        (name, number_text(interval.value),
         f"{number_text(interval.low)} to {number_text(interval.high)}", str(interval.n))
        for name, interval in figures.items()
    ]  # fmt: skip
    names = ("Figure", "Value", "95 % interval", "n")
    print_rows(console(), names, rows, whole=names[1:])
