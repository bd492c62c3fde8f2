"""Silenced neurons, against plain forwards in which one hook at a time writes zeros."""

from collections import namedtuple

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

from dnd_local.core.config import NetworkConfig
from dnd_local.core.errors import UserError
from dnd_local.engines.layer_output import Output
from dnd_local.engines.silencing import Silencer
from dnd_local.engines.target_torch import TorchTarget
from tests.engines.test_target_torch import network, small, target_of

SETS = ([], [0, 3], [1], list(range(8)))


def pictures_of(count):
    random = np.random.default_rng(5)
    return [random.integers(0, 256, (70, 80, 3)).astype(np.uint8) for _ in range(count)]


def plainly(kind, pictures, path, silent):
    """Return outputs by one forward a picture and set, zeros written by index."""
    module = network(kind)

    def zero(_module, _inputs, made):
        changed = made.clone()
        if made.ndim == 4 and kind != "swin":
            changed[:, silent] = 0
        else:
            changed[..., silent] = 0
        return changed

    module.get_submodule(path).register_forward_hook(zero)
    prepare = small(64 if "resnet" in kind else 32)
    with torch.no_grad():
        rows = [module(prepare(Image.fromarray(picture)).unsqueeze(0)) for picture in pictures]
    return torch.cat(rows).numpy()


@pytest.mark.parametrize(
    ("kind", "path", "copies"),
    [
        ("small-resnet", "layer4", 16),
        ("small-resnet", "layer2.0.conv2", 1),  # the shortcut leads around it
        ("small-resnet", "avgpool", 16),
        ("vit", "encoder.layers.encoder_layer_0", 16),
        ("swin", "features.1", 16),
    ],
)
def test_silent_neurons_are_zero_and_nothing_else_changes(kind, path, copies, monkeypatch):
    target, pictures, used = target_of(kind), pictures_of(5), []
    outputs = Silencer.outputs

    def noted(self, batch, kept):
        made = outputs(self, batch, kept)
        used.append(self._copies)
        return made

    monkeypatch.setattr(Silencer, "outputs", noted)
    made = target.outputs(pictures, path, SETS)
    assert set(used) == {copies}
    for own, silent in zip(made, SETS, strict=True):
        np.testing.assert_allclose(own, plainly(kind, pictures, path, silent), atol=1e-4)
    assert not np.allclose(made[0], made[3], atol=1e-3)


class Shared(nn.Module):
    """One ReLU that runs twice, and a layer that gives a named pair."""

    Pair = namedtuple("Pair", "note values")

    class Pairing(nn.Module):
        def forward(self, x):
            return Shared.Pair("a pair", x)

    class Named(nn.Module):
        def forward(self, x):
            return {"note": 1, "values": x}

    def __init__(self):
        super().__init__()
        self.relu, self.pairing, self.named = nn.ReLU(), self.Pairing(), self.Named()

    def forward(self, x):
        x = self.relu(x.mean((2, 3)) - 0.1)
        return self.named(self.pairing(self.relu(x * 2)).values)["values"]


def test_a_shared_module_is_silenced_where_it_runs_last():
    target = TorchTarget(Shared().eval(), small(32), NetworkConfig(batch=2))
    pictures = [np.full((40, 40, 3), 255, np.uint8)] * 3
    whole = target.outputs(pictures, "relu", [[]])[0]
    for path in ("relu", "pairing", "named"):
        made = target.outputs(pictures, path, [[], [1]])
        assert (made[0] == whole).all()
        assert (made[1] == whole * [1, 0, 1]).all()


def test_what_cannot_be_silenced_is_said():
    with pytest.raises(UserError, match="a head's response is a length"):
        Silencer(nn.Identity(), Output("a:heads", "a", "Heads", (4, 2), "last", 0, None, heads=2))
    spatial = TorchTarget(nn.Sequential(nn.ReLU()), small(32), NetworkConfig(batch=2))
    with pytest.raises(UserError, match="one row of outputs a picture is needed"):
        spatial.outputs(pictures_of(1), "0", [[0]])


def test_memory_that_runs_out_is_not_taken_for_a_network_that_bears_no_copies(monkeypatch):
    silencer = Silencer(nn.Identity(), Output("a", "a", "Identity", (4,), "last", 0, None))

    def full(batch, kept):
        if len(kept) > 1:
            raise torch.OutOfMemoryError
        return torch.zeros(1, 2, 4)

    monkeypatch.setattr(silencer, "_answers", full)
    with pytest.raises(torch.OutOfMemoryError):
        silencer._bears_copies(torch.zeros(2, 4), torch.ones(3, 4, dtype=torch.bool))
