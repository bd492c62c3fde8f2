"""Pictures of a site: once each, small, and none is no error."""

from __future__ import annotations

import base64
import io
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from dnd_local.core.ledger import OURS, RELEASED
from dnd_local.core.protocols import UnreadableImage
from dnd_local.report.shelf import (
    SIDE,
    THUMB,
    TINT,
    TINTED,
    Shelf,
    data_uri,
    map_image,
    overlay,
    webp,
)
from dnd_local.store.blobs import BlobFolder
from tests.fakes import ColourProbe, flat


def noise(height: int, width: int) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (height, width, 3), dtype=np.uint8)


@pytest.fixture
def blobs(tmp_path: Path) -> BlobFolder:
    return BlobFolder(tmp_path / "blobs")


@pytest.fixture
def shelf(tmp_path: Path, blobs: BlobFolder) -> Iterator[Shelf]:
    probe = ColourProbe(9, broken=(4,))
    with closing(Shelf(tmp_path / "site", blobs, probe, OURS, 2)) as made:
        yield made


def size(path: Path) -> tuple[int, int]:
    with Image.open(path) as image:
        return image.size


def test_a_large_picture_becomes_two_small_ones(
    shelf: Shelf, blobs: BlobFolder, tmp_path: Path
) -> None:
    shown = shelf.get(blobs.put(noise(400, 800)))
    assert shown is not None
    assert (shown.width, shown.height) == (800, 400)
    assert size(tmp_path / "site" / shown.src) == (SIDE, SIDE // 2)
    assert size(tmp_path / "site" / shown.thumb) == (THUMB, THUMB // 2)


def test_a_small_picture_is_its_own_thumbnail_and_loses_nothing(
    shelf: Shelf, blobs: BlobFolder, tmp_path: Path
) -> None:
    pixels = noise(8, 20)
    shown = shelf.get(blobs.put(pixels))
    assert shown is not None
    assert shown.thumb == shown.src
    with Image.open(tmp_path / "site" / shown.src) as image:
        np.testing.assert_array_equal(np.asarray(image.convert("RGB")), pixels)


def test_a_picture_is_written_once(shelf: Shelf, blobs: BlobFolder, tmp_path: Path) -> None:
    blob = blobs.put(flat(0, 200))
    shelf.put([blob, blob])
    shown = shelf.get(blob)
    assert shown is not None
    written = tmp_path / "site" / shown.src
    written.write_bytes(b"as it was")
    probe = ColourProbe(1)
    with closing(Shelf(tmp_path / "site", blobs, probe, OURS, 1)) as again:
        assert again.get(blob) == shown
    assert written.read_bytes() == b"as it was"
    assert shelf.pictures == 1


def test_what_is_gone_or_damaged_is_no_picture(
    shelf: Shelf, blobs: BlobFolder, tmp_path: Path
) -> None:
    blob = blobs.put(flat(1, 200))
    path = blobs.path(blob)
    path.write_bytes(path.read_bytes()[:-4] + b"oops")
    cut = blobs.put(flat(2, 90))
    blobs.path(cut).write_bytes(b"\x89PNG")
    for bad in (blob, cut, "0" * 64, "../../../etc/passwd", ""):
        assert shelf.get(bad) is None
        assert data_uri(blobs, bad) == ""
        assert map_image(blobs, bad) == ""
    assert shelf.missing == 5
    assert not (tmp_path / "site").exists()


def test_scenes_come_from_the_probe_set(shelf: Shelf, tmp_path: Path) -> None:
    shown = shelf.scene(3)
    assert shown is not None
    assert (shown.width, shown.height) == (8, 8)
    assert (tmp_path / "site" / shown.src).exists()
    assert shelf.scene(3) is shown
    assert shelf.scene(4) is None
    assert shelf.missing == 1


def test_a_scene_that_the_probe_set_has_not(blobs: BlobFolder, tmp_path: Path) -> None:
    class Short(ColourProbe):
        def pixels(self, index: int) -> np.ndarray:
            raise (IndexError if index else UnreadableImage)("no")

    with closing(Shelf(tmp_path / "s", blobs, Short(), OURS, 1)) as shelf:
        assert shelf.scene(0) is None
        assert shelf.scene(1) is None


def test_official_scenes_are_squashed_like_their_crops(blobs: BlobFolder, tmp_path: Path) -> None:
    with closing(Shelf(tmp_path / "s", blobs, ColourProbe(), RELEASED, 1)) as shelf:
        shown = shelf.scene(0)
        assert shown is not None
        assert (shown.width, shown.height) == (375, 375)
        assert shelf.scene(0) == shown


def test_a_map_is_a_light_colour_that_hides_nothing() -> None:
    uri = overlay(np.array([[0, 255]], dtype=np.uint8))
    head, _, data = uri.partition(",")
    assert head == "data:image/png;base64"
    with Image.open(io.BytesIO(base64.b64decode(data))) as image:
        pixels = np.asarray(image.convert("RGBA"))
    assert pixels[0, 1].tolist() == [*TINT, round(255 * TINTED)]
    assert pixels[0, 0, 3] == 0
    assert TINTED <= 0.5


def test_a_large_map_is_made_small(blobs: BlobFolder) -> None:
    uri = map_image(blobs, blobs.put(np.zeros((100, 300), dtype=np.uint8)))
    with Image.open(io.BytesIO(base64.b64decode(uri.partition(",")[2]))) as image:
        assert image.size == (64, 21)
    assert map_image(blobs, None) == ""


def test_a_thin_picture_keeps_a_pixel() -> None:
    with Image.open(io.BytesIO(webp(noise(1, 2000), 128))) as image:
        assert image.size == (128, 1)
