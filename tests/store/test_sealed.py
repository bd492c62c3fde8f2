"""Sealed JSON: whole and in its place, or not used."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from dnd_local.store import sealed
from dnd_local.store.sealed import (
    BESIDE,
    SEAL,
    read_beside,
    sealed_text,
    unseal,
    write_beside,
)

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


def test_a_file_beside_its_seal_stays_what_it_is(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    write_beside(path, b"x,y\n", "run/a.csv")
    assert path.read_bytes() == read_beside(path, "run/a.csv") == b"x,y\n"
    write_beside(path, b"z\n", "run/a.csv")
    assert read_beside(path, "run/a.csv") == b"z\n"
    with pytest.raises(ValueError, match="its checksum does not fit"):
        read_beside(path, "another/a.csv")
    path.with_name(path.name + BESIDE).unlink()
    assert read_beside(path, "another/a.csv") == b"z\n"
    path.unlink()
    with pytest.raises(FileNotFoundError):
        read_beside(path, "run/a.csv")


def test_every_flipped_byte_beside_a_seal_is_found(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    write_beside(path, b"neuron,label\n1,dog\n", "")
    whole = path.read_bytes()
    for i in range(len(whole)):
        path.write_bytes(whole[:i] + bytes([whole[i] ^ 4]) + whole[i + 1 :])
        with pytest.raises(ValueError, match="it was changed"):
            read_beside(path, "")
    path.write_bytes(whole)
    seal = path.with_name(path.name + BESIDE)
    seal.write_bytes(sealed_text({"other": "entry"}, ""))
    with pytest.raises(ValueError, match="it was changed"):
        read_beside(path, "")


def test_a_file_that_is_written_while_it_is_read(tmp_path: Path, monkeypatch) -> None:
    path = tmp_path / "a.csv"
    write_beside(path, b"old", "")
    read, left = sealed.read_whole, [1]

    def reading(asked: Path) -> bytes:
        data = read(asked)
        if asked.name.endswith(BESIDE) and left:
            left.pop()
            write_beside(path, b"new", "")
        return data

    monkeypatch.setattr(sealed, "read_whole", reading)
    assert read_beside(path, "") == b"new"


def test_a_crash_between_file_and_seal_leaves_a_whole_file(tmp_path: Path, monkeypatch) -> None:
    path = tmp_path / "a.csv"
    write_beside(path, b"old", "")
    write = sealed.write_atomic

    def stopping(where: Path, data: bytes) -> None:
        if where.name.endswith(BESIDE):
            raise KeyboardInterrupt
        write(where, data)

    monkeypatch.setattr(sealed, "write_atomic", stopping)
    with pytest.raises(KeyboardInterrupt):
        write_beside(path, b"new", "")
    assert read_beside(path, "") == b"new"
