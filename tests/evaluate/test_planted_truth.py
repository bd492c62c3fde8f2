"""What was planted in a network, from a user's file or from an embedded target."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from dnd_local.core.concept_words import concept_words
from dnd_local.core.descriptions import DescriptionRow, DescriptionTable
from dnd_local.core.errors import UserError
from dnd_local.evaluate.planted_truth import (
    NeuronTruth,
    Planted,
    TargetTruth,
    planted_accuracy,
    planted_answers,
    planted_of_run,
    read_planted,
)
from dnd_local.pocket.words import Concept

OF_POCKET = {
    "pictures": 2000,
    "fc": [{"neuron": 0, "concept": "dog", "kind": "object"}],
    "layer4": [
        {"neuron": 0, "concept": "red", "kind": "colour", "best": "red", "auc": 1.0},
        {"neuron": 1, "concept": None, "kind": "object", "best": "cat", "auc": 0.6},
    ],
}


def test_planted_truth_is_read(tmp_path: Path) -> None:
    path = tmp_path / "truth.json"
    concepts = {"dog": {"kind": "object", "words": ["puppy"]}, "red": {"kind": "colour"}}
    path.write_text(json.dumps({"concepts": concepts, "neurons": {"fc": {"0": "dog", "7": "red"}}}))
    known = read_planted(path)
    assert known.neurons == {("fc", 0): "dog", ("fc", 7): "red"}
    assert known.words.answer("a puppy", "dog") == "right"


@pytest.mark.parametrize(
    "text",
    [
        "[",
        "{}",
        '{"concepts": {"dog": {"words": []}}, "neurons": {}}',
        '{"concepts": {}, "neurons": {"fc": {"0": "dog"}}}',
        '{"concepts": {}, "neurons": {"fc": {"x": "dog"}}}',
    ],
)
def test_other_files_are_no_planted_truth(tmp_path: Path, text: str) -> None:
    path = tmp_path / "truth.json"
    path.write_text(text)
    with pytest.raises(UserError, match=r"truth\.json"):
        read_planted(path)


def test_the_truth_of_an_embedded_target_is_read_as_it_lies(tmp_path: Path) -> None:
    path = tmp_path / "truth.json"
    path.write_text(json.dumps(OF_POCKET))
    known = read_planted(path)
    assert known.neurons == {("fc", 0): "dog", ("layer4", 0): "red"}
    assert known.words.answer("puppies on a lawn", "dog") == "right"
    assert known.words.answer("crimson stripes", "red") == "right"
    assert known.words.answer("a kitten", "dog") == "wrong"


def test_a_concept_that_the_pocket_world_has_not(tmp_path: Path) -> None:
    path = tmp_path / "truth.json"
    own = [{"neuron": 0, "concept": "unicorn", "kind": "object"}]
    path.write_text(json.dumps({**OF_POCKET, "fc": own}))
    with pytest.raises(UserError, match="'unicorn' is planted but not among its concepts"):
        read_planted(path)


def test_only_neurons_with_a_meaning_are_known() -> None:
    truth = TargetTruth((), (NeuronTruth(0, "object"), NeuronTruth(1, "category", "animal")))
    assert truth.known("layer4") == {1: Concept("category", "animal")}


def test_a_missing_label_is_silent_and_silence_is_not_right() -> None:
    words = concept_words({"red": "colour", "blue": "colour"}, {"red": ["crimson"]})
    truth = Planted({("fc", 0): "red", ("fc", 1): "blue", ("fc", 2): "blue"}, words)
    table = labelled({0: "Crimson sky", 1: "red", 2: "", 7: "red"})
    answers = planted_answers(table, truth)
    assert [row.answer for row in answers] == ["right", "wrong", "silent"]
    assert planted_accuracy(answers).value == pytest.approx(1 / 3)
    assert answers[0].record() == {
        "layer": "fc", "neuron": 0, "label": "Crimson sky", "concept": "red", "answer": "right"
    }  # fmt: skip
    with pytest.raises(UserError, match="none of the 1 neurons has a planted concept"):
        planted_answers(labelled({9: "red"}), truth)


def labelled(labels: dict[int, str]) -> DescriptionTable:
    rows = [
        DescriptionRow("x", "", "fc", i, (text,) if text else (), (), "described")
        for i, text in labels.items()
    ]
    return DescriptionTable("x", tuple(rows))


def run_about(name: str, folder: Path) -> Any:
    config = SimpleNamespace(network=SimpleNamespace(name=name))
    lab = SimpleNamespace(weights=SimpleNamespace(folder=lambda entry: folder / entry))
    return SimpleNamespace(record=SimpleNamespace(name="mine", config=config), lab=lab)


def test_an_embedded_target_brings_its_truth_along(tmp_path: Path) -> None:
    for name, concept in (("pocket", "dog"), ("pocket-odd", "car")):
        folder = tmp_path / {"pocket": "pocket-target", "pocket-odd": "pocket-target-odd"}[name]
        folder.mkdir()
        own = [{"neuron": 0, "concept": concept, "kind": "object"}]
        (folder / "truth.json").write_text(json.dumps({**OF_POCKET, "fc": own}))
        assert planted_of_run(run_about(name, tmp_path)).neurons["fc", 0] == concept
    with pytest.raises(UserError, match=r"about resnet50, .* pocket and pocket-odd only; give"):
        planted_of_run(run_about("resnet50", tmp_path))
    with pytest.raises(UserError, match=r"formulas, .* pocket bench --hard"):
        planted_of_run(run_about("pocket-hard", tmp_path))
