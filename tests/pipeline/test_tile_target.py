"""A run on tiles of thirteen bands: the network is given all of them, people see three."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from dnd_local.core.config import NetworkConfig
from dnd_local.core.errors import UserError
from dnd_local.core.records import Neuron
from dnd_local.engines.bands import BandTransform
from dnd_local.engines.target_torch import TorchTarget
from dnd_local.pipeline.plan import EXEMPLARS, SCORES, responses_of
from dnd_local.pipeline.reading import open_run
from dnd_local.pipeline.stage import Asked
from dnd_local.pipeline.tile_target import TileTarget
from dnd_local.store.probe_sets import open_probe
from tests.bench import Bench
from tests.fakes import LAYER, ColourProbe

TILES = np.random.default_rng(0).integers(0, 4000, (8, 4, 4, 13)).repeat(8, 1).repeat(8, 2)


def convolution() -> nn.Module:
    """A 1x1 convolution: its neurons are weighed sums of the bands."""
    torch.manual_seed(0)
    module = nn.Sequential()
    module.add_module(LAYER, nn.Conv2d(13, 4, 1))
    return module


@pytest.fixture
def tiled(bench: Bench, tmp_path: Path) -> Bench:
    folder = tmp_path / "tiles"
    folder.mkdir()
    for index, tile in enumerate(TILES):
        np.save(folder / f"{index}.npy", tile.astype(np.uint16))
    (folder / "tiles.toml").write_text("bands = [3, 2, 1]\nstretch = [0, 4000]\n")
    bench.probe = open_probe([str(folder)], tmp_path, tmp_path, {})  # type: ignore[assignment]
    transform = BandTransform(side=32, mean=[2000.0] * 13, std=[1000.0] * 13)
    bench.replaced["target"] = TorchTarget(convolution(), transform, NetworkConfig(batch=2))
    return bench


def test_a_run_on_tiles(tiled: Bench) -> None:
    result = tiled.run("0,1", name="tiles")
    assert [one.status for one in result.descriptions] == ["described", "described"]
    run = open_run("tiles", tiled.workspace)
    (chunk, *_) = responses_of(run.lab, LAYER)
    with torch.inference_mode():
        inputs = (torch.from_numpy(TILES).permute(0, 3, 1, 2).float() - 2000) / 1000
        expected = convolution()(inputs).mean((2, 3)).numpy()
    np.testing.assert_allclose(chunk.values[:], expected[:7], rtol=0.01, atol=0.01)
    items = EXEMPLARS.items(
        run.lab, Asked((LAYER,), tuple(Neuron("pocket", LAYER, k) for k in (0, 1)))
    )
    for part in EXEMPLARS.read(run.lab, items):
        assert any(one.box is not None for one in part.exemplars)
        for one in part.exemplars:
            kept, whole = run.lab.blobs.get(one.blob), tiled.probe.pixels(one.image)
            box = one.box
            inside = whole if box is None else whole[box.top : box.bottom, box.left : box.right]
            np.testing.assert_array_equal(kept, inside)
    for scores in SCORES.read(run.lab, items):
        assert all(np.isfinite(one.responses).all() for one in scores.candidates)


def test_pictures_become_tiles_and_tiles_stay() -> None:
    asked: list[list[tuple[int, ...]]] = []

    class Noting:
        def layers(self) -> tuple[str, ...]:
            return ("a",)

        def framing(self, height: int, width: int) -> tuple[int, int]:
            return height, width

        def responses(self, pictures, layers):  # type: ignore[no-untyped-def]
            asked.append([one.shape for one in pictures])
            return {}

        maps = outputs = lambda self, pictures, *_: self.responses(pictures, ())

    wide = lambda picture: np.zeros((*picture.shape[:2], 4), np.float32)  # noqa: E731
    target = TileTarget(Noting(), 4, wide)  # type: ignore[arg-type]
    pictures = [np.zeros((2, 3, 3), np.uint8), np.zeros((5, 6, 4), np.uint8)]
    target.responses(pictures, [])
    target.maps(pictures, "a", [])
    target.outputs(pictures, "a", [])
    assert asked == [[(2, 3, 4), (5, 6, 4)]] * 3
    assert (target.layers(), target.framing(1, 2)) == (("a",), (1, 2))


def test_a_network_of_tiles_over_pictures_is_refused_before_any_work(tiled: Bench) -> None:
    tiled.probe = ColourProbe()
    with pytest.raises(
        UserError, match="takes tiles of 13 bands, and the probe set holds pictures"
    ):
        tiled.run("0")
