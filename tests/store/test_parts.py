"""Parts: whole or not at all, and never a record that nobody wrote."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import msgspec
import numpy as np
import pytest
import safetensors.numpy
from hypothesis import given
from hypothesis import strategies as st

from dnd_local.core.digest import canonical, sha256
from dnd_local.core.errors import DamagedFile
from dnd_local.core.records import Captions, LayerTriage, Neuron, Responses, SkippedImage
from dnd_local.store.parts import PartFolder, file_stem

KEY = "ab" * 32
CAPTIONS = Captions(Neuron("net", "layer4", 3), ("a small dög", "", 'a "cat"\\'))
RESPONSES = Responses(
    "layer4",
    6,
    np.array([[0.5, -1.25], [np.nan, np.nan], [65504.0, 6e-8]], dtype=np.float16),
    (SkippedImage(7, "dög.png", "cut off"),),
)


def captions(root: Path) -> PartFolder[Captions]:
    return PartFolder(root, "captions", KEY, Captions)


def responses(root: Path) -> PartFolder[Responses]:
    return PartFolder(root, "responses", KEY, Responses)


def same(one: Responses, other: Responses) -> bool:
    facts = (one.layer, one.first, one.skipped, one.values.dtype)
    return facts == (other.layer, other.first, other.skipped, other.values.dtype) and (
        one.values.tobytes() == other.values.tobytes()
    )


def test_a_record_comes_back_as_it_was(tmp_path: Path) -> None:
    captions(tmp_path).write("layer4-00003", CAPTIONS)
    assert captions(tmp_path).read("layer4-00003") == CAPTIONS
    assert (tmp_path / f"captions-{KEY[:16]}" / "layer4-00003.json").is_file()


def test_a_chunk_of_responses_comes_back_as_it_was(tmp_path: Path) -> None:
    responses(tmp_path).write("layer4-00002", RESPONSES)
    assert same(responses(tmp_path).read("layer4-00002"), RESPONSES)
    assert (tmp_path / f"responses-{KEY[:16]}" / "layer4-00002.safetensors").is_file()


def test_a_chunk_in_float32_comes_back_as_it_was(tmp_path: Path) -> None:
    wide = Responses("layer4", 0, np.array([[1e9, 1000.01]], dtype=np.float32))
    responses(tmp_path).write("layer4-00000", wide)
    assert same(responses(tmp_path).read("layer4-00000"), wide)


def test_a_chunk_has_the_same_bytes_each_time(tmp_path: Path) -> None:
    made = set()
    for _ in range(20):
        responses(tmp_path).write("a", RESPONSES)
        made.add(responses(tmp_path).path("a").read_bytes())
    assert len(made) == 1


def test_responses_that_are_a_view_are_stored_in_their_own_order(tmp_path: Path) -> None:
    turned = Responses("a", 0, np.arange(6, dtype=np.float16).reshape(2, 3).T)
    responses(tmp_path).write("a", turned)
    assert np.array_equal(responses(tmp_path).read("a").values, turned.values)


def test_a_triage_from_before_responses_could_be_float32_is_read(tmp_path: Path) -> None:
    folder = PartFolder(tmp_path, "triage", KEY, LayerTriage)
    now = LayerTriage("fc", (), 3, 1)
    folder.write("fc", now)
    envelope = json.loads(folder.path("fc").read_bytes())
    del envelope["record"]["kept_as"]
    of, record = canonical(envelope["of"]), canonical(envelope["record"])
    old = b'{"of":%s,"sha256":"%s","record":%s}' % (of, sha256(of + record).encode(), record)
    folder.path("fc").write_bytes(old)
    assert folder.read("fc") == now


def test_what_is_missing_is_named_in_order(tmp_path: Path) -> None:
    folder = captions(tmp_path)
    assert folder.missing(["b", "a"]) == ["b", "a"]
    folder.write("b", CAPTIONS)
    assert folder.missing(["c", "b", "a"]) == ["c", "a"]


def test_whether_anything_was_made(tmp_path: Path) -> None:
    for folder, record in ((captions(tmp_path), CAPTIONS), (responses(tmp_path), RESPONSES)):
        assert not folder.any_made()
        folder.describe({})
        (folder.folder / ".a.json.x.tmp").write_bytes(b"half")
        assert not folder.any_made()
        folder.write("a", record)
        assert folder.any_made()


def test_another_key_or_kind_of_part_does_not_count(tmp_path: Path) -> None:
    captions(tmp_path).write("a", CAPTIONS)
    other = PartFolder(tmp_path, "captions", "cd" * 32, Captions)
    assert other.missing(["a"]) == ["a"]
    (captions(tmp_path).folder / ".a.json.x.tmp").write_bytes(b"half")
    assert captions(tmp_path).missing(["a", "x"]) == ["x"]


def test_the_key_is_explained_once(tmp_path: Path) -> None:
    folder = captions(tmp_path)
    meaning = {"stage": "captions", "version": 1}
    folder.describe(meaning)
    path = folder.folder / "key.json"
    before = path.stat().st_mtime_ns
    assert msgspec.json.decode(path.read_bytes()) == {"key": KEY, "of": meaning}
    folder.describe(meaning)
    assert path.stat().st_mtime_ns == before


def test_a_damaged_explanation_of_a_key_is_written_again(tmp_path: Path) -> None:
    folder = captions(tmp_path)
    folder.describe({"version": 1})
    path = folder.folder / "key.json"
    whole = path.read_bytes()
    path.write_bytes(whole[:-3])
    folder.describe({"version": 1})
    assert path.read_bytes() == whole


def test_a_folder_in_the_place_of_a_part_is_no_part(tmp_path: Path) -> None:
    for folder, record in folders(tmp_path):
        folder.path("a").mkdir(parents=True)
        assert folder.missing(["a"]) == ["a"]
        assert not folder.any_made()
        (folder.path("a") / "mine.txt").touch()
        with pytest.raises(OSError, match="not empty"):
            folder.write("a", record)  # type: ignore[arg-type]
        (folder.path("a") / "mine.txt").unlink()
        folder.write("a", record)  # type: ignore[arg-type]
        assert folder.missing(["a"]) == []


def test_an_item_called_key_has_a_file_of_its_own(tmp_path: Path) -> None:
    folder = captions(tmp_path)
    folder.describe({})
    assert folder.missing(["key"]) == ["key"]
    folder.write("key", CAPTIONS)
    assert folder.read("key") == CAPTIONS


@given(st.lists(st.text(max_size=12), unique=True, min_size=2, max_size=2))
def test_names_make_different_file_names_within_one_folder(names: list[str]) -> None:
    one, other = map(file_stem, names)
    assert one != other
    assert "/" not in one
    assert one.isascii()


def test_a_part_that_is_gone(tmp_path: Path) -> None:
    for folder in (captions(tmp_path), responses(tmp_path)):
        with pytest.raises(DamagedFile, match="is gone; run the same command again"):
            folder.read("a")


@pytest.mark.parametrize("change", [0x01, 0x80, 0x20])
def test_any_changed_byte_of_a_json_part_is_found(tmp_path: Path, change: int) -> None:
    folder = captions(tmp_path)
    folder.write("a", CAPTIONS)
    whole = folder.path("a").read_bytes()
    for i in range(len(whole)):
        spoilt = bytearray(whole)
        spoilt[i] ^= change
        folder.path("a").write_bytes(bytes(spoilt))
        with pytest.raises(DamagedFile, match="is damaged; delete it"):
            folder.read("a")


@pytest.mark.parametrize("change", [0x01, 0x02, 0x80, 0x0F])
def test_no_changed_byte_of_a_responses_part_gives_another_record(
    tmp_path: Path, change: int
) -> None:
    folder = responses(tmp_path)
    folder.write("a", RESPONSES)
    whole = folder.path("a").read_bytes()
    found = 0
    for i in range(len(whole)):
        spoilt = bytearray(whole)
        spoilt[i] ^= change
        folder.path("a").write_bytes(bytes(spoilt))
        try:
            assert same(folder.read("a"), RESPONSES)  # padding may change
        except DamagedFile:
            found += 1
    assert found >= len(whole) - 8


@pytest.mark.parametrize("kept", [0.0, 0.03, 0.2, 0.5, 0.99])
def test_a_part_that_was_cut_off_is_found(tmp_path: Path, kept: float) -> None:
    captions(tmp_path).write("a", CAPTIONS)
    responses(tmp_path).write("a", RESPONSES)
    for folder in (captions(tmp_path), responses(tmp_path)):
        path = folder.path("a")
        whole = path.read_bytes()
        path.write_bytes(whole[: int(len(whole) * kept)])
        with pytest.raises(DamagedFile, match="is damaged"):
            folder.read("a")


def folders(root: Path) -> list[tuple[PartFolder[Captions] | PartFolder[Responses], object]]:
    return [(captions(root), CAPTIONS), (responses(root), RESPONSES)]


def test_a_part_nested_beyond_reason_is_damaged(tmp_path: Path) -> None:
    captions(tmp_path).write("a", CAPTIONS)
    captions(tmp_path).path("a").write_bytes(b'{"record":' + b"[" * 100_000)
    with pytest.raises(DamagedFile, match="is damaged"):
        captions(tmp_path).read("a")


def test_a_whole_part_of_another_item_is_no_part_of_this_one(tmp_path: Path) -> None:
    for folder, record in folders(tmp_path):
        folder.write("layer4-00002", record)  # type: ignore[arg-type]
        shutil.copy(folder.path("layer4-00002"), folder.path("layer4-00001"))
        wanted = f"layer4-00001.* belongs elsewhere, to {folder.stage} layer4-00002 under key abab"
        with pytest.raises(DamagedFile, match=wanted):
            folder.read("layer4-00001")


def test_a_whole_part_of_another_key_is_no_part_under_this_one(tmp_path: Path) -> None:
    other = KEY[:16] + "cd" * 24  # even where the folder's name is the same
    for folder, record in folders(tmp_path):
        PartFolder(tmp_path, folder.stage, other, type(record)).write("a", record)
        with pytest.raises(DamagedFile, match="belongs elsewhere"):
            folder.read("a")


def test_a_whole_part_of_another_stage_is_no_part_of_this_one(tmp_path: Path) -> None:
    for folder, record in folders(tmp_path):
        other = PartFolder(tmp_path, "phrases", KEY, type(record))
        other.write("a", record)
        folder.folder.mkdir()
        shutil.copy(other.path("a"), folder.path("a"))
        with pytest.raises(DamagedFile, match="belongs elsewhere, to phrases a under key"):
            folder.read("a")


def test_the_digits_of_a_folder_are_enough_to_read_its_parts(tmp_path: Path) -> None:
    captions(tmp_path).write("a", CAPTIONS)
    assert PartFolder(tmp_path, "captions", KEY[:16], Captions).read("a") == CAPTIONS


def test_a_part_of_an_older_version_says_what_to_do(tmp_path: Path) -> None:
    """Until parts wrote down what they belong to, a checksum covered the record alone."""
    body = canonical(CAPTIONS)
    captions(tmp_path).folder.mkdir()
    old = b'{"sha256":"%s","record":%s}' % (sha256(body).encode(), body)
    captions(tmp_path).path("a").write_bytes(old)
    about = {"layer": "a", "first": 0, "skipped": [], "sha256": "0" * 64}
    responses(tmp_path).folder.mkdir()
    responses(tmp_path).path("a").write_bytes(
        safetensors.numpy.save(
            {"values": RESPONSES.values}, metadata={"about": canonical(about).decode()}
        )
    )
    for folder, _ in folders(tmp_path):
        with pytest.raises(DamagedFile, match=f"older version.*; delete {tmp_path} and run"):
            folder.read("a")


WRITER = """
import sys
from pathlib import Path
from dnd_local.core.records import Captions, Neuron
from dnd_local.store.parts import PartFolder
folder = PartFolder(Path(sys.argv[1]), "captions", "ab" * 32, Captions)
own, print_ready = sys.argv[2], True
i = 0
while True:
    name = f"item-{i % 50}"
    folder.write(name, Captions(Neuron("net", name, i), (own * 20000,)))
    if print_ready:
        print("ready", flush=True)
        print_ready = False
    i += 1
"""


def start_writer(root: Path, own: str) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-c", WRITER, str(root), own]
    writer = subprocess.Popen(command, stdout=subprocess.PIPE)
    assert writer.stdout is not None
    assert writer.stdout.readline() == b"ready\n"
    return writer


def parts_of(root: Path) -> list[Captions]:
    names = [path.stem for path in captions(root).folder.iterdir() if path.suffix == ".json"]
    return [captions(root).read(name) for name in names]


def test_a_writer_that_is_killed_leaves_no_half_part(tmp_path: Path) -> None:
    for pause in (0.0, 0.003, 0.02):
        with start_writer(tmp_path, "x") as writer:
            time.sleep(pause)
            os.kill(writer.pid, signal.SIGKILL)
        assert all(set(part.texts[0]) == {"x"} for part in parts_of(tmp_path))


def test_two_writers_of_the_same_part_leave_one_of_theirs(tmp_path: Path) -> None:
    with start_writer(tmp_path, "x") as one, start_writer(tmp_path, "y") as other:
        for _ in range(20):
            assert all(len(set(part.texts[0])) == 1 for part in parts_of(tmp_path))
            time.sleep(0.005)
        one.kill()
        other.kill()
    assert {part.texts[0][0] for part in parts_of(tmp_path)} <= {"x", "y"}
