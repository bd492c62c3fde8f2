"""Tile2Vec's network: a ResNet of five stages that embeds aerial tiles of four bands (NAIP)."""

from __future__ import annotations

from pathlib import Path
from typing import Final

import torch
from torch import Tensor, nn
from torch.nn import functional

from dnd_local.engines.bands import BandTransform
from dnd_local.engines.folders import only_safetensors
from dnd_local.engines.target_loading import Loaded, channels_last, load_state

BANDS: Final = 4
"""Red, green, blue and near infrared, in this order."""

SIDE: Final = 50
"""Pixels of a tile's side: the network's five stages leave 4 x 4 of them, which it averages."""

_WIDTHS: Final = (64, 128, 256, 512, 512)


class Block(nn.Module):
    """Two 3x3 convolutions beside a shortcut, which has weights where the shape changes."""

    def __init__(self, inputs: int, width: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(inputs, width, 3, stride=stride, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.conv2 = nn.Conv2d(width, width, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(width)
        self.shortcut = nn.Sequential()
        if stride != 1 or inputs != width:
            narrow = nn.Conv2d(inputs, width, 1, stride=stride, bias=False)
            self.shortcut = nn.Sequential(narrow, nn.BatchNorm2d(width))

    def forward(self, x: Tensor) -> Tensor:
        """Return maps (n, width, height / stride, width / stride)."""
        inner = functional.relu(self.bn1(self.conv1(x)))
        return functional.relu(self.bn2(self.conv2(inner)) + self.shortcut(x))


class TileNet(nn.Module):
    """`conv1`, `bn1`, `layer1`..`layer5`, named as in the published weights."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(BANDS, _WIDTHS[0], 3, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(_WIDTHS[0])
        inputs = (_WIDTHS[0], *_WIDTHS[:-1])
        self.layer1, self.layer2, self.layer3, self.layer4, self.layer5 = (
            nn.Sequential(Block(before, width, 1 if place == 0 else 2), Block(width, width, 1))
            for place, (before, width) in enumerate(zip(inputs, _WIDTHS, strict=True))
        )

    def forward(self, tiles: Tensor) -> Tensor:
        """Return embeddings (n, 512) of tiles (n, 4, 50, 50)."""
        x = functional.relu(self.bn1(self.conv1(tiles)))
        for layer in (self.layer1, self.layer2, self.layer3, self.layer4, self.layer5):
            x = layer(x)
        return torch.flatten(functional.avg_pool2d(x, 4), 1)


def load(folder: Path, published: str, origin: str) -> Loaded:
    """Return Tile2Vec's network, and what brings tiles of 0 to 255 to 50 pixels and 0 to 1.

    Args:
        folder: a state dict in safetensors.
        published: not used: one network was published so.
        origin: not used.

    Raises:
        MissingWeights, DamagedFile: no safetensors file, or not a whole one.
        UserError: the tensors are not this network's.
    """
    module = TileNet()
    load_state(module, only_safetensors(folder), "tile2vec")
    transform = BandTransform(side=SIDE, mean=(0.0,) * BANDS, std=(255.0,) * BANDS)
    return channels_last(module), transform


def classes(folder: Path, published: str) -> None:
    """Know no classes: an embedding has none."""
