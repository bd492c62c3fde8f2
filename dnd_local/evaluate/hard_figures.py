"""The hard bench in figures: who is right, and what a verdict is worth."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from dnd_local.core.sequences import distinct, grouped
from dnd_local.evaluate.hard_truth import FAKES, RANDOM
from dnd_local.evaluate.intervals import Interval, share
from dnd_local.evaluate.pocket_figures import Figures
from dnd_local.evaluate.verdict_quality import auc_figure, covered
from dnd_local.evaluate.verdicts import LEGEND, Verdict
from dnd_local.store.outputs import Cell

OUTCOMES: Final = ("right", "partly", "wrong", "none")

COLUMNS: Final[Mapping[str, str]] = {
    "right": "all.right",
    "partly": "all.partly",
    "fakes supported": "supported.fakes",
    "right single supported": "supported.right single",
    "AUC of support": "support.auc, right over wrong",
    "not right in the best half": "risk.at coverage 0.5",
}
"""What sums up a describer, and the figure that it is."""


@dataclass(frozen=True, slots=True)
class Answer:
    """One describer's label of one neuron, held against the truth and, where asked, judged."""

    describer: str
    neuron: int
    kind: str
    label: str
    outcome: str
    fit: float
    verdict: Verdict | None = None

    @property
    def word(self) -> str:
        """The verdict in one word, empty without one."""
        return self.verdict.word if self.verdict else ""

    @property
    def supported(self) -> bool:
        """Whether the verdict says supported."""
        return self.word == "supported"

    @property
    def support(self) -> float:
        """The verdict's support, 0 without one."""
        return self.verdict.support if self.verdict else 0.0

    def record(self) -> dict[str, Cell]:
        """Return the answer as one flat record, a line of ``answers.csv``."""
        judged = self.verdict
        return {
            "describer": self.describer, "neuron": self.neuron, "kind": self.kind,
            "label": self.label, "outcome": self.outcome, "fit": round(self.fit, 4),
            "verdict": self.word, "support": judged.support if judged else None,
        }  # fmt: skip


def hard_figures(answers: Sequence[Answer]) -> Figures:
    """Return every figure of answers by its dotted name."""
    figures: Figures = {}
    for describer, mine in grouped(answers, by=lambda answer: answer.describer).items():
        figures |= _outcomes(describer, mine)
        judged = [answer for answer in mine if answer.verdict is not None]
        if judged:
            worth = _verdict_figures(judged)
            figures |= {f"{describer}.{name}": figure for name, figure in worth.items()}
    return figures


def describer_records(figures: Figures) -> list[dict[str, Cell]]:
    """Return the figures that sum up each describer, a line each; intervals as "low to high"."""
    names = distinct(name.partition(".all.")[0] for name in figures if ".all." in name)
    records: list[dict[str, Cell]] = []
    for name in names:
        cells = {column: figures.get(f"{name}.{figure}") for column, figure in COLUMNS.items()}
        records.append(
            {"describer": name, **{column: _shown(figure) for column, figure in cells.items()}}
        )
    return records


def _shown(figure: Interval | None) -> str:
    return "" if figure is None else f"{figure.value:.3f} ({figure.low:.3f} to {figure.high:.3f})"


def kind_records(answers: Iterable[Answer]) -> list[dict[str, Cell]]:
    """Return how each describer's labels of each kind fare, in counts, a line each."""
    records: list[dict[str, Cell]] = []
    for describer, mine in grouped(answers, by=lambda answer: answer.describer).items():
        for kind, members in grouped(mine, by=lambda answer: answer.kind).items():
            outcomes = Counter(answer.outcome for answer in members)
            words = Counter(answer.word for answer in members)
            counts = {name: outcomes[name] for name in OUTCOMES}
            counts |= {word: words[word] for word in LEGEND}
            records.append(
                {"describer": describer, "kind": kind, "neurons": len(members), **counts}
            )
    return records


def meant(answers: Iterable[Answer]) -> list[Answer]:
    """Return the answers on neurons that were given a meaning."""
    return [answer for answer in answers if answer.kind not in (*FAKES, RANDOM)]


def fake(answers: Iterable[Answer]) -> list[Answer]:
    """Return the answers on neurons that mean nothing."""
    return [answer for answer in answers if answer.kind in FAKES]


def _outcomes(describer: str, answers: Sequence[Answer]) -> Figures:
    figures: Figures = {}
    groups: Mapping[str, Sequence[Answer]] = {"all": meant(answers)} | {
        kind: [answer for answer in answers if answer.kind == kind]
        for kind in distinct(answer.kind for answer in [*meant(answers), *_random(answers)])
    }
    for group, members in groups.items():
        for outcome in ("right", "partly", "wrong"):
            hits = [answer.outcome == outcome for answer in members]
            if hits and (group == "all" or outcome != "wrong"):
                figures[f"{describer}.{group}.{outcome}"] = share(hits)
    return figures


def _random(answers: Iterable[Answer]) -> list[Answer]:
    return [answer for answer in answers if answer.kind == RANDOM]


def _verdict_figures(answers: Sequence[Answer]) -> Figures:
    """Return what verdicts are worth: fakes supported, right ones supported, support's AUC."""
    figures: Figures = {}
    groups = {
        "fakes": fake(answers),
        "right single": [a for a in answers if a.kind == "single" and a.outcome == "right"],
        "right": [a for a in meant(answers) if a.outcome == "right"],
        "partly": [a for a in meant(answers) if a.outcome == "partly"],
        "wrong": [a for a in meant(answers) if a.outcome == "wrong"],
        "random, wrong": [a for a in _random(answers) if a.outcome == "wrong"],
        "random, not wrong": [a for a in _random(answers) if a.outcome != "wrong"],
    } | {kind: [a for a in answers if a.kind == kind] for kind in distinct(
        answer.kind for answer in fake(answers))}  # fmt: skip
    for group, members in groups.items():
        if members:
            figures[f"supported.{group}"] = share([answer.supported for answer in members])
            figures[f"abstained.{group}"] = share(
                [answer.word == "abstained" for answer in members]
            )
    good = [answer.support for answer in answers if answer.outcome == "right"]
    partly = [answer.support for answer in answers if answer.outcome == "partly"]
    bad = [answer.support for answer in answers if answer.outcome == "wrong"]
    if good and bad:
        figures["support.auc, right over wrong"] = auc_figure(good, bad)
        figures["support.auc, right or partly over wrong"] = auc_figure(good + partly, bad)
        truth = [answer.outcome == "right" for answer in answers]
        supports = [answer.support for answer in answers]
        for coverage in (0.25, 0.5, 0.75):
            kept = covered(supports, truth, coverage)
            figures[f"risk.at coverage {coverage:g}"] = share([not answer for answer in kept])
    return figures
