"""A user's own target before any work: each way it can be wrong is one line that says what is."""

from __future__ import annotations

from pathlib import Path

import pytest
from torch import nn

from dnd_local.core.config import NetworkConfig
from dnd_local.core.errors import UnknownName, UserError
from dnd_local.engines import registry
from dnd_local.engines.factory_check import examine
from dnd_local.engines.target_loading import state_digest

HEAD = """
import math, random, sys
import numpy as np
import torch
from torch import nn
from torchvision.transforms import v2

to_tensor = [v2.PILToTensor(), v2.ToDtype(torch.float32, scale=True)]
fixed = v2.Compose([v2.Resize((8, 8)), *to_tensor])

def seeded(*layers):
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(3, 4, 1), nn.ReLU(), *layers)

class Ends(nn.Module):
    \"\"\"A network whose output `end` makes of the maps of one convolution.\"\"\"
    def __init__(self, end):
        super().__init__()
        torch.manual_seed(0)
        self.conv, self.end = nn.Conv2d(3, 4, 1), end
    def forward(self, x):
        return self.end(self.conv(x))

class Noise(nn.Module):
    def forward(self, x):
        return x + torch.rand_like(x)

class Side(nn.Module):
    \"\"\"A network with a layer of width zero.\"\"\"
    def __init__(self):
        super().__init__()
        self.empty = nn.Linear(8, 0)
    def forward(self, x):
        self.empty(x)
        return x

class Broken(nn.Module):
    def forward(self, x):
        return torch.sqrt(-x.abs() - 1)
"""


def target(folder: Path, body: str, head: str = HEAD) -> str:
    path = folder / "mine.py"
    path.write_text(f"{head}\ndef make():\n    {body}\n")
    return f"{path}:make"


def test_what_is_found_of_a_network_that_will_do(tmp_path: Path) -> None:
    body = "net = seeded(); net.append(nn.Conv2d(4, 5, 3)); return net, fixed"
    name = target(tmp_path, body)
    found = examine(name, layer="2")
    assert (found.tensors, found.parameters) == (4, 3 * 4 + 4 + 4 * 5 * 9 + 5)
    assert (found.input, found.output) == ((3, 8, 8), (2, 5, 6, 6))
    assert (found.followed, found.layers) == (True, 3)
    assert found.layer is not None
    assert (found.layer.path, found.layer.neurons, found.layer.spatial) == ("2", 5, True)
    settings = NetworkConfig(name=name)
    assert registry.factory_state_digest("target", name, settings) == found.digest
    assert examine(name).layer is None
    with pytest.raises(UnknownName, match="unknown layer 'conv'"):
        examine(name, layer="conv")


@pytest.mark.parametrize(
    ("body", "told"),
    [
        ("last = nn.Conv2d(4, 2, 1); return seeded(last), fixed",
         r"builds another network each time: 2 of 4 tensors differ \(2\.bias, 2\.weight\), so no"),
        ("return nn.Sequential(nn.Conv2d(3, 4, 1), nn.Linear(8, 2)), fixed",
         r"4 of 4 tensors differ \(0\.bias, 0\.weight, 1\.bias, …\)"),
        ("return seeded(), v2.Compose(to_tensor)",
         r"inputs of different shapes, \(3, 96, 128\) and \(3, 160, 90\), for pictures of 96x128"),
        ("return seeded(), v2.Compose([v2.RandomCrop(8), *to_tensor])",
         "another input each time for the same picture; take the one for evaluation"),
        ("return seeded(), lambda p: np.asarray(p.resize((8, 8)))",
         r"transform returns a numpy array of shape \(8, 8, 3\); a torch tensor"),
        ("return seeded(), lambda p: {'pixel_values': fixed(p)[None]}",
         r"returns a dict with pixel_values, as a Hugging Face processor does; .*processor\("),
        ("return seeded(), lambda p: [1, 2]", r"transform returns a list; a torch tensor"),
        ("return seeded(), lambda p: fixed(p)[None]",
         r"of shape \(1, 3, 8, 8\); .*, without a batch axis: take \[0\] of it"),
        ("return seeded(), lambda p: fixed(p)[0]",
         r"of shape \(8, 8\); a torch tensor \(channels, height, width\) is wanted$"),
        ("return seeded(), lambda p: fixed(p)[:, :0]", r"an empty tensor of shape \(3, 0, 8\)"),
        ("return seeded(), lambda p: fixed(p) / 0", "transform returns NaN or infinite values"),
        ("return seeded(), lambda p: p.no_such()",
         r"its transform raised AttributeError: .*no_such.* \(mine\.py, line \d+\)$"),
        ("return seeded(), lambda p: sys.exit(3)", r"its transform called sys\.exit\(3\) \(mine"),
        ("sys.exit('no weights here')", r"it called sys\.exit\('no weights here'\) \(mine\.py, l"),
        ("return 1 / 0, fixed", r"it raised ZeroDivisionError: division by zero \(mine\.py, line"),
        ("return seeded(nn.Linear(3, 2)), fixed",
         r"its network, given an input of shape \(2, 3, 8, 8\), raised RuntimeError: mat1"),
        ("return Ends(lambda x: 'nothing'), fixed",
         "its network returns a str without a tensor in it; one row of numbers a picture"),
        ("return Ends(lambda x: x.mean()), fixed", r"returns a tensor \(\) for 2 pictures"),
        ("return Ends(lambda x: x[:1]), fixed", r"tensor \(1, 4, 8, 8\) for 2 pictures"),
        ("return Ends(lambda x: x[:, :0]), fixed", r"an empty tensor \(2, 0, 8, 8\)"),
        ("return seeded(Broken(), nn.ReLU()), fixed",
         "makes NaN of pictures of noise, first in layer '2'; numbers are wanted"),
        ("return Ends(lambda x: x * math.nan), fixed", "first in its output; numbers are wanted"),
        ("return seeded(Noise(), nn.ReLU()), fixed",
         "other values of the same pictures each time it is called, first in layer '2'; a fixed"),
        ("return Ends(lambda x: nn.functional.dropout(x)), fixed", "first in its output; a fixed"),
        ("return Broken(), lambda p: -2 * fixed(p)", "makes NaN"),
        ("return nn.Identity(), fixed", "no layer of its network can be dissected; it: it has no"),
    ],
)  # fmt: skip
def test_what_will_not_do_is_one_line(tmp_path: Path, body: str, told: str) -> None:
    name = target(tmp_path, body)
    with pytest.raises(UserError, match=told) as caught:
        examine(name)
    assert str(caught.value).startswith(name)
    assert "\n" not in str(caught.value)


def test_a_file_that_exits_when_it_is_imported(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"it called sys\.exit\(1\) \(mine\.py, line 1\)"):
        examine(target(tmp_path, "pass", "import sys; sys.exit(1)"))


def test_a_layer_without_neurons_is_refused(tmp_path: Path) -> None:
    name = target(tmp_path, "return Ends(Side()), fixed")
    assert examine(name, layer="conv").layers == 2
    with pytest.raises(UserError, match=r"its output \(2, 4, 8, 0\) is empty: it has no neurons"):
        examine(name, layer="end.empty")


def test_a_layout_that_the_user_says_is_followed(tmp_path: Path) -> None:
    body = "return Ends(lambda x: x.flatten(2).transpose(1, 2).unsqueeze(1)[:, 0]), fixed"
    assert examine(target(tmp_path, body), "tokens:1").output == (2, 64, 4)


def test_the_digest_is_that_of_the_network_as_it_was_built(tmp_path: Path) -> None:
    name = target(tmp_path, "return seeded().half(), fixed")
    half = examine(name).digest
    whole = examine(target(tmp_path, "return seeded(), fixed")).digest
    assert half != whole
    assert state_digest(nn.Linear(1, 1)) not in (half, whole)


def test_a_network_of_tiles_is_examined_on_tiles(tmp_path: Path) -> None:
    head = f"{HEAD}\nfrom dnd_local.engines.bands import BandTransform\n"
    tiles = "BandTransform(side=8, mean=[0.0] * 13, std=[3000.0] * 13)"
    body = f"torch.manual_seed(0); return nn.Sequential(nn.Conv2d(13, 4, 1)), {tiles}"
    found = examine(target(tmp_path, body, head))
    assert (found.input, found.output, found.followed) == ((13, 8, 8), (2, 4, 8, 8), True)
