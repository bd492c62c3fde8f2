"""Addresses of pages, and neurons in short."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dnd_local.core.descriptions import Label
from dnd_local.core.records import Neuron
from dnd_local.report.cards import CardView, page_of


def test_an_address_says_layer_and_number() -> None:
    assert page_of(Neuron("net", "layer4.1.conv2", 17)) == "neurons/layer4.1.conv2-00017.html"


@given(st.text(max_size=200), st.integers(0, 99_999))
def test_any_layer_gives_a_plain_file_name(layer: str, index: int) -> None:
    page = page_of(Neuron("net", layer, index))
    assert re.fullmatch(r"neurons/[A-Za-z0-9_][A-Za-z0-9._-]{0,120}\.html", page)
    assert page.count("/") == 1


@pytest.mark.parametrize("other", ["a_b", "a b", "../a/b", "A/b", "a/b "])
def test_layers_that_differ_have_pages_that_differ(other: str) -> None:
    assert page_of(Neuron("net", "a/b", 0)) != page_of(Neuron("net", other, 0))


def test_a_card_without_a_label_says_why() -> None:
    neuron = Neuron("net", "fc", 3)
    dead = CardView("p", neuron, "dead", "responds to no image", (), 0.0, ())
    assert (dead.label, dead.score) == ("responds to no image", None)
    bare = CardView("p", neuron, "abstained", "", (), 0.0, ())
    assert bare.label == "abstained"
    named = CardView("p", neuron, "described", "", (Label("dog", 2.5),), 0.0, ())
    assert (named.label, named.score) == ("dog", 2.5)
