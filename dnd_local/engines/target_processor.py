"""Transforms that come with a model: followed to the region of a picture they show, or refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

import numpy as np
import torch
from PIL import Image

from dnd_local.core.errors import UserError
from dnd_local.engines.framing import Framing, Transform

_SIZES: Final = ((240, 320), (320, 200))
"""Height and width of the pictures on which a transform is tried, a wide and a tall one."""


class ProcessorTransform:
    """A transformers image processor as a transform.

    Args:
        processor: takes RGB arrays (height, width, 3) and gives ``pixel_values``.
    """

    def __init__(self, processor: Any) -> None:
        self._processor = processor

    def __call__(self, picture: Image.Image) -> torch.Tensor:
        """Return the network's input (channels, height, width) of an RGB picture."""
        # Said, since a processor guesses the channel axis of pictures a few pixels high.
        inputs = self._processor(
            images=np.asarray(picture), return_tensors="pt", input_data_format="channels_last"
        )
        values: torch.Tensor = inputs["pixel_values"][0]
        return values


def input_size(transform: Transform) -> tuple[int, int]:
    """Return height and width of the network's input."""
    height, width = transform(Image.new("RGB", _SIZES[0][::-1])).shape[-2:]
    return int(height), int(width)


def check_followed(transform: Transform, folder: Path, name: str) -> None:
    """Check that a transform gives one size, and that the region it shows is known.

    Args:
        transform: from an RGB picture to the network's input.
        folder: the model's folder, for the message.
        name: the transform's name, for the message.

    Raises:
        UserError: otherwise; boxes could not be placed on pictures.
    """
    shapes = {tuple(transform(Image.new("RGB", size[::-1])).shape) for size in _SIZES}
    why = ""
    if len(shapes) > 1 or len(next(iter(shapes))) != 3:
        why = f"it gives inputs of shape {' and '.join(map(str, sorted(shapes)))}"
    elif any(Framing(transform).region(*size) is None for size in _SIZES):
        why = "it pads, bends, mirrors or stretches the contrast of pictures, or is random"
    if why:
        raise UserError(
            f"{folder}: {name} cannot be followed to the region of a picture that the network "
            f"sees: {why}; write a transform that can: path/to/file.py:factory"
        )


def token_layout(special: int, size: tuple[int, int], patch: tuple[int, int]) -> str:
    """Return the layout of tokens, as ``network.layout`` writes it.

    Args:
        special: tokens before the patches (CLS, distillation, registers).
        size: height and width of the network's input.
        patch: height and width of a patch.
    """
    return f"tokens:{special}+{size[0] // patch[0]}x{size[1] // patch[1]}"


def pair(value: Any) -> tuple[int, int]:
    """Return height and width of a size that is one number or two."""
    high, wide = value if isinstance(value, list | tuple) else (value, value)
    return int(high), int(wide)
