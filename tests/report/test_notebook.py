"""Cards for notebooks."""

from __future__ import annotations

import re

from dnd_local.pipeline.reading import StoredRun
from dnd_local.report.notebook import neuron_card
from tests.report.conftest import ODD_LAYER, Desk


def test_a_card_holds_its_pictures_and_figures(desk: Desk) -> None:
    evidence = desk.plain.evidence("0")
    shown = neuron_card(desk.plain, "0")._repr_html_()
    assert evidence.description.labels[0].text in shown
    assert evidence.exemplars is not None
    assert shown.count('src="data:image/webp;base64,') == len(evidence.exemplars.exemplars)
    assert "topk-compare (decides)" in shown


def test_a_card_says_what_the_label_is_worth_where_it_was_judged(
    desk: Desk, judged: StoredRun
) -> None:
    shown = neuron_card(judged, "2")._repr_html_()
    assert "<b>abstained</b>: another label" in shown
    assert "(support 0.5)" in shown
    assert "upport" not in neuron_card(desk.plain, "2")._repr_html_()
    assert "upport" not in neuron_card(judged, "3")._repr_html_()


def test_a_dead_neurons_card_says_so(desk: Desk) -> None:
    shown = neuron_card(desk.plain, "3")._repr_html_()
    assert "responds to no image" in shown
    assert "<img" not in shown


def test_hostile_texts_stay_text(desk: Desk) -> None:
    shown = neuron_card(desk.hostile, f"{ODD_LAYER}:0")._repr_html_()
    assert "&lt;script&gt;" in shown
    assert "<script" not in shown
    assert not re.search(r"<[^>]*\sonerror", shown)
