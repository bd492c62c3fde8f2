"""Describers side by side, disagreement first."""

from __future__ import annotations

import pytest

from dnd_local.core.descriptions import DescriptionRow, DescriptionTable
from dnd_local.core.errors import UserError
from dnd_local.core.records import Neuron
from dnd_local.evaluate.comparisons import Compared
from dnd_local.evaluate.verdicts import Verdict, Verdicts
from dnd_local.report.cards import CardView
from dnd_local.report.compare_view import compare_view


def table(describer: str, *labels: str, layer: str = "fc") -> Compared:
    rows = tuple(
        DescriptionRow(describer, "net", layer, i, (text,), (), "described")
        for i, text in enumerate(labels)
    )
    return Compared(DescriptionTable(describer, rows))


def test_the_least_alike_come_first() -> None:
    view = compare_view([table("a", "red dog", "sky", "car"), table("b", "dog", "sky", "tree")])
    assert [own.index for own in view.neurons] == [2, 0, 1]
    assert [own.likeness for own in view.neurons] == pytest.approx([0, 2 / 3, 1])
    (pair,) = view.pairs
    assert pair.matched == pytest.approx(5 / 9)
    assert pair.null == 0


def test_likeness_is_the_mean_over_all_pairs() -> None:
    view = compare_view([table("a", "dog"), table("b", "dog"), table("c", "cat")])
    assert view.neurons[0].likeness == pytest.approx(1 / 3)
    assert view.neurons[0].likenesses == (1, 0, 0)
    assert [(p.left, p.right) for p in view.pairs] == [("a", "b"), ("a", "c"), ("b", "c")]
    assert view.pairs[0].null is None


def test_neurons_of_the_run_have_their_card() -> None:
    card = CardView("p", Neuron("net", "fc", 0), "described", "", (), 0.0, ())
    tables = [table("a", "dog", "cat"), table("b", "dog", "cat")]
    found = {own.index: own.card for own in compare_view(tables, {("fc", 0): card}).neurons}
    assert found == {0: card, 1: None}
    bare = [table("a", "dog"), table("b", "dog", layer="")]
    (own,) = compare_view(bare, {("fc", 0): card}).neurons
    assert (own.card, own.layer) == (card, "fc")


def test_labels_that_were_judged_are_marked_those_of_before_are_not() -> None:
    verdicts = {
        ("fc", i): Verdict("fc", i, text, "weak", 0.5, ()) for i, text in enumerate(("dog", "cow"))
    }
    judged = Compared(table("a", "dog", "cat").table, Verdicts(verdicts))
    view = compare_view([judged, table("b", "dog", "cat")])
    marks = {own.index: own.verdicts for own in view.neurons}
    assert marks == {0: (verdicts["fc", 0], None), 1: (None, None)}
    assert view.judged == (1, 0)


def test_one_table_is_nothing_to_compare() -> None:
    with pytest.raises(UserError, match="nothing to compare with"):
        compare_view([table("a", "dog")])
