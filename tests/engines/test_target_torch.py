"""The network under study: what it answers, against slow and obvious forwards."""

import copy
from collections import OrderedDict
from functools import cache

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn
from torchvision.models import SwinTransformer, VisionTransformer, resnet18
from torchvision.transforms import v2
from torchvision.transforms._presets import ImageClassification

from dnd_local.core.config import NetworkConfig
from dnd_local.core.errors import OutOfMemory, UnknownName, UserError
from dnd_local.core.records import Box
from dnd_local.engines.small_resnet import SmallResNet
from dnd_local.engines.target_torch import TorchTarget
from tests.engines.contracts import SHAPE, TargetContract
from tests.engines.tiny import widen


def small(size):
    return ImageClassification(crop_size=size, resize_size=size + 8)


def network(kind):
    return copy.deepcopy(made(kind))


@cache
def made(kind):
    torch.manual_seed(0)
    if kind == "resnet":
        return resnet18(num_classes=10).eval()
    if kind == "small-resnet":
        return SmallResNet((8, 8, 12, 16), 5).eval()
    if kind == "vit":
        module = VisionTransformer(32, 8, 2, 2, hidden_dim=12, mlp_dim=20, num_classes=5)
        widen(module, 1)
        return module.eval()
    module = SwinTransformer([4, 4], 12, depths=[2, 1], num_heads=[2, 2], window_size=[4, 4])
    widen(module, 2)
    return module.eval()


def target_of(kind, **config):
    size = 64 if "resnet" in kind else 32
    return TorchTarget(network(kind), small(size), NetworkConfig(batch=SHAPE, **config))


def output_of(kind, picture, path):
    """Return a layer's output for one picture, alone, by a plain forward with one hook."""
    module, found = network(kind), []

    def keep(_module, _inputs, made):
        found.append((made[0] if isinstance(made, tuple) else made).clone())

    module.get_submodule(path).register_forward_hook(keep)
    size = 64 if "resnet" in kind else 32
    with torch.no_grad():
        module(small(size)(Image.fromarray(picture)).unsqueeze(0))
    return found[-1][0]


class TestResNet(TargetContract):
    layers = ("layer3.1", "fc")

    @pytest.fixture(scope="class")
    @classmethod
    def target(cls):
        return target_of("resnet")


class TestSmallResNet(TargetContract):
    layers = ("layer4", "avgpool")

    @pytest.fixture(scope="class")
    @classmethod
    def target(cls):
        return target_of("small-resnet")


class TestVisionTransformer(TargetContract):
    layers = ("encoder.layers.1", "heads.head")

    @pytest.fixture(scope="class")
    @classmethod
    def target(cls):
        return target_of("vit")

    def test_shapes(self, target, pictures):
        layer = "encoder.layers.1"  # a short name; the listing has the full one
        assert target.responses(pictures, [layer])[layer].shape == (7, 12)


class TestSwin(TargetContract):
    layers = ("features.1", "head")

    @pytest.fixture(scope="class")
    @classmethod
    def target(cls):
        return target_of("swin")


CASES = [
    ("resnet", "layer4", (1, 2)),
    ("resnet", "layer1.0.bn2", (1, 2)),  # written over in place by the block's ReLU
    ("small-resnet", "conv1", (1, 2)),
    ("swin", "features.1.0.mlp.0", (0, 1)),
]


@pytest.mark.parametrize(("kind", "path", "axes"), CASES)
def test_a_map_becomes_its_mean_or_its_maximum(kind, path, axes, pictures):
    for pool in ("avg", "max"):
        found = target_of(kind, pool=pool).responses(pictures[:2], [path])[path]
        for row, picture in zip(found, pictures, strict=False):
            output = output_of(kind, picture, path)
            expected = output.mean(axes) if pool == "avg" else output.amax(axes)
            np.testing.assert_allclose(row, expected.numpy(), atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("tokens", ["cls", "mean", "max"])
@pytest.mark.parametrize("part", ["", ".self_attention", ".mlp.0"])
def test_tokens_become_one_response(tokens, part, pictures):
    path = f"encoder.layers.encoder_layer_1{part}"
    found = target_of("vit", tokens=tokens).responses(pictures[:1], [path])[path][0]
    output = output_of("vit", pictures[0], path)
    expected = {"cls": output[0], "mean": output[1:].mean(0), "max": output[1:].amax(0)}[tokens]
    np.testing.assert_allclose(found, expected.numpy(), atol=1e-5, rtol=1e-4)


def test_a_linear_layer_is_read_as_it_is(pictures):
    found = target_of("resnet").responses(pictures[:1], ["fc"])["fc"][0]
    expected = output_of("resnet", pictures[0], "fc").numpy()
    np.testing.assert_allclose(found, expected, atol=1e-5, rtol=1e-4)


def test_maps_of_each_kind(pictures):
    picture = pictures[1]
    for kind, path, neuron, pick in [
        ("resnet", "layer2", 5, lambda o: o[5]),
        ("swin", "features.1", 7, lambda o: o[:, :, 7]),
        ("vit", "encoder.layers.encoder_layer_0", 3, lambda o: o[1:, 3].reshape(4, 4)),
    ]:
        ((found,),) = target_of(kind).maps([picture], path, [[neuron]])
        expected = pick(output_of(kind, picture, path)).numpy()
        np.testing.assert_allclose(found.values, expected, atol=1e-5, rtol=1e-4)
        assert found.values.dtype == np.float32


def test_a_map_says_which_region_it_covers(pictures):
    target = target_of("small-resnet")
    height, width = pictures[3].shape[:2]
    ((found,),) = target.maps([pictures[3]], "layer4", [[0]])
    assert found.seen == target.framing(height, width)
    shown = 64 / 72 * min(height, width)
    assert found.seen.width == pytest.approx(shown, abs=1.5)
    assert found.seen.height == pytest.approx(shown, abs=1.5)
    assert (found.seen.left + found.seen.right) / 2 == pytest.approx(width / 2, abs=1)


def test_unknown_layers_are_refused_before_anything_runs(pictures):
    target = target_of("small-resnet")
    with pytest.raises(UnknownName, match="Did you mean layer4"):
        target.responses(pictures, ["layer4", "layer5"])
    with pytest.raises(UnknownName, match="layer5"):
        target.maps(pictures, "layer5", [[0]] * 7)


def test_layers_come_in_the_order_they_run():
    paths = [info.path for info in target_of("small-resnet").layers()]
    assert [p for p in paths if p in ("fc", "conv1", "layer4", "layer1")] == [
        "conv1", "layer1", "layer4", "fc",
    ]  # fmt: skip
    assert [info.kind for info in target_of("small-resnet").layers()][:2] == [
        "Conv2d",
        "BatchNorm2d",
    ]


def test_all_layers_are_read_in_one_pass_and_each_picture_is_transformed_once(pictures):
    module, seen, forwards = network("small-resnet"), [], []
    inner = small(64)

    def transform(picture):
        seen.append(picture.size)
        return inner(picture)

    target = TorchTarget(module, transform, NetworkConfig(batch=SHAPE))
    target.layers()
    seen.clear()
    module.register_forward_hook(lambda _m, inputs, _o: forwards.append(tuple(inputs[0].shape)))
    target.responses(pictures, ["layer1", "layer2", "layer4", "fc"])
    assert forwards == [(SHAPE, 3, 64, 64)] * 3
    assert sorted(seen) == sorted(picture.shape[1::-1] for picture in pictures)


def test_hooks_are_gone_afterwards_even_after_an_error(pictures):
    class Fails(nn.Module):
        def __init__(self):
            super().__init__()
            self.inner = nn.Conv2d(3, 2, 1)
            self.broken = False

        def forward(self, x):
            if self.broken:
                raise RuntimeError("broken")
            return self.inner(x)

    target = TorchTarget(Fails(), small(32), NetworkConfig(batch=2))
    target.responses(pictures[:1], ["inner"])
    target.module.broken = True
    with pytest.raises(RuntimeError, match="broken"):
        target.responses(pictures, ["inner"])
    assert target.module.inner._forward_hooks == OrderedDict()


def test_memory_that_runs_out_changes_no_result(pictures):
    class Narrow(nn.Module):
        """A network that can hold two pictures."""

        def __init__(self):
            super().__init__()
            self.inner = network("small-resnet")

        def forward(self, x):
            if len(x) > 2:
                raise torch.OutOfMemoryError("full")
            return self.inner(x)

    wide = target_of("small-resnet").responses(pictures, ["layer4"])["layer4"]
    target = TorchTarget(Narrow(), small(64), NetworkConfig(batch=8))
    found = target.responses(pictures, ["inner.layer4"])["inner.layer4"]
    np.testing.assert_allclose(found, wide, atol=1e-5)

    def full(picture):
        raise MemoryError

    target._transform = full
    with pytest.raises(OutOfMemory, match="single input"):
        target.responses(pictures, ["inner.layer4"])


def test_a_transform_that_keeps_sizes_is_refused(pictures):
    transform = v2.Compose([v2.PILToTensor(), v2.ToDtype(torch.float32, scale=True)])
    target = TorchTarget(nn.Sequential(nn.Conv2d(3, 2, 1)), transform, NetworkConfig(batch=2))
    with pytest.raises(UserError, match="must bring every picture to one size"):
        target.responses(pictures[:2], ["0"])


def test_precision_is_the_networks_own(pictures):
    target = target_of("small-resnet", dtype="bfloat16")
    assert next(target.module.parameters()).dtype is torch.bfloat16
    found = target.responses(pictures, ["layer4"])["layer4"]
    assert found.dtype == np.float32
    exact = target_of("small-resnet").responses(pictures, ["layer4"])["layer4"]
    assert not np.array_equal(found, exact)
    np.testing.assert_allclose(found, exact, atol=0.05, rtol=0.05)


def test_the_framing_is_that_of_the_transform():
    transform = v2.Compose(
        [v2.CenterCrop(20), v2.PILToTensor(), v2.ToDtype(torch.float32, scale=True)]
    )
    target = TorchTarget(nn.Sequential(nn.Conv2d(3, 2, 1)), transform, NetworkConfig(batch=2))
    assert target.framing(40, 60) == Box(20, 10, 40, 30)


def test_a_network_in_training_mode_is_put_to_work(pictures):
    target = TorchTarget(network("small-resnet").train(), small(64), NetworkConfig(batch=2))
    assert not target.module.training
    assert not any(parameter.requires_grad for parameter in target.module.parameters())
    target.close()
    assert not hasattr(target, "module")
