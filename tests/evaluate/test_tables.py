"""Every format people have, and everything that can be wrong with a file of it."""

from __future__ import annotations

from pathlib import Path

import pytest

from dnd_local.core.errors import UserError
from dnd_local.evaluate.tables import ReadTable, read_table


def write(folder: Path, text: str, name: str = "labels.csv", encoding: str = "utf-8") -> Path:
    path = folder / name
    path.write_text(text, encoding=encoding, newline="")
    return path


def labels(read: ReadTable) -> dict[tuple[str, int], tuple[str, ...]]:
    return {(row.layer, row.neuron): row.labels for row in read.table.rows}


def test_dnd_release_has_three_ranked_labels_and_its_layer_in_the_name(tmp_path: Path) -> None:
    text = "Neuron ID,Label 1,Label 2,Label 3\n50,snakes,reptiles,\n29,spirals,,\n"
    read = read_table(write(tmp_path, text, "net_layer4.csv"))
    assert labels(read) == {("layer4", 29): ("spirals",), ("layer4", 50): ("snakes", "reptiles")}
    assert read.format == "DnD release"
    assert read.notes == ("no layer column: 'layer4' taken from the file's name",)
    assert read.summary() == (
        "net_layer4.csv: DnD release, 2 neurons (layer4), 2 with a label, utf-8"
    )


def test_dnd_last_layer(tmp_path: Path) -> None:
    read = read_table(write(tmp_path, "Neuron ID,label\n0,fish\n1,sharks\n", "rn50_fc.csv"))
    assert labels(read) == {("fc", 0): ("fish",), ("fc", 1): ("sharks",)}


def test_milan_names_layers_in_a_column(tmp_path: Path) -> None:
    text = "layer,unit,description\nlayer1,3,Eyes\nfc,0,Living things\n"
    assert labels(read_table(write(tmp_path, text))) == {
        ("layer1", 3): ("Eyes",),
        ("fc", 0): ("Living things",),
    }


def test_three_annotators_are_three_labels_of_one_neuron(tmp_path: Path) -> None:
    text = 'layer,unit,summary\nlayer3,2,eyes\nlayer3,2,"dogs, cats"\nlayer3,2,eyes\n'
    read = read_table(write(tmp_path, text))
    assert labels(read) == {("layer3", 2): ("eyes", "dogs, cats", "eyes")}
    assert read.stacked == "annotations"
    assert "annotations a neuron: 3" in read.notes


def test_clip_dissect_has_scores(tmp_path: Path) -> None:
    text = "layer,unit,description,similarity\nlayer4,0,shoes,0.5\n"
    (row,) = read_table(write(tmp_path, text)).table.rows
    assert (row.labels, row.scores) == (("shoes",), (0.5,))


def test_netdissect_counts_from_one_and_its_scene_suffix_is_no_word(tmp_path: Path) -> None:
    text = "unit,category,label,score,extra\n1,scene,game_room-s,0.1,x\n2,object,cat,0.2,y\n"
    read = read_table(write(tmp_path, text, "net_layer4.csv"))
    assert labels(read) == {("layer4", 0): ("game room",), ("layer4", 1): ("cat",)}
    assert any("counts neurons from 1" in note for note in read.notes)


def test_our_own_tables_come_back_with_describer_scores_and_status(tmp_path: Path) -> None:
    header = "describer,target,layer,neuron,status,label_1,score_1,label_2,score_2,label_3,score_3"
    text = f"{header}\nmine,net,fc,0,described,'=dog,0.5,cat,-1.5,,\nmine,net,fc,1,dead,,,,,,\n"
    read = read_table(write(tmp_path, text))
    first, second = read.table.rows
    assert read.table.describer == "mine"
    assert (first.target, first.labels, first.scores) == ("net", ("=dog", "cat"), (0.5, -1.5))
    assert (second.status, second.labels) == ("dead", ())


@pytest.mark.parametrize("delimiter", [",", ";", "\t"])
def test_any_usual_delimiter(tmp_path: Path, delimiter: str) -> None:
    text = f"Neuron ID{delimiter}label\n7{delimiter}dog\n"
    assert labels(read_table(write(tmp_path, text), layer="fc")) == {("fc", 7): ("dog",)}


@pytest.mark.parametrize(
    ("encoding", "said"),
    [("utf-8-sig", "utf-8-sig"), ("latin-1", "latin-1"), ("utf-16", "utf-16")],
)
def test_encodings_are_told_apart(tmp_path: Path, encoding: str, said: str) -> None:
    path = write(tmp_path, "Neuron ID,label\n0,café\n", "x_fc.csv", encoding)
    read = read_table(path)
    assert (labels(read), read.encoding) == ({("fc", 0): ("café",)}, said)
    assert any("not UTF-8" in note for note in read.notes) is (said != "utf-8-sig")


def test_windows_line_ends_header_case_and_spreadsheet_ids(tmp_path: Path) -> None:
    text = "NEURON  id,Label\r\n3.0, a  dog \r\n\r\n"
    assert labels(read_table(write(tmp_path, text, "x_fc.csv"))) == {("fc", 3): ("a dog",)}


def test_an_empty_label_abstains_and_is_counted(tmp_path: Path) -> None:
    read = read_table(write(tmp_path, "Neuron ID,label\n0,dog\n1,\n2\n", "x_fc.csv"))
    assert [row.status for row in read.table.rows] == ["described", "abstained", "abstained"]
    assert "2 neurons with an empty label: in no figure" in read.notes


def test_a_repeated_line_counts_once(tmp_path: Path) -> None:
    read = read_table(write(tmp_path, "Neuron ID,label\n0,dog\n0,dog\n", "x_fc.csv"))
    assert labels(read) == {("fc", 0): ("dog",)}
    assert "1 line said the same as another and counted once" in read.notes


def test_layer_chooses_among_several(tmp_path: Path) -> None:
    path = write(tmp_path, "layer,unit,description\na,0,x\nb,0,y\n")
    assert labels(read_table(path, layer="b")) == {("b", 0): ("y",)}


def test_without_a_layer_anywhere_it_says_so(tmp_path: Path) -> None:
    read = read_table(write(tmp_path, "Neuron ID,label\n0,dog\n"))
    assert "match by number alone" in read.notes[0]


def test_a_score_that_is_no_number_is_unknown(tmp_path: Path) -> None:
    text = "layer,unit,description,similarity\nfc,0,dog,high\nfc,1,cat,\n"
    one, other = read_table(write(tmp_path, text)).table.rows
    assert one.scores[0] != one.scores[0]
    assert other.scores == ()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "is empty"),
        ("a,b\n1,2\n", "has the header 'a,b', which is no known format"),
        ("Neuron ID,label\n", "has no row under its header"),
        ("Neuron ID,label\n0,dog\n0,cat\n", "described twice, differently, on lines 2 and 3"),
        ("Neuron ID,label\nx,dog\n", "line 2: neuron id 'x' is not a whole number"),
        ("Neuron ID,label\n-1,dog\n", "neuron id '-1' is not a whole number"),
        ("Neuron ID,label\n0,dog,cat\n", "line 2: 3 cells under 2 columns"),
        ("unit,category,label,score\n0,a,b,1\n", "NetDissect counts from 1, found 0"),
        ("Neuron ID,label\n0,a\0\n", "not a text file"),
        ("Neuron ID,label\n" + "9" * 5000 + ",dog\n", "999' is too long"),
        ('Neuron ID,label\n0,"dog\n1,cat\n', "line 3: a double quote is never closed"),
        ("\x1b[2J,b\n", "has the header '?[2J,b'"),
        (
            "describer,target,layer,neuron,status,label_1,label_2,label_3\n"
            "a,,fc,0,described,x,,\nb,,fc,1,described,y,,\n",
            "holds several describers",
        ),
    ],
)
def test_what_cannot_be_read_is_refused_in_one_line(
    tmp_path: Path, text: str, message: str
) -> None:
    with pytest.raises(UserError, match=r"labels\.csv") as refused:
        read_table(write(tmp_path, text))
    assert message in str(refused.value)
    assert "\n" not in str(refused.value)


def test_a_layer_that_is_not_there_is_refused(tmp_path: Path) -> None:
    path = write(tmp_path, "layer,unit,description\na,0,x\n")
    with pytest.raises(UserError, match="no row of layer 'fc'"):
        read_table(path, layer="fc")


def test_a_missing_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="cannot read"):
        read_table(tmp_path / "none.csv")


def test_a_cell_longer_than_csv_allows_is_refused(tmp_path: Path) -> None:
    path = write(tmp_path, "Neuron ID,label\n0," + "x" * 200_000 + "\n")
    with pytest.raises(UserError, match="line 2: field larger"):
        read_table(path)


@pytest.mark.parametrize("encoding", ["utf-16", "utf-32"])
def test_a_wide_encoding_that_is_cut_short_or_wider_is_no_text(
    tmp_path: Path, encoding: str
) -> None:
    data = "Neuron ID,label\n0,dog\n".encode(encoding)
    path = tmp_path / "labels.csv"
    path.write_bytes(data[:-1] if encoding == "utf-16" else data)
    with pytest.raises(UserError, match="not a text file"):
        read_table(path)
