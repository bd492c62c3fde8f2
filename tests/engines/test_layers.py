"""Finding layers and the axis that their neurons lie on."""

import pytest
import torch
from torch import nn
from torchvision.models import MaxVit, SwinTransformer, VisionTransformer
from torchvision.models.convnext import CNBlock
from torchvision.ops import Permute

from dnd_local.core.errors import UnknownName, UserError
from dnd_local.engines.layers import find_layer, find_outputs, first_tensor


def outputs_of(module, shape=(3, 32, 32)):
    with torch.no_grad():
        return find_outputs(module.eval(), torch.randn(2, *shape))


@pytest.fixture(scope="module")
def swin():
    return outputs_of(
        SwinTransformer([4, 4], 12, depths=[2, 1], num_heads=[2, 2], window_size=[4, 4])
    )


@pytest.fixture(scope="module")
def vit():
    return outputs_of(VisionTransformer(32, 8, 2, 2, hidden_dim=12, mlp_dim=20, num_classes=5))


@pytest.mark.parametrize(
    ("path", "shape", "neurons"),
    [
        ("features.0.0", (12, 8, 8), 12),  # the convolution writes (c, h, w)
        ("features.0.1", (8, 8, 12), 12),  # and from here on neurons come last
        ("features.0", (8, 8, 12), 12),
        ("features.1.0.attn", (8, 8, 12), 12),
        ("features.1.0.mlp.0", (8, 8, 48), 48),
        ("features.1.0.mlp.1", (8, 8, 48), 48),
        ("features.1.1", (8, 8, 12), 12),
        ("features.2", (4, 4, 24), 24),
        ("features", (4, 4, 24), 24),
        ("norm", (4, 4, 24), 24),
        ("permute", (24, 4, 4), 24),
    ],
)
def test_swin_holds_its_neurons_last(swin, path, shape, neurons):
    info = swin[path].info
    assert (info.shape, info.neurons, info.spatial) == (shape, neurons, True)


def test_convnext_changes_sides_inside_its_blocks():
    network = nn.Sequential(nn.Conv2d(3, 6, 4, 4), CNBlock(6, 1.0, 0.0))
    found = {path: output.neurons for path, output in outputs_of(network).items()}
    assert found["0"] == found["1.block.0"] == found["1.block.2"] == 6
    assert found["1.block.3"] == found["1.block.4"] == 24
    assert found["1.block.6"] == found["1"] == 6


def test_maxvit_windows_are_left_out():
    network = MaxVit((16, 16), 8, 4, [8], [1], 4, 0.0)
    paths = outputs_of(network, (3, 16, 16))
    attention = "blocks.0.layers.0.layers.grid_attention"
    assert paths[attention].info.shape == (8, 4, 4)
    assert not [path for path in paths if path.startswith(f"{attention}.")]


@pytest.mark.parametrize(
    ("path", "shape", "spatial"),
    [
        ("conv_proj", (12, 4, 4), True),
        ("encoder.layers.encoder_layer_0", (17, 12), True),
        ("encoder.layers.encoder_layer_0.self_attention", (17, 12), True),  # gives a tuple
        ("encoder.layers.encoder_layer_1.mlp.0", (17, 20), True),
        ("heads.head", (5,), False),
    ],
)
def test_tokens_of_a_vision_transformer(vit, path, shape, spatial):
    output = vit[path]
    assert (output.shape, output.neurons) == (shape, shape[-1] if len(shape) < 3 else shape[0])
    assert output.info.spatial is spatial


@pytest.mark.parametrize(
    ("tokens", "special", "grid"),
    [
        (16, 0, (4, 4)),
        (17, 1, (4, 4)),
        (201, 5, (14, 14)),  # a CLS token and four registers
        (193, 1, None),  # 12 x 16 patches: no square
        (3, 1, None),
        (1, 1, None),
    ],
)
def test_special_tokens_and_the_grid(tokens, special, grid):
    class Tokens(nn.Module):
        def forward(self, x):
            return torch.zeros(2, tokens, 6) + x.mean()

    (output,) = outputs_of(nn.Sequential(Tokens())).values()
    assert (output.special, output.grid, output.neurons) == (special, grid, 6)


class Odd(nn.Module):
    """Outputs without neurons, outputs inside others, a module that never runs."""

    def __init__(self):
        super().__init__()
        self.as_dict = Wrap(lambda x: {"a": x, "b": 1})
        self.as_list = Wrap(lambda x: [None, x])
        self.nothing = Wrap(lambda x: None)
        self.number = Wrap(lambda x: torch.tensor(3))
        self.whole = Wrap(lambda x: x.long())
        self.folded = Wrap(lambda x: x.flatten(0, 1))
        self.idle = nn.Linear(2, 2)
        self.shared = nn.ReLU()
        self.end = nn.Conv2d(3, 4, 1)

    def forward(self, x):
        x = self.as_list(self.as_dict(x)["a"])[1]
        self.nothing(x), self.number(x), self.whole(x), self.folded(x)
        return self.shared(self.end(self.shared(x)))


class Wrap(nn.Module):
    def __init__(self, made):
        super().__init__()
        self.made = made

    def forward(self, x):
        return self.made(x)


def test_only_what_holds_neurons_is_listed_where_it_runs_last():
    found = outputs_of(Odd())
    assert list(found) == ["as_dict", "as_list", "end", "shared"]
    assert found["shared"].shape == (4, 32, 32)


def test_a_number_names_a_child_by_position_only_where_none_is_called_so(vit):
    network = VisionTransformer(32, 8, 2, 2, hidden_dim=12, mlp_dim=20)
    full = "encoder.layers.encoder_layer_1"
    assert find_layer(network, vit, "encoder.layers.1") == full
    assert find_layer(network, vit, "encoder.layers.1.mlp.0") == f"{full}.mlp.0"


def test_an_unknown_layer_lists_near_ones(vit):
    network = VisionTransformer(32, 8, 2, 2, hidden_dim=12, mlp_dim=20)
    with pytest.raises(UnknownName, match=r"unknown layer 'heads.haed'\. Did you mean heads.head"):
        find_layer(network, vit, "heads.haed")
    with pytest.raises(UnknownName, match="dnd-local layers"):
        find_layer(network, vit, "encoder.layers.7")
    for path in ("", "encoder.", "__class__", "encoder.layers.-1", "heads.head.weight"):
        with pytest.raises(UnknownName):
            find_layer(network, vit, path)


def test_a_module_without_neurons_says_why():
    network = Odd()
    with pytest.raises(UserError, match=r"layer 'idle' \(Linear\) cannot be dissected"):
        find_layer(network, outputs_of(network), "idle")


def test_a_batch_norm_read_before_it_is_written_over():
    network = nn.Sequential(nn.BatchNorm2d(3), nn.ReLU(inplace=True))
    assert list(outputs_of(network)) == ["0", "1"]


def test_permute_moves_the_axis_and_what_follows_keeps_it():
    network = nn.Sequential(Permute([0, 2, 3, 1]), nn.GELU(), Permute([0, 3, 1, 2]), nn.GELU())
    found = outputs_of(network, (5, 4, 4))
    assert [output.order for output in found.values()] == ["last", "last", "first", "first"]


def test_first_tensor():
    one = torch.ones(1)
    assert first_tensor(one) is one
    assert first_tensor((None, one)) is one
    assert first_tensor({"x": one}) is one
    assert first_tensor(()) is None
    assert first_tensor("text") is None


def test_reading_each_kind_of_output():
    swin_like = torch.arange(2 * 3 * 3 * 4, dtype=torch.float32).reshape(2, 3, 3, 4)
    network = nn.Sequential(nn.Linear(4, 4))
    output = find_outputs(network, swin_like)["0"]
    torch.testing.assert_close(output.responses(swin_like, "avg", "mean"), swin_like.mean((1, 2)))
    torch.testing.assert_close(output.responses(swin_like, "max", "cls"), swin_like.amax((1, 2)))
    assert torch.equal(output.maps(swin_like)[1, 2], swin_like[1, :, :, 2])
    tokens = torch.randn(2, 10, 4)
    output = find_outputs(network, tokens)["0"]
    assert torch.equal(output.responses(tokens, "avg", "cls"), tokens[:, 0])
    torch.testing.assert_close(output.responses(tokens, "avg", "mean"), tokens[:, 1:].mean(1))
    torch.testing.assert_close(output.responses(tokens, "avg", "max"), tokens[:, 1:].amax(1))
    assert torch.equal(output.maps(tokens)[0, 3], tokens[0, 1:, 3].reshape(3, 3))
    square = find_outputs(network, tokens[:, :9])["0"]
    with pytest.raises(UserError, match=r"no CLS token \(9 tokens\)"):
        square.responses(tokens[:, :9], "avg", "cls")
