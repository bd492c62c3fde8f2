"""Templates to pages. Everything that comes from models, users or files is escaped, always."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any, Final

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from dnd_local import __version__
from dnd_local.core.amounts import count_text, duration_text, size_text
from dnd_local.core.harmless import harmless
from dnd_local.core.ranking import LOWER_IS_BETTER
from dnd_local.core.records import RULES
from dnd_local.evaluate.verdicts import DECIDING, LEGEND
from dnd_local.report import plots
from dnd_local.report.gather import SAMPLE
from dnd_local.report.searching import SEARCHED

_HOME: Final = Path(__file__).resolve().parent

STATIC: Final = _HOME / "static"
"""The style and script of a site, copied into it."""

MEASURED: Final = {
    "correlation": ("Correlation", "of how well the label fits a held-out image with the response"),
    "auprc": ("AUPRC", "does the label find the held-out images on which the neuron fires?"),
    "f1": ("F1", "the images that the label picks and those on which the neuron fires"),
    "iou": ("IoU", "the same two sets: shared of all"),
    "auc": ("AUC", "how often a fresh picture of the label beats a control image"),
    "mad": ("MAD", "by how many standard deviations of the control images"),
}
"""A measure's short name and what it asks, for people."""

FIRST_CARDS: Final = 240
"""Neurons that the run page draws at once; the script draws as many more on the way down."""


def render(template: str, **values: Any) -> str:
    """Return a page; `values` are escaped wherever they appear in it."""
    return _environment().get_template(template).render(**values)


@cache
def _environment() -> Environment:
    environment = Environment(
        loader=FileSystemLoader(_HOME / "templates"),
        autoescape=True,
        finalize=_harmless,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters.update(
        number=_number,
        seconds=seconds_text,
        bytes=bytes_text,
        per_cent=_per_cent,
        short=_short,
        counted=count_text,
    )
    environment.globals.update(
        rules=RULES, lower_is_better=LOWER_IS_BETTER, version=__version__,
        legend=LEGEND, deciding=DECIDING, measured=MEASURED,
        first_cards=FIRST_CARDS, sample=SAMPLE, searched=SEARCHED,
        plot_width=plots.WIDTH, plot_height=plots.HEIGHT,
    )  # fmt: skip
    return environment


def _harmless(value: Any) -> Any:
    # What is a `str` and no more; markup of ours is of another type.
    return harmless(value) if type(value) is str else value


def seconds_text(seconds: float | None) -> str:
    """Return a duration as people write it, a dash where it is not known."""
    return "–" if seconds is None else duration_text(seconds)


def bytes_text(size: int) -> str:
    """Return a number of bytes as people write it, a dash for none."""
    return size_text(size) if size else "–"


def _number(value: float | None) -> str:
    return "–" if value is None else plots.number(value)


def _per_cent(value: float) -> str:
    return f"{100 * value:.3g} %"


def _short(digest: str) -> str:
    return digest[:12]
