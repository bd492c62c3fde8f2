"""Probe sets by name, joined, from functions; held-out shares; reading ahead."""

from __future__ import annotations

import hashlib
import threading
import time
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from dnd_local.core.errors import BadConfig, DamagedFile, UnknownName, UserError
from dnd_local.core.protocols import ProbeSet, UnreadableImage
from dnd_local.core.records import Pixels, SkippedImage
from dnd_local.store.probe_folder import FolderProbe
from dnd_local.store.probe_sets import (
    AHEAD,
    KNOWN_SETS,
    FunctionProbe,
    JoinedProbe,
    Prepared,
    holdout_mask,
    open_probe,
    read_ahead,
    read_one,
    read_record,
)

NOTHING: Mapping[str, Callable[[], ProbeSet]] = {}


def drawn(index: int) -> Pixels:
    return np.full((2, 3, 3), index % 256, dtype=np.uint8)


def made(count: int, digest: str = "d" * 64) -> FunctionProbe:
    return FunctionProbe(digest, count, lambda index: f"made-{index}", drawn)


def folder(root: Path, *names: str) -> Path:
    root.mkdir(parents=True)
    for i, name in enumerate(names):
        Image.new("RGB", (3, 2), (i, i, i)).save(root / name)
    return root


# ---- made and joined ----------------------------------------------------------------------------


def test_a_set_made_by_functions() -> None:
    probe: ProbeSet = made(5)
    assert (len(probe), probe.digest, probe.name(2)) == (5, "d" * 64, "made-2")
    assert probe.pixels(3)[0, 0].tolist() == [3, 3, 3]


def test_joined_sets_follow_each_other() -> None:
    probe: ProbeSet = JoinedProbe([("one", made(2)), ("none", made(0)), ("two", made(3))])
    assert len(probe) == 5
    assert [probe.name(i) for i in range(5)] == [
        "one/made-0", "one/made-1", "two/made-0", "two/made-1", "two/made-2",
    ]  # fmt: skip
    assert [int(probe.pixels(i)[0, 0, 0]) for i in range(5)] == [0, 1, 0, 1, 2]


@pytest.mark.parametrize("index", [-1, 5, 99])
def test_a_joined_set_ends_where_it_ends(index: int) -> None:
    with pytest.raises(IndexError, match=f"probe image {index} of 5"):
        JoinedProbe([("one", made(2)), ("two", made(3))]).pixels(index)


def test_joining_nothing_is_empty() -> None:
    assert len(JoinedProbe([])) == 0


def test_the_joined_digest_tells_of_sets_names_and_order() -> None:
    one, two = made(2, "1" * 64), made(2, "2" * 64)
    digests = {
        JoinedProbe([("a", one), ("b", two)]).digest,
        JoinedProbe([("b", two), ("a", one)]).digest,
        JoinedProbe([("a", two), ("b", one)]).digest,
        JoinedProbe([("a", one), ("c", two)]).digest,
        JoinedProbe([("a", one)]).digest,
    }
    assert len(digests) == 5
    assert JoinedProbe([("a", one)]).digest == JoinedProbe([("a", made(2, "1" * 64))]).digest


# ---- opening ------------------------------------------------------------------------------------


def opened(tmp_path: Path, *spec: str, **named: Callable[[], ProbeSet]) -> ProbeSet:
    return open_probe(spec, tmp_path / "data", tmp_path / "cache", named)


def test_a_folder_is_opened_as_it_is(tmp_path: Path) -> None:
    probe = opened(tmp_path, str(folder(tmp_path / "mine", "b.png", "a.png")))
    assert isinstance(probe, FolderProbe)
    assert probe.name(0) == "a.png"


def test_several_are_joined_in_the_order_given(tmp_path: Path) -> None:
    mine = str(folder(tmp_path / "mine", "a.png"))
    probe = opened(tmp_path, "pocket", mine, pocket=lambda: made(2))
    assert [probe.name(i) for i in range(len(probe))] == [
        "pocket/made-0", "pocket/made-1", "mine/a.png",
    ]  # fmt: skip
    assert probe.digest != opened(tmp_path, mine, "pocket", pocket=lambda: made(2)).digest


def test_folders_of_one_name_are_told_apart(tmp_path: Path) -> None:
    paths = [str(folder(tmp_path / place / "images", "a.png")) for place in ("x", "y", "z")]
    probe = opened(tmp_path, *paths)
    assert [probe.name(i) for i in range(3)] == [
        "images/a.png", "images-2/a.png", "images-3/a.png",
    ]  # fmt: skip


def test_every_set_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"(?s)prepare imagenet-val.*\n.*prepare broden"):
        opened(tmp_path, "imagenet-val", "broden")


def test_a_set_is_given_once(tmp_path: Path) -> None:
    with pytest.raises(BadConfig, match="probe set 'pocket' is given twice"):
        opened(tmp_path, "pocket", "pocket", pocket=lambda: made(2))


def test_a_name_goes_before_a_folder_and_is_made_only_when_asked_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder(tmp_path / "pocket", "a.png")
    monkeypatch.chdir(tmp_path)

    def never() -> ProbeSet:
        raise AssertionError

    assert len(opened(tmp_path, "pocket", pocket=lambda: made(7), other=never)) == 7
    assert len(opened(tmp_path, "./pocket", pocket=never)) == 1


def test_a_folder_may_be_named_from_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder(tmp_path / "mine", "a.png")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert len(opened(tmp_path, "~/mine")) == 1


@pytest.mark.parametrize("name", KNOWN_SETS)
def test_a_set_that_is_missing_says_what_to_do(tmp_path: Path, name: str) -> None:
    with pytest.raises(UserError) as caught:
        opened(tmp_path, name)
    message, known = str(caught.value), KNOWN_SETS[name]
    assert caught.value.exit_code == 2
    assert f"probe set '{name}' is not in {tmp_path / 'data' / name}" in message
    assert f"{known.images:,} images" in message
    assert f"about {known.gigabytes:g} GB" in message
    assert f"dnd-local probe prepare {name} {known.archive}" in message


def test_a_prepared_set_is_found_by_name(tmp_path: Path) -> None:
    root = folder(tmp_path / "data" / "broden", "a.png", "b.png")
    # A folder filled by hand will do; one with a record must have what it promises.
    assert len(opened(tmp_path, "broden")) == 2
    record = root / "probe.json"
    record.write_text('{"name":"broden","images":2,"digest":"x","archive":"b.zip"}')
    assert read_record(root) == Prepared("broden", 2, "x", "b.zip")
    assert len(opened(tmp_path, "broden")) == 2
    (root / "a.png").unlink()
    with pytest.raises(DamagedFile, match="has 1 image, 2 were prepared; delete the folder"):
        opened(tmp_path, "broden")


@pytest.mark.parametrize("text", ["", "{}", "[]", '{"name":"broden","images":"2"}'])
def test_a_damaged_record_is_named(tmp_path: Path, text: str) -> None:
    (folder(tmp_path / "data" / "broden", "a.png") / "probe.json").write_text(text)
    with pytest.raises(DamagedFile, match=r"probe\.json is damaged"):
        opened(tmp_path, "broden")


def test_an_unknown_name_offers_near_ones(tmp_path: Path) -> None:
    with pytest.raises(UnknownName) as caught:
        opened(tmp_path, "imagenetval", pocket=lambda: made(1))
    assert caught.value.near == ("imagenet-val",)
    assert str(caught.value).endswith("Or give the path of a folder or file.")
    with pytest.raises(UnknownName, match="Did you mean pocket"):
        opened(tmp_path, "poket", pocket=lambda: made(1))


@pytest.mark.parametrize("path", ["./none", "some/folder", "~/no-such-folder", ".hidden"])
def test_what_looks_like_a_path_is_a_missing_folder(tmp_path: Path, path: str) -> None:
    with pytest.raises(UserError, match="cannot read probe folder"):
        opened(tmp_path, path)


def test_a_file_is_no_probe_set(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(b"x")
    with pytest.raises(
        UserError, match=r"a\.png is no probe set: it is one image; give the folder"
    ):
        opened(tmp_path, str(tmp_path / "a.png"))


# ---- holdout ------------------------------------------------------------------------------------


@given(st.integers(0, 300), st.floats(0, 1), st.integers(0, 2**31))
def test_the_share_is_met_to_the_nearest(n: int, share: float, seed: int) -> None:
    mask = holdout_mask("x", n, share, seed)
    assert (mask.shape, mask.dtype) == ((n,), np.bool_)
    assert mask.sum() == round(n * share)


def test_the_held_out_are_those_of_lowest_place() -> None:
    # The same by hand: an image's place is a hash of seed, set and its own index.
    def place(index: int) -> bytes:
        return hashlib.sha256(f"holdout 7 abc {index}".encode()).digest()[:8]

    lowest = sorted(range(40), key=place)[:10]
    assert np.flatnonzero(holdout_mask("abc", 40, 0.25, 7)).tolist() == sorted(lowest)


@given(st.floats(0, 1), st.floats(0, 1))
def test_a_larger_share_holds_out_the_same_and_more(one: float, other: float) -> None:
    small, large = sorted((one, other))
    assert not (holdout_mask("x", 100, small, 0) & ~holdout_mask("x", 100, large, 0)).any()


def test_another_seed_or_set_holds_out_others() -> None:
    settings = [("a", 200, 0.5, 0), ("a", 200, 0.5, 1), ("b", 200, 0.5, 0)]
    masks = [holdout_mask(*one) for one in settings]
    for i, one in enumerate(masks):
        assert (one == holdout_mask(*settings[i])).all()
        for other in masks[:i]:
            assert 60 < (one != other).sum() < 140


# ---- reading ahead ------------------------------------------------------------------------------


class Counted:
    """A probe set that counts how many of its pictures exist at a time."""

    digest = "c" * 64

    def __init__(self, count: int) -> None:
        self.count, self.begun, self.taken, self.most = count, 0, 0, 0
        self.lock = threading.Lock()

    def __len__(self) -> int:
        return self.count

    def name(self, index: int) -> str:
        return f"picture {index}"

    def pixels(self, index: int) -> Pixels:
        with self.lock:
            self.begun += 1
            self.most = max(self.most, self.begun - self.taken)
        if index % 10 == 3:
            raise UnreadableImage("broken on purpose")
        return drawn(index)


@pytest.mark.parametrize(("count", "workers"), [(1_000, 1), (1_000, 3), (20_000, 3)])
def test_memory_does_not_grow_with_the_set(count: int, workers: int) -> None:
    probe = Counted(count)
    for _ in read_ahead(probe, range(count), workers):
        with probe.lock:
            probe.taken += 1
    assert probe.begun == count
    # One more is in the hands of who reads.
    assert probe.most <= AHEAD * workers + 1


def test_everything_comes_in_order_with_its_reason() -> None:
    probe = Counted(25)
    found = list(read_ahead(probe, range(25), 4))
    assert [index for index, _ in found] == list(range(25))
    for index, image in found:
        if index % 10 == 3:
            assert image == SkippedImage(index, f"picture {index}", "broken on purpose")
        else:
            assert isinstance(image, np.ndarray)
            assert image[0, 0, 0] == index


@given(st.lists(st.integers(0, 24), max_size=30), st.integers(1, 5))
def test_any_indices_in_any_order(indices: list[int], workers: int) -> None:
    found = read_ahead(made(25), iter(indices), workers)
    pairs = [(index, int(image[0, 0, 0])) for index, image in found]  # type: ignore[index]
    assert pairs == [(index, index) for index in indices]


def test_a_slow_picture_holds_up_none_before_it_and_order_stays() -> None:
    def uneven(index: int) -> Pixels:
        time.sleep(0.02 if index == 0 else 0)
        return drawn(index)

    probe = FunctionProbe("x", 10, str, uneven)
    assert [index for index, _ in read_ahead(probe, range(10), 4)] == list(range(10))


def test_pictures_are_decoded_at_the_same_time() -> None:
    together = threading.Barrier(3, timeout=10)

    def meet(index: int) -> Pixels:
        together.wait()
        return drawn(index)

    probe = FunctionProbe("x", 6, str, meet)
    assert len(list(read_ahead(probe, range(6), 3))) == 6


def test_what_is_broken_in_the_program_is_not_taken_for_a_broken_image() -> None:
    def fail(index: int) -> Pixels:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        list(read_ahead(FunctionProbe("x", 3, str, fail), range(3), 2))


def test_closing_early_ends_the_threads_and_reads_no_more() -> None:
    probe = Counted(1_000)
    reading = read_ahead(probe, range(1_000), 2)
    next(reading)
    reading.close()  # type: ignore[attr-defined]
    begun = probe.begun
    assert begun <= AHEAD * 2
    assert not [one for one in threading.enumerate() if one.name.startswith("read-ahead")]
    assert probe.begun == begun


def test_closing_early_drops_what_was_not_begun() -> None:
    begun: list[int] = []

    def slow(index: int) -> Pixels:
        begun.append(index)
        time.sleep(0.25)
        return drawn(index)

    reading = read_ahead(FunctionProbe("x", 100, str, slow), range(100), 1)
    next(reading)
    reading.close()  # type: ignore[attr-defined]
    assert len(begun) < AHEAD


def test_one_image_alone() -> None:
    probe = Counted(5)
    assert isinstance(read_one(probe, 0), np.ndarray)
    assert read_one(probe, 3) == SkippedImage(3, "picture 3", "broken on purpose")
