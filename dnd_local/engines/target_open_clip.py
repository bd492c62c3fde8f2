"""The image tower of an open_clip model, from a local folder."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import open_clip
from torch import nn

from dnd_local.core.errors import MissingWeights
from dnd_local.engines import target_timm
from dnd_local.engines.folders import settings_of
from dnd_local.engines.framing import Transform
from dnd_local.engines.target_loading import Loaded
from dnd_local.engines.target_processor import check_followed, input_size, pair, token_layout


def load(folder: Path, published: str, origin: str) -> Loaded:
    """Return the image tower of a folder with `open_clip_config.json`, and its own transform.

    Args:
        folder: the model's files; the text tower is built and let go.
        published: not used.
        origin: not used.

    Raises:
        MissingWeights: no safetensors, or no configuration.
        UserError: the transform cannot be followed.
        Refused: the folder asks to run code of its own.
    """
    settings_of(folder, "open_clip_config.json")
    if not any(folder.glob("*.safetensors")):  # else open_clip would take a pickle, or none
        raise MissingWeights(f"{folder} holds no safetensors file for open_clip")
    model, _, transform = open_clip.create_model_and_transforms(
        f"local-dir:{folder}", pretrained_text=False, require_pretrained=True
    )
    check_followed(transform, folder, "open_clip's transform")
    module: nn.Module = model.visual
    return module, transform


def classes(folder: Path, published: str) -> tuple[str, tuple[str, ...]] | None:
    """Return None: an image tower has no classes."""
    return None


def layout(module: nn.Module, transform: Transform) -> str:
    """Return how the tokens of a plain vision transformer lie, as the tower says; else empty."""
    if hasattr(module, "trunk"):  # a network of timm inside
        trunk: Any = module.trunk
        return target_timm.layout(trunk, transform)
    if not hasattr(module, "class_embedding"):
        return ""
    patch: Any = module.patch_size
    return token_layout(1, input_size(transform), pair(patch))
