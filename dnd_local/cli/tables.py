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

from dnd_local.cli.verdicts import add_columns, cells, figures, one_line, summary
from dnd_local.core.amounts import count_text, duration_text, size_text
from dnd_local.core.descriptions import Description
from dnd_local.core.digest import canonical
from dnd_local.core.records import RULES, LayerInfo, LayerTriage
from dnd_local.store.files import write_atomic

if TYPE_CHECKING:
    from dnd_local.evaluate.intervals import Interval
    from dnd_local.evaluate.verdicts import Verdict, Verdicts
    from dnd_local.pipeline.catalogue import KnownTarget
    from dnd_local.pipeline.evidence import Evidence
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


def description_table(descriptions: Sequence[Description], verdicts: Verdicts) -> Table:
    """Return a table of neurons with their labels, and what these are worth where that is known."""
    table = Table(box=None, pad_edge=False, header_style="bold")
    for name in ("Neuron", "Label", "Score", "Second", "Third", "Status"):
        table.add_column(name, justify="right" if name in ("Neuron", "Score") else "left")
    judged = bool(verdicts.on(descriptions))
    if judged:
        add_columns(table)
    for description in descriptions:
        texts = [label.text for label in description.labels] + ["", "", ""]
        score = f"{description.labels[0].score:.2f}" if description.labels else ""
        colour = STATUS_COLOURS.get(description.status, "dim")
        status = f"[{colour}]{description.status}[/{colour}]"
        if description.reason:
            status += f" [dim]({plain(description.reason)})[/dim]"
        neuron = plain(f"{description.neuron.layer} {description.neuron.index}")
        first, second, third = (plain(text) for text in texts[:3])
        worth = cells(verdicts.of(description)) if judged else ()
        table.add_row(neuron, f"[bold]{first}[/bold]", score, second, third, status, *worth)
    return table


def show_descriptions(
    run: str, descriptions: Sequence[Description], verdicts: Verdicts, as_json: bool
) -> None:
    """Print the labels of a run's neurons, with their verdicts where there are any."""
    if as_json:
        worth = [verdict.record() for verdict in verdicts.on(descriptions)]
        echo_json({"run": run, "descriptions": descriptions, "verdicts": worth})
        return
    out = console()
    out.print(description_table(descriptions, verdicts))
    _print_summary(out, summary(descriptions, verdicts, run))


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
        out.print(description_table(result.descriptions, verdicts))
        _print_summary(out, summary(result.descriptions, verdicts, result.record.name))
        if not result.made:
            out.print("\nAll of this was done before; nothing was computed again.")
        folder = plain(result.folder)
        out.print(f"\nRun [bold]{result.record.name}[/bold]: {folder}", soft_wrap=True)
        out.print(f"Look closer: dnd-local show {result.record.name} NEURON", soft_wrap=True)
        out.print(f"Pages:       dnd-local report {result.record.name} --open", soft_wrap=True)
        for failure in result.failures:
            what = plain(f"{failure.stage} {failure.item}: {failure.reason}")
            out.print(f"[red]failed[/red] {what}", soft_wrap=True)
    if result.failures:
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
    out.print(f"\nPictures to paint: {forecast.pictures:,} at most, "
              f"{size_text(forecast.disk_bytes)} of {size_text(forecast.free_bytes)} free. "
              f"Largest model: {size_text(forecast.memory_bytes)} of memory.")  # fmt: skip
    if any(stage.seconds is None for stage in forecast.stages):
        out.print("A time of ? was never measured in this workspace: run a few neurons first.")
    if forecast.missing_weights:
        out.print(f"[red]Missing[/red]: {plain(forecast.how_to_get_them)}", soft_wrap=True)


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


def show_evidence(evidence: Evidence, verdict: Verdict | None, as_json: bool) -> None:
    """Print everything that is known about a neuron."""
    if as_json:
        echo_json({**evidence.as_json(), "verdict": verdict.record() if verdict else None})
        return
    out = console()
    out.print(f"[bold]{plain(str(evidence.neuron))}[/bold]: {evidence.triage.verdict}")
    labels = ", ".join(f"{x.text} ({x.score:.2f})" for x in evidence.description.labels)
    out.print(f"Labels: [bold]{plain(labels or evidence.description.reason)}[/bold]\n")
    if verdict:
        out.print(f"Verdict: {one_line(verdict)}\n", soft_wrap=True)
        out.print(figures(verdict))
        out.print()
    if evidence.exemplars and evidence.captions and evidence.phrases:
        rows = []
        for exemplar, caption, phrase in zip(
            evidence.exemplars.exemplars,
            evidence.captions.texts,
            evidence.phrases.texts,
            strict=True,
        ):
            box = exemplar.box
            part = f"{box.left},{box.top} to {box.right},{box.bottom}" if box else "whole"
            rows.append((f"{exemplar.response:.3f}", exemplar.name, part, caption, phrase))
        out.print(_table(("Response", "Exemplar", "Part", "Caption", "Phrase"), rows))
    if evidence.scores:
        scored = [
            (c.text, *(f"{c.score(rule):.3f}" for rule in RULES), f"{max(c.responses):.3f}")
            for c in evidence.scores.candidates
        ]
        out.print()
        out.print(_table(("Candidate", *RULES, "Best response"), scored))
    for reject in evidence.concepts.rejects if evidence.concepts else ():
        out.print(plain(f"rejected: {reject.text!r} ({reject.reason})"))


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
        (
            name,
            f"{interval.value:.3f}",
            f"{interval.low:.3f} to {interval.high:.3f}",
            str(interval.n),
        )
        for name, interval in figures.items()
    )
    console().print(_table(("Figure", "Value", "95 % interval", "n"), rows))
