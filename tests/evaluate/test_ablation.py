"""Ablation: which neurons, which controls, and what the figures say."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from dnd_local.core.descriptions import DescriptionRow, DescriptionTable
from dnd_local.core.errors import BadConfig, UnknownName, UserError
from dnd_local.evaluate.ablation import EVERY, Ablation, ablate
from dnd_local.evaluate.ablation_opening import label_source, laboratory, output_names
from dnd_local.evaluate.ablation_sets import Matched, control_sets, match_labels
from dnd_local.evaluate.ablation_words import sentences
from dnd_local.evaluate.class_folders import output_columns, read_class_folders
from dnd_local.pipeline.session import Quiet
from tests.bench import Bench
from tests.fakes import LAYER, NAMES, flat


def table(*labels: str) -> DescriptionTable:
    rows = [
        DescriptionRow("mine", "", LAYER, i, (text,) if text else (), (), "described")
        for i, text in enumerate(labels)
    ]
    return DescriptionTable("mine", tuple(rows))


@pytest.fixture
def data(tmp_path: Path) -> Path:
    for colour, name in enumerate(NAMES):
        for number in range(4):
            path = tmp_path / "data" / name / f"{number}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(flat(colour, 150 + 30 * number)).save(path)
    return tmp_path / "data"


@pytest.fixture
def bench(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Bench:
    return Bench(tmp_path / "workspace", monkeypatch)


def found(bench: Bench, data: Path, *, neurons: tuple[int, ...] = (0,), keep: bool = False,
          head: bool = True) -> Ablation:  # fmt: skip
    folders = read_class_folders(data, bench.workspace / "cache")
    columns = output_columns(folders.classes, NAMES) if head else None
    labels = tuple("red" for _ in neurons)
    return ablate(
        bench.lab(), Matched("mine", LAYER, "red", neurons, labels), folders, columns, 3,
        keep=keep, controls=6, seed=0, progress=Quiet(),
    )  # fmt: skip


def test_a_silent_neuron_costs_its_own_class_and_no_other(bench: Bench, data: Path) -> None:
    result = found(bench, data)
    figures = {one.name: one for one in result.changes}
    assert (figures["red"].before.value, figures["red"].after.value) == (1, 0)
    assert figures["blue"].change.value == figures["green"].change.value == 0
    assert figures[EVERY].after.value == pytest.approx(2 / 3)
    assert figures["red"].beyond
    assert not figures["blue"].beyond
    # The other neurons that respond are green's, blue's and red's double, which the head ignores.
    assert {own for kind in result.controls for one in kind.sets for own in one} <= {1, 2, 5}
    assert [own.as_far for own in figures["red"].controls] == [0, 0]
    first, second, last = sentences(result)
    assert "the 1 of 6 neurons of colours whose label matches 'red'" in first
    assert "from 100.0% to 66.7% of 12 pictures" in first
    assert second.startswith("red loses beyond the controls: 100.0% to 0.0% (-100.0%")
    assert last == "Of the other 2 classes none loses beyond the controls."
    record = figures["red"].record()
    assert (record["class"], record["size_as_far"], record["beyond"]) == ("red", 0, True)
    assert len(result.control_records()) == 12


def test_a_class_whose_controls_hurt_as_much_is_not_beyond_them(bench: Bench, data: Path) -> None:
    result = found(bench, data, neurons=(5,))
    assert not any(one.beyond for one in result.changes)
    assert sentences(result)[1] == "Of the 3 classes none loses beyond the controls."


def test_keeping_silences_all_others(bench: Bench, data: Path) -> None:
    figures = {one.name: one for one in found(bench, data, keep=True).changes}
    # With all at 0 but red, the fake's last output wins.
    assert figures["red"].after.value == 1
    assert figures["green"].after.value == 0
    # Controls may be red's neuron itself, which keeps as much.
    assert not figures["red"].beyond
    assert "Keeping only the 1 of 6" in sentences(found(bench, data, keep=True))[0]


def test_a_forest_is_taught_on_one_half_and_asked_about_the_other(bench: Bench, data: Path) -> None:
    result = found(bench, data, neurons=(0, 1, 2), keep=True, head=False)
    assert result.classifier == "forest"
    assert result.changes[-1].before.n == 6
    assert result.changes[-1].after.value > 2 / 3  # chance is a third
    assert "a random forest trained anew" in sentences(result)[0]


def test_a_forest_needs_two_pictures_a_class(bench: Bench, data: Path) -> None:
    for number in (1, 2, 3):
        (data / "red" / f"{number}.png").unlink()
    with pytest.raises(UserError, match="a class has 1 picture"):
        found(bench, data, head=False)


def test_unreadable_pictures_are_counted(bench: Bench, data: Path) -> None:
    (data / "red" / "0.png").write_bytes(b"none")
    result = found(bench, data)
    assert (result.unreadable, result.changes[-1].before.n) == (1, 11)
    for path in data.rglob("*.png"):
        path.write_bytes(b"none")
    with pytest.raises(UserError, match="none of the 12 pictures"):
        found(bench, data)


def test_names_for_another_number_of_outputs_are_refused(bench: Bench, data: Path) -> None:
    folders = read_class_folders(data, bench.workspace / "cache")
    columns = output_columns(folders.classes, NAMES)
    with pytest.raises(UserError, match="3 outputs and 4 names"):
        ablate(
            bench.lab(), Matched("mine", LAYER, "red", (0,), ("red",)), folders, columns, 4,
            keep=False, controls=2, seed=0, progress=Quiet(),
        )  # fmt: skip


def test_labels_match_by_a_pattern_of_the_first_label() -> None:
    labels = table("a Red square", "blue", "", "red dots")
    matched = match_labels(labels, LAYER, "red|green")
    assert matched.neurons == (0, 3)
    assert matched.labels == ("a Red square", "red dots")
    with pytest.raises(UserError, match="no label of mine on colours matches 'dog'"):
        match_labels(labels, LAYER, "dog")
    with pytest.raises(UserError, match="on fc matches"):
        match_labels(labels, "fc", "red")
    with pytest.raises(BadConfig, match=r"'\(' is no regular expression"):
        match_labels(labels, LAYER, "(")


def test_controls_have_the_size_and_the_second_kind_the_mean_response() -> None:
    random = np.random.default_rng(0)
    responses = random.random((40, 60)) * np.linspace(0.01, 10, 60)
    responses[:, 7] = 3.0  # constant: no control
    matched = (57, 58, 59)
    size, alike = control_sets(matched, responses, 50, seed=1)
    every = [own for kind in (size, alike) for own in kind.sets]
    assert {len(set(own)) for own in every} == {3}
    assert not {7, *matched} & {i for own in every for i in own}
    mean = responses[:, list(matched)].mean()
    assert alike.mean_response == pytest.approx(mean, rel=0.2)
    assert size.mean_response < mean / 1.5
    assert control_sets(matched, responses, 50, seed=1) == (size, alike)
    assert control_sets(matched, responses, 50, seed=2) != (size, alike)


def test_where_few_others_are_left_controls_come_from_all() -> None:
    responses = np.random.default_rng(0).random((9, 5))
    size, _ = control_sets((0, 1, 2), responses, 20, seed=0)
    assert {i for own in size.sets for i in own} == {0, 1, 2, 3, 4}
    # Pruning to neurons must beat sets that may hold them too.
    pruned, alike = control_sets((0,), responses, 60, seed=0, of_all=True)
    assert {i for kind in (pruned, alike) for own in kind.sets for i in own} == {0, 1, 2, 3, 4}
    silenced, _ = control_sets((0,), responses, 60, seed=0)
    assert {i for own in silenced.sets for i in own} == {1, 2, 3, 4}
    with pytest.raises(UserError, match="no other set of that size"):
        control_sets((0, 1, 2, 3, 4), responses, 20, seed=0)


def test_folders_are_classes_and_anything_else_is_refused(data: Path, tmp_path: Path) -> None:
    folders = read_class_folders(data, tmp_path / "cache")
    assert folders.classes == ("blue", "green", "red")
    assert folders.of == (0,) * 4 + (1,) * 4 + (2,) * 4
    one = tmp_path / "single" / "red" / "one.png"
    one.parent.mkdir(parents=True)
    Image.new("RGB", (4, 4)).save(one)
    with pytest.raises(UserError, match=r"has one class, red"):
        read_class_folders(tmp_path / "single", tmp_path / "cache")
    Image.new("RGB", (4, 4)).save(data / "loose.png")
    with pytest.raises(UserError, match=r"has the image loose\.png beside its folders"):
        read_class_folders(data, tmp_path / "cache")


def test_classes_find_their_output_by_name() -> None:
    names = ("great white shark", "crane", "Crane", "cock")
    assert list(output_columns(["cock", "Great_white_shark"], names)) == [3, 0]
    with pytest.raises(UnknownName, match="unknown class 'cok'"):
        output_columns(["cok"], names)
    with pytest.raises(UserError, match="2 outputs are called 'crane'"):
        output_columns(["crane"], names)


def test_whose_labels_must_be_clear(bench: Bench, tmp_path: Path) -> None:
    with pytest.raises(BadConfig, match="no run is about colours of pocket; say whose labels"):
        label_source("pocket", LAYER, "", bench.workspace, None)
    bench.run("0-2", name="mine")
    source = label_source("pocket", LAYER, "", bench.workspace, None)
    assert source.table.describer == "mine"
    bench.run("0-2", name="other")
    with pytest.raises(BadConfig, match="runs mine, other are about"):
        label_source("pocket", LAYER, "", bench.workspace, None)
    with pytest.raises(BadConfig, match="labels of mine are about pocket, not about resnet50"):
        label_source("resnet50", LAYER, "mine", bench.workspace, None)
    with pytest.raises(BadConfig, match="--config would change nothing"):
        laboratory(source, "pocket", tmp_path / "x.toml", "cpu", bench.workspace, None)


def test_labels_of_a_file_read_the_network_by_its_preset(bench: Bench, tmp_path: Path) -> None:
    file = tmp_path / "labels.csv"
    file.write_text(f"layer,unit,description\n{LAYER},0,red\n")
    source = label_source("pocket", LAYER, str(file), bench.workspace, None)
    assert source.run is None
    named = tmp_path / "named.csv"
    head = "describer,target,layer,neuron,status,label_1,score_1,label_2,score_2,label_3,score_3"
    named.write_text(f"{head}\nx,net.py:make,{LAYER},0,described,red,,,,,\n")
    assert label_source("a/net.py:make", LAYER, str(named), bench.workspace, None).run is None
    with pytest.raises(BadConfig, match=r"are about net\.py:make, not about pocket"):
        label_source("pocket", LAYER, str(named), bench.workspace, None)
    lab = laboratory(source, "pocket", None, "cpu", bench.workspace, None)
    assert lab.config.network.name == "pocket"


def test_outputs_without_known_names_are_asked_for(bench: Bench, tmp_path: Path) -> None:
    lab = bench.lab()
    assert "dog" in output_names(lab, "pocket", None)
    with pytest.raises(UserError, match=r"net\.py:make stand for is not known.*--classes"):
        output_names(lab, "net.py:make", None)
    names = tmp_path / "names.txt"
    names.write_text("a\nb\n")
    assert output_names(lab, "net.py:make", names) == ("a", "b")
