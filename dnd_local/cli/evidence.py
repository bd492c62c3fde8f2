"""A neuron's evidence in the terminal, and what scores say and do not say."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from rich.console import Console
from rich.markup import escape

from dnd_local.cli.verdicts import one_line, print_figures
from dnd_local.cli.wordwise import print_line, print_rows
from dnd_local.core.amounts import number_text
from dnd_local.core.contrasts import Contrasts
from dnd_local.core.ranking import LOWER_IS_BETTER, best_first
from dnd_local.core.records import RULES, Captions, Exemplars, Phrases, RaceRound, Rule, Scores

if TYPE_CHECKING:
    from dnd_local.evaluate.verdicts import Verdict
    from dnd_local.pipeline.evidence import Evidence


def print_evidence(out: Console, evidence: Evidence, verdict: Verdict | None, run: str) -> None:
    """Print everything that is known about a neuron of a run."""
    from dnd_local.pipeline.plan import CONTRAST_CAPTIONS, CONTRASTS, MEANINGS, proposing

    description = evidence.description
    print_line(out, f"[bold]{escape(str(evidence.neuron))}[/bold]: {evidence.triage.verdict}")
    labels = ", ".join(f"{label.text} ({number_text(label.score)})" for label in description.labels)
    print_line(out, f"Labels: [bold]{escape(labels or description.reason)}[/bold]")
    if verdict:
        print_line(out, f"Verdict: {one_line(verdict)}\n")
        print_figures(out, verdict)
        out.print()
    if description.labels:
        for line in about_scores(description.rule, run, judged=verdict is not None):
            print_line(out, line)
    if evidence.exemplars and evidence.captions and evidence.phrases:
        out.print()
        _print_exemplars(out, evidence.exemplars, evidence.captions, evidence.phrases)
    meanings = evidence.of(MEANINGS)
    if meanings and len(meanings.meanings) > 1:
        print_line(out, escape(f"Meanings: {'; '.join(map(str, meanings.meanings))}"))
    contrasts, captions = evidence.of(CONTRASTS), evidence.of(CONTRAST_CAPTIONS)
    if contrasts and captions:
        out.print()
        _print_contrasts(out, contrasts, captions)
    if evidence.scores:
        out.print()
        _print_candidates(out, evidence.scores, description.rule)
        _print_race(out, evidence.race)
    for part in (part for stage in proposing() for part in evidence.all_of(stage)):
        for reject in part.rejects:
            print_line(out, escape(f"rejected: {reject.text!r} ({reject.reason})"))


def about_scores(rule: Rule, run: str, *, judged: bool) -> list[str]:
    """Return lines of markup that say what the score beside a label is, and what it is not."""
    better = "lower" if rule in LOWER_IS_BETTER else "higher"
    lines = [
        f"[dim]Score: {rule}, {better} is better. It ranks the candidates of one neuron; it does "
        "not compare across neurons and is no confidence: a neuron of pure noise gets one too."
        "[/dim]"
    ]
    if not judged:
        lines.append(
            f"[dim]What a label is worth: dnd-local evaluate {escape(run)}, where images were held "
            "out (--probe-holdout 0.1); else with --probe OTHER.[/dim]"
        )
    return lines


def _print_exemplars(
    out: Console, exemplars: Exemplars, captions: Captions, phrases: Phrases
) -> None:
    rows = []
    for exemplar, caption, phrase in zip(
        exemplars.exemplars, captions.texts, phrases.texts, strict=True
    ):
        box = exemplar.box
        part = f"{box.left},{box.top}-{box.right},{box.bottom}" if box else "whole"
        rows.append((number_text(exemplar.response), exemplar.name, part, caption, phrase))
    names = ("Response", "Exemplar", "Part", "Caption", "Phrase")
    print_rows(out, names, rows, right=("Response",), head=3)


def _print_contrasts(out: Console, contrasts: Contrasts, captions: Captions) -> None:
    """Print the images that excite less: cold ones that look alike, then middling ones."""
    rows = [
        (number_text(image.response), image.name, "cold" if i < len(contrasts.cold) else "middling",
         caption)
        for i, (image, caption) in enumerate(zip(contrasts.images, captions.texts, strict=True))
    ]  # fmt: skip
    print_rows(out, ("Response", "Image", "Is", "Caption"), rows, right=("Response",), head=3)


def _print_candidates(out: Console, scores: Scores, rule: Rule) -> None:
    """Print the candidates in the order of the labels, with the score of every rule."""
    rows = [
        [
            candidate.text,
            *(number_text(candidate.score(each)) for each in RULES),
            number_text(max(candidate.responses)),
        ]
        for candidate in best_first(scores.candidates, rule)
    ]
    rules = [f"{each}*" if each == rule else each for each in RULES]
    names = ("Candidate", *rules, "Best response")
    print_rows(out, names, rows, right=names[1:])
    lower = ", ".join(each for each in RULES if each in LOWER_IS_BETTER)
    higher = ", ".join(each for each in RULES if each not in LOWER_IS_BETTER)
    print_line(out, f"[dim]* orders the labels. Lower is better: {lower}. Higher: {higher}.[/dim]")


def _print_race(out: Console, rounds: Sequence[RaceRound]) -> None:
    """Print who went on after each round of a race."""
    for after in rounds:
        left = ", ".join(escape(text) for text in after.running)
        goes = "go on" if len(after.running) > 1 else "has won"
        print_line(out, f"[dim]Race, after {after.pictures} pictures each: {left} {goes}.[/dim]")
    if rounds:
        print_line(out, "[dim]A score over fewer pictures is less certain.[/dim]")
