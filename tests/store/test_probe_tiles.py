"""Tiles of thirteen bands (EuroSAT) and of four (Tile2Vec's): all for networks, three shown."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from dnd_local.core.errors import BadConfig, UserError
from dnd_local.core.protocols import UnreadableImage
from dnd_local.core.tiles import Tiles, seen_by, shown
from dnd_local.store import probe_tiles
from dnd_local.store.probe_sets import open_probe
from dnd_local.store.probe_subset import subset
from dnd_local.store.probe_tiles import TileProbe

EUROSAT = np.random.default_rng(0).integers(0, 4000, (6, 64, 64, 13)).astype(np.uint16)
NAIP = np.random.default_rng(1).integers(0, 256, (4, 50, 50, 4), dtype=np.uint8)


def opened(path: Path, *more: Path) -> TileProbe:
    names = [str(one) for one in (path, *more)]
    return open_probe(names, path.parent / "data", path.parent / "cache", {})  # type: ignore[return-value]


@pytest.fixture
def eurosat(tmp_path: Path) -> Path:
    """A folder of .npy files, one a tile; B04, B03 and B02 are red, green and blue."""
    folder = tmp_path / "eurosat"
    (folder / "Forest").mkdir(parents=True)
    for index, tile in enumerate(EUROSAT):
        np.save(folder / "Forest" / f"{index}.npy", tile)
    (folder / "tiles.toml").write_text("bands = [3, 2, 1]\nstretch = [0, 3000]\n")
    return folder


@pytest.fixture
def naip(tmp_path: Path) -> Path:
    """One array of all tiles, bands first."""
    np.save(tmp_path / "naip.npy", NAIP.transpose(0, 3, 1, 2))
    text = 'bands = [0, 1, 2]\nstretch = [0, 255]\norder = "first"\n'
    (tmp_path / "naip.toml").write_text(text)
    return tmp_path / "naip.npy"


def test_thirteen_bands_a_file_a_tile(eurosat):
    probe = opened(eurosat)
    assert (len(probe), probe.bands, probe.name(2)) == (6, 13, "Forest/2.npy")
    np.testing.assert_array_equal(probe.tile(2), EUROSAT[2])
    expected = np.clip(EUROSAT[2][:, :, [3, 2, 1]] / 3000, 0, 1) * 255
    np.testing.assert_allclose(probe.pixels(2), expected, atol=0.51)
    assert probe.pixels(2).dtype == np.uint8


def test_four_bands_in_one_array_with_the_bands_first(naip):
    probe = opened(naip)
    assert (len(probe), probe.bands, probe.name(3)) == (4, 4, "naip.npy/3")
    np.testing.assert_array_equal(probe.tile(3), NAIP[3])
    np.testing.assert_array_equal(probe.pixels(3), NAIP[3][:, :, :3])


def test_a_picture_as_a_tile_is_shown_as_the_picture(eurosat):
    probe = opened(eurosat)
    picture = np.random.default_rng(2).integers(0, 256, (8, 9, 3), dtype=np.uint8)
    tile = probe.lift(picture)
    assert tile.shape == (8, 9, 13)
    np.testing.assert_array_equal(probe.display(tile), picture)
    others = [band for band in range(13) if band not in (1, 2, 3)]
    medians = np.median(np.median(EUROSAT, axis=(1, 2)), axis=0)
    np.testing.assert_allclose(tile[4, 4, others], medians[others])


def test_the_look_is_part_of_the_digest(eurosat):
    before = opened(eurosat).digest
    (eurosat / "tiles.toml").write_text("bands = [3, 2, 1]\nstretch = [0, 2000]\n")
    assert opened(eurosat).digest != before


def test_smaller_and_joined_sets_keep_their_bands(eurosat, naip, tmp_path):
    few = subset(opened(eurosat), "*[24].npy", 0, 0)
    assert (len(few), few.bands) == (2, 13)
    seen = seen_by(13, few)
    np.testing.assert_array_equal(seen.pixels(1), EUROSAT[4])
    assert (len(seen), seen.name(1), seen.digest) == (2, few.name(1), few.digest)
    np.testing.assert_array_equal(shown(seen, seen.pixels(1)), few.pixels(1))
    assert seen.tiles.lift(few.pixels(0)).shape == (64, 64, 13)
    again = tmp_path / "again"
    eurosat_copy = again / "tiles"
    eurosat_copy.mkdir(parents=True)
    np.save(eurosat_copy / "0.npy", EUROSAT[0])
    (eurosat_copy / "tiles.toml").write_text((eurosat / "tiles.toml").read_text())
    both = opened(eurosat, eurosat_copy)
    assert (both.bands, len(both)) == (13, 7)
    np.testing.assert_array_equal(both.tile(6), EUROSAT[0])
    np.testing.assert_array_equal(both.display(both.tile(6)), both.pixels(6))
    assert both.lift(both.pixels(6)).shape == (64, 64, 13)
    assert opened(eurosat, naip).bands == 0


def test_a_network_of_other_bands(eurosat):
    probe = opened(eurosat)
    assert seen_by(0, probe) is probe
    assert isinstance(seen_by(13, probe), Tiles)
    with pytest.raises(
        UserError, match="takes tiles of 4 bands, and the probe set has tiles of 13"
    ):
        seen_by(4, probe)
    with pytest.raises(UserError, match="takes tiles of 4 bands, and the probe set holds pictures"):
        seen_by(4, object())  # type: ignore[arg-type]


def test_tiles_that_cannot_be_used(eurosat):
    probe = opened(eurosat)
    np.save(eurosat / "Forest" / "1.npy", EUROSAT[1][:, :, :4])
    np.save(eurosat / "Forest" / "2.npy", np.full((4, 4, 13), np.nan))
    (eurosat / "Forest" / "3.npy").write_text("x")
    for index, why in ((1, "not a tile of 13 bands"), (2, "NaN or infinite"), (3, "no tile: ")):
        with pytest.raises(UnreadableImage, match=why):
            probe.tile(index)
    assert probe.lift(probe.pixels(0)).shape == (64, 64, 13)
    for index in range(6):
        (eurosat / "Forest" / f"{index}.npy").write_text("x")
    with pytest.raises(UserError, match="no tile of 64 looked at can be read"):
        _ = TileProbe.usual.func(probe)  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("bands = [3, 2]\nstretch = [0, 1]", "bands = .*and stretch"),
        ("bands = [3, 2, 1]", "it says how tiles are shown"),
        ("bands = [3, 2, 1]\nstretch = [1, 1]", "its second value must be larger"),
        ("bands = [3, 2, 13]\nstretch = [0, 1]", r"the tiles have 13 bands \(0 to 12\)"),
        ("bands = [3, 2, 1]\nstretch = [0, 1]\ncolour = 1", "unknown field"),
    ],
)
def test_a_look_that_is_none(eurosat, text, told):
    (eurosat / "tiles.toml").write_text(text)
    with pytest.raises(BadConfig, match=told):
        opened(eurosat)


def test_a_look_that_cannot_be_read(eurosat):
    (eurosat / "tiles.toml").unlink()
    (eurosat / "tiles.toml").symlink_to("tiles.toml")
    with pytest.raises(BadConfig, match=r"cannot read .*tiles\.toml: "):
        probe_tiles._read(eurosat / "tiles.toml")


def test_folders_and_arrays_that_hold_no_tiles(eurosat, naip):
    np.save(eurosat / "Forest" / "0.npy", np.zeros(3))
    with pytest.raises(UserError, match=r"holds an array \(3,\); a file of a tile is"):
        opened(eurosat)
    for file in (eurosat / "Forest").iterdir():
        file.unlink()
    with pytest.raises(UserError, match=r"has tiles\.toml and no \.npy file beside it"):
        opened(eurosat)
    (naip.with_suffix(".toml")).unlink()
    with pytest.raises(UserError, match=r"need naip\.toml beside it"):
        opened(naip)
