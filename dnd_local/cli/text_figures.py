"""Similarities of texts: the metrics that a command's options ask for, and their figures in print.

Shared by ``compare``, ``truth`` and ``reproduce``.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from dnd_local.cli import tables
from dnd_local.cli.figures import say, say_figure, write_all
from dnd_local.core.errors import BadConfig

if TYPE_CHECKING:
    from dnd_local.evaluate.metric_opening import Opened
    from dnd_local.evaluate.reproduce import Figure
    from dnd_local.evaluate.tables import ReadTable
    from dnd_local.store.outputs import Cell


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
    return f"{who}, {record['metric']}{needs}, {record['neurons']} neurons"


def read_record(reads: Sequence[ReadTable], opened: Opened) -> dict[str, list[str]]:
    """Return the lines of `say_read` for JSON."""
    lines = [line for read in reads for line in (read.summary(), *read.notes)]
    return {"read": lines, "left_out": list(opened.left_out)}


def say_read(reads: Sequence[ReadTable], opened: Opened) -> None:
    """Print what was read and which metrics cannot run."""
    for read in reads:
        say(read.summary(), *(f"  {note}" for note in read.notes))
    say(*opened.left_out)
