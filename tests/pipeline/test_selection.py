"""Which neurons: read as people write them, refused with the value that is wrong."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dnd_local.core.errors import BadConfig, UnknownName, UserError
from dnd_local.core.records import LayerInfo
from dnd_local.pipeline.selection import Selection, read_selection

LAYERS = (
    LayerInfo("layer3", "Sequential", (8, 4, 4), 8, True),
    LayerInfo("layer4", "Sequential", (16, 2, 2), 16, True),
)


@pytest.mark.parametrize(
    ("text", "ids"),
    [
        ("3", (3,)),
        ("3,1,2", (1, 2, 3)),
        ("0-3", (0, 1, 2, 3)),
        ("5,0-2,1", (0, 1, 2, 5)),
        (" 1 , 2 - 3 ", None),
        (" 1 , 2-3 ", (1, 2, 3)),
        ("4-4", (4,)),
        (" all ", None),
    ],
)
def test_ids(text: str, ids: tuple[int, ...] | None) -> None:
    if text.strip() != "all" and ids is None:
        with pytest.raises(BadConfig):
            read_selection("a", text)
    else:
        assert read_selection("a", text).ids == ids


@pytest.mark.parametrize(
    ("text", "part"),
    [("", "''"), ("1,,2", "''"), ("x", "'x'"), ("-1", "'-1'"), ("1-", "'1-'"), ("1.5", "'1.5'"),
     ("1-2-3", "'1-2-3'"), ("²", "'²'"), ("all,1", "'all'")],
)  # fmt: skip
def test_ids_that_cannot_be_read(text: str, part: str) -> None:
    with pytest.raises(BadConfig, match=f"cannot read {part}; write 1,2,3 or 0-63 or all"):
        read_selection("a", text)


def test_a_range_that_runs_backwards() -> None:
    with pytest.raises(BadConfig, match=r"ids '9-3': the range '9-3' runs backwards"):
        read_selection("a", "9-3")


@given(st.sets(st.integers(0, 300), min_size=1))
def test_what_is_listed_is_what_is_read(ids: set[int]) -> None:
    assert read_selection("a", ",".join(map(str, ids))).ids == tuple(sorted(ids))


def test_layers() -> None:
    assert read_selection("a, b.c,a", "1").layers == ("a", "b.c")
    for text in ("", "a,", ",a", " "):
        with pytest.raises(BadConfig, match="has an empty name; write for example layer3,layer4"):
            read_selection(text, "1")


def test_a_selection_is_checked_against_the_network() -> None:
    Selection(("layer3", "layer4"), (0, 7)).check(LAYERS)
    Selection(("layer3",)).check(LAYERS)
    with pytest.raises(UnknownName, match=r"unknown layer 'layer5'. Did you mean layer4, layer3"):
        Selection(("layer5",), (0,)).check(LAYERS)
    with pytest.raises(UserError, match=r"layer3 has 8 neurons \(0 to 7\), so none has the id 8"):
        Selection(("layer4", "layer3"), (0, 8, 9)).check(LAYERS)


def test_all_means_every_neuron_of_each_layer() -> None:
    counts = {"layer3": 2, "layer4": 3}
    assert Selection(("layer4", "layer3")).resolve(counts) == {
        "layer4": (0, 1, 2), "layer3": (0, 1),
    }  # fmt: skip
    assert Selection(("layer3",), (1,)).resolve(counts) == {"layer3": (1,)}


@pytest.mark.parametrize("ids", ["0-999999999999", "9999999", "1," * 9 + "9" * 9000, "x" * 9000])
def test_ids_beyond_any_layer_are_refused_at_once(ids: str) -> None:
    with pytest.raises(BadConfig, match=r"no layer has a neuron|cannot read") as caught:
        read_selection("layer4", ids)
    assert len(str(caught.value)) < 300


def test_ids_of_a_file(tmp_path: Path) -> None:
    file = tmp_path / "figure-3"
    file.write_text("# the neurons of a figure\n3, 1\n\n8-9  # two more\n4 5\n7,\n")
    assert read_selection("a", f" @{file} ").ids == (1, 3, 4, 5, 7, 8, 9)
    file.write_text("all")
    assert read_selection("a", f"@{file}").ids is None


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (None, "No such file"),
        (b"# none\n", "holds no id"),
        (b"\xff", "it is no text in UTF-8"),
        (b"1,x", "cannot read 'x'"),
    ],
)
def test_a_file_without_ids_is_refused(tmp_path: Path, content: bytes | None, reason: str) -> None:
    file = tmp_path / "ids"
    if content is not None:
        file.write_bytes(content)
    with pytest.raises(BadConfig, match=reason):
        read_selection("a", f"@{file}")


def test_with_latents_it_is_said_which_layers_fit() -> None:
    layers = [LayerInfo("layer4:sae", "latents of Sequential", (300, 8, 8), 300, True)]
    selection = read_selection("layer1", "0").through("sae")
    assert selection.layers == ("layer1:sae",)
    assert read_selection("layer1", "0").through("") == read_selection("layer1", "0")
    with pytest.raises(UnknownName, match="as many neurons as the encoder reads"):
        selection.check(layers)
