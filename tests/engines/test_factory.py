"""A user's own engines: their files, what they must return, what stands in a key for them."""

import numpy as np
import pytest
from PIL import Image

from dnd_local.core.errors import UserError
from dnd_local.engines.factory import load_target

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
    module, transform = load_target(f"{factory}:network")
    batch = transform(Image.fromarray(np.zeros((9, 9, 3), np.uint8)))[None]
    assert module(batch).shape == (1, 2)  # its `view` needs the plain memory layout
    monkeypatch.chdir(factory.parent)
    assert type(load_target("mine.py:network")[0]).__name__ == "Flat"


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
        load_target(str(factory.parent / name))


@pytest.mark.parametrize("text", ["def network(:\n", "import no_such_library\n"])
def test_a_file_that_cannot_be_imported(tmp_path, text):
    (tmp_path / "bad.py").write_text(text)
    with pytest.raises(UserError, match=r"cannot import .*bad\.py"):
        load_target(f"{tmp_path / 'bad.py'}:network")
