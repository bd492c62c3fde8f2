"""Latents of a layer, against each position encoded by itself."""

from __future__ import annotations

import json
import math
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from dnd_local.core.config import NetworkConfig
from dnd_local.core.errors import UnknownName, UserError
from dnd_local.engines import latents as module
from dnd_local.engines.latents import KINDS, load_latents
from dnd_local.engines.latents_factory import examine, load
from dnd_local.engines.target_torch import TorchTarget
from tests.engines.contracts import SHAPE, TargetContract
from tests.engines.latents_folder import save_latents, tensors_of
from tests.engines.test_target_torch import network, output_of, small

LATENTS = 20


def encoded(kind, values, tensors, k=3, subtract=True):
    """Return the latents of one position's values, one number after another."""
    values = [float(v) for v in values]
    if subtract:
        values = [v - float(b) for v, b in zip(values, tensors["b_dec"], strict=True)]
    sums = [
        sum(v * float(w) for v, w in zip(values, column, strict=True)) + float(bias)
        for column, bias in zip(tensors["W_enc"].T.tolist(), tensors["b_enc"], strict=True)
    ]
    if kind == "jumprelu":
        return [
            z if z > float(least) and z > 0 else 0.0
            for z, least in zip(sums, tensors["threshold"], strict=True)
        ]
    active = [max(z, 0.0) for z in sums]
    if kind == "topk":
        least = sorted(active)[-k]
        return [z if z >= least else 0.0 for z in active]
    return active


def target_of(network_kind, folder, name="sae", **config):
    size = 64 if "resnet" in network_kind else 32
    settings = NetworkConfig(batch=SHAPE, latents=name, **config)
    return TorchTarget(network(network_kind), small(size), settings, latents=load_latents(folder))


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("at_once", [1 << 22, LATENTS * 3])
@pytest.mark.parametrize(
    ("network_kind", "path", "inputs"),
    [
        ("small-resnet", "layer4", 16),
        ("small-resnet", "fc", 5),
        ("swin", "features.2", 24),
        ("vit", "encoder.layers.encoder_layer_1", 12),
    ],
)
def test_each_kind_at_every_position(
    kind, at_once, network_kind, path, inputs, tmp_path, pictures, monkeypatch
):
    monkeypatch.setattr(module, "_AT_ONCE", at_once)
    folder = save_latents(tmp_path / "sae", inputs, LATENTS, kind)
    tensors = tensors_of(inputs, LATENTS)
    values = output_of(network_kind, pictures[0], path)
    if values.ndim == 1:
        cells = [values]
    elif network_kind == "vit":
        cells = list(values[1:])
    else:
        channels = values if network_kind == "swin" else values.permute(1, 2, 0)
        cells = list(channels.flatten(0, 1))
    wanted = np.array([encoded(kind, cell, tensors) for cell in cells])
    assert 0 < (wanted > 0).mean() < 1
    for pool, tokens, expected in [
        ("avg", "mean", wanted.mean(0)), ("max", "max", wanted.max(0)),
    ]:  # fmt: skip
        target = target_of(network_kind, folder, pool=pool, tokens=tokens)
        (row,) = target.responses(pictures[:1], [f"{path}:sae"])[f"{path}:sae"]
        assert row == pytest.approx(expected, rel=1e-4, abs=1e-5)
        info = next(one for one in target.layers() if one.path == f"{path}:sae")
        assert (info.neurons, info.spatial) == (LATENTS, values.ndim > 1)
        assert info.kind.startswith("latents of ")
        assert math.prod(info.shape) == LATENTS * (values.numel() // inputs)
        maps = target.maps(pictures[:1], f"{path}:sae", [[7, 2]])[0]
        side = int(len(cells) ** 0.5)
        for one, latent in zip(maps, [7, 2], strict=False):
            assert one.values == pytest.approx(
                wanted[:, latent].reshape(side, side), rel=1e-4, abs=1e-5
            )


def test_the_class_token_alone(tmp_path, pictures):
    path, folder = "encoder.layers.encoder_layer_1", save_latents(tmp_path / "sae", 12, LATENTS)
    values = output_of("vit", pictures[0], path)
    (row,) = target_of("vit", folder, tokens="cls").responses(pictures[:1], [f"{path}:sae"])[
        f"{path}:sae"
    ]
    assert row == pytest.approx(encoded("relu", values[0], tensors_of(12, LATENTS)), rel=1e-4)


class TestLatentsOfATarget(TargetContract):
    layers = ("layer4:sae", "avgpool:sae")

    @pytest.fixture(scope="class")
    @classmethod
    def target(cls, tmp_path_factory):
        folder = save_latents(tmp_path_factory.mktemp("sae"), 16, LATENTS, "topk")
        return target_of("small-resnet", folder)

    # Latents have no way back into the network.
    test_silenced = None


def test_layers_of_another_width_are_told_by_their_widths(tmp_path, pictures):
    target = target_of("small-resnet", save_latents(tmp_path / "sae", 16, 4))
    assert all(one.path.endswith(":sae") for one in target.layers())
    with pytest.raises(UnknownName, match="layer1:sae"):
        target.responses(pictures, ["layer1:sae"])
    with pytest.raises(UserError, match=r"it has 8 neurons, and the latents sae read 16"):
        target.responses(pictures, ["layer1"])
    with pytest.raises(UserError, match="latents cannot be silenced"):
        target.outputs(pictures, "layer4:sae", [[0]])
    with pytest.raises(UserError, match=r"sae read 7 neurons, and no layer .* has so many; .* 16"):
        target_of("small-resnet", save_latents(tmp_path / "other", 7, 4)).layers()


@pytest.mark.parametrize(
    ("settings", "told"),
    [
        ({"kind": "gated"}, "kind is 'gated'; say relu or topk or jumprelu"),
        ({"kind": "topk", "k": 0}, "k is 0; topk wants how many"),
        ({"kind": "topk", "k": 21}, "k is 21, and there are 20 latents"),
        ({"k": 3}, "k is 3, and relu has none"),
        ({"subtract_b_dec": None}, "subtract_b_dec is None; say true"),
        ({"scale": 2}, "'scale' is not known; known are kind, k, subtract_b_dec"),
    ],
)
def test_settings_that_will_not_do(tmp_path, settings, told):
    folder = save_latents(tmp_path / "sae", 6, LATENTS)
    said = {"kind": "relu", "subtract_b_dec": True, **settings}
    (folder / "config.json").write_text(json.dumps(said))
    with pytest.raises(UserError, match=told):
        load_latents(folder)


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"W_enc": torch.zeros(20, 6)}, r"b_enc is \(20,\), and W_enc is \(20, 6\)"),
        ({"W_enc": torch.zeros(6)}, r"W_enc is \(6,\); \(inputs, latents\) is wanted"),
        ({"b_enc": None}, "lacks b_enc; it holds W_dec, W_enc, b_dec"),
        ({"b_dec": torch.zeros(7)}, r"b_dec is \(7,\)"),
        ({"b_gate": torch.zeros(20)}, "holds b_gate, which a relu encoder has not"),
        ({"b_enc": torch.full((20,), float("nan"))}, "b_enc holds NaN"),
    ],
)
def test_tensors_that_will_not_do(tmp_path, change, told):
    folder = save_latents(tmp_path / "sae", 6, LATENTS)
    tensors = tensors_of(6, LATENTS)
    del tensors["threshold"]
    kept = {name: one for name, one in {**tensors, **change}.items() if one is not None}
    save_file(kept, folder / "sae.safetensors")
    with pytest.raises(UserError, match=told):
        load_latents(folder)


def test_a_decoders_bias_that_is_not_subtracted(tmp_path):
    encoder = load_latents(save_latents(tmp_path / "sae", 6, LATENTS, subtract_b_dec=False))
    tensors, values = tensors_of(6, LATENTS), torch.arange(6.0)
    wanted = encoded("relu", values, tensors, subtract=False)
    assert encoder(values[None])[0].tolist() == pytest.approx(wanted, rel=1e-4, abs=1e-6)


HEAD = """
import torch
from torch import nn

class Encoder(nn.Module):
    def __init__(self, end=lambda z: z.relu(), inputs=16):
        super().__init__()
        self.inputs, self.end = inputs, end
        self.linear = nn.Linear(16, 4)
    def forward(self, x):
        return self.end(self.linear(x))

def seeded(*given):
    torch.manual_seed(0)
    return Encoder(*given)

def make():
"""


def factory(folder: Path, body: str) -> str:
    (folder / "sae.py").write_text(f"{HEAD}    return {body}\n")
    return f"{folder / 'sae.py'}:make"


def test_an_encoder_of_ones_own(tmp_path, pictures):
    name = factory(tmp_path, "seeded()")
    assert examine(name) == examine(name)
    encoder = load(name)
    settings = NetworkConfig(batch=SHAPE, latents=name)
    target = TorchTarget(network("small-resnet"), small(64), settings, latents=encoder)
    values = output_of("small-resnet", pictures[0], "layer4").flatten(1).T
    wanted = encoder(values).mean(0)
    layer = "layer4:sae.py:make"
    (row,) = target.responses(pictures[:1], [layer])[layer]
    assert row == pytest.approx(wanted.numpy(), rel=1e-4, abs=1e-6)


@pytest.mark.parametrize(
    ("body", "told"),
    [
        ("3", "must return a torch module with an attribute `inputs`"),
        ("seeded(None, 0)", "`inputs` is 0; 1 or more"),
        ("Encoder()", "builds another network each time"),
        ("seeded(lambda z: [z])", r"returns a list; a tensor \(5, latents\) is wanted"),
        ("seeded(lambda z: z.sum())", r"returns a tensor \(\)"),
        ("seeded(lambda z: z * float('nan'))", "makes NaN"),
        ("seeded(lambda z: z + torch.rand(4))", "makes other latents of the same values"),
        ("seeded(lambda z: z - z.mean(0))", "when others come with it"),
        ("seeded(None, 7)", "its encoder, given rows of shape .* raised RuntimeError"),
    ],
)
def test_an_encoder_that_will_not_do(tmp_path, body, told):
    with pytest.raises(UserError, match=told):
        examine(factory(tmp_path, body))
