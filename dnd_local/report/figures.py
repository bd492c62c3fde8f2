"""Figures for a paper: a neuron's exemplars in a row with its labels below, as PNG.

matplotlib is loaded here only.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any, Final

from dnd_local.core.errors import DamagedFile, UserError
from dnd_local.core.records import Neuron
from dnd_local.pipeline.evidence import Evidence
from dnd_local.pipeline.reading import StoredRun
from dnd_local.report.cards import page_of

COLUMNS: Final = 5
INCH: Final = 1.35
"""Side of an exemplar in the figure."""

DPI: Final = 200


def write_figures(run: StoredRun, out: Path, neurons: Iterable[Neuron] = ()) -> tuple[Path, ...]:
    """Write one PNG a neuron that has exemplars and return their paths.

    Args:
        run: the run.
        out: the folder for the figures, made if needed.
        neurons: which; all of the run by default.

    Raises:
        UserError: matplotlib is not installed.
    """
    figure_class = _figure_class()
    out.mkdir(parents=True, exist_ok=True)
    written = []
    for neuron in list(neurons) or run.record.wanted():
        evidence = run.evidence_of(neuron)
        if evidence.exemplars is not None:
            path = out / Path(page_of(neuron)).with_suffix(".png").name
            _draw(run, evidence, figure_class).savefig(path, dpi=DPI)
            written.append(path)
    return tuple(written)


def _figure_class() -> Any:
    try:
        from matplotlib.figure import Figure
    except ImportError:
        raise UserError("figures need matplotlib: pip install 'dnd-local[eval]'") from None
    return Figure


def _draw(run: StoredRun, evidence: Evidence, figure_class: Any) -> Any:
    """Return a figure of the exemplars, five a row, under the neuron's name, over its labels."""
    exemplars = evidence.exemplars.exemplars if evidence.exemplars else ()
    rows = max(-(-len(exemplars) // COLUMNS), 1)
    width, height = COLUMNS * INCH + 0.2, rows * INCH + 0.95
    figure = figure_class(figsize=(width, height), facecolor="white")
    neuron = evidence.neuron
    # parse_math off: a label may hold dollar signs, which are no formula.
    figure.text(0.5, 1 - 0.2 / height, f"{neuron.layer}, neuron {neuron.index}",
                ha="center", va="center", fontsize=9, color="0.3", parse_math=False)  # fmt: skip
    for i, exemplar in enumerate(exemplars):
        left = (0.1 + (i % COLUMNS) * INCH) / width
        bottom = 1 - (0.38 + (i // COLUMNS + 1) * INCH) / height
        axes = figure.add_axes((left, bottom, (INCH - 0.06) / width, (INCH - 0.06) / height))
        axes.set_axis_off()
        try:
            axes.imshow(run.lab.blobs.get(exemplar.blob), aspect="equal")
        except DamagedFile:
            axes.text(0.5, 0.5, "picture is gone", ha="center", va="center", fontsize=7)
    labels = [label.text for label in evidence.description.labels]
    best = labels[0] if labels else evidence.description.reason
    figure.text(0.5, 0.37 / height, best, ha="center", va="center", fontsize=12,
                fontweight="bold", parse_math=False)  # fmt: skip
    figure.text(0.5, 0.15 / height, " · ".join(labels[1:]), ha="center", va="center",
                fontsize=8, color="0.3", parse_math=False)  # fmt: skip
    return figure
