"""Pins: made once, held to, and bound to the source they were made from."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dnd_local.core.errors import BadConfig, DamagedFile
from dnd_local.store.pins import Pin, Pins, parse_pins, source_text
from tests.store.hub import REPOSITORY, REVISION, entry, manifest


def pin(**changes) -> Pin:
    values = {
        "id": "model",
        "path": "f",
        "source": f"{REPOSITORY}@{REVISION}",
        "size": 1,
        "sha256": "a" * 64,
    }
    return Pin(**{**values, **changes})


MODEL = manifest(entry(files={"f": b"x"}, known=False)).entries[0]


def test_pins_are_written_and_read_back(tmp_path):
    path = tmp_path / "folder" / "weights.lock.json"
    Pins.read(path).add([pin(), pin(path="g", origin="b" * 64)])
    again = Pins.read(path)
    assert again.every() == (pin(), pin(path="g", origin="b" * 64))
    assert again.find(MODEL, "f") == pin()
    assert again.find(MODEL, "h") is None


def test_a_pin_counts_only_for_the_source_it_was_made_from(tmp_path):
    pins = Pins(tmp_path / "lock", [pin(source=f"{REPOSITORY}@{'f' * 40}")])
    assert pins.find(MODEL, "f") is None
    pins.add([pin()])
    assert pins.find(MODEL, "f") == pin()


def test_another_hash_from_the_same_source_is_refused(tmp_path):
    pins = Pins(tmp_path / "lock", [pin()])
    pins.add([pin()])
    with pytest.raises(DamagedFile, match=r"model: f has sha256 bbbb.*pins aaaa"):
        pins.add([pin(sha256="b" * 64)])


def test_an_id_can_be_forgotten(tmp_path):
    pins = Pins(tmp_path / "lock", [pin(), pin(id="other")])
    pins.forget("model")
    assert Pins.read(tmp_path / "lock").every() == (pin(id="other"),)


def test_a_lock_that_cannot_be_read_is_one_line(tmp_path):
    with pytest.raises(BadConfig, match="cannot read"):
        Pins.read(tmp_path)


@given(st.binary(max_size=100))
def test_any_bytes_parse_or_fail_with_our_error(data: bytes):
    with pytest.raises(BadConfig):
        parse_pins(data, "lock")


def test_each_kind_of_source_has_its_own_text():
    url = manifest(entry(files={"f": b""}, source={"kind": "url", "base": "http://h/a/"}))
    user = manifest(entry(files={"f": b""}, source={"kind": "user", "page": "http://h/a"}))
    assert source_text(url.entries[0]) == "http://h/a/"
    assert len(source_text(user.entries[0])) == 64
