"""The hard bench in figures: who is right, and what a verdict is worth."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from dnd_local.core.sequences import distinct, grouped
from dnd_local.evaluate.hard_truth import FAKES, RANDOM
from dnd_local.evaluate.intervals import share
from dnd_local.evaluate.pocket_figures import Figures
from dnd_local.evaluate.verdict_quality import auc_figure, covered
from dnd_local.evaluate.verdicts import Verdict
from dnd_local.store.outputs import Cell


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

    def record(self) -> dict[str, Cell]:
        """Return the answer as one flat record, a line of ``answers.csv``."""
        judged = self.verdict
        return {
            "describer": self.describer, "neuron": self.neuron, "kind": self.kind,
            "label": self.label, "outcome": self.outcome, "fit": round(self.fit, 4),
            "verdict": judged.word if judged else "", "support": judged.support if judged else None,
        }  # fmt: skip


def hard_figures(answers: Sequence[Answer]) -> Figures:
    """Return every figure of answers by its dotted name."""
    figures: Figures = {}
    for describer, mine in grouped(answers, by=lambda answer: answer.describer).items():
        figures |= _outcomes(describer, mine)
    ours = [answer for answer in answers if answer.verdict is not None]
    return figures | (_verdict_figures(ours) if ours else {})


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
            figures[f"supported.{group}"] = share(
                [_word(answer) == "supported" for answer in members]
            )
            figures[f"abstained.{group}"] = share(
                [_word(answer) == "abstained" for answer in members]
            )
    good = [_support(answer) for answer in answers if answer.outcome == "right"]
    partly = [_support(answer) for answer in answers if answer.outcome == "partly"]
    bad = [_support(answer) for answer in answers if answer.outcome == "wrong"]
    if good and bad:
        figures["support.auc, right over wrong"] = auc_figure(good, bad)
        figures["support.auc, right or partly over wrong"] = auc_figure(good + partly, bad)
        truth = [answer.outcome == "right" for answer in answers]
        supports = [_support(answer) for answer in answers]
        for coverage in (0.25, 0.5, 0.75):
            kept = covered(supports, truth, coverage)
            figures[f"risk.at coverage {coverage:g}"] = share([not answer for answer in kept])
    return figures


def _word(answer: Answer) -> str:
    return answer.verdict.word if answer.verdict else ""


def _support(answer: Answer) -> float:
    return answer.verdict.support if answer.verdict else 0.0
