"""A neuron's page: order, figures, what is drawn where."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from dnd_local.core.conversations import Exchange, Message, Reply, Request
from dnd_local.core.ledger import OURS
from dnd_local.core.records import RULES, Box
from dnd_local.pipeline.evidence import Evidence
from dnd_local.pipeline.plan import CAPTIONS, CONCEPTS, EXEMPLARS, PHRASES, PICTURES, SCORES
from dnd_local.pipeline.stage import Stage
from dnd_local.report.cards import card_of
from dnd_local.report.gather import exemplar_blobs, histograms, ranges
from dnd_local.report.neuron_view import NeuronView, conversations, neuron_view
from dnd_local.report.shelf import Shelf
from tests.report.conftest import Desk


@pytest.fixture
def shelf(desk: Desk, tmp_path: Path) -> Iterator[Shelf]:
    lab = desk.plain.lab
    with closing(Shelf(tmp_path / "site", lab.blobs, lab.probe, OURS, 2)) as made:
        yield made


def view_of(desk: Desk, evidence: Evidence, shelf: Shelf, *, hostile: bool = False) -> NeuronView:
    run = desk.hostile if hostile else desk.plain
    card = card_of(evidence.description, evidence.triage, (), shelf)
    counted = histograms(run, [evidence.neuron], run.triages())
    whole = exemplar_blobs(run).whole
    groups = ranges(run, [evidence.neuron])[evidence.neuron]
    return neuron_view(
        evidence, card, counted[evidence.neuron], groups, shelf, run.lab.blobs, whole
    )


def test_candidates_come_best_first_and_name_their_wins(desk: Desk, shelf: Shelf) -> None:
    evidence = desk.plain.evidence("0")
    view = view_of(desk, evidence, shelf)
    assert [own.place for own in view.candidates] == list(range(1, len(view.candidates) + 1))
    texts = [own.candidate.text for own in view.candidates]
    assert texts[:3] == [label.text for label in evidence.description.labels]
    wins = [rule for own in view.candidates for rule in own.best_of]
    assert sorted(wins) == sorted(RULES)
    assert "topk-compare" in view.candidates[0].best_of


def test_pictures_come_by_rank_with_their_own_figures(desk: Desk, shelf: Shelf) -> None:
    evidence = desk.plain.evidence("0")
    for own in view_of(desk, evidence, shelf).candidates:
        assert own.scored is not None
        ranks = [picture.rank for picture in own.pictures]
        assert ranks == sorted(own.scored.ranks)
        painted = next(p for p in evidence.pictures if p.concept == own.candidate.text)
        for picture in own.pictures:
            place = [p.seed for p in painted.pictures].index(picture.seed)
            assert picture.response == own.scored.responses[place]
            assert picture.cosine == own.scored.cosines[place]
            assert 0 <= picture.share <= 1
        assert own.cosine == pytest.approx(sum(own.scored.cosines) / len(own.scored.cosines))


def test_exemplars_keep_their_order_and_texts(desk: Desk, shelf: Shelf) -> None:
    evidence = desk.plain.evidence("2")
    view = view_of(desk, evidence, shelf)
    assert evidence.exemplars is not None
    assert evidence.captions is not None
    assert [x.exemplar for x in view.exemplars] == list(evidence.exemplars.exemplars)
    assert [x.caption for x in view.exemplars] == list(evidence.captions.texts)
    assert all(x.map.startswith("data:image/png") for x in view.exemplars)
    assert view.plot is not None
    assert len(view.plot.marks) == len(view.exemplars)


def test_a_crop_shows_its_part_and_where_it_was_cut_from(desk: Desk, shelf: Shelf) -> None:
    evidence = desk.hostile.evidence("0")
    view = view_of(desk, evidence, shelf, hostile=True)
    whole, crop = view.exemplars[0], view.exemplars[2]
    assert whole.frame == Box(0, 0, 8, 8)
    assert whole.scene is None
    assert crop.frame == crop.exemplar.box == Box(1, 1, 6, 7)
    assert crop.scene is not None
    assert crop.boxes == (Box(1, 1, 6, 7),)


def test_a_scene_kept_as_an_exemplar_is_not_kept_again(desk: Desk, shelf: Shelf) -> None:
    evidence = desk.hostile.evidence("0")
    assert evidence.exemplars is not None
    blob = evidence.exemplars.exemplars[0].blob
    card = card_of(evidence.description, evidence.triage, (), shelf)
    view = neuron_view(evidence, card, None, (), shelf, desk.hostile.lab.blobs, {2: blob})
    assert view.exemplars[2].scene == shelf.get(blob)
    assert view.plot is None


def without(evidence: Evidence, *stages: Stage[Any]) -> Evidence:
    """Return the evidence as it is before some stages have run."""
    gone = {stage.name for stage in stages}
    parts = {name: records for name, records in evidence.parts.items() if name not in gone}
    return replace(evidence, parts=parts)


def test_a_neuron_half_way_shows_what_there_is(desk: Desk, shelf: Shelf) -> None:
    whole = desk.plain.evidence("0")
    unscored = view_of(desk, without(whole, SCORES, CAPTIONS, PHRASES), shelf)
    assert {own.place for own in unscored.candidates} == {0}
    assert {p.response for own in unscored.candidates for p in own.pictures} == {None}
    assert {x.caption for x in unscored.exemplars} == {""}
    unpainted = view_of(desk, without(whole, SCORES, PICTURES), shelf)
    assert {own.pictures for own in unpainted.candidates} == {()}
    early = view_of(desk, without(whole, SCORES, CONCEPTS, EXEMPLARS), shelf)
    assert (early.candidates, early.exemplars) == ((), ())


def test_exchanges_that_open_alike_are_one_conversation() -> None:
    def exchange(purpose: str, system: str, asked: str) -> Exchange:
        messages = (Message("system", system), Message("user", asked))
        return Exchange(purpose, 0, 0, Request(messages, 0.3, 1, 40), Reply("x"), "x")

    first, second = exchange("simplify", "s", "a"), exchange("simplify", "s", "b")
    other, third = exchange("merge", "s", "c"), exchange("simplify", "t", "d")
    found = conversations([first, other, second, third])
    assert [own.exchanges for own in found] == [(first, second), (other,), (third,)]
    assert found[0].opening == (Message("system", "s"),)
