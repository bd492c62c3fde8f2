"""Loops of stages: more pictures of a concept share blocks, and a second round is a few lines."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import pytest

from dnd_local.core.records import Candidate, Concepts, Scores
from dnd_local.pipeline.lab import Lab
from dnd_local.pipeline.plan import (
    CONCEPTS,
    EXEMPLARS,
    PICTURES,
    SCORES,
    plan_of,
)
from dnd_local.pipeline.race_rounds import picture_blocks
from dnd_local.pipeline.session import Session, open_session
from dnd_local.pipeline.settings import make_config
from dnd_local.pipeline.stage import Asked, Item, Kind
from dnd_local.stages.pictures import join_blocks
from dnd_local.stages.scores import score
from tests.bench import Bench
from tests.fakes import LAYER

SECOND = Kind(lambda lab, asked: [Item.of_neuron(neuron, round=1) for neuron in asked.neurons])


def first_round(items: Sequence[Item]) -> list[Item]:
    return [Item(f"{item.layer}-{item.index:05d}", item.layer, item.index) for item in items]


def refine(lab: Lab, items: Sequence[Item]) -> list[Concepts]:
    """Propose one more word for the best candidate of the first round."""
    best = [part.candidates[0].text for part in SCORES.read(lab, first_round(items))]
    neurons = [part.neuron for part in SCORES.read(lab, first_round(items))]
    return [
        Concepts(neuron, (Candidate(f"bright {text}", text, 0),), (), ())
        for neuron, text in zip(neurons, best, strict=True)
    ]


REFINED = replace(CONCEPTS, name="refined", kind=SECOND, needs=(SCORES,), run=refine)
BLOCKS = Kind(
    lambda lab, asked: picture_blocks(
        lab.config,
        [
            candidate.text
            for part in REFINED.read(lab, REFINED.there(lab, REFINED.items(lab, asked)))
            for candidate in part.candidates
        ],
    )
)
MORE_PICTURES = replace(PICTURES, kind=BLOCKS)


def score_again(lab: Lab, items: Sequence[Item]) -> list[Scores]:
    pairs = zip(EXEMPLARS.read(lab, first_round(items)), REFINED.read(lab, items), strict=True)
    batch = list(pairs)
    texts = [candidate.text for _, part in batch for candidate in part.candidates]
    blocks = MORE_PICTURES.read(lab, picture_blocks(lab.config, texts))
    pictures = {part.concept: part for part in join_blocks(blocks)}
    return score(batch, pictures, lab.target, lab.embedder, lab.blobs, lab.config.scores.beta)


RESCORED = replace(
    SCORES, name="rescored", kind=SECOND, needs=(EXEMPLARS, REFINED, MORE_PICTURES), run=score_again
)
TWO_ROUNDS = (*plan_of(make_config("pocket")), REFINED, MORE_PICTURES, RESCORED)


@pytest.fixture
def session(bench: Bench) -> Session:
    with open_session(bench.config(), bench.execution(), [LAYER], "", None) as opened:
        return opened


def test_a_second_round_goes_through_the_same_loop(bench: Bench, session: Session) -> None:
    result = bench.run("0-2")
    asked = Asked((LAYER,), result.record.wanted())
    session.make_all(asked, TWO_ROUNDS)
    rescored = RESCORED.read(session.lab, RESCORED.items(session.lab, asked))
    assert [part.candidates[0].text.split()[0] for part in rescored] == ["bright"] * 3
    assert session.made == 9, "only the second round was made"
    session.made = 0
    session.make_all(asked, TWO_ROUNDS)
    assert (session.made, session.failures) == (0, [])


def test_the_second_round_waits_for_the_first(bench: Bench, session: Session) -> None:
    asked = Asked((LAYER,), bench.run("0-2").record.wanted())
    SCORES.parts(session.lab).path(f"{LAYER}-00001").unlink()
    session.make(REFINED, REFINED.items(session.lab, asked))
    there = REFINED.there(session.lab, REFINED.items(session.lab, asked))
    assert [item.index for item in there] == [0, 2]
    assert [failure.reason for failure in session.failures] == [
        f"'{LAYER}-00001' could not be made"
    ]


def test_more_pictures_of_a_concept_keep_the_blocks_that_are_there(bench: Bench) -> None:
    few = bench.run("0-2", pictures={"count": 2, "size": 8})
    bench.calls.asked.clear()
    many = bench.run("0-2", pictures={"count": 5, "size": 8})
    concepts = {c.text for part in many.descriptions for c in part.labels}
    assert few.record.name != many.record.name
    assert bench.calls.asked["painter"] % 3 == 0, "three more of each concept"
    assert bench.calls.asked["painter"] >= 3 * len(concepts)
    lab = bench.lab(pictures={"count": 5, "size": 8})
    evidence = PICTURES.read(lab, picture_blocks(lab.config, concepts))
    assert {len(part.pictures) for part in join_blocks(evidence)} == {5}
    bench.calls.asked.clear()
    bench.run("0-2", pictures={"count": 4, "size": 8})
    assert bench.calls.asked["painter"] == 0, "every block of four is there"
