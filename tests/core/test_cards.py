"""Cards: a record is readable in a notebook, and never runs what a model wrote."""

from __future__ import annotations

import pytest

from dnd_local.core.cards import MOST_LINES, Drawn
from dnd_local.core.descriptions import Label
from dnd_local.core.records import Captions, Exemplar, Exemplars, Neuron


def test_a_notebook_shows_a_table() -> None:
    assert Label("horse", 1.5)._repr_html_() == (
        "<table><caption>Label</caption>"
        "<tr><th scope='row'>text</th><td style='overflow-wrap: anywhere'>horse</td></tr>"
        "<tr><th scope='row'>score</th><td style='overflow-wrap: anywhere'>1.5</td></tr></table>"
    )


def test_a_notebook_never_runs_what_a_model_wrote() -> None:
    shown = Label("<script>alert('&')</script>", 0.0)._repr_html_()
    assert "<script>" not in shown
    assert "&lt;script&gt;alert(&#x27;&amp;&#x27;)&lt;/script&gt;" in shown


@pytest.mark.parametrize(("length", "shown"), [(200, 200), (201, 200), (5000, 200)])
def test_a_long_value_is_cut(length: int, shown: int) -> None:
    cell = Label("x" * length, 0.0)._repr_html_().split("anywhere'>")[1].split("</td>")[0]
    assert len(cell) == shown
    assert cell.endswith("…") == (length > 200)


def test_records_within_a_record_are_a_table_of_their_own() -> None:
    neuron = Neuron("pocket", "fc", 3)
    pictures = tuple(
        Exemplar(i, f"<{i}>.png", None, 2.5, f"blob{i}") for i in range(MOST_LINES + 2)
    )
    shown = Exemplars(neuron, pictures)._repr_html_()
    assert shown.count(">name</th>") == 1
    assert "&lt;0&gt;.png" in shown
    assert f"&lt;{MOST_LINES - 1}&gt;.png" in shown
    assert f"&lt;{MOST_LINES}&gt;.png" not in shown
    assert "</table>and 2 more</td>" in shown
    assert "more</td>" not in Exemplars(neuron, pictures[:3])._repr_html_()


def test_texts_within_a_record_stay_one_cell() -> None:
    shown = Captions(Neuron("pocket", "fc", 3), ("a dog", "a cat"))._repr_html_()
    assert shown.count("<table>") == 1
    assert "a dog" in shown


class Thing(Drawn):
    def __repr__(self) -> str:
        return "<thing>"


def test_what_is_drawn_elsewhere_has_a_plain_form(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Drawn, "draw", [])
    assert Thing()._repr_html_() == "<div>&lt;thing&gt;</div>"
    Drawn.draw.append(lambda value: None)
    assert Thing()._repr_html_() == "<div>&lt;thing&gt;</div>"
    Drawn.draw.append(lambda value: f"<b>{type(value).__name__}</b>")
    assert Thing()._repr_html_() == "<b>Thing</b>"
