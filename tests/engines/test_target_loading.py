"""Networks by name, from a folder, from a user's own file."""

import json
import re

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file, save_file
from torch import nn
from torchvision.models import WeightsEnum, get_model_builder, get_model_weights
from torchvision.transforms import CenterCrop, Compose, Normalize, Resize, ToTensor, v2

from dnd_local.core.errors import DamagedFile, MissingWeights, UnknownName, UserError
from dnd_local.engines.small_resnet import SmallResNet
from dnd_local.engines.target_loading import (
    factory_file,
    load_factory,
    load_folder,
    load_state,
    load_torchvision,
    published_options,
    state_digest,
    torchvision_classes,
    torchvision_names,
    transform_digest,
)


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


def test_a_network_by_name(mobile):
    module, transform = load_torchvision("mobilenet_v3_small", mobile)
    assert state_digest(module) == state_digest(load_torchvision("mobilenet_v3_small", mobile)[0])
    for key, value in load_file(mobile).items():
        assert torch.equal(module.state_dict()[key], value)
    picture = Image.fromarray(np.full((300, 200, 3), 90, np.uint8))
    published = get_model_weights("mobilenet_v3_small").DEFAULT.transforms()
    assert torch.equal(transform(picture), published(picture))
    first = module.features[0][0].weight
    assert first.is_contiguous(memory_format=torch.channels_last)


def test_an_unknown_network_lists_near_ones(mobile):
    with pytest.raises(UnknownName, match="Did you mean resnet50") as caught:
        load_torchvision("resnet-50", mobile)
    assert "file.py:function" in str(caught.value)


def test_all_classification_networks_are_known_and_no_others():
    names = torchvision_names()
    assert {"resnet50", "vit_b_16", "swin_t", "convnext_tiny", "alexnet"} <= set(names)
    assert not [name for name in names if "rcnn" in name or "deeplab" in name or "r3d" in name]


SAMPLE = [
    "alexnet", "convnext_tiny", "densenet121", "efficientnet_b0", "googlenet", "inception_v3",
    "maxvit_t", "mnasnet0_5", "mobilenet_v2", "regnet_y_400mf", "resnext50_32x4d",
    "shufflenet_v2_x0_5", "squeezenet1_0", "swin_v2_t", "vgg11", "vit_b_16", "vit_h_14",
]  # fmt: skip


def check_build(name, monkeypatch):
    """Check that a network is built as torchvision builds it for its published weights."""
    monkeypatch.setattr(WeightsEnum, "get_state_dict", lambda *args, **kwargs: {})
    monkeypatch.setattr(nn.Module, "load_state_dict", lambda *args, **kwargs: None)
    builder, weights = get_model_builder(name), get_model_weights(name).DEFAULT
    # RegNets work out their widths with tensors, which the meta device cannot hold.
    with torch.device("cpu" if name.startswith("regnet") else "meta"):
        ours, theirs = builder(weights=None, **published_options(name)), builder(weights=weights)
    assert getattr(ours, "transform_input", None) == getattr(theirs, "transform_input", None)
    assert getattr(ours, "image_size", None) == getattr(theirs, "image_size", None)
    state = ours.state_dict()
    for key, value in theirs.state_dict().items():
        assert state[key].shape == value.shape, key
    assert str(ours) == str(theirs) or name in ("googlenet", "inception_v3")


@pytest.mark.parametrize("name", SAMPLE)
def test_networks_are_built_as_for_their_published_weights(name, monkeypatch):
    check_build(name, monkeypatch)


@pytest.mark.slow
def test_every_network_is_built_as_for_its_published_weights(monkeypatch):
    for name in torchvision_names():
        if not name.startswith("regnet"):  # gigabytes of them, and nothing depends on the weights
            check_build(name, monkeypatch)


def test_half_precision_files_load_into_full_precision(mobile, tmp_path):
    def halve(state):
        state.update({k: v.half() if v.is_floating_point() else v for k, v in state.items()})

    module, _ = load_torchvision("mobilenet_v3_small", changed(mobile, tmp_path, halve))
    assert {p.dtype for p in module.parameters()} == {torch.float32}


def test_counters_of_old_files_may_be_missing(mobile, tmp_path):
    def drop(state):
        for key in [key for key in state if key.endswith("num_batches_tracked")]:
            del state[key]

    load_torchvision("mobilenet_v3_small", changed(mobile, tmp_path, drop))


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
        load_torchvision("mobilenet_v3_small", path)
    assert re.search(told, str(caught.value))
    assert "\n" not in str(caught.value)


def test_another_networks_file_is_told_by_a_few_keys(mobile):
    with pytest.raises(UserError, match=r"missing \(\S+, \S+, \S+, …\); \d+ left over"):
        load_torchvision("resnet18", mobile)


def test_files_that_are_absent_or_damaged(mobile, tmp_path):
    with pytest.raises(MissingWeights, match="weights of resnet18 are not at"):
        load_torchvision("resnet18", tmp_path / "none.safetensors")
    broken = tmp_path / "broken.safetensors"
    broken.write_bytes(mobile.read_bytes()[:1000])
    with pytest.raises(DamagedFile, match="not a whole safetensors file"):
        load_torchvision("mobilenet_v3_small", broken)


def test_densenets_old_names(tmp_path):
    network = get_model_builder("densenet121")(weights=None)
    old = {
        re.sub(r"(denselayer\d+\.(?:norm|relu|conv))([12])\.", r"\1.\2.", key): value
        for key, value in network.state_dict().items()
    }
    assert "features.denseblock1.denselayer1.norm.1.weight" in old
    save_file(old, tmp_path / "model.safetensors")
    loaded, _ = load_torchvision("densenet121", tmp_path / "model.safetensors")
    assert state_digest(loaded) == state_digest(network)


def test_mnasnet_whose_state_has_a_version(tmp_path):
    network = get_model_builder("mnasnet0_5")(weights=None)
    save_file(network.state_dict(), tmp_path / "model.safetensors")
    loaded, _ = load_torchvision("mnasnet0_5", tmp_path / "model.safetensors")
    assert state_digest(loaded) == state_digest(network)


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


FACTORY = """
from dataclasses import dataclass
from torch import nn
from parts import transform

@dataclass
class Sizes:
    neurons: int = 4

class Flat(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(3, Sizes().neurons, 1)
        self.fc = nn.Linear(4 * 8 * 8, 2)

    def forward(self, x):
        return self.fc(self.conv(x).view(x.shape[0], -1))

def network():
    return Flat(), transform

def half():
    return Flat()

def wrong():
    return Flat(), 3

number = 3
"""
PARTS = """
from torchvision.transforms import v2
import torch
transform = v2.Compose(
    [v2.Resize((8, 8)), v2.PILToTensor(), v2.ToDtype(torch.float32, scale=True)]
)
"""


@pytest.fixture
def factory(tmp_path):
    (tmp_path / "mine.py").write_text(FACTORY)
    (tmp_path / "parts.py").write_text(PARTS)
    return tmp_path / "mine.py"


def test_a_users_own_network(factory, monkeypatch):
    module, transform = load_factory(f"{factory}:network")
    batch = transform(Image.fromarray(np.zeros((9, 9, 3), np.uint8)))[None]
    assert module(batch).shape == (1, 2)  # its `view` needs the plain memory layout
    monkeypatch.chdir(factory.parent)
    assert type(load_factory("mine.py:network")[0]).__name__ == "Flat"


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("none.py:network", "there is no file"),
        ("mine.py:netwrok", r"unknown function 'netwrok'\. Did you mean network"),
        ("mine.py:number", "unknown function 'number'"),
        ("mine.py:half", r"must return \(module, transform\).*it returned Flat$"),
        ("mine.py:wrong", r"it returned \(Flat, int\)"),
        ("mine.py", "not of the form"),
        ("mine.py:a-b", "not of the form"),
    ],
)
def test_a_factory_that_is_not_one(factory, name, told):
    with pytest.raises(UserError, match=told):
        load_factory(str(factory.parent / name))


@pytest.mark.parametrize("text", ["def network(:\n", "import no_such_library\n"])
def test_a_file_that_cannot_be_imported(tmp_path, text):
    (tmp_path / "bad.py").write_text(text)
    with pytest.raises(UserError, match=r"cannot import .*bad\.py"):
        load_factory(f"{tmp_path / 'bad.py'}:network")


def test_the_file_of_a_factory():
    assert factory_file("some/where.py:make").as_posix() == "some/where.py"


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


@pytest.mark.parametrize(
    ("name", "layer"),
    [("resnet18", "fc"), ("alexnet", "classifier.6"), ("vit_b_16", "heads.head"),
     ("regnet_x_400mf", "fc"), ("squeezenet1_1", "classifier.1")],
)  # fmt: skip
def test_a_torchvision_network_brings_the_names_of_its_classes(name: str, layer: str) -> None:
    found, classes = torchvision_classes(name)
    assert found == layer
    assert len(classes) == 1000
    assert classes[:2] == ("tench", "goldfish")
