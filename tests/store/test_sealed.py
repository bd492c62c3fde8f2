"""Sealed JSON: whole and in its place, or not used."""

from __future__ import annotations

import msgspec
import pytest

from dnd_local.store.sealed import SEAL, sealed_text, unseal

VALUE = {"a": [1, 2.5], "b": {"c": "dög"}}


def test_a_value_comes_back_in_its_place_alone() -> None:
    data = sealed_text(VALUE, "run/a.json")
    assert unseal(data, dict, "run/a.json") == VALUE
    with pytest.raises(ValueError, match="its checksum does not fit"):
        unseal(data, dict, "run/b.json")


def test_any_changed_byte_is_found() -> None:
    data = sealed_text(VALUE, "a")
    for i in range(len(data)):
        for change in (0x01, 0x10, 0x80):
            spoilt = bytearray(data)
            spoilt[i] ^= change
            try:
                assert unseal(bytes(spoilt), dict, "a") == VALUE  # white space may change
            except ValueError:
                continue


@pytest.mark.parametrize("data", [b"", b"[]", b"{}", b"\xff", b'{"a":' * 100_000])
def test_what_is_no_sealed_object(data: bytes) -> None:
    with pytest.raises(ValueError, match=r"."):
        unseal(data, dict)


def test_a_whole_object_of_another_kind() -> None:
    with pytest.raises(msgspec.ValidationError):
        unseal(sealed_text({"a": "text"}, ""), dict[str, int])
    assert SEAL not in unseal(sealed_text({"a": 1}, ""), dict[str, int])
