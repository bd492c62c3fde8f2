"""The pocket targets: torchvision's ResNet in a small, for 64 pixel pictures.

The only module of the world that needs torch; nothing else here imports it.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from PIL import Image
from safetensors.torch import load_file
from torch import nn
from torchvision.models.resnet import BasicBlock, ResNet
from torchvision.transforms import CenterCrop, Compose, Normalize, Resize, ToTensor


def build(config: dict[str, Any]) -> ResNet:
    """Build an untrained network: ``layer1`` to ``layer4``, ``avgpool``, ``fc``.

    On a 64 pixel picture ``layer1`` is 32x32, ``layer2`` 16x16, ``layer3`` and ``layer4`` 8x8.

    Args:
        config: ``widths`` (neurons of the four layers) and ``outputs`` (the names of ``fc``).
    """
    widths = config["widths"]
    model = ResNet(BasicBlock, [1, 1, 1, 1], num_classes=len(config["outputs"]))
    model.inplanes = widths[0]
    model.conv1 = nn.Conv2d(3, widths[0], 3, stride=2, padding=1, bias=False)
    model.bn1 = nn.BatchNorm2d(widths[0])
    # The picture is small already; pooling here would leave layer4 too coarse for crops.
    model.maxpool = nn.Identity()
    model.layer1 = model._make_layer(BasicBlock, widths[0], 1)
    model.layer2 = model._make_layer(BasicBlock, widths[1], 1, stride=2)
    model.layer3 = model._make_layer(BasicBlock, widths[2], 1, stride=2)
    model.layer4 = model._make_layer(BasicBlock, widths[3], 1)
    model.fc = nn.Linear(widths[3], len(config["outputs"]))
    return model


def read_config(folder: Path) -> dict[str, Any]:
    """Read a target folder's ``config.json``."""
    config: dict[str, Any] = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    return config


def load(folder: Path) -> ResNet:
    """Load a target in fp32, ready to be read from.

    Args:
        folder: Holds ``config.json`` and ``model.safetensors``.
    """
    model = build(read_config(folder))
    state = load_file(folder / "model.safetensors")
    model.load_state_dict(
        {key: value.float() if value.is_floating_point() else value for key, value in state.items()}
    )
    return model.eval()


def transform(config: dict[str, Any]) -> Callable[[Image.Image], torch.Tensor]:
    """Return what turns a picture into the network's input, float32 of shape (3, 64, 64).

    Args:
        config: ``size`` in pixels, ``mean`` and ``std`` per channel.
    """
    steps: Callable[[Image.Image], torch.Tensor] = Compose(
        [
            Resize(config["size"]),
            CenterCrop(config["size"]),
            ToTensor(),
            Normalize(config["mean"], config["std"]),
        ]
    )
    return steps
