"""Descriptions: what a notebook shows of them."""

from __future__ import annotations

import re

from dnd_local.core.descriptions import Description, Label
from dnd_local.core.records import Neuron

NEURON = Neuron("resnet50", "layer4.1", 7)


def test_a_notebook_shows_nested_records_escaped_too() -> None:
    description = Description(NEURON, "described", (Label("<b>", 1.0),), "mean")
    assert "<b>" not in description._repr_html_()
    assert "&lt;b&gt;" in description._repr_html_()


def test_a_description_shows_its_labels_and_their_scores() -> None:
    labels = (Label("horse", 12.5), Label("brown horse", 3.0))
    shown = re.findall(
        "<bdi>(.*?)</bdi>", Description(NEURON, "described", labels, "mean")._repr_html_()
    )
    assert shown == ["resnet50 · layer4.1 · neuron 7", "horse", "horse (12.5) · brown horse (3)"]


def test_a_description_without_labels_shows_why() -> None:
    shown = Description(NEURON, "dead", (), "mean", "responds to no image")._repr_html_()
    assert re.findall("<bdi>(.*?)</bdi>", shown)[1:] == ["dead", "responds to no image"]
