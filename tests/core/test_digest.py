"""Keys and seeds: one text a value, and seeds that never change between releases."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dnd_local.core.config import Config, PicturesConfig
from dnd_local.core.digest import CHUNK_BYTES, canonical, file_sha256, key, seed, sha256
from dnd_local.core.records import Box

TEXT = st.text(alphabet=st.characters(exclude_categories=["Cs"]), max_size=10)
SCALAR = st.none() | st.booleans() | st.integers(-(2**53), 2**53) | TEXT
JSON = st.recursive(
    SCALAR, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXT, inner, max_size=4)
)


def test_the_text_is_sorted_without_spaces_in_utf8() -> None:
    assert canonical({"b": 1, "a": [1, 2.5, "é", None, True]}) == (
        '{"a":[1,2.5,"é",null,true],"b":1}'.encode()
    )


def test_a_record_and_a_dictionary_of_it_have_one_text() -> None:
    assert canonical(Box(1, 2, 3, 4)) == canonical({"top": 2, "left": 1, "bottom": 4, "right": 3})


@settings(max_examples=30)
@given(st.dictionaries(TEXT, JSON, max_size=6), st.randoms(use_true_random=False))
def test_the_order_of_keys_is_not_in_the_text(value: dict[str, object], random: object) -> None:
    items = list(value.items())
    random.shuffle(items)  # type: ignore[attr-defined]
    assert key(dict(items)) == key(value)


def test_every_setting_is_in_the_text() -> None:
    assert key(PicturesConfig(steps=20)) != key(PicturesConfig(steps=50))
    assert key(Config()) == key(Config())


def test_keys_are_pinned() -> None:
    # If one of these changes, every workspace in the world is computed again.
    assert key({"stage": "captions", "version": 1}) == (
        hashlib.sha256(b'{"stage":"captions","version":1}').hexdigest()
    )
    assert key(["é", 0.5]) == "1df5b744537b3e89d58b81f6e4c4881b4c341ea66ea2ff5461e3b3f65e8c534a"


def test_seeds_are_pinned() -> None:
    assert seed(0, "horse", "select", 3) == 159638971
    assert seed(7, "pocket", "layer4", 12, "draw", 0) == 1170696472
    assert seed() == 665446096


@given(st.lists(st.integers(-(2**53), 2**53) | TEXT, max_size=5))
def test_seeds_fit_31_bits_and_depend_on_nothing_else(parts: list[str | int]) -> None:
    assert 0 <= seed(*parts) < 2**31
    assert seed(*parts) == seed(*parts)


def test_seeds_tell_neighbours_and_kinds_apart() -> None:
    drawn = [seed(run, "horse", index) for run in range(40) for index in range(40)]
    assert len(set(drawn)) == len(drawn)
    assert len({seed("1", 2), seed(1, 2), seed("12"), seed(12), seed(1, "2"), seed("1", "2")}) == 6
    # Consecutive indices: every one of the 31 bits is set about half the time.
    for bit in range(31):
        share = sum(one >> bit & 1 for one in drawn) / len(drawn)
        assert 0.45 < share < 0.55


def test_a_file_is_hashed_in_pieces(tmp_path: Path) -> None:
    data = bytes(range(256)) * (CHUNK_BYTES // 256) + b"and a little more"
    path = tmp_path / "large.bin"
    path.write_bytes(data)
    assert file_sha256(path) == sha256(data) == hashlib.sha256(data).hexdigest()
    with pytest.raises(FileNotFoundError):
        file_sha256(tmp_path / "none")
