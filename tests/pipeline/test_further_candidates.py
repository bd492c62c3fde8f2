"""Contrast and rounds in whole runs: more candidates, whole evidence, resumed, shared, kept."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import pytest

from dnd_local.core.conversations import Request
from dnd_local.core.errors import BadConfig, UserError
from dnd_local.pipeline import further_stages
from dnd_local.pipeline.describers import next_round
from dnd_local.pipeline.lab import Lab
from dnd_local.pipeline.plan import (
    CONCEPTS,
    CONTRAST_CAPTIONS,
    CONTRASTED,
    CONTRASTS,
    MEANINGS,
    OF_GROUP,
    PICTURES,
    PLAN,
    REFINED,
    SCORES,
    TRIALS,
    plan_of,
)
from dnd_local.pipeline.reading import open_run
from dnd_local.pipeline.selection import Selection
from dnd_local.pipeline.served import asks_language_model
from dnd_local.pipeline.stage import Item
from dnd_local.pipeline.upkeep import check_workspace, find_unneeded
from tests.bench import Bench
from tests.fakes import LAYER, FakeLanguageModel

FEW = {"count": 2, "max_draws": 4}
ITEMS = [Item(f"{LAYER}-{index:05d}", LAYER, index) for index in range(3)]


def answer(request: Request) -> str | None:
    """Name what is asked for apart from the colour, so that each prompt has labels of its own."""
    last = request.messages[-1].text
    if "tried:" in last:
        return f"{_colour(last)} round {request.seed % 3}"
    if "cold:" in last:
        return f"{_colour(last)} not cold {request.seed % 3}"
    return None


def _colour(text: str) -> str:
    phrases = text.split("cold:")[0]
    return max(("red", "green", "blue"), key=phrases.count)


def run(bench: Bench, name: str = "", ids: str = "0-2", **concepts: Any) -> Any:
    bench.replaced["language-model"] = FakeLanguageModel(bench.calls, answer)
    return bench.run(ids, name, concepts={**FEW, **concepts})


def lab(bench: Bench, **concepts: Any) -> Lab:
    return bench.lab(concepts={**FEW, **concepts})


def texts(parts: list[Any]) -> list[list[str]]:
    return [[candidate.text for candidate in part.candidates] for part in parts]


def test_contrast_adds_candidates_to_the_first_ones(bench: Bench) -> None:
    result = run(bench, contrast=4)
    with_contrast = lab(bench, contrast=4)
    first, added = (stage.read(with_contrast, ITEMS) for stage in (CONCEPTS, CONTRASTED))
    scored = SCORES.read(with_contrast, ITEMS)
    assert all(text.split()[1:3] == ["not", "cold"] for each in texts(added) for text in each)
    assert texts(scored) == [a + b for a, b in zip(texts(first), texts(added), strict=True)]
    contrasts = CONTRASTS.read(with_contrast, ITEMS)
    assert [len(part.cold) for part in contrasts] == [4, 4, 4]
    captions = CONTRAST_CAPTIONS.read(with_contrast, ITEMS)
    assert [len(part.texts) for part in captions] == [len(part.images) for part in contrasts]
    assert all(description.labels for description in result.descriptions)
    assert run(bench, contrast=4).made == 0


def test_without_either_nothing_else_is_made_and_no_key_changes(bench: Bench) -> None:
    run(bench)
    plain = lab(bench)
    names = {stage.name for stage in plan_of(plain.config)}
    assert not names & {"contrasts", "contrasted", "trial-0", "refined-0"}
    made = run(bench, contrast=4)
    first = CONCEPTS.key(plain)
    assert CONCEPTS.key(lab(bench, contrast=4)) == CONCEPTS.key(lab(bench, rounds=2)) == first
    assert SCORES.key(lab(bench, contrast=4)) != SCORES.key(plain)
    assert made.record.name != run(bench).record.name


def test_rounds_see_scores_and_stop_where_nothing_improves(bench: Bench) -> None:
    result = run(bench, rounds=3)
    lab_ = lab(bench, rounds=3)
    refined = [stage.read(lab_, ITEMS) for stage in REFINED[:3]]
    assert all(text.split()[1] == "round" for each in texts(refined[0]) for text in each)
    every = texts(SCORES.read(lab_, ITEMS))
    for i, candidates in enumerate(every):
        proposed = [text for stage in refined for text in texts([stage[i]])[0]]
        assert candidates == texts(CONCEPTS.read(lab_, [ITEMS[i]]))[0] + proposed
    # A neuron without a proposal in one round has none in the next.
    for before, after in pairwise(refined):
        for one, other in zip(before, after, strict=True):
            assert one.candidates or not other.candidates
    assert not REFINED[3].when(lab_.config)
    assert all(description.labels for description in result.descriptions)
    # A trial after an empty round repeats the one before.
    quiet = [i for i in range(3) if not refined[0][i].candidates or not refined[1][i].candidates]
    for i in quiet:
        last = 2 if not refined[1][i].candidates else 1
        assert TRIALS[last].read(lab_, [ITEMS[i]]) == TRIALS[last - 1].read(lab_, [ITEMS[i]])


def test_fewer_rounds_are_shared_and_a_run_goes_on_where_it_was(bench: Bench) -> None:
    run(bench, rounds=1)
    bench.calls.asked.clear()
    longer = run(bench, rounds=2)
    whole = bench.jsonl(longer)
    assert REFINED[0].key(lab(bench, rounds=1)) == REFINED[0].key(lab(bench, rounds=2))
    for stage in (REFINED[1], TRIALS[1], SCORES):
        stage.parts(lab(bench, rounds=2)).path(ITEMS[1].name).unlink()
    again = run(bench, rounds=2)
    assert again.made == 3
    assert bench.jsonl(again) == whole


def test_a_neuron_for_two_things_names_both(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("sklearn")

    def halves(vectors: Any, most: int) -> tuple[list[list[int]], float]:
        half = len(vectors) // 2
        return [list(range(half)), list(range(half, len(vectors)))], 0.5

    def answer(request: Request) -> str | None:
        last = request.messages[-1].text
        return "red" if "there is" not in last and request.seed % 2 else "blue"

    monkeypatch.setattr(further_stages, "clusters", halves)
    bench.replaced["language-model"] = FakeLanguageModel(bench.calls, answer)
    result = bench.run("0-2", concepts={**FEW, "meanings": 2})
    with_meanings = lab(bench, meanings=2)
    for description, part in zip(
        result.descriptions, MEANINGS.read(with_meanings, ITEMS), strict=True
    ):
        names = [meaning.text for meaning in part.meanings]
        joined = " or ".join(names)
        assert description.labels[0].text == (joined if len(names) > 1 else names[0])
    assert any(len(part.meanings) == 2 for part in MEANINGS.read(with_meanings, ITEMS))
    assert not OF_GROUP[2].when(with_meanings.config)
    again = bench.run("0-2", concepts={**FEW, "meanings": 2}, scores={"alike_above": 0.5})
    assert [row.labels[0].text for row in again.descriptions] == [
        row.labels[0].text for row in result.descriptions
    ]
    # Without its meanings a neuron is not described yet.
    MEANINGS.parts(with_meanings).path(ITEMS[1].name).unlink()
    unfinished = open_run(result.record.name, bench.workspace).descriptions()[1]
    assert (unfinished.status, unfinished.reason) == ("failed", "not finished yet")


def test_a_neuron_of_one_group_keeps_its_labels(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(further_stages, "clusters", lambda rows, most: ([[*range(len(rows))]], 0.0))
    plain, grouped = run(bench), run(bench, meanings=2)
    assert [one.labels for one in grouped.descriptions] == [
        one.labels for one in plain.descriptions
    ]
    assert [part.meanings for part in MEANINGS.read(lab(bench, meanings=2), ITEMS)] == [()] * 3


def test_neighbours_do_not_matter(bench: Bench) -> None:
    options = {"rounds": 2, "contrast": 3}
    run(bench, "alone", "1", **options)
    alone = SCORES.read(lab(bench, **options), ITEMS[1:2])
    for stage in plan_of(lab(bench, **options).config)[2:]:
        if stage is not PICTURES:
            for item in stage.there(lab(bench, **options), ITEMS[1:2]):
                stage.parts(lab(bench, **options)).path(item.name).unlink()
    run(bench, "together", "0-2", **options)
    assert SCORES.read(lab(bench, **options), ITEMS[1:2]) == alone


def test_the_evidence_and_the_forecast_know_the_further_stages(bench: Bench) -> None:
    result = run(bench, rounds=1, contrast=2)
    stored = open_run(result.record.name, bench.workspace)
    evidence = stored.evidence_of(result.record.wanted()[0])
    assert evidence.of(REFINED[0])
    assert evidence.of(CONTRASTED)
    assert evidence.of(CONTRASTS)
    assert {"contrast", "refine"} <= set(stored.prompts())
    assert not asks_language_model(stored.lab, Selection((LAYER,), (0, 1)), ())
    REFINED[0].parts(stored.lab).path(ITEMS[1].name).unlink()
    assert asks_language_model(stored.lab, Selection((LAYER,), (0, 1)), ())


def test_verify_and_gc_know_the_further_stages_and_their_pictures(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(further_stages, "clusters", lambda rows, most: ([[*range(len(rows))]], 0.0))
    result = run(bench, rounds=1, contrast=2, meanings=2)
    stored = open_run(result.record.name, bench.workspace)
    assert all(one.done == one.of for one in stored.status())
    assert check_workspace(bench.workspace, PLAN).faults == ()
    unneeded = find_unneeded(bench.workspace, PLAN)
    assert (unneeded.folders, unneeded.unknown) == ((), ())
    kept = {image.blob for part in CONTRASTS.read(stored.lab, ITEMS) for image in part.images}
    assert kept
    assert not kept & {path.stem for path in unneeded.pictures}


def test_another_number_of_candidates_is_expected_at_most(bench: Bench) -> None:
    run(bench, ids="0")
    unknown = PICTURES.kind.unknown
    asked = bench.run("0", concepts=FEW).record
    from dnd_local.pipeline.stage import Asked

    def left(**concepts: Any) -> int:
        return unknown(lab(bench, **concepts), Asked((LAYER,), asked.wanted()))

    assert left() == 0
    assert left(contrast=2) == 2
    assert left(rounds=3, contrast=2) == 8


def test_a_model_elsewhere_cannot_answer_them(bench: Bench) -> None:
    result = run(bench, rounds=1)
    with pytest.raises(UserError, match="whose questions rest on"):
        next_round(open_run(result.record.name, bench.workspace), "other")


def test_a_race_leaves_out_what_a_round_needs(bench: Bench) -> None:
    with pytest.raises(BadConfig, match="race is 2 and concepts"):
        bench.config(concepts={"rounds": 1}, scores={"race": 2}, pictures={"count": 4, "size": 8})
