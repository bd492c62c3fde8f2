"""The hard bench: planted neurons that are hard to name, fakes that should get no name at all.

Half of them are for developing. The other half is frozen: it is for reporting, and every look at
it is written down in docs/truth.md.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final, get_args

import numpy as np

from dnd_local.core.config import Config, Execution
from dnd_local.core.descriptions import DescriptionTable
from dnd_local.core.ranking import best_labels
from dnd_local.core.records import RULES, Pixels
from dnd_local.evaluate.baseline import clip_dissect
from dnd_local.evaluate.describers import table_of_run
from dnd_local.evaluate.exports import records_csv
from dnd_local.evaluate.hard_figures import Answer, kind_records
from dnd_local.evaluate.hard_truth import (
    DEVELOPING,
    FROZEN,
    PICTURES,
    RANDOM,
    HardTruth,
    PlantedNeuron,
    planted_neurons,
)
from dnd_local.evaluate.held_out import EVIDENCE_KINDS, EvidenceKind, judge_tables
from dnd_local.evaluate.null_tests import CONSTANT_WORD
from dnd_local.evaluate.planted_truth import HARD
from dnd_local.evaluate.pocket_figures import canonical
from dnd_local.evaluate.verdicts import Verdict, write_verdicts
from dnd_local.pipeline.describing import read_scores
from dnd_local.pipeline.lab import Lab
from dnd_local.pipeline.reading import StoredRun, open_run
from dnd_local.pipeline.runner import dissect_neurons
from dnd_local.pipeline.selection import Selection
from dnd_local.pipeline.session import Progress
from dnd_local.pipeline.settings import make_config
from dnd_local.pocket import words, world
from dnd_local.stages.clip_dissect import Similarity
from dnd_local.store.runs import RunFolder

HOLDOUT: Final = 0.25
ANSWERS: Final = "answers.csv"
KINDS: Final = "kinds.csv"
OTHERS: Final = (
    "chair", "guitar", "river", "mountain", "bridge", "clock", "shoe", "bottle", "book", "lamp",
    "horse", "fish", "airplane", "bicycle", "train", "bread", "cheese", "cactus", "mushroom",
    "saw", "ladder", "window", "zigzag background", "pink background", "turquoise background",
    "spiral background", "person", "building", "clothing", "furniture",
)  # fmt: skip
"""As many concepts that no picture of the world shows, for CLIP-Dissect to choose among."""


@dataclass(frozen=True, slots=True)
class HardBench:
    """Every describer's answers on a half, and the folder of the run that they come from."""

    answers: tuple[Answer, ...]
    folder: Path


def run_hard_bench(
    execution: Execution,
    progress: Progress | None = None,
    *,
    frozen: bool = False,
    each: int = 0,
    mode: Mapping[str, int] | None = None,
    kinds: Sequence[EvidenceKind] = EVIDENCE_KINDS,
    config: Config | None = None,
) -> HardBench:
    """Return every describer's answer on a half of the hard bench, with verdicts on all labels.

    All parts are kept: a bench that was stopped goes on, and one that is done reads its labels
    and grades and judges them again. Answers go into ``answers.csv`` of the run, and what each
    describer has right of each kind into ``kinds.csv``.

    Args:
        execution: where it is computed.
        progress: who is told how far it is.
        frozen: the frozen half instead of the one for developing.
        each: at most so many neurons of each kind, the first ones; 0 for all.
        mode: settings of candidates other than usual (rounds, contrast, meanings); in its name.
        kinds: what verdicts rest on.
        config: other settings of the method than the embedded preset's.

    Raises:
        MissingWeights: a model of the pack is not there.
    """
    half = FROZEN if frozen else DEVELOPING
    options = {"probe": {"holdout": HOLDOUT}, "concepts": dict(mode or {})}
    config = config or make_config(HARD, options=options)
    lab = Lab(config, execution, execution.devices[0])
    try:
        neurons = planted_neurons(lab, half)
        chosen = first_of_each(neurons, each)
        truth = HardTruth(neurons, _responses_of_random(lab, half, neurons, chosen))
    finally:
        lab.close()
    name = f"hard-{half}" + (f"-{each}" if each else "")
    name += "".join(f"-{word}-{value}" for word, value in (mode or {}).items())
    selection = Selection((half,), chosen)
    dissect_neurons(config, execution, selection, name, progress)
    run = open_run(
        name, execution.workspace, execution.weights, execution.data, execution.prompts,
        execution.manifest,
    )  # fmt: skip
    try:
        tables = [table_of_run(run), *other_rules(run), constant_words(table_of_run(run))]
        tables += [
            clip_dissect(config, execution, selection, clip_concepts(), similarity, progress)
            for similarity in get_args(Similarity)
        ]
        verdicts = judge_tables(run, tables, kinds=kinds, progress=progress)
    finally:
        run.lab.close()
    write_verdicts(run.folder, verdicts[0], tables[0].rows)
    return _kept(run.folder, answered(tables, neurons, truth, verdicts))


def _kept(folder: RunFolder, answers: Sequence[Answer]) -> HardBench:
    records = {ANSWERS: [answer.record() for answer in answers], KINDS: kind_records(answers)}
    for file, lines in records.items():
        folder.write_bytes(file, records_csv(lines).encode("utf-8"))
    return HardBench(tuple(answers), folder.folder)


def first_of_each(neurons: Sequence[PlantedNeuron], each: int) -> tuple[int, ...]:
    """Return the indices of the first `each` neurons of every kind, all of them if 0."""
    seen: Counter[str] = Counter()
    chosen = []
    for index, planted in enumerate(neurons):
        seen[planted.kind] += 1
        if not each or seen[planted.kind] <= each:
            chosen.append(index)
    return tuple(chosen)


def _responses_of_random(
    lab: Lab, half: str, neurons: Sequence[PlantedNeuron], chosen: Sequence[int]
) -> dict[int, np.ndarray[tuple[int, ...], np.dtype[np.float64]]]:
    """Return the responses of a random network's channels to the pictures of known attributes."""
    wanted = [index for index in chosen if neurons[index].kind == RANDOM]
    shown: list[Pixels] = [
        np.asarray(world.picture(world.HELD_OUT_SEED, index)[0], dtype=np.uint8)
        for index in range(PICTURES if wanted else 0)
    ]
    values = lab.target.responses(shown, [half])[half] if wanted else np.zeros((0, 0))
    return {index: values[:, index].astype(np.float64) for index in wanted}


# ---- describers --------------------------------------------------------------------------------


def other_rules(run: StoredRun) -> list[DescriptionTable]:
    """Return the labels that the rules which do not decide here would have put first."""
    scores = {scored.neuron.index: scored for scored in read_scores(run.lab, run.record)}
    base = table_of_run(run)
    tables = []
    for rule in RULES:
        if rule == run.lab.config.scores.rule:
            continue
        rows = [
            replace(
                row,
                labels=tuple(label.text for label in best_labels(scored.candidates, rule, 3)),
                scores=(),
            )
            for row in base.rows
            if (scored := scores.get(row.neuron)) is not None
        ]
        tables.append(DescriptionTable(f"rule {rule}", tuple(rows)))
    return tables


def constant_words(like: DescriptionTable) -> DescriptionTable:
    """Return a describer that says the constant word of every neuron."""
    rows = tuple(replace(row, labels=(CONSTANT_WORD,), scores=()) for row in like.rows)
    return DescriptionTable("constant word", rows)


def clip_concepts() -> list[str]:
    """Return the concepts that CLIP-Dissect chooses among: the world's, and as many others."""
    return [canonical(concept) for concept in words.vocabulary().concepts()] + list(OTHERS)


def answered(
    tables: Iterable[DescriptionTable],
    neurons: Sequence[PlantedNeuron],
    truth: HardTruth,
    verdicts: Sequence[Sequence[Verdict]],
) -> list[Answer]:
    """Return every label held against the truth; `verdicts` are on each table's labels."""
    answers = []
    for place, (table, judged_labels) in enumerate(zip(tables, verdicts, strict=True)):
        judged = {verdict.neuron: verdict for verdict in judged_labels}
        for row in table.rows:
            label = row.labels[0] if row.labels else ""
            graded = truth.grade(row.neuron, label)
            answers.append(
                Answer(
                    describer=table.describer if place else "ours",
                    neuron=row.neuron,
                    kind=neurons[row.neuron].kind,
                    label=label,
                    outcome=graded.outcome,
                    fit=graded.fit,
                    verdict=judged.get(row.neuron),
                )
            )
    return answers
