"""Pictures by content: the same pixels once, exactly as they were, or an error."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from dnd_local.core.digest import file_sha256
from dnd_local.core.errors import DamagedFile
from dnd_local.store.blobs import BlobFolder

SIDE = st.integers(1, 5)
RGB = hnp.arrays(np.uint8, st.tuples(SIDE, SIDE, st.just(3)))
GREY = hnp.arrays(np.uint8, st.tuples(SIDE, SIDE))


@settings(max_examples=25)
@given(picture=RGB)
def test_a_picture_comes_back_as_it_was(
    tmp_path_factory: pytest.TempPathFactory, picture: np.ndarray
) -> None:
    blobs = BlobFolder(tmp_path_factory.mktemp("blobs"))
    assert np.array_equal(blobs.get(blobs.put(picture)), picture)


@settings(max_examples=25)
@given(map_=GREY)
def test_a_grey_map_comes_back_in_three_equal_channels(
    tmp_path_factory: pytest.TempPathFactory, map_: np.ndarray
) -> None:
    blobs = BlobFolder(tmp_path_factory.mktemp("blobs"))
    back = blobs.get(blobs.put(map_))
    assert all(np.array_equal(back[..., channel], map_) for channel in range(3))


def test_the_same_picture_is_kept_once_under_its_own_digest(tmp_path: Path) -> None:
    blobs = BlobFolder(tmp_path)
    picture = np.arange(48, dtype=np.uint8).reshape(4, 4, 3)
    names = {blobs.put(picture), blobs.put(picture.copy()), blobs.put(picture[::1])}
    assert len(names) == 1
    (name,) = names
    assert [p.name for p in tmp_path.rglob("*.png")] == [f"{name}.png"]
    assert file_sha256(blobs.path(name)) == name


def test_a_lossy_picture_is_smaller_and_nearly_the_same(tmp_path: Path) -> None:
    blobs = BlobFolder(tmp_path)
    slope = np.add.outer(np.arange(64), np.arange(64))
    noise = np.random.default_rng(0).normal(0, 3, (64, 64))
    grey = (slope + 40 + noise).clip(0, 255).astype(np.uint8)
    picture = np.stack([grey, grey, grey], axis=-1)
    whole, lossy = blobs.put(picture), blobs.put_all([picture], 90)[0]
    assert [blobs.path(name).suffix for name in (whole, lossy)] == [".png", ".webp"]
    assert blobs.path(lossy).stat().st_size < blobs.path(whole).stat().st_size
    assert file_sha256(blobs.path(lossy)) == lossy
    back = blobs.get_all([whole, lossy])
    assert np.array_equal(back[0], picture)
    assert 0 < np.abs(back[1].astype(int) - picture).mean() < 4
    assert blobs.put(picture, 90) == lossy
    assert blobs.put(picture, 30) not in {lossy, whole}


def test_a_picture_that_is_gone_or_damaged(tmp_path: Path) -> None:
    blobs = BlobFolder(tmp_path)
    name = blobs.put(np.zeros((4, 4, 3), dtype=np.uint8))
    path = blobs.path(name)
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(bytes(data))
    with pytest.raises(DamagedFile, match=rf"{name}.*is damaged; delete it and .*grep -rl {name}"):
        blobs.get(name)
    path.unlink()
    with pytest.raises(DamagedFile, match=rf"{name}.*is gone; delete .*grep -rl {name}"):
        blobs.get(name)


def test_a_damaged_picture_is_mended_when_it_is_made_again(tmp_path: Path) -> None:
    blobs = BlobFolder(tmp_path)
    picture = np.arange(48, dtype=np.uint8).reshape(4, 4, 3)
    path = blobs.path(blobs.put(picture))
    whole = path.read_bytes()
    path.write_bytes(whole[:-1])
    blobs.put(picture)
    assert path.read_bytes() == whole
