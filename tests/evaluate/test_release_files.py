"""Whose labels a file of the release holds, and its layers joined."""

from __future__ import annotations

from pathlib import Path

import pytest

from dnd_local.core.errors import UserError
from dnd_local.evaluate.release_files import join, read_release

SHARED = "layer,unit,description\nlayer1,0,sky\n"
SIMILAR = "layer,unit,description,similarity\nlayer1,0,sky,0.2\n"
DND = "Neuron ID,Label 1\n0,x\n"
DISSECTED = "unit,category,label,score\n1,object,sky,0.1\n"
OURS = "describer,target,layer,neuron,status,label_1,label_2,label_3\nnight,x,fc,0,described,a,,\n"


def write(folder: Path, name: str, text: str) -> str:
    (folder / name).write_text(text)
    return str(folder / name)


@pytest.mark.parametrize(
    ("name", "text", "describer"),
    [
        ("m_places365_resnet152_imagenet.csv", SHARED, "MILAN"),
        ("resnet152_imagenet.csv", SIMILAR, "CLIP-Dissect"),
        ("resnet152_imagenet_layer1.csv", DND, "DnD"),
        ("tally_layer1.csv", DISSECTED, "NetDissect"),
        ("descriptions.csv", OURS, "night"),
    ],
)
def test_the_format_and_the_releases_own_names_tell_a_describer(
    tmp_path: Path, name: str, text: str, describer: str
) -> None:
    read = read_release(write(tmp_path, name, text))
    assert read.table.describer == describer
    assert {row.describer for row in read.table.rows} == {describer}


@pytest.mark.parametrize(
    ("given", "describer"),
    [
        ("clip-dissect", "CLIP-Dissect"),
        ("MILAN", "MILAN"),
        ("dnd", "DnD"),
        ("my own", "my own"),
    ],
)
def test_a_describer_can_be_named(tmp_path: Path, given: str, describer: str) -> None:
    path = write(tmp_path, "resnet152_imagenet.csv", SHARED)
    assert read_release(f"{given}={path}").table.describer == describer


def test_a_file_that_two_describers_could_have_written_is_asked_about(tmp_path: Path) -> None:
    path = write(tmp_path, "resnet152_imagenet.csv", SHARED)
    with pytest.raises(UserError, match=f"whose labels it holds: milan={path} or clip-dissect="):
        read_release(path)


def test_an_equals_sign_may_be_part_of_a_files_name(tmp_path: Path) -> None:
    path = write(tmp_path, "seed=3.csv", OURS)
    assert read_release(path).table.describer == "night"


def test_the_releases_own_files_of_one_network_stand_side_by_side(tmp_path: Path) -> None:
    files = [
        write(tmp_path, "resnet152_imagenet_layer1.csv", DND),
        write(tmp_path, "resnet152_imagenet_layer2.csv", DND),
        write(tmp_path, "m_places365_resnet152_imagenet.csv", SHARED),
        f"clip-dissect={write(tmp_path, 'resnet152_imagenet.csv', SHARED)}",
    ]
    found = join([read_release(file) for file in files])
    assert [read.table.describer for read in found] == ["DnD", "MILAN", "CLIP-Dissect"]


def test_layers_of_one_describer_are_joined_and_a_layer_twice_is_refused(tmp_path: Path) -> None:
    one = read_release(write(tmp_path, "a_layer1.csv", DND))
    two = read_release(write(tmp_path, "a_layer2.csv", DND))
    (both,) = join([one, two])
    assert both.source == "a_layer1.csv, a_layer2.csv"
    assert [(row.describer, row.layer) for row in both.table.rows] == [
        ("DnD", "layer1"),
        ("DnD", "layer2"),
    ]
    with pytest.raises(UserError, match=r"a_layer1\.csv and a_layer1\.csv both describe layer1"):
        join([one, one])
