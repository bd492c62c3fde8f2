"""The hard bench: which neurons it takes, who is compared, and one whole run in a small."""

from __future__ import annotations

import csv
from pathlib import Path

import pytest

from dnd_local.core.config import Execution
from dnd_local.core.descriptions import DescriptionRow, DescriptionTable
from dnd_local.evaluate.hard_bench import (
    ANSWERS,
    KINDS,
    OTHERS,
    answered,
    clip_concepts,
    constant_words,
    first_of_each,
    run_hard_bench,
)
from dnd_local.evaluate.hard_figures import hard_figures
from dnd_local.evaluate.hard_truth import HardTruth, PlantedNeuron
from dnd_local.evaluate.verdicts import FILE, Verdict
from dnd_local.pipeline.settings import make_config
from dnd_local.pocket.words import mentions
from dnd_local.store.runs import RunFolder
from dnd_local.store.weights import default_root

NEURONS = (
    PlantedNeuron("single", 0.1, formula="dog"), PlantedNeuron("single", 0.1, formula="red"),
    PlantedNeuron("noise", 1.0), PlantedNeuron("single", 0.1, formula="cat"),
)  # fmt: skip


def table(*labels: str) -> DescriptionTable:
    rows = tuple(
        DescriptionRow(
            "mine", "pocket-hard", "developing", i, (text,) if text else (), (), "described"
        )
        for i, text in enumerate(labels)
    )
    return DescriptionTable("mine", rows)


def test_the_first_of_each_kind_are_taken() -> None:
    assert first_of_each(NEURONS, 2) == (0, 1, 2)
    assert first_of_each(NEURONS, 0) == (0, 1, 2, 3)


def test_clip_dissect_chooses_among_the_worlds_concepts_and_as_many_that_are_not_there() -> None:
    concepts = clip_concepts()
    assert len(set(concepts)) == len(concepts) == 2 * len(OTHERS)
    assert sum(bool(mentions(text)) for text in concepts) == len(OTHERS)


def test_every_describer_is_held_against_the_truth_with_the_verdicts_on_its_labels() -> None:
    ours, words = table("dogs", "ship", "car", ""), constant_words(table("a", "b", "c", ""))
    verdict = Verdict("developing", 0, "dogs", "supported", 0.9, ())
    answers = answered([ours, words], NEURONS, HardTruth(NEURONS, {}, 100), [[verdict], []])
    assert [(own.describer, own.outcome) for own in answers] == [
        ("ours", "right"), ("ours", "wrong"), ("ours", "wrong"), ("ours", "none"),
        *[("constant word", "wrong")] * 4,
    ]  # fmt: skip
    assert [own.verdict for own in answers] == [verdict, *[None] * 7]
    assert answers[0].record()["verdict"] == "supported"
    assert answers[1].record()["verdict"] == ""


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_a_whole_bench_in_a_small(tmp_path: Path) -> None:
    small = {
        "exemplars": {"count": 2, "crops": 1},
        "concepts": {"count": 1, "max_draws": 1},
        "pictures": {"count": 2, "steps": 1},
    }
    config = make_config("pocket-hard", options=small | {"probe": {"holdout": 0.25}})
    execution = Execution(workspace=tmp_path, weights=default_root(), data=tmp_path / "data")
    done = run_hard_bench(execution, each=1, config=config)
    figures = hard_figures(done.answers)
    assert figures["ours.single.right"].n == 1
    assert figures["ours.supported.fakes"].n == 3
    assert figures["constant word.supported.fakes"].n == 3
    assert figures["clip-dissect:soft-wpmi.all.right"].n == figures["ours.all.right"].n == 18
    folder = tmp_path / "runs" / "hard-developing-1"
    assert (folder / FILE).is_file()
    rows = list(csv.DictReader((folder / ANSWERS).open(encoding="utf-8")))
    assert len(rows) == 22 * (1 + 3 + 1 + 5)
    assert all(row["verdict"] for row in rows if row["label"])
    kinds = list(csv.DictReader((folder / KINDS).open(encoding="utf-8")))
    assert {row["neurons"] for row in kinds} == {"1"}
    seconds = RunFolder(tmp_path, folder.name).read().seconds
    again = run_hard_bench(execution, each=1, config=config)
    assert [one.record() for one in again.answers] == [one.record() for one in done.answers]
    assert RunFolder(tmp_path, folder.name).read().seconds == seconds, "no part was made again"
