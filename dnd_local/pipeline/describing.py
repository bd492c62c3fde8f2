"""From parts on disk to descriptions: the verdict of triage, or the labels that scored best."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from dnd_local.core.config import Config
from dnd_local.core.descriptions import Description, Label
from dnd_local.core.ranking import best_labels, drop_alike
from dnd_local.core.records import Neuron, Scores, Triage
from dnd_local.core.sequences import distinct
from dnd_local.pipeline.lab import Lab
from dnd_local.pipeline.label_vectors import text_vectors
from dnd_local.pipeline.making import Failure
from dnd_local.pipeline.plan import CONCEPTS, MEANINGS, SCORES, TRIAGE, plan_of
from dnd_local.pipeline.stage import Asked, Item
from dnd_local.store.runs import RunRecord

LABELS = 3
"""Labels of a description, as in the paper."""


def describe_all(
    lab: Lab,
    record: RunRecord,
    failures: Sequence[Failure] = (),
    unfinished: str = "not finished yet",
    scored: Sequence[Scores] | None = None,
) -> tuple[Description, ...]:
    """Return the description of every neuron of a run from the parts on disk.

    `unfinished` is the reason given for a live neuron that has neither scores nor a failure.
    `scored` is what `read_scores` gives, by whoever has read it already.
    """
    asked = Asked(tuple(record.neurons), record.wanted())
    triages = {part.layer: part for part in TRIAGE.read(lab, TRIAGE.items(lab, asked))}
    record.check_widths({layer: len(part.neurons) for layer, part in triages.items()})
    labels = _labels(lab, read_scores(lab, record) if scored is None else scored)
    reasons = {failure.item: f"{failure.stage}: {failure.reason}" for failure in failures}
    keys = tuple((stage.name, stage.key(lab)) for stage in plan_of(lab.config))
    descriptions = []
    for neuron in record.wanted():
        if neuron in labels:
            descriptions.append(_described(neuron, labels[neuron], lab.config, keys))
        else:
            triage = triages[neuron.layer].neurons[neuron.index]
            reason = reasons.get(Item.of_neuron(neuron).name, unfinished)
            descriptions.append(_undescribed(neuron, triage, lab.config, reason, keys))
    return tuple(descriptions)


def read_scores(lab: Lab, record: RunRecord) -> list[Scores]:
    """Return the scores of every neuron of a run that has any, from the parts on disk."""
    items = SCORES.items(lab, Asked(tuple(record.neurons), record.wanted()))
    return SCORES.read(lab, SCORES.there(lab, items))


def rejections(lab: Lab, record: RunRecord) -> tuple[tuple[str, int], ...]:
    """Return how many replies about a run's neurons were no candidate, by reason, most first."""
    items = CONCEPTS.items(lab, Asked(tuple(record.neurons), record.wanted()))
    parts = CONCEPTS.read(lab, CONCEPTS.there(lab, items))
    counts = Counter(reject.reason for part in parts for reject in part.rejects)
    return tuple(counts.most_common())


def _labels(lab: Lab, scored: Sequence[Scores]) -> dict[Neuron, list[Label]]:
    """Return the labels of each neuron that has scores, best first.

    Raises:
        UserError: labels that are alike are to be left out, and the embedder is not here.
    """
    rule, above = lab.config.scores.rule, lab.config.scores.alike_above
    if above == 1:
        best = {scores.neuron: best_labels(scores.candidates, rule, LABELS) for scores in scored}
        return _with_meanings(lab, best)
    texts = distinct(candidate.text for scores in scored for candidate in scores.candidates)
    vectors = dict(zip(texts, text_vectors(lab, texts), strict=True))
    lab.close()
    ranked = {scores.neuron: best_labels(scores.candidates, rule, len(texts)) for scores in scored}
    return _with_meanings(
        lab,
        {neuron: drop_alike(labels, vectors, above)[:LABELS] for neuron, labels in ranked.items()},
    )


def _with_meanings(lab: Lab, labels: dict[Neuron, list[Label]]) -> dict[Neuron, list[Label]]:
    """Return the labels with one in front that names all meanings, of neurons that have several.

    A neuron whose meanings are not known yet is left out, where they are asked for.
    """
    if not MEANINGS.when(lab.config):
        return labels
    items = MEANINGS.there(lab, [Item.of_neuron(neuron) for neuron in labels])
    rule = lab.config.scores.rule
    return {
        part.neuron: part.before(labels[part.neuron], rule, LABELS)
        for part in MEANINGS.read(lab, items)
    }


def _described(
    neuron: Neuron, labels: Sequence[Label], config: Config, keys: tuple[tuple[str, str], ...]
) -> Description:
    rule = config.scores.rule
    if labels:
        return Description(neuron, "described", tuple(labels), rule, keys=keys)
    return Description(
        neuron, "failed", (), rule, "no reply of the language model was usable", keys
    )


def _undescribed(
    neuron: Neuron,
    verdict: Triage,
    config: Config,
    reason: str,
    keys: tuple[tuple[str, str], ...],
) -> Description:
    rule = config.scores.rule
    match verdict.verdict:
        case "dead":
            return Description(neuron, "dead", (), rule, "responds to no image", keys)
        case "constant":
            return Description(neuron, "constant", (), rule, "responds alike to every image", keys)
        case "duplicate":
            repeats = f"repeats neuron {verdict.twin}"
            return Description(neuron, "duplicate", (), rule, repeats, keys)
        case _:
            return Description(neuron, "failed", (), rule, reason, keys)
