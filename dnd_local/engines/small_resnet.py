"""A ResNet of torchvision's basic blocks in a small, for pictures of about 64 pixels."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import nn
from torchvision.models.resnet import BasicBlock

_STRIDES = (1, 2, 2, 1)


class SmallResNet(nn.Module):
    """`conv1`, `bn1`, `layer1`..`layer4`, `avgpool`, `fc`, named as in torchvision's ResNets.

    The stem is a 3x3 convolution of stride 2 without pooling, each layer one block, and `layer4`
    keeps `layer3`'s resolution: 8x8 on a picture of 64 pixels.

    Args:
        widths: neurons of the four layers.
        outputs: neurons of `fc`.
    """

    def __init__(self, widths: Sequence[int], outputs: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, widths[0], 3, stride=2, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(widths[0])
        self.relu = nn.ReLU(inplace=True)
        inputs = (widths[0], *widths[:-1])
        self.layer1, self.layer2, self.layer3, self.layer4 = (
            nn.Sequential(_block(*sizes)) for sizes in zip(inputs, widths, _STRIDES, strict=True)
        )
        self.avgpool = nn.AdaptiveAvgPool2d((1, 1))
        self.fc = nn.Linear(widths[-1], outputs)

    def forward(self, pictures: torch.Tensor) -> torch.Tensor:
        """Return logits (n, outputs) of pictures (n, 3, height, width)."""
        x = self.relu(self.bn1(self.conv1(pictures)))
        x = self.layer4(self.layer3(self.layer2(self.layer1(x))))
        return self.fc(torch.flatten(self.avgpool(x), 1))  # type: ignore[no-any-return]


def _block(inputs: int, width: int, stride: int) -> nn.Module:
    shortcut = None
    if stride != 1 or inputs != width:
        shortcut = nn.Sequential(
            nn.Conv2d(inputs, width, 1, stride=stride, bias=False), nn.BatchNorm2d(width)
        )
    return BasicBlock(inputs, width, stride, shortcut)  # type: ignore[no-any-return]
