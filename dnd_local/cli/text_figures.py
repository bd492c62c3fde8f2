"""Similarities of texts: the options of commands that compare them, and their figures in print."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dnd_local.cli import tables
from dnd_local.cli.arguments import (
    AsJson,
    Baseline,
    Devices,
    FileLayer,
    Metrics,
    Out,
    Seed,
    Weights,
)
from dnd_local.cli.figures import say_figure, write_all
from dnd_local.cli.wordwise import say
from dnd_local.core.amounts import count_text
from dnd_local.core.errors import BadConfig

if TYPE_CHECKING:
    from dnd_local.evaluate.metric_opening import Opened
    from dnd_local.evaluate.reproduce import Figure
    from dnd_local.evaluate.tables import ReadTable
    from dnd_local.store.outputs import Cell


@dataclass(frozen=True, slots=True)
class TextOptions:
    """The options of a command that compares texts of files; see `with_text_options`."""

    metric: Metrics = None
    layer: FileLayer = ""
    out: Out = None
    baseline: Baseline = None
    seed: Seed = 0
    weights: Weights = None
    devices: Devices = "cpu"
    as_json: AsJson = False

    @contextmanager
    def metrics(self) -> Iterator[Opened]:
        """Hand over the metrics that the options ask for."""
        with metrics_asked_for(self.metric, self.weights, self.devices, self.baseline) as opened:
            yield opened


def with_text_options(command: Callable[..., None]) -> Callable[..., None]:
    """Give a command the options of `TextOptions`, which it receives together as `options`."""
    shared = list(inspect.signature(TextOptions, eval_str=True).parameters.values())
    given = inspect.signature(command, eval_str=True).parameters.values()
    parameters = [
        parameter.replace(kind=inspect.Parameter.KEYWORD_ONLY)
        for parameter in (*(one for one in given if one.name != "options"), *shared)
    ]

    def wrapped(**arguments: Any) -> None:
        options = TextOptions(**{one.name: arguments.pop(one.name) for one in shared})
        command(**arguments, options=options)

    wrapped.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    wrapped.__annotations__ = {one.name: one.annotation for one in parameters} | {"return": None}
    wrapped.__doc__, wrapped.__name__ = command.__doc__, command.__name__
    return wrapped


@contextmanager
def metrics_asked_for(
    specs: Sequence[str] | None, weights: Path | None, devices: str, baseline: Path | None = None
) -> Iterator[Opened]:
    """Hand over the metrics that a command's options ask for."""
    from dnd_local.evaluate.metric_opening import open_metrics
    from dnd_local.pipeline.dissection import read_devices
    from dnd_local.store.weights import Weights

    folder_of = Weights.open(weights).folder
    with open_metrics(
        specs or (), folder_of, baseline=baseline, devices=read_devices(devices)
    ) as opened:
        yield opened


def least_agreement(agree_above: float | None, all_neurons: bool) -> float | None:
    """Return the CLIP cosine above which two annotators agree, None where every neuron counts.

    Raises:
        BadConfig: both options were given.
    """
    from dnd_local.evaluate.text_truth import RELIABLE_ABOVE

    if all_neurons and agree_above is not None:
        raise BadConfig(
            f"--all-neurons takes every neuron, so --agree-above {agree_above} would choose none; "
            "leave one of them out"
        )
    if all_neurons:
        return None
    return RELIABLE_ABOVE if agree_above is None else agree_above


def show_text_figures(
    name: str,
    figures: Sequence[Figure],
    reads: Sequence[ReadTable],
    opened: Opened,
    out: Path | None,
    as_json: bool,
) -> None:
    """Print figures with their nulls and what was read, and write them into `out` as `name`."""
    records = [figure.record() for figure in figures]
    if as_json:
        tables.echo_json({"figures": records, **read_record(reads, opened)})
    else:
        say_read(reads, opened)
        say("")
        for record in records:
            say_figure(figure_title(record, str(record["describer"])), "value", record)
    write_all(out, {name: records})


def figure_title(record: Mapping[str, Cell], who: str) -> str:
    """Return the words before a figure: who, by which metric and weights, over how many neurons."""
    needs = f" ({record['needs']})" if record.get("needs") else ""
    return f"{who}, {record['metric']}{needs}, {count_text(int(str(record['neurons'])), 'neuron')}"


def read_record(reads: Sequence[ReadTable], opened: Opened) -> dict[str, list[str]]:
    """Return the lines of `say_read` for JSON."""
    lines = [line for read in reads for line in (read.summary(), *read.notes)]
    return {"read": lines, "left_out": list(opened.left_out)}


def say_read(reads: Sequence[ReadTable], opened: Opened) -> None:
    """Print what was read and which metrics cannot run."""
    for read in reads:
        say(read.summary(), *(f"  {note}" for note in read.notes))
    say(*opened.left_out)
