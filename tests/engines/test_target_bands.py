"""The two published networks that torchvision does not know, from checkpoints of the same form."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn
from torchvision.models import resnet18
from torchvision.transforms import functional as pictures_to

from dnd_local.core.config import NetworkConfig
from dnd_local.core.errors import DamagedFile, UserError
from dnd_local.engines import registry, target_places365, target_tile2vec
from dnd_local.engines.bands import BandTransform, bands_of
from dnd_local.engines.framing import Framing
from dnd_local.store.convert import convert
from dnd_local.store.manifest import Manifest
from tests.engines.tiny import widen


def published(folder: Path, module: nn.Module, **around: Any) -> Path:
    """Save a network as those of 2018 were, and convert it: no counters, torch's older file."""
    folder.mkdir()
    state = {k: v for k, v in module.state_dict().items() if "num_batches" not in k}
    if around:  # as data-parallel training leaves it
        around["state_dict"] = {f"module.{name}": value for name, value in state.items()}
    pickle = folder.parent / "published.pth.tar"
    torch.save(around or state, pickle, _use_new_zipfile_serialization=False)
    convert(pickle, folder / "model.safetensors")
    return folder


@pytest.fixture
def places(tmp_path: Path) -> tuple[Path, nn.Module]:
    torch.manual_seed(0)
    module = resnet18(num_classes=365).eval()
    folder = published(tmp_path / "places", module, epoch=90, arch="resnet18", best_prec1=54.0)
    lines = [f"/a/apartment_building/outdoor_{i} {i}" for i in range(365)]
    (folder / "categories_places365.txt").write_text("\n".join(lines) + "\n")
    return folder, module


def test_places365_reads_as_the_network_itself(places):
    folder, module = places
    entry = Manifest.read().entry("resnet18_places365")
    picture = np.random.default_rng(0).integers(0, 256, (300, 400, 3), dtype=np.uint8)
    inputs = pictures_to.to_tensor(
        pictures_to.center_crop(pictures_to.resize(Image.fromarray(picture), 256), 224)
    )
    inputs = pictures_to.normalize(inputs, [0.485, 0.456, 0.406], [0.229, 0.224, 0.225])
    with torch.inference_mode():
        expected = module(inputs[None]).numpy()
    with registry.open_target(NetworkConfig(batch=2), folder, ("cpu",), entry.network) as target:
        given = target.responses([picture], ["fc"])["fc"]
    np.testing.assert_allclose(given, expected, atol=1e-4)
    layer, names = registry.target_classes(folder, entry.network)
    assert (layer, len(names), names[8]) == ("fc", 365, "apartment building outdoor 8")


def test_scenes_that_are_not_whole_are_refused(places):
    folder, _ = places
    (folder / target_places365.CATEGORIES).write_text("/a/airfield 0\n")
    with pytest.raises(DamagedFile, match="does not name each of 365 scenes once"):
        target_places365.classes(folder, "")
    (folder / target_places365.CATEGORIES).unlink()
    assert target_places365.classes(folder, "") is None


@pytest.fixture
def tile_net(tmp_path: Path) -> tuple[Path, nn.Module]:
    torch.manual_seed(0)
    module = target_tile2vec.TileNet().eval()
    widen(module, 1, 0.05)
    return published(tmp_path / "tile2vec", module), module


def test_tile2vec_has_the_keys_of_the_published_checkpoint():
    """As its repository builds it: five stages of two blocks, shortcuts where shapes change."""
    state = target_tile2vec.TileNet().state_dict()
    assert state["conv1.weight"].shape == (64, 4, 3, 3)
    assert state["layer5.1.conv2.weight"].shape == (512, 512, 3, 3)
    shortcuts = {k.rpartition(".shortcut")[0] for k in state if ".shortcut.0" in k}
    assert shortcuts == {"layer2.0", "layer3.0", "layer4.0", "layer5.0"}


def test_tile2vec_reads_tiles_of_four_bands(tile_net):
    folder, module = tile_net
    entry = Manifest.read().entry("tile2vec")
    tiles = np.random.default_rng(0).integers(0, 256, (3, 50, 50, 4), dtype=np.uint8)
    with torch.inference_mode():
        expected = module(torch.from_numpy(tiles).permute(0, 3, 1, 2) / 255)
    assert expected.shape == (3, 512)
    with registry.open_target(NetworkConfig(batch=2), folder, ("cpu",), entry.network) as target:
        assert target.bands == 4
        given = target.responses(list(tiles), ["layer5", "layer4.0"])
        ((one,),) = target.maps([tiles[0]], "layer4.0", [[3]])
        box = target.framing(80, 100)
        with pytest.raises(UserError, match="takes tiles of 4 bands, and this one has 3"):
            target.responses([tiles[0, :, :, :3]], ["layer5"])
    np.testing.assert_allclose(given["layer5"], expected.numpy(), rtol=1e-3, atol=1e-3)
    assert one.values.shape == (7, 7)
    assert (box.left, box.top, box.right, box.bottom) == (0, 0, 100, 80)
    assert registry.target_classes(folder, entry.network) is None


def test_a_tile_of_thirteen_bands_is_resized_normalised_and_followed():
    transform = BandTransform(side=8, mean=[100.0] * 13, std=[10.0] * 13)
    made = transform(np.full((5, 7, 13), 130, np.uint16))
    assert made.shape == (13, 8, 8)
    np.testing.assert_allclose(made, 3.0, atol=1e-5)
    region = Framing(transform).region(60, 90)  # to the width of one of its own pixels
    assert (region.top, region.bottom) == (0, 60)
    assert (region.left, 90 - region.right) in ((0, 0), (1, 1))


def test_a_number_of_bands_that_is_none():
    transform = BandTransform(side=8, mean=[0.0], std=[1.0])
    transform.bands = "13"
    with pytest.raises(UserError, match="`bands` is '13'; a whole number is wanted"):
        bands_of(transform)
