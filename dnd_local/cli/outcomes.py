"""What a run would cost, and what it came to when nothing came of it, in lines of markup."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.markup import escape

from dnd_local.core.amounts import count_text, duration_text, size_text

if TYPE_CHECKING:
    from dnd_local.pipeline.forecast import Forecast
    from dnd_local.pipeline.runner import RunResult


def forecast_lines(forecast: Forecast) -> list[str]:
    """Return pictures, time, disk and memory of a run, how to shorten it, and what is missing."""
    neurons = "one neuron" if forecast.neurons is None else count_text(forecast.neurons, "neuron")
    memory = f" Largest model: {size_text(forecast.memory_bytes)} of memory."
    lines = [
        f"\nPictures to paint: {forecast.pictures:,} at most, for {neurons}.",
        f"Disk: about {size_text(forecast.disk_bytes)} in {count_text(forecast.files, 'file')}, "
        f"{size_text(forecast.free_bytes)} free.{memory if forecast.memory_bytes else ''}",
    ]
    if forecast.neurons is None:
        lines.insert(0, "\nHow many neurons a layer has is not known before the weights are here.")
    if forecast.seconds:
        lines.append(
            f"Time on one device: about {duration_text(forecast.seconds)} ({forecast.rates})."
        )
    if any(stage.seconds is None for stage in forecast.stages):
        lines.append("A time of ? was never measured in this workspace with these settings: run a "
                     "few neurons first.")  # fmt: skip
    if forecast.shorter:
        ways = [f"{option} ({duration_text(seconds)})" for option, seconds in forecast.shorter]
        lines.append(f"Shorter: {', '.join(ways)}; fewer --ids; more --devices, which share it.")
    return lines + [f"[red]Missing[/red]: {escape(line)}" for line in forecast.missing]


def why_barren(result: RunResult) -> list[str]:
    """Return lines of markup for a run in which every live neuron failed: why, and what to try."""
    failed = sum(description.status == "failed" for description in result.descriptions)
    lines = [f"[red]No neuron was described[/red]: all {failed} that are live failed."]
    if result.rejected:
        (reason, most), *_ = result.rejected
        whole = sum(count for _, count in result.rejected)
        name, model = escape(result.record.name), escape(result.record.config.llm.model)
        lines += [
            f"{most} of {whole} rejected replies: {escape(reason)}.",
            f"Read some: dnd-local show {name} NEURON. Then try another language model than "
            f"{model} (--llm-model), or longer replies (--llm-max-tokens 100), with --run NAME.",
        ]
    return lines
