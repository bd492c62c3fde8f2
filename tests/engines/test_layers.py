"""Finding layers and the axis that their neurons lie on."""

import pytest
import torch
from torch import nn
from torchvision.models import MaxVit, SwinTransformer, VisionTransformer, googlenet
from torchvision.models.convnext import CNBlock
from torchvision.ops import Permute

from dnd_local.core.errors import UnknownName, UserError
from dnd_local.engines.layer_output import first_tensor, heads_explain
from dnd_local.engines.layers import find_layer, find_outputs


def all_of(module, shape=(3, 32, 32), layout=""):
    """Return what a network shows on a constant picture, as a target asks for it."""
    with torch.no_grad():
        return find_outputs(module.eval(), torch.full((2, *shape), 0.1), layout)


def outputs_of(module, shape=(3, 32, 32)):
    return all_of(module, shape).outputs


@pytest.fixture(scope="module")
def swin():
    return outputs_of(
        SwinTransformer([4, 4], 12, depths=[2, 1], num_heads=[2, 2], window_size=[4, 4])
    )


@pytest.fixture(scope="module")
def vit():
    return all_of(VisionTransformer(32, 8, 2, 2, hidden_dim=12, mlp_dim=20, num_classes=5))


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
    output = vit.outputs[path]
    assert (output.shape, output.neurons) == (shape, shape[-1] if len(shape) < 3 else shape[0])
    assert output.info.spatial is spatial


class Patches(nn.Module):
    """Patch tokens of a convolution, with special tokens in front, then two layers of them."""

    def __init__(self, special, width=6, reverse=False):
        super().__init__()
        self.special, self.reverse = special, reverse
        self.patch = nn.Conv2d(3, width, 8, 8)
        self.norm = nn.LayerNorm(width)
        self.mix = nn.Sequential(nn.Linear(width, width), nn.GELU())

    def forward(self, x):
        tokens = self.patch(x).flatten(2).transpose(1, 2)
        if self.reverse:
            tokens = tokens.flip(1)
        front = torch.zeros(len(x), self.special, tokens.shape[2])
        return self.mix(self.norm(torch.cat([front, tokens], 1)))


@pytest.mark.parametrize(
    ("special", "height", "width"), [(0, 4, 4), (1, 4, 4), (5, 14, 14), (1, 14, 16), (4, 3, 7)]
)
def test_special_tokens_and_the_grid_are_those_of_the_patches(special, height, width):
    torch.manual_seed(0)
    network = Patches(special)
    found = outputs_of(network, (3, 8 * height, 8 * width))
    for path in ("norm", "mix.0", "mix.1", "mix"):
        output = found[path]
        assert (output.special, output.grid, output.neurons) == (special, (height, width), 6)
    picture = torch.randn(1, 3, 8 * height, 8 * width)
    with torch.no_grad():
        values = network(picture)
        one = network(torch.where(torch.arange(8 * width) < 8, picture, 0.0))
    # Beyond the first column of patches the picture is black, and the map is constant.
    maps = found["mix"].maps(one, [0])[0, 0]
    assert maps.shape == (height, width)
    assert float(maps[:, 1:].std()) < 1e-6 < float(maps[:, 0].std())
    torch.testing.assert_close(
        found["mix"].responses(values, "avg", "mean"), values[:, special:].mean(1)
    )


@pytest.mark.parametrize("path", ["norm", "mix.0", "mix"])
def test_patches_in_another_order_are_refused(path):
    torch.manual_seed(0)
    network = Patches(1, reverse=True)
    found = all_of(network)
    with pytest.raises(
        UserError, match=r"17 tokens are not the patches of a \(4, 4\) map.*--layout"
    ):
        find_layer(network, found, path)


def test_tokens_without_a_patch_map_are_asked_for():
    class Tokens(nn.Module):
        def forward(self, x):
            return torch.zeros(2, 17, 6) + x.mean()

    network = nn.Sequential(Tokens())
    with pytest.raises(
        UserError, match=r"what the axes of its output \(2, 17, 6\) hold .*--layout"
    ):
        find_layer(network, all_of(network), "0")
    told = all_of(network, layout="tokens:1+4x4").outputs["0"]
    assert (told.special, told.grid) == (1, (4, 4))
    told = all_of(network, layout="tokens:2+3x5").outputs["0"]
    assert (told.special, told.grid) == (2, (3, 5))
    assert all_of(network, layout="tokens:1").outputs["0"].grid is None
    assert not all_of(network, layout="tokens:1+4x5").outputs
    with pytest.raises(UserError, match=r"network\.layout is tokens:SPECIAL"):
        all_of(network, layout="patches")


class Mixer(nn.Module):
    """MLP-Mixer's block: one perceptron over tokens, one over channels."""

    def __init__(self, width=10):
        super().__init__()
        self.patch = nn.Conv2d(3, width, 8, 8)
        self.norm = nn.LayerNorm(width)
        self.over_tokens = nn.Sequential(nn.Linear(16, 12), nn.GELU(), nn.Linear(12, 16))
        self.over_channels = nn.Sequential(nn.Linear(width, 20), nn.GELU(), nn.Linear(20, width))
        self.head = nn.Linear(width, 4)

    def forward(self, x):
        tokens = self.patch(x).flatten(2).transpose(1, 2)
        tokens = tokens + self.over_tokens(self.norm(tokens).transpose(1, 2)).transpose(1, 2)
        return self.head((tokens + self.over_channels(self.norm(tokens))).mean(1))


@pytest.mark.parametrize("width", [10, 16, 17])
def test_a_mixers_token_axis_is_never_taken_for_neurons(width):
    network = Mixer(width)
    found = all_of(network)
    for path in ("over_tokens.0", "over_tokens.1", "over_tokens.2", "over_tokens"):
        with pytest.raises(UserError, match="what the axes of its output"):
            find_layer(network, found, path)
    if width == 10:  # as many channels as tokens are refused in both
        assert found.outputs["over_channels.0"].info.neurons == 20
        assert found.outputs["over_channels"].grid == (4, 4)
    assert found.outputs["head"].neurons == 4


@pytest.mark.parametrize(
    "layer", [nn.Conv1d(16, 16, 1), nn.AdaptiveAvgPool1d(1), nn.BatchNorm1d(16)]
)
def test_one_dimensional_layers_hold_no_tokens(layer):
    network = nn.Sequential(nn.Conv2d(3, 16, 8, 8), nn.Flatten(2), layer)
    with pytest.raises(UserError, match="what the axes of its output"):
        find_layer(network, all_of(network), "2")


class Moved(nn.Module):
    """Axes moved by the network's `forward`, as timm's ConvNeXt and Swin do."""

    def __init__(self, width):
        super().__init__()
        self.stem = nn.Conv2d(3, width, 4, 4)
        self.keep = nn.Identity()
        self.act = nn.GELU()
        self.end = nn.Identity()

    def forward(self, x):
        last = self.keep(self.stem(x).permute(0, 2, 3, 1) + 1)
        return self.end(self.act(last).permute(0, 3, 1, 2) * 2)


def test_axes_moved_between_modules_are_told_by_their_sizes():
    found = outputs_of(Moved(6))
    assert [found[path].order for path in ("stem", "keep", "act", "end")] == [
        "first", "last", "last", "first",
    ]  # fmt: skip
    assert {output.neurons for output in found.values()} == {6}


def test_axes_of_one_size_are_asked_for():
    network = Moved(8)
    found = all_of(network)
    assert set(found.outputs) == {"stem"}
    with pytest.raises(
        UserError, match=r"which axis of its output \(2, 8, 8, 8\) holds the neurons"
    ):
        find_layer(network, found, "keep")
    assert all_of(network, layout="channels-last").outputs["keep"].order == "last"
    assert all_of(network, layout="channels-first").outputs["end"].order == "first"


def heads_by_hand(attention, x):
    """Return each head's output length from the weights that torch's attention returns."""
    _, weights = attention(x, x, x, need_weights=True, average_attn_weights=False)
    width, heads = attention.embed_dim, attention.num_heads
    values = x @ attention.in_proj_weight[2 * width :].T + attention.in_proj_bias[2 * width :]
    size = width // heads
    lengths = []
    for head in range(heads):
        own = values[:, :, head * size : (head + 1) * size]
        lengths.append(
            torch.stack([(w[head] @ v).norm(dim=1) for w, v in zip(weights, own, strict=True)])
        )
    return torch.stack(lengths, -1)


def test_heads_of_torchs_attention():
    torch.manual_seed(0)
    network = VisionTransformer(32, 8, 2, 2, hidden_dim=12, mlp_dim=20, num_classes=5).eval()
    found = all_of(network)
    path = "encoder.layers.encoder_layer_0.self_attention:heads"
    assert find_layer(network, found, "encoder.layers.0.self_attention:heads") == path
    output = found.outputs[path]
    assert (output.info.shape, output.neurons, output.grid) == ((17, 2), 2, (4, 4))
    noted = []
    block = network.encoder.layers[0]
    with torch.no_grad():
        for bias in (block.self_attention.in_proj_bias, block.self_attention.out_proj.bias):
            bias.normal_()
        handle = block.self_attention.register_forward_hook(
            lambda m, i, k, o: noted.append((i[0], output.values(m, i, k, o))), with_kwargs=True
        )
        network(torch.randn(3, 3, 32, 32))
        handle.remove()
        (given, read) = noted[0]
        torch.testing.assert_close(read, heads_by_hand(block.self_attention, given))


class Heads(nn.Module):
    """An attention module as timm and transformers write it."""

    def __init__(self):
        super().__init__()
        self.num_heads = 3
        self.qkv, self.proj = nn.Linear(12, 36), nn.Linear(12, 12)

    def forward(self, x):
        q, k, v = self.qkv(x).reshape(*x.shape[:2], 3, 3, 4).permute(2, 0, 3, 1, 4)
        mixed = torch.softmax(q @ k.transpose(2, 3) / 2, -1) @ v
        return self.proj(mixed.transpose(1, 2).reshape(x.shape))


class Attends(nn.Module):
    def __init__(self, attention):
        super().__init__()
        self.patch, self.attention = nn.Conv2d(3, 12, 8, 8), attention

    def forward(self, x):
        return self.attention(self.patch(x).flatten(2).transpose(1, 2))


def test_heads_of_other_attention():
    torch.manual_seed(0)
    network = Attends(Heads())
    output = all_of(network).outputs["attention:heads"]
    assert (output.read_at, output.heads, output.grid) == ("attention.proj", 3, (4, 4))
    mixed = torch.randn(2, 16, 12)
    read = output.values(network.attention.proj, (mixed,), {}, None)
    for head in range(3):
        expected = mixed[:, :, 4 * head : 4 * head + 4].square().sum(2).sqrt()
        torch.testing.assert_close(read[:, :, head], expected)


class Masked(nn.Module):
    """Torch's attention under a mask, which is not followed."""

    def __init__(self):
        super().__init__()
        self.attention = nn.MultiheadAttention(12, 3, batch_first=True)

    def forward(self, x):
        return self.attention(x, x, x, attn_mask=torch.eye(16), need_weights=False)[0]


def test_heads_that_cannot_be_followed_are_refused():
    network = Attends(Masked())
    found = all_of(network)
    assert "attention.attention" in found.outputs
    with pytest.raises(UserError, match="its heads cannot be followed"):
        find_layer(network, found, "attention.attention:heads")
    with pytest.raises(UserError, match="its heads cannot be followed"):
        find_layer(network, found, "patch:heads")


def test_an_attention_with_tokens_first_is_followed_to_its_output():
    attention = nn.MultiheadAttention(12, 3)
    x = torch.randn(16, 2, 12)
    with torch.no_grad():
        made = attention(x, x, x)
        assert heads_explain(attention, (x, x, x), {}, made)
        assert not heads_explain(attention, (x, x, 2 * x), {}, made)
        assert not heads_explain(attention, (x, x), {}, made)


def test_maxvits_windows_say_where_to_look():
    network = MaxVit((16, 16), 8, 4, [8], [1], 4, 0.0)
    found = all_of(network, (3, 16, 16))
    attention = "blocks.0.layers.0.layers.grid_attention"
    with pytest.raises(UserError, match=f"counts windows, not pictures; take '{attention}'"):
        find_layer(network, found, f"{attention}.attn_layer.0")


def test_auxiliary_heads_say_that_they_do_not_run():
    network = googlenet(weights=None, init_weights=False)
    with pytest.raises(UserError, match=r"'aux1' .*does not run when the network is evaluated"):
        find_layer(network, all_of(network, (3, 64, 64)), "aux1")


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
    with pytest.raises(
        UserError, match=r"layer 'idle' \(Linear\) cannot be dissected: it does not run"
    ):
        find_layer(network, all_of(network), "idle")


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
    output = find_outputs(network, swin_like).outputs["0"]
    torch.testing.assert_close(output.responses(swin_like, "avg", "mean"), swin_like.mean((1, 2)))
    torch.testing.assert_close(output.responses(swin_like, "max", "cls"), swin_like.amax((1, 2)))
    assert torch.equal(output.maps(swin_like, [2])[1, 0], swin_like[1, :, :, 2])
    tokens = torch.randn(2, 10, 4)
    output = find_outputs(network, tokens, "tokens:1+3x3").outputs["0"]
    assert torch.equal(output.responses(tokens, "avg", "cls"), tokens[:, 0])
    torch.testing.assert_close(output.responses(tokens, "avg", "mean"), tokens[:, 1:].mean(1))
    torch.testing.assert_close(output.responses(tokens, "avg", "max"), tokens[:, 1:].amax(1))
    assert torch.equal(output.maps(tokens, [3])[0, 0], tokens[0, 1:, 3].reshape(3, 3))
    square = find_outputs(network, tokens[:, :9], "tokens:0+3x3").outputs["0"]
    with pytest.raises(UserError, match=r"no CLS token \(9 tokens\)"):
        square.responses(tokens[:, :9], "avg", "cls")
