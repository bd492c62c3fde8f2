"""Networks from a folder and from a user's own file; the tensors and the digests of one."""

import json
import re

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file, save_file
from torch import nn
from torchvision.models import get_model_builder
from torchvision.transforms import CenterCrop, Compose, Normalize, Resize, ToTensor, v2

from dnd_local.core.errors import DamagedFile, MissingWeights, UserError
from dnd_local.engines.small_resnet import SmallResNet
from dnd_local.engines.target_loading import (
    load_folder,
    load_state,
    state_digest,
    transform_digest,
)
from dnd_local.engines.target_torchvision import load_torchvision


@pytest.fixture(scope="module")
def mobile(tmp_path_factory):
    """Return a file with the state of a mobilenet_v3_small of random weights."""
    path = tmp_path_factory.mktemp("states") / "model.safetensors"
    torch.manual_seed(0)
    save_file(get_model_builder("mobilenet_v3_small")(weights=None).state_dict(), path)
    return path


def changed(path, tmp_path, change):
    """Return a copy of a file of tensors after `change` to its dictionary."""
    state = load_file(path)
    change(state)
    save_file(state, tmp_path / "changed.safetensors")
    return tmp_path / "changed.safetensors"


def test_half_precision_files_load_into_full_precision(mobile, tmp_path):
    def halve(state):
        state.update({k: v.half() if v.is_floating_point() else v for k, v in state.items()})

    module, _ = load_torchvision(
        "mobilenet_v3_small@IMAGENET1K_V1", changed(mobile, tmp_path, halve)
    )
    assert {p.dtype for p in module.parameters()} == {torch.float32}


def test_counters_of_old_files_may_be_missing(mobile, tmp_path):
    def drop(state):
        for key in [key for key in state if key.endswith("num_batches_tracked")]:
            del state[key]

    load_torchvision("mobilenet_v3_small@IMAGENET1K_V1", changed(mobile, tmp_path, drop))


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (lambda s: s.pop("features.0.0.weight"), r"1 missing \(features\.0\.0\.weight\)$"),
        (lambda s: s.update(extra=torch.ones(1)), r"1 left over \(extra\)$"),
        (
            lambda s: s.update({"classifier.3.bias": torch.ones(7)}),
            r"1 of another shape \(classifier\.3\.bias \(7,\) for \(1000,\)\)$",
        ),
    ],
)
def test_a_file_that_does_not_fit_is_refused_in_one_line(mobile, tmp_path, change, told):
    path = changed(mobile, tmp_path, change)
    with pytest.raises(UserError, match="does not fit mobilenet_v3_small") as caught:
        load_torchvision("mobilenet_v3_small@IMAGENET1K_V1", path)
    assert re.search(told, str(caught.value))
    assert "\n" not in str(caught.value)


def test_another_networks_file_is_told_by_a_few_keys(mobile):
    with pytest.raises(UserError, match=r"missing \(\S+, \S+, \S+, …\); \d+ left over"):
        load_torchvision("resnet18@IMAGENET1K_V1", mobile)


def test_files_that_are_absent_or_damaged(mobile, tmp_path):
    with pytest.raises(MissingWeights, match="weights of resnet18 are not at"):
        load_torchvision("resnet18@IMAGENET1K_V1", tmp_path / "none.safetensors")
    broken = tmp_path / "broken.safetensors"
    broken.write_bytes(mobile.read_bytes()[:1000])
    with pytest.raises(DamagedFile, match="not a whole safetensors file"):
        load_torchvision("mobilenet_v3_small@IMAGENET1K_V1", broken)


CONFIG = {
    "architecture": "torchvision-resnet-basicblock",
    "widths": [8, 8, 12, 16],
    "outputs": ["dog", "cat", "red"],
    "size": 64,
    "mean": [0.5, 0.4, 0.3],
    "std": [0.25, 0.2, 0.3],
}


@pytest.fixture
def small_folder(tmp_path):
    torch.manual_seed(0)
    state = SmallResNet(CONFIG["widths"], 3).state_dict()
    halves = {k: v.half() if v.is_floating_point() else v for k, v in state.items()}
    save_file(halves, tmp_path / "model.safetensors")
    (tmp_path / "config.json").write_text(json.dumps(CONFIG))
    return tmp_path


def test_a_small_network_from_a_folder_is_the_one_the_pocket_trains(small_folder):
    module, transform = load_folder(small_folder)
    theirs = SmallResNet(CONFIG["widths"], 3).eval()
    load_state(theirs, small_folder / "model.safetensors", "small")
    noise = np.random.default_rng(0).integers(0, 256, (80, 70, 3)).astype(np.uint8)
    picture = Image.fromarray(noise)
    ours = transform(picture)
    written_out = Compose(
        [
            Resize(CONFIG["size"]),
            CenterCrop(CONFIG["size"]),
            ToTensor(),
            Normalize(CONFIG["mean"], CONFIG["std"]),
        ]
    )
    torch.testing.assert_close(ours, written_out(picture))
    with torch.no_grad():
        found, expected = module.eval()(ours[None]), theirs(ours[None])
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=1e-5)
    assert found.shape == (1, 3)
    with torch.no_grad():
        assert module.layer4(module.layer3(module.layer2(torch.zeros(1, 8, 32, 32)))).shape == (
            1, 16, 8, 8,
        )  # fmt: skip


@pytest.mark.parametrize(
    ("change", "error", "told"),
    [
        ({"architecture": "alexnet"}, UserError, "architecture 'alexnet' is not"),
        ({"widths": None}, DamagedFile, "not whole"),
        ({"outputs": ["dog"]}, UserError, "of another shape"),
    ],
)
def test_a_folder_that_is_not_what_it_should_be(small_folder, change, error, told):
    (small_folder / "config.json").write_text(json.dumps(CONFIG | change))
    with pytest.raises(error, match=told):
        load_folder(small_folder)


def test_a_folder_that_lacks_a_setting(small_folder):
    short = {key: value for key, value in CONFIG.items() if key != "size"}
    (small_folder / "config.json").write_text(json.dumps(short))
    with pytest.raises(DamagedFile, match="KeyError\\('size'\\)"):
        load_folder(small_folder)


def test_a_states_digest_is_of_its_content():
    torch.manual_seed(0)
    one = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4))
    same = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4))
    assert state_digest(one) != state_digest(same)
    same.load_state_dict(one.state_dict())
    assert state_digest(one) == state_digest(same)
    assert state_digest(one.to(memory_format=torch.channels_last)) == state_digest(same)
    assert state_digest(one.half()) != state_digest(same)
    same[1].num_batches_tracked += 1
    assert state_digest(one.float()) != state_digest(same)


def test_a_transforms_digest_is_of_what_it_does():
    def resize(size):
        return v2.Compose([v2.Resize(size), v2.CenterCrop(32), v2.PILToTensor()])

    assert transform_digest(resize(32)) == transform_digest(resize(32))
    assert transform_digest(resize(32)) != transform_digest(resize(40))


def test_load_state_names_what_it_was_loading(mobile):
    with pytest.raises(UserError, match="does not fit my network"):
        load_state(nn.Linear(2, 2), mobile, "my network")
