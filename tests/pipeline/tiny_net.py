"""A small real network with fixed weights, as a user's own factory; quick to build and run."""

from __future__ import annotations

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn


def make() -> tuple[nn.Module, object]:
    """Return the network and its transform, the same each time."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        module = nn.Sequential(nn.Conv2d(3, 5, 3), nn.ReLU(), nn.Conv2d(5, 4, 3))
    return module, transform


def transform(picture: Image.Image) -> Tensor:
    """Return a picture as (3, 16, 16) in [0, 1]."""
    small = np.asarray(picture.convert("RGB").resize((16, 16)), dtype=np.float32) / 255
    return torch.from_numpy(small).permute(2, 0, 1)
