"""Figures for a paper: a neuron's exemplars in a row over its labels, as PDF and PNG.

In the PDF text is text, in an embedded font: it can be searched, and an editor can change it.
matplotlib is loaded here only.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, Final

from dnd_local.core.errors import DamagedFile
from dnd_local.core.libraries import library
from dnd_local.core.records import Neuron
from dnd_local.evaluate.comparisons import Compared
from dnd_local.evaluate.describers import distinct_names
from dnd_local.pipeline.evidence import Evidence
from dnd_local.pipeline.reading import StoredRun
from dnd_local.report.cards import page_of

COLUMNS: Final = 5
INCH: Final = 1.35
"""Side of an exemplar in the figure."""

LINE: Final = 0.22
"""Height of a describer's line, in inches."""

DPI: Final = 200

_TRUE_TYPE: Final = {"pdf.fonttype": 42}
"""Letters go into the PDF as a font, not as outlines."""

Lines = Sequence[tuple[str, str]]
"""A describer's name and its label for the neuron."""


def write_figures(
    run: StoredRun,
    out: Path,
    neurons: Iterable[Neuron] = (),
    others: Sequence[Compared] = (),
) -> tuple[Path, ...]:
    """Write a PDF and a PNG of each neuron that has exemplars and return their paths.

    Args:
        run: the run.
        out: the folder for the figures, made if needed.
        neurons: which; all of the run by default.
        others: other describers, whose labels stand below the run's.

    Raises:
        UserError: matplotlib is not installed.
    """
    figure_class, rc_context = matplotlib_parts(run.lab.execution.workspace)
    out.mkdir(parents=True, exist_ok=True)
    written = []
    for neuron in list(neurons) or run.record.wanted():
        evidence = run.evidence_of(neuron)
        if evidence.exemplars is None:
            continue
        with rc_context(_TRUE_TYPE):
            figure = _draw(run, evidence, _lines(run, evidence, others), figure_class)
            for suffix, about in ((".pdf", {"CreationDate": None}), (".png", {})):
                path = out / Path(page_of(neuron)).with_suffix(suffix).name
                figure.savefig(path, dpi=DPI, metadata=about)
                written.append(path)
    return tuple(written)


def matplotlib_parts(workspace: Path) -> tuple[Any, Any]:
    """Return matplotlib's `Figure` and `rc_context`; it keeps its list of fonts in the workspace.

    By itself it would write to the user's home, and read settings there that change figures.

    Raises:
        UserError: matplotlib, or what it stands on, is not installed.
    """
    os.environ.setdefault("MPLCONFIGDIR", str(workspace.absolute() / "cache" / "matplotlib"))
    return library("matplotlib.figure").Figure, library("matplotlib").rc_context


def _lines(run: StoredRun, evidence: Evidence, others: Sequence[Compared]) -> Lines:
    """Return every describer's first label of a neuron; no lines where there is only the run."""
    if not others:
        return ()
    neuron, labels = evidence.neuron, evidence.description.labels
    names = distinct_names([run.record.name, *[other.table.describer for other in others]])
    texts = [labels[0].text if labels else evidence.description.reason]
    for other in others:
        rows = [
            row for row in other.table.rows
            if row.neuron == neuron.index and row.layer in ("", neuron.layer)
        ]  # fmt: skip
        texts.append(rows[0].labels[0] if rows and rows[0].labels else "–")
    return list(zip(names, texts, strict=True))


def _draw(run: StoredRun, evidence: Evidence, lines: Lines, figure_class: Any) -> Any:
    """Return a figure of the exemplars, five a row, under the neuron's name, over its labels."""
    exemplars = evidence.exemplars.exemplars if evidence.exemplars else ()
    rows = max(-(-len(exemplars) // COLUMNS), 1)
    below = 0.15 + LINE * len(lines) if lines else 0.57
    width, height = COLUMNS * INCH + 0.2, rows * INCH + 0.38 + below
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
    if lines:
        _write_lines(figure, lines, width, height)
    else:
        _write_labels(figure, evidence, height)
    return figure


def _write_lines(figure: Any, lines: Lines, width: float, height: float) -> None:
    """Write a line a describer, the first one bold, name right of a rule and label left of it."""
    for i, (name, text) in enumerate(lines):
        y, weight = (0.15 + LINE * (len(lines) - 0.5 - i)) / height, "normal" if i else "bold"
        figure.text(2.2 / width, y, name, ha="right", va="center", fontsize=8, color="0.3",
                    parse_math=False)  # fmt: skip
        figure.text(2.35 / width, y, text, ha="left", va="center", fontsize=10,
                    fontweight=weight, parse_math=False)  # fmt: skip


def _write_labels(figure: Any, evidence: Evidence, height: float) -> None:
    """Write the best label, and the others below it."""
    labels = [label.text for label in evidence.description.labels]
    best = labels[0] if labels else evidence.description.reason
    figure.text(0.5, 0.37 / height, best, ha="center", va="center", fontsize=12,
                fontweight="bold", parse_math=False)  # fmt: skip
    figure.text(0.5, 0.15 / height, " · ".join(labels[1:]), ha="center", va="center",
                fontsize=8, color="0.3", parse_math=False)  # fmt: skip
