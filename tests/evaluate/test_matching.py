"""Which neurons of several tables are the same."""

from __future__ import annotations

import pytest

from dnd_local.core.descriptions import DescriptionRow, DescriptionTable
from dnd_local.core.errors import UserError
from dnd_local.evaluate.matching import match


def table(name: str, layer: str, labels: dict[int, str]) -> DescriptionTable:
    rows = tuple(
        DescriptionRow(name, "", layer, i, (text,) if text else (), (), "described")
        for i, text in labels.items()
    )
    return DescriptionTable(name, rows)


def test_only_neurons_with_a_label_on_every_side_are_matched() -> None:
    found = match(
        [table("a", "fc", {0: "x", 1: "y", 2: "z"}), table("b", "fc", {2: "c", 1: "", 0: "d"})]
    )
    assert found.keys == (("fc", 0), ("fc", 2))
    assert [[row.labels[0] for row in column] for column in found.columns] == [
        ["x", "z"],
        ["d", "c"],
    ]
    assert found.how == "layer and index"
    assert found.notes == ("a: of 3 labelled neurons, 1 not in every other table",)


def test_a_table_without_layers_matches_by_index_alone() -> None:
    found = match([table("a", "", {0: "x"}), table("b", "fc", {0: "y", 1: "z"})])
    assert found.keys == (("", 0),)
    assert found.how.startswith("index alone")


def test_layers_of_other_names_are_no_match() -> None:
    with pytest.raises(UserError, match=r"no neuron in common: a has fc 0 to fc 3; b has layer4 0"):
        match([table("a", "fc", {0: "x", 3: "x"}), table("b", "layer4", {0: "y"})])


def test_a_table_of_empty_labels_matches_nothing() -> None:
    with pytest.raises(UserError, match="b has no label at all"):
        match([table("a", "fc", {0: "x"}), table("b", "fc", {0: ""})])


def test_no_layer_against_several_is_refused() -> None:
    several = DescriptionTable(
        "b", (*table("b", "fc", {0: "x"}).rows, *table("b", "layer1", {0: "x"}).rows)
    )
    with pytest.raises(UserError, match="b has the layers fc, layer1 and a names none"):
        match([table("a", "", {0: "x"}), several])


def test_a_neuron_twice_and_a_single_table_are_refused() -> None:
    twice = DescriptionTable("a", table("a", "fc", {0: "x"}).rows * 2)
    with pytest.raises(UserError, match="describes neuron 0 of fc twice"):
        match([twice, table("b", "fc", {0: "x"})])
    with pytest.raises(UserError, match="two tables"):
        match([twice])
