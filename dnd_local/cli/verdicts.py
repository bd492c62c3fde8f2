"""Verdicts for people: a column beside the labels, figures for one neuron, what each word means.

Nothing is shown of a run that was never evaluated.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from rich.console import Console
from rich.markup import escape
from rich.text import Text

from dnd_local.cli.wordwise import print_rows
from dnd_local.core.amounts import count_text, number_text

if TYPE_CHECKING:
    from dnd_local.core.descriptions import Description
    from dnd_local.evaluate.verdicts import Verdict, Verdicts

COLOURS = {"supported": "green", "weak": "yellow", "abstained": "red"}


COLUMNS = ("Verdict", "Support", "Reach")
"""What `cells` fills."""


def cells(verdict: Verdict | None) -> tuple[Text | str, str, str]:
    """Return a neuron's cells of those columns, empty where it was not judged."""
    if verdict is None:
        return ("", "", "")
    reach = "-" if math.isnan(verdict.reach) else f"{verdict.reach:.1%}"
    word = Text(verdict.word, style=COLOURS[verdict.word])
    return word, f"{verdict.support:.2f}", reach


def tally(descriptions: Sequence[Description], verdicts: Verdicts) -> dict[str, int] | None:
    """Return how many labels a run has, how many are judged and how many got each word.

    None where none of the labels that neurons have now was judged.
    """
    from dnd_local.evaluate.verdicts import LEGEND

    words = [verdict.word for verdict in verdicts.on(descriptions)]
    if not words:
        return None
    labels = sum(bool(description.labels) for description in descriptions)
    return {"labels": labels, "judged": len(words)} | {word: words.count(word) for word in LEGEND}


def summary(descriptions: Sequence[Description], verdicts: Verdicts, run: str) -> list[str]:
    """Return the lines that count a run's verdicts and say what they mean; none without any."""
    from dnd_local.evaluate.verdicts import LEGEND

    tallied = tally(descriptions, verdicts)
    if tallied is None:
        return []
    counted = ", ".join(f"{tallied[word]} {word}" for word in LEGEND)
    lines = [
        f"Verdicts on {tallied['judged']} of {count_text(tallied['labels'], 'label')}: {counted}"
    ]
    lines += [f"  [{COLOURS[word]}]{word}[/]: {LEGEND[word]}" for word in LEGEND if tallied[word]]
    lines.append("  support: share of other labels that do worse, over those measures")
    lines.append("  reach: share of natural images that excite the neuron less than the label's do")
    if tallied["judged"] < tallied["labels"]:
        lines.append(f"The others are not judged yet: dnd-local evaluate {escape(run)}")
    return lines


def one_line(verdict: Verdict) -> str:
    """Return a verdict with its meaning."""
    from dnd_local.evaluate.verdicts import LEGEND

    reach = (
        ""
        if math.isnan(verdict.reach)
        else f"; pictures of it excite the neuron more than {verdict.reach:.1%} of images"
    )
    return f"{_coloured(verdict)} ({LEGEND[verdict.word]}; support {verdict.support:.2f}{reach})"


def print_figures(out: Console, verdict: Verdict) -> None:
    """Print the figures behind a verdict."""
    from dnd_local.evaluate.verdicts import DECIDING

    rows = [
        (
            judged.measure + (" *" if judged.measure in DECIDING else ""),
            *_numbers((judged.value,)),
            " to ".join(_numbers((judged.low, judged.high))),
            *_numbers((judged.null_mean, judged.null_high, judged.word)),
            f"{judged.percentile:.0%}",
        )
        for judged in verdict.measures
    ]
    names = ("Measure", "Value", "95 % interval", "Other labels", "Their 95th", "One word", "Beats")
    print_rows(out, names, rows, right=names[1:], whole=("Measure",))
    out.print("[dim]* decides[/dim]")


def _coloured(verdict: Verdict) -> str:
    return f"[{COLOURS[verdict.word]}]{verdict.word}[/]"


def _numbers(values: Iterable[float]) -> list[str]:
    return ["-" if math.isnan(value) else number_text(value) for value in values]
