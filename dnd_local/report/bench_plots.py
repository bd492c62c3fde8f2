"""The plots of the hard bench, as PNG and SVG: outcomes, right by kind, fakes, calibration, risk.

In the SVG text is text. matplotlib is loaded here and in `figures` only.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np

from dnd_local.core.sequences import distinct, grouped
from dnd_local.evaluate.hard_figures import OUTCOMES, Answer, fake, meant
from dnd_local.evaluate.intervals import share
from dnd_local.evaluate.verdict_quality import reliability, risk_coverage
from dnd_local.report.figures import matplotlib_parts

DPI: Final = 144
COLOURS: Final[Mapping[str, str]] = {
    "right": "#1c6b45", "partly": "#8fa9c6", "wrong": "#b3470b", "none": "#c9c9c2",
}  # fmt: skip
"""One colour an outcome, those of the report's pages."""

LINES: Final = (
    "#1a569c", "#b3470b", "#1c6b45", "#7a5500", "#a02930", "#55585e", "#8fa9c6", "#ffb000",
    "#6b4fa0", "#1c1d1f",
)  # fmt: skip
EDGES: Final = (0.0, 0.5, 0.7, 0.8, 0.9, 0.95, 0.98, 1.0)
"""Bins of support; most labels lie above .9, so bins are narrower there."""

FEWEST: Final = 3
"""A bin with fewer labels than this is not drawn."""

_SETTINGS: Final[Mapping[str, Any]] = {
    "svg.fonttype": "none", "svg.hashsalt": "dnd-local", "font.size": 8,
    "axes.spines.top": False, "axes.spines.right": False, "axes.edgecolor": "#55585e",
}  # fmt: skip


def write_bench_plots(answers: Sequence[Answer], out: Path, workspace: Path) -> tuple[Path, ...]:
    """Draw every plot of answers into the folder `out` and return the paths of its files.

    matplotlib keeps its list of fonts in the workspace.

    The same answers give the same bytes.

    Raises:
        UserError: matplotlib is not installed.
    """
    figure_class, rc_context = matplotlib_parts(workspace)
    out.mkdir(parents=True, exist_ok=True)
    by_describer = grouped(answers, by=lambda answer: answer.describer)
    written = []
    for name, (draw, height) in _plots(by_describer).items():
        with rc_context(_SETTINGS):
            figure = figure_class(figsize=(7.0, height), facecolor="white", layout="constrained")
            draw(figure.add_subplot(), by_describer)
            for suffix, about in ((".svg", {"Date": None}), (".png", {})):
                path = out / f"{name}{suffix}"
                figure.savefig(path, dpi=DPI, metadata=about)
                written.append(path)
    return tuple(written)


Describers = Mapping[str, Sequence[Answer]]
_Draw = Callable[[Any, Describers], None]


def _plots(describers: Describers) -> dict[str, tuple[_Draw, float]]:
    """Return each plot's name with what draws it and its height in inches."""
    rows = 0.32 * len(describers) + 0.9
    kinds = distinct(answer.kind for mine in describers.values() for answer in meant(mine))
    return {
        "outcomes": (_outcomes, rows),
        "right-by-kind": (_right_by_kind, 0.26 * len(kinds) + 1.5),
        "fakes-supported": (_fakes_supported, rows),
        "reliability": (_reliability, 4.6),
        "risk-coverage": (_risk_coverage, 4.6),
    }


def _outcomes(axes: Any, describers: Describers) -> None:
    """Draw each describer's shares of right, partly and wrong as one bar of neurons that mean."""
    names = list(describers)
    left = np.zeros(len(names))
    for outcome in OUTCOMES:
        shares = np.array([
            np.mean([answer.outcome == outcome for answer in meant(describers[name])] or [False])
            for name in names
        ])  # fmt: skip
        if shares.any():
            axes.barh(names, shares, left=left, color=COLOURS[outcome], label=outcome, height=0.7)
        left += shares
    axes.invert_yaxis()
    axes.set_xlim(0, 1)
    axes.set_xlabel("share of the neurons that have a meaning")
    axes.legend(ncols=4, loc="lower center", bbox_to_anchor=(0.5, 1.0), frameon=False)


def _right_by_kind(axes: Any, describers: Describers) -> None:
    """Draw the share right of each kind (down) by each describer (across), as numbers on shades."""
    kinds = distinct(answer.kind for mine in describers.values() for answer in meant(mine))
    table = np.array([
        [_share_right(mine, kind) for mine in describers.values()] for kind in kinds
    ]).reshape(len(kinds), len(describers))  # fmt: skip
    axes.imshow(table, vmin=0, vmax=1, cmap="Greens", aspect="auto")
    for (row, column), value in np.ndenumerate(table):
        colour = "white" if value > 0.6 else "#1c1d1f"
        axes.text(column, row, f"{value:.2f}", ha="center", va="center", color=colour)
    axes.set_yticks(range(len(kinds)), kinds)
    axes.set_xticks(range(len(describers)), list(describers), rotation=35, ha="right")
    axes.set_title("share of labels that are right, by kind of neuron", fontsize=8)


def _share_right(answers: Sequence[Answer], kind: str) -> float:
    right = [answer.outcome == "right" for answer in answers if answer.kind == kind]
    return float(np.mean(right)) if right else 0.0


def _fakes_supported(axes: Any, describers: Describers) -> None:
    """Draw the share of fakes whose label is supported, with its exact 95 % interval."""
    shares = {
        name: share([answer.supported for answer in fake(mine)])
        for name, mine in describers.items()
        if fake(mine)
    }
    for row, one in enumerate(shares.values()):
        axes.plot([one.low, one.high], [row, row], color=LINES[0], lw=2)
        axes.plot([one.value], [row], "o", color=LINES[0])
    axes.axvline(0.02, color=LINES[1], lw=0.8, ls="--", label="2 %, the aim for the upper end")
    axes.set_yticks(range(len(shares)), [f"{name} (n = {shares[name].n})" for name in shares])
    axes.invert_yaxis()
    axes.set_xlim(left=0)
    axes.set_xlabel("share of fake neurons whose label is called supported")
    axes.legend(frameon=False)


def _reliability(axes: Any, describers: Describers) -> None:
    """Draw the share right over the mean support of each bin, one line a describer."""
    for colour, (name, mine) in zip(LINES, describers.items(), strict=False):
        rows = [row for row in reliability(*_judged(mine), EDGES) if row[2] >= FEWEST]
        if rows:
            supports, right, _ = zip(*rows, strict=True)
            axes.plot(supports, right, "o-", color=colour, label=name, lw=1.2, ms=3)
    axes.plot([0, 1], [0, 1], color="#c9c9c2", lw=0.8, zorder=0, label="support = share right")
    axes.set_xlabel("support of a verdict (mean of a bin)")
    axes.set_ylabel("share of labels that are right")
    axes.set_xlim(0, 1.01)
    axes.set_ylim(-0.02, 1.02)
    axes.legend(frameon=False)


def _risk_coverage(axes: Any, describers: Describers) -> None:
    """Draw the share not right among the labels kept, best supported first, over that share."""
    for colour, (name, mine) in zip(LINES, describers.items(), strict=False):
        curve = risk_coverage(*_judged(mine))
        if curve:
            coverage, risk = zip(*curve, strict=True)
            axes.plot(coverage, risk, color=colour, label=name, lw=1.2)
    axes.plot([], [], " ", label="lower is better")
    axes.set_xlabel("share of labels kept, best supported first")
    axes.set_ylabel("share of them that are not right")
    axes.set_xlim(0, 1)
    axes.set_ylim(-0.02, 1.02)
    axes.legend(frameon=False)


def _judged(answers: Sequence[Answer]) -> tuple[list[float], list[bool]]:
    """Return support and whether it is right, of every label that has a verdict."""
    judged = [answer for answer in answers if answer.verdict is not None]
    return [answer.support for answer in judged], [answer.outcome == "right" for answer in judged]
