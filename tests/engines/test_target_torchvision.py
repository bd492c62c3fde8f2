"""torchvision's networks: weights, transform and classes of one enum member."""

import json
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file, save_file
from torch import nn
from torchvision.models import WeightsEnum, get_model_builder, get_model_weights

from dnd_local.core.errors import UnknownName, UserError
from dnd_local.engines import target_torchvision
from dnd_local.engines.target_loading import state_digest, transform_digest
from dnd_local.engines.target_torchvision import (
    file_name,
    load_torchvision,
    member_of,
    published_options,
    torchvision_names,
)
from dnd_local.store.manifest import Manifest

SHIPPED = {
    entry.id: entry for entry in Manifest.read().entries if entry.network.startswith("torchvision:")
}


@pytest.fixture(scope="module")
def mobile(tmp_path_factory):
    """Return a file with the state of a mobilenet_v3_small of random weights."""
    path = tmp_path_factory.mktemp("states") / "model.safetensors"
    torch.manual_seed(0)
    save_file(get_model_builder("mobilenet_v3_small")(weights=None).state_dict(), path)
    return path


def picture(height, width):
    noise = np.random.default_rng(0).integers(0, 256, (height, width, 3))
    return Image.fromarray(noise.astype(np.uint8))


@pytest.mark.parametrize("name", SHIPPED)
def test_the_manifests_file_is_that_of_the_member_it_names(name):
    entry = SHIPPED[name]
    network, _, member = entry.network.removeprefix("torchvision:").partition("@")
    assert name in (network, f"{network}@{member}")
    weights = get_model_weights(network)[member]
    (file,) = entry.files
    assert weights.url == entry.source.base + file.converted_from.path
    assert entry.origin == file_name(weights)
    assert member_of(f"{network}@{member}", entry.origin) is weights


def test_every_classification_network_and_each_of_its_weights_is_in_the_manifest():
    named = {entry.network.removeprefix("torchvision:") for entry in SHIPPED.values()}
    assert named == {
        f"{name}@{weights.name}"
        for name in torchvision_names()
        for weights in get_model_weights(name)
        if weights.meta["categories"]  # VGG-16's features classify nothing
    }
    assert set(torchvision_names()) < set(SHIPPED)


def test_sizes_and_hash_prefixes_are_those_of_the_enums():
    for entry in SHIPPED.values():
        network, _, member = entry.network.removeprefix("torchvision:").partition("@")
        size = get_model_weights(network)[member].meta["_file_size"] * 2**20
        assert entry.known_size == 0 or abs(entry.known_size - size) < 1024
        origin = entry.files[0].converted_from
        assert (origin.sha256 or origin.sha256_prefix)[:8] in entry.origin


@pytest.mark.parametrize("name", SHIPPED)
def test_a_bare_name_is_the_first_weights_of_a_network(name):
    network, _, member = SHIPPED[name].network.removeprefix("torchvision:").partition("@")
    members = get_model_weights(network)
    first = "IMAGENET1K_V1" if "IMAGENET1K_V1" in members.__members__ else members.DEFAULT.name
    assert (name == network) == (member == first)


def test_v1_weights_are_read_through_v1s_transform(tmp_path):
    names = ("resnet50", "resnet101", "resnet152")
    for name in names:
        module = get_model_builder(name)(weights=None)
        save_file(module.state_dict(), tmp_path / f"{name}.safetensors")
        entry = SHIPPED[name]
        _, transform = load_torchvision(
            entry.network.removeprefix("torchvision:"),
            tmp_path / f"{name}.safetensors",
            entry.origin,
        )
        assert (transform.resize_size, transform.crop_size) == ([256], [224])
        other = get_model_weights(name).IMAGENET1K_V2.transforms()
        assert transform_digest(transform) != transform_digest(other)


def test_a_file_of_another_member_is_refused(mobile):
    with pytest.raises(UserError, match=r"resnet50-0676ba61\.pth, and these weights come from res"):
        load_torchvision("resnet50@IMAGENET1K_V1", mobile, "resnet50-11ad3fa6.pth")


def test_another_member_is_another_name():
    assert member_of("resnet50@IMAGENET1K_V2").name == "IMAGENET1K_V2"
    with pytest.raises(UnknownName, match=r"unknown weights of resnet50 'IMAGENET1K_V3'\. Did you"):
        member_of("resnet50@IMAGENET1K_V3")
    with pytest.raises(UnknownName, match="unknown weights of resnet50 ''"):
        member_of("resnet50")


def test_a_network_by_name(mobile):
    module, transform = load_torchvision("mobilenet_v3_small@IMAGENET1K_V1", mobile)
    assert state_digest(module) == state_digest(
        load_torchvision("mobilenet_v3_small@IMAGENET1K_V1", mobile)[0]
    )
    for key, value in load_file(mobile).items():
        assert torch.equal(module.state_dict()[key], value)
    published = get_model_weights("mobilenet_v3_small").IMAGENET1K_V1.transforms()
    assert torch.equal(transform(picture(300, 200)), published(picture(300, 200)))
    first = module.features[0][0].weight
    assert first.is_contiguous(memory_format=torch.channels_last)


def test_an_unknown_network_lists_near_ones(mobile):
    with pytest.raises(UnknownName, match="Did you mean resnet50") as caught:
        load_torchvision("resnet-50", mobile)
    assert "file.py:factory" in str(caught.value)


def test_all_classification_networks_are_known_and_no_others():
    names = torchvision_names()
    assert {"resnet50", "vit_b_16", "swin_t", "convnext_tiny", "alexnet"} <= set(names)
    assert not [name for name in names if "rcnn" in name or "deeplab" in name or "r3d" in name]


SAMPLE = [
    "alexnet", "convnext_tiny", "densenet121", "efficientnet_b0", "googlenet", "inception_v3",
    "maxvit_t", "mnasnet0_5", "mobilenet_v2", "regnet_y_400mf", "resnext50_32x4d",
    "shufflenet_v2_x0_5", "squeezenet1_0", "swin_v2_t", "vgg11", "vit_b_16", "vit_h_14",
]  # fmt: skip


def check_build(name, member, monkeypatch):
    """Check that a network is built as torchvision builds it for a member's weights."""
    monkeypatch.setattr(WeightsEnum, "get_state_dict", lambda *args, **kwargs: {})
    monkeypatch.setattr(nn.Module, "load_state_dict", lambda *args, **kwargs: None)
    builder, weights = get_model_builder(name), get_model_weights(name)[member]
    # RegNets work out their widths with tensors, which the meta device cannot hold.
    with torch.device("cpu" if name.startswith("regnet") else "meta"):
        ours, theirs = (
            builder(weights=None, **published_options(name, weights)),
            builder(weights=weights),
        )
    assert getattr(ours, "transform_input", None) == getattr(theirs, "transform_input", None)
    assert getattr(ours, "image_size", None) == getattr(theirs, "image_size", None)
    state = ours.state_dict()
    for key, value in theirs.state_dict().items():
        assert state[key].shape == value.shape, key
    assert str(ours) == str(theirs) or name in ("googlenet", "inception_v3")


@pytest.mark.parametrize("name", SAMPLE)
def test_networks_are_built_as_for_their_published_weights(name, monkeypatch):
    check_build(name, get_model_weights(name).DEFAULT.name, monkeypatch)


@pytest.mark.slow
def test_every_network_is_built_as_for_its_published_weights(monkeypatch):
    for name in torchvision_names():
        if not name.startswith("regnet"):  # gigabytes of them, and nothing depends on the weights
            for member in get_model_weights(name):
                check_build(name, member.name, monkeypatch)


def test_densenets_old_names(tmp_path):
    network = get_model_builder("densenet121")(weights=None)
    old = {
        re.sub(r"(denselayer\d+\.(?:norm|relu|conv))([12])\.", r"\1.\2.", key): value
        for key, value in network.state_dict().items()
    }
    assert "features.denseblock1.denselayer1.norm.1.weight" in old
    save_file(old, tmp_path / "model.safetensors")
    loaded, _ = load_torchvision("densenet121@IMAGENET1K_V1", tmp_path / "model.safetensors")
    assert state_digest(loaded) == state_digest(network)


def test_mnasnet_whose_state_has_a_version(tmp_path):
    network = get_model_builder("mnasnet0_5")(weights=None)
    save_file(network.state_dict(), tmp_path / "model.safetensors")
    loaded, _ = load_torchvision("mnasnet0_5@IMAGENET1K_V1", tmp_path / "model.safetensors")
    assert state_digest(loaded) == state_digest(network)


@pytest.mark.parametrize(
    ("name", "layer"),
    [("resnet18", "fc"), ("alexnet", "classifier.6"), ("vit_b_16", "heads.head"),
     ("regnet_x_400mf", "fc"), ("squeezenet1_1", "classifier.1")],
)  # fmt: skip
def test_a_torchvision_network_brings_the_names_of_its_classes(
    name: str, layer: str, tmp_path: Path
) -> None:
    found, names = target_torchvision.classes(tmp_path, f"{name}@IMAGENET1K_V1")
    assert found == layer
    assert len(names) == 1000
    assert names[:2] == ("tench", "goldfish")


def check_in_a_process(name, folder):
    done = subprocess.run(
        [sys.executable, "-m", "tests.engines.every_network", name, str(folder)],
        capture_output=True,
        text=True,
        timeout=280,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    compared = json.loads(done.stdout)["layers"]
    assert len(compared) >= 4, compared
    assert max(compared.values()) < 1e-4, compared


@pytest.mark.long
@pytest.mark.parametrize("name", torchvision_names())
def test_every_network_reads_as_a_direct_computation(name, tmp_path):
    check_in_a_process(name, tmp_path)


@pytest.mark.parametrize("name", ["swin_t", "shufflenet_v2_x0_5"])
def test_a_network_reads_as_a_direct_computation(name, tmp_path):
    check_in_a_process(name, tmp_path)
