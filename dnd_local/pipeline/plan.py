"""All stages in the order they run: the first are in `first_stages`, the method in `stages/`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, Final

import numpy as np

from dnd_local.core.config import Config
from dnd_local.core.meanings import Meanings
from dnd_local.core.racing import judge_round, pictures_by_round
from dnd_local.core.records import Concepts, Neuron, Pictures, RaceRound, Scores
from dnd_local.core.sequences import distinct
from dnd_local.pipeline.first_stages import (
    CAPTIONS,
    CONCEPTS,
    EXEMPLARS,
    NEURON,
    PHRASES,
    RESPONSES,
    TRIAGE,
    responses_of,
    triages_of,
)
from dnd_local.pipeline.further_stages import (
    CONTRAST_CAPTIONS,
    CONTRASTED,
    CONTRASTS,
    GROUPS,
    OF_GROUP,
    captions_of_less,
    has_meanings,
)
from dnd_local.pipeline.lab import Lab
from dnd_local.pipeline.painting import paint_blocks, painted_alike
from dnd_local.pipeline.race_rounds import Race, blocks, picture_blocks, races
from dnd_local.pipeline.stage import (
    Asked,
    Item,
    Kind,
    Stage,
    by_painted_batch,
    groups_of,
    neuron_of,
)
from dnd_local.stages.meanings import label_groups
from dnd_local.stages.pictures import join_blocks
from dnd_local.stages.rounds import Tried, refine
from dnd_local.stages.scores import score

__all__ = [
    "CAPTIONS", "CONCEPTS", "CONTRASTED", "CONTRASTS", "CONTRAST_CAPTIONS", "EXEMPLARS",
    "GROUPS", "MEANINGS", "MOST_ROUNDS", "NEURON", "OF_GROUP", "PHRASES", "PICTURES", "PLAN",
    "RACE", "REFINED", "RESPONSES", "SCORES", "TRIAGE", "TRIALS", "candidates_of",
    "paint_blocks", "painted_alike", "plan_of", "proposing", "responses_of", "triages_of",
]  # fmt: skip

MOST_ROUNDS: Final = 5

PROPOSING: Final = (CONTRASTED, *OF_GROUP)
"""The stages that propose candidates beside the first ones, before any is painted."""


def proposing(rounds: int = MOST_ROUNDS) -> tuple[Stage[Concepts], ...]:
    """Return the stages that propose candidates, those of the first `rounds` rounds among them."""
    return (CONCEPTS, *PROPOSING, *REFINED[:rounds])


def candidates_of(lab: Lab, items: Sequence[Item], rounds: int = MOST_ROUNDS) -> list[Concepts]:
    """Return every candidate of each neuron so far, each once, in the order proposed.

    Args:
        lab: the stores of the run.
        items: neurons with first candidates.
        rounds: how many rounds of further proposals count.
    """
    whole = {part.neuron: part for part in CONCEPTS.read(lab, items)}
    for stage in proposing(rounds)[1:]:
        if stage.when(lab.config):
            for part in stage.read(lab, stage.there(lab, items)):
                before = whole[part.neuron].candidates
                known = {candidate.text for candidate in before}
                new = tuple(c for c in part.candidates if c.text not in known)
                whole[part.neuron] = replace(whole[part.neuron], candidates=(*before, *new))
    return list(whole.values())


def _races(lab: Lab, asked: Asked) -> list[Race]:
    """Return the race of every neuron whose candidates are known."""
    # Only live neurons have concepts, so the triage need not be read again for each neuron.
    known = CONCEPTS.there(lab, [Item.of_neuron(neuron) for neuron in asked.neurons])
    return races(lab, RACE, candidates_of(lab, known))


def _candidate_pictures(lab: Lab, asked: Asked) -> list[Item]:
    """List the pictures of every candidate concept that are known to be wanted, in blocks."""
    return blocks(pair for race in _races(lab, asked) for pair in race.counts.items())


def _unknown_neurons(lab: Lab, asked: Asked) -> int:
    return len(CONCEPTS.missing(lab, CONCEPTS.items(lab, asked)))


def _unknown_pictures(lab: Lab, asked: Asked) -> int:
    every = lab.config.concepts.count * len(picture_blocks(lab.config, [""]))
    later = sum(race.unpainted() for race in _races(lab, asked)) if RACE.when(lab.config) else 0
    proposals = [stage for stage in proposing() if stage.when(lab.config)]
    unknown = sum(len(stage.missing(lab, stage.items(lab, asked))) for stage in proposals)
    return unknown * every + later


def _race_rounds(lab: Lab, asked: Asked) -> list[Item]:
    return [item for race in _races(lab, asked) for item in race.items()]


def _unknown_rounds(lab: Lab, asked: Asked) -> int:
    by_round = pictures_by_round(lab.config.scores.race, lab.config.pictures.count)
    later = sum(max(race.left - 1, 0) for race in _races(lab, asked))
    return _unknown_neurons(lab, asked) * (len(by_round) - 1) + later


PICTURE_BLOCK: Final = Kind(_candidate_pictures, _unknown_pictures)
RACE_ROUND: Final = Kind(_race_rounds, _unknown_rounds)


PICTURES = Stage(
    name="pictures", title="pictures: painting the candidates", kind=PICTURE_BLOCK,
    join=join_blocks, version=2, record=Pictures,
    settings=lambda c: painted_alike(c, "select"), roles=("painter",), prompts=("picture",),
    batches=by_painted_batch, at_once=3, run=lambda lab, items: paint_blocks(lab, items, "select"),
)  # fmt: skip


def _scores(
    lab: Lab,
    items: Sequence[Item],
    before: Mapping[Neuron, int] | None = None,
    rounds: int = MOST_ROUNDS,
) -> list[tuple[Race, Scores]]:
    """Return each neuron's race and the scores of its pictures so far; see `races` for `before`.

    The candidates of the first `rounds` rounds count.
    """
    candidates = candidates_of(lab, items, rounds)
    batch = list(zip(EXEMPLARS.read(lab, items), candidates, strict=True))
    raced = races(lab, RACE, [concepts for _, concepts in batch], before)
    counts = [race.counts for race in raced]
    parts = PICTURES.read(lab, blocks(pair for each in counts for pair in each.items()))
    scored = score(
        batch, {one.concept: one for one in join_blocks(parts)}, lab.target, lab.embedder,
        lab.blobs, lab.config.scores.beta, lab.config.ledger, counts, lab.config.pictures.count,
    )  # fmt: skip
    return list(zip(raced, scored, strict=True))


def _race(lab: Lab, items: Sequence[Item]) -> list[RaceRound]:
    before = {neuron_of(lab, item): item.round for item in items}
    scored = _scores(lab, [Item.of_neuron(neuron) for neuron in before], before)
    config = lab.config
    return [
        judge_round(
            scores, race.running, config.scores.rule, config.scores.beta, config.pictures.count,
            config.seed,
        )
        for race, scores in scored
    ]  # fmt: skip


RACE = Stage(
    name="race", title="race: who gets more pictures", kind=RACE_ROUND,
    version=1, record=RaceRound, needs=(EXEMPLARS, CONCEPTS, *PROPOSING, PICTURES),
    settings=lambda c: (
        c.scores.race, c.scores.rule, c.scores.beta, c.clip, c.pictures.count, c.seed,
        c.ledger.picture_size,
    ),
    roles=("target", "embedder"), batches=groups_of(4), at_once=3, run=_race,
    when=lambda c: c.scores.race > 0, back_to=PICTURES,
)  # fmt: skip


# ---- rounds ------------------------------------------------------------------------------------


def _trial(lab: Lab, items: Sequence[Item], number: int) -> list[Scores]:
    """Return the scores of the candidates that there are before round `number`.

    Where the round before proposed nothing they are those of its trial.
    """
    done: dict[str, Scores] = {}
    if number:
        before = zip(items, REFINED[number - 1].read(lab, items), strict=True)
        unchanged = [item for item, part in before if not part.candidates]
        parts = TRIALS[number - 1].read(lab, unchanged)
        done = {item.name: part for item, part in zip(unchanged, parts, strict=True)}
    todo = [item for item in items if item.name not in done]
    scored = _scores(lab, todo, rounds=number) if todo else []
    done |= {item.name: part for item, (_, part) in zip(todo, scored, strict=True)}
    return [done[item.name] for item in items]


def _refine(lab: Lab, items: Sequence[Item], number: int) -> list[Concepts]:
    """Return what is proposed in round `number`."""
    befores: Sequence[Concepts | None] = [None] * len(items)
    if number:
        befores = REFINED[number - 1].read(lab, items)
    columns = [item.index for item in items]
    natural = np.concatenate(
        [chunk.values[:, columns] for chunk in responses_of(lab, items[0].layer)]
    )
    batch = [
        Tried(phrases, trial, before, cold, middling, values)
        for phrases, trial, before, (cold, middling), values in zip(
            PHRASES.read(lab, items), TRIALS[number].read(lab, items), befores,
            captions_of_less(lab, items), natural.T, strict=True,
        )
    ]  # fmt: skip
    config = lab.config
    return refine(
        batch, lab.language_model, lab.prompts, config.llm, config.concepts, config.scores.rule,
        config.seed, number, config.ledger,
    )  # fmt: skip


def _round(number: int, before: Sequence[Stage[Concepts]]) -> tuple[Stage[Scores], Stage[Concepts]]:
    """Return the two stages of a round: what the candidates so far are worth, and further ones."""
    trial = Stage(
        name=f"trial-{number}", title=f"trial-{number}: how far the candidates excite",
        kind=NEURON, version=1, record=Scores,
        needs=(EXEMPLARS, CONCEPTS, *PROPOSING, *before, PICTURES),
        settings=lambda c: (
            c.scores.beta, c.scores.rule, c.clip, c.pictures.count, c.ledger.picture_size,
            c.ledger.cosine_over,
        ),
        roles=("target", "embedder"), batches=groups_of(4), at_once=3,
        run=lambda lab, items: _trial(lab, items, number),
        when=lambda c: c.concepts.rounds > number,
    )  # fmt: skip
    refined = Stage(
        name=f"refined-{number}", title=f"refined-{number}: further candidates", kind=NEURON,
        version=1, record=Concepts,
        needs=(RESPONSES, PHRASES, CONTRASTS, CONTRAST_CAPTIONS, trial),
        settings=CONCEPTS.settings, roles=("language-model",), prompts=("refine", "merge"),
        batches=groups_of(64), at_once=4, run=lambda lab, items: _refine(lab, items, number),
        when=lambda c: c.concepts.rounds > number, back_to=PICTURES,
    )  # fmt: skip
    return trial, refined


ROUNDS: Final = list[tuple[Stage[Scores], Stage[Concepts]]]()
for _number in range(MOST_ROUNDS):
    ROUNDS.append(_round(_number, [refined for _, refined in ROUNDS]))
TRIALS: Final = tuple(trial for trial, _ in ROUNDS)
REFINED: Final = tuple(refined for _, refined in ROUNDS)

SCORES = Stage(
    name="scores", title="scores: which candidate fits", kind=NEURON,
    version=1, record=Scores, needs=(EXEMPLARS, CONCEPTS, *PROPOSING, *REFINED, PICTURES, RACE),
    settings=lambda c: (
        c.scores.beta, c.clip, c.pictures.count, c.ledger.picture_size, c.ledger.cosine_over,
    ),
    roles=("target", "embedder"), batches=groups_of(4), at_once=3,
    run=lambda lab, items: [scores for _, scores in _scores(lab, items)],
)  # fmt: skip


def _meanings(lab: Lab, items: Sequence[Item]) -> list[Meanings]:
    proposed = [stage.read(lab, items) for stage in OF_GROUP if stage.when(lab.config)]
    texts = distinct(c.text for parts in proposed for part in parts for c in part.candidates)
    vectors = dict(zip(texts, lab.embedder.embed_texts(texts), strict=True)) if texts else {}
    return [
        label_groups(scores, groups, of_group, vectors, lab.config.scores.rule)
        for scores, groups, *of_group in zip(
            SCORES.read(lab, items), GROUPS.read(lab, items), *proposed, strict=True
        )
    ]


MEANINGS = Stage(
    name="meanings", title="meanings: a label for each group of exemplars", kind=NEURON,
    version=1, record=Meanings, needs=(GROUPS, *OF_GROUP, SCORES), when=has_meanings,
    settings=lambda c: (c.scores.rule, c.clip), roles=("embedder",), batches=groups_of(64),
    run=_meanings,
)  # fmt: skip

PLAN: tuple[Stage[Any], ...] = (
    RESPONSES, TRIAGE, EXEMPLARS, CAPTIONS, PHRASES, CONCEPTS, CONTRASTS, CONTRAST_CAPTIONS,
    CONTRASTED, GROUPS, *OF_GROUP, PICTURES, RACE, *(stage for pair in ROUNDS for stage in pair),
    SCORES, MEANINGS,
)  # fmt: skip
"""Every stage; `plan_of` leaves out those that the settings do not ask for."""


def plan_of(config: Config) -> tuple[Stage[Any], ...]:
    """Return the stages of a run under these settings, in order."""
    return tuple(stage for stage in PLAN if stage.when(config))
