"""The run page: what was dissected with what, and all neurons in short."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from dnd_local.core.config_reading import read_config
from dnd_local.core.descriptions import Label
from dnd_local.core.records import Neuron
from dnd_local.evaluate.verdicts import Ruling, Verdict
from dnd_local.pipeline import opening
from dnd_local.pipeline.plan import PLAN, plan_of
from dnd_local.report.cards import CardView
from dnd_local.report.map_names import LONGEST_NAME, NAMED, NAMED_SMALL, PHONE_TYPE, TYPE
from dnd_local.report.run_view import RunView, run_view, settings_in_words, unlisted
from tests.report.conftest import Desk
from tests.report.synthetic import plain_label


def card(
    index: int, *labels: str, status: str = "described", ruling: Ruling | None = None
) -> CardView:
    neuron = Neuron("pocket", "colours", index)
    own = tuple(Label(text, 1.0 + index) for text in labels)
    verdict = Verdict("colours", index, labels[0], ruling, 0.5, ()) if ruling else None
    return CardView(f"neurons/{index}.html", neuron, status, "", own, 1.0, (), verdict)


def view_of(desk: Desk, cards: list[CardView]) -> RunView:
    places = np.random.default_rng(0).random((len(cards), 2))
    return run_view(desk.plain, cards, places)


def test_counts_by_status_and_label(desk: Desk) -> None:
    cards = [card(0, "dog"), card(1, "cat", "pet"), card(2, "dog"), card(3, status="dead")]
    view = view_of(desk, cards)
    assert view.counts == (("described", 3), ("dead", 1))
    assert [(own.text, own.count, own.share) for own in view.frequent] == [
        ("dog", 2, 1.0), ("cat", 1, 0.5),
    ]  # fmt: skip
    assert view.distinct == 2


def test_verdicts_are_counted_where_there_are_any(desk: Desk) -> None:
    assert view_of(desk, [card(0, "dog"), card(1, status="dead")]).verdicts == ()
    cards = [card(0, "dog", ruling="no better than the null"), card(1, "cat", ruling="supported")]
    view = view_of(desk, [*cards, card(2, "cow")])
    assert view.verdicts == (("supported", 1), ("weak", 0), ("abstained", 1))


def test_only_labelled_neurons_are_in_the_map_at_their_place(desk: Desk) -> None:
    view = view_of(desk, [card(0, status="dead"), card(1, "dog")])
    assert [(point.place, point.card.neuron.index) for point in view.points] == [(1, 1)]


def test_names_in_the_map_are_few_and_do_not_touch(desk: Desk) -> None:
    cards = [card(i, plain_label(i, 0)) for i in range(300)]
    names = view_of(desk, cards).names
    assert 3 < len(names) <= NAMED
    small = [name for name in names if name.phone]
    assert 1 < len(small) <= NAMED_SMALL
    for size, shown in ((TYPE, names), (PHONE_TYPE, tuple(small))):
        boxes = [name.box(size) for name in shown]
        for left, top, right, bottom in boxes:
            apart = [o[0] >= right or o[2] <= left or o[1] >= bottom or o[3] <= top for o in boxes]
            assert apart.count(False) == 1
            assert left >= 0
            assert right <= 100


def test_neurons_close_together_are_all_named_on_a_phone(desk: Desk) -> None:
    cards = [card(i, label) for i, label in enumerate(("black background", "penguin", "tree"))]
    places = np.array([[0.5, 0.5], [0.52, 0.5], [0.5, 0.62]])
    names = run_view(desk.plain, cards, places).names
    assert [name.phone for name in names] == [True] * 3
    boxes = [name.box(PHONE_TYPE) for name in names]
    for one, other in itertools.combinations(boxes, 2):
        assert (one[2] <= other[0] or other[2] <= one[0]
                or one[3] <= other[1] or other[3] <= one[1])  # fmt: skip


def test_a_long_name_in_the_map_is_cut(desk: Desk) -> None:
    (name,) = view_of(desk, [card(0, "a " * 40)]).names
    assert len(name.text) == LONGEST_NAME
    assert name.text.endswith("…")


def test_without_places_there_is_no_map_but_all_else(desk: Desk) -> None:
    view = run_view(desk.plain, [card(0, "dog")], None)
    assert (view.points, view.names) == ((), ())
    assert view.frequent[0].text == "dog"


def test_stages_with_time_and_key(desk: Desk) -> None:
    view = view_of(desk, [])
    assert [own.name for own in view.stages] == [
        stage.name for stage in plan_of(desk.plain.lab.config)
    ]
    assert all(own.done == own.of > 0 for own in view.stages)
    assert all(own.seconds >= 0 and own.each is not None for own in view.stages)
    assert view.stages[0].key == PLAN[0].key(desk.plain.lab)
    assert view.points == view.names == ()


def test_how_its_processes_were_kept_off_the_network(desk: Desk) -> None:
    assert view_of(desk, []).isolation == desk.plain.record.isolation
    assert desk.plain.record.isolation.startswith("this process ")


def test_models_with_source_licence_and_digest(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    named = {
        "target": ("pocket-target",), "captioner": ("blip-base",), "language-model": (),
        "painter": ("sd15",), "embedder": ("clip-vit-b-16",),
    }  # fmt: skip
    monkeypatch.setattr(opening, "model_ids", lambda config: named)
    network = {"name": "net.py:make", "latents": "my/sae.py:make"}
    own = {"target": ("sae",), "language-model": ()}
    config = read_config({"network": network, "llm": {"engine": "vllm"}})
    names = {role: unlisted(role, config, listed) for role, listed in own.items()}
    assert names == {"target": ("net.py:make", "my/sae.py:make"), "language-model": ("vllm",)}
    models = {own.role: own for own in view_of(desk, []).models}
    assert models["target"].sources == ("ships with dnd-local",)
    assert " at " in models["captioner"].sources[0]
    assert models["language-model"].names == (desk.plain.record.config.llm.engine,)
    assert models["painter"].digest == "weights of painter"
    assert all(own.licences for role, own in models.items() if role != "language-model")


def test_settings_are_flat_and_readable() -> None:
    found = settings_in_words({"seed": 0, "probe": {"sets": ["a", "b"], "holdout": 0.2}})
    assert found == [("seed", "0"), ("probe.sets", "a, b"), ("probe.holdout", "0.2")]
