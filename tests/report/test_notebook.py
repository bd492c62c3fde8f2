"""Cards for notebooks."""

from __future__ import annotations

import re
import shutil
from dataclasses import replace
from pathlib import Path

import pytest

import dnd_local
from dnd_local.core.cards import Drawn
from dnd_local.pipeline.making import Failure
from dnd_local.pipeline.reading import StoredRun, open_run
from dnd_local.report.notebook import ROWS, compare, html_of, neuron_card
from dnd_local.report.site import build_site
from tests.bench import Bench
from tests.report.conftest import ODD_LAYER, Desk
from tests.report.synthetic import write_run


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


def test_a_run_shows_its_neurons_with_pictures_verdicts_and_where_its_report_is(
    judged: StoredRun, own: Bench
) -> None:
    shown = html_of(judged)
    assert shown is not None
    for text in ("3 described", "1 supported, 1 weak, 1 abstained",
                 "(supported)", "dnd-local report judged"):  # fmt: skip
        assert text in shown
    first = judged.descriptions()[0]
    assert f"<bdi>{first.labels[0].text}</bdi>" in shown
    assert shown.count('src="data:image/webp;base64,') == sum(
        len(judged.pictures(i)[:5]) for i in range(3)
    )
    own.run("0", name="one")
    run = open_run("one", own.workspace)
    site = build_site(run)
    assert f'<a href="{site.index.as_uri()}"' in (html_of(run) or "")


def test_a_long_run_shows_its_first_neurons(own: Bench) -> None:
    run = write_run(own, ROWS + 3)
    shown = html_of(run) or ""
    assert shown.count("<tr>") == ROWS + 1
    assert "and 3 more" in shown


def test_a_result_shows_what_its_run_does_and_what_failed(own: Bench) -> None:
    result = own.run("0,3", name="one")
    failed = replace(result, failures=(Failure("pictures", "x", "<script>no</script>"),))
    shown = html_of(failed) or ""
    assert shown.startswith(html_of(open_run("one", own.workspace)) or "-")
    assert "failed: pictures x: &lt;script&gt;no" in shown
    shutil.rmtree(own.workspace / "artefacts")
    assert html_of(result) is None
    assert html_of("a text") is None


def test_the_front_door_says_how_runs_are_drawn(
    unguarded: list[None], desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Drawn, "draw", [])
    assert "<img" not in desk.plain._repr_html_()
    assert dnd_local.open_run is open_run
    assert dnd_local.compare is compare
    assert len(Drawn.draw) == 1
    assert desk.plain._repr_html_() == html_of(desk.plain)


def test_a_comparison_shows_labels_side_by_side(judged: StoredRun, tmp_path: Path) -> None:
    other = tmp_path / "milan.csv"
    rows = "".join(f"colours,{i},thing {i}\n" for i in range(3))
    other.write_text(f"layer,unit,description\n{rows}")
    made = compare(judged, str(other), "plain")
    shown = made._repr_html_()
    for text in ("<bdi>milan</bdi>", "<bdi>plain</bdi>", "<bdi>thing 1</bdi>", "(abstained)",
                 "on the same neuron", "data:image/webp"):  # fmt: skip
        assert text in shown
    assert len(made.view.neurons) == 3


def test_hostile_texts_stay_text_in_tables_too(desk: Desk) -> None:
    shown = html_of(desk.hostile) or ""
    assert "&lt;script&gt;" in shown
    assert "<script" not in shown
