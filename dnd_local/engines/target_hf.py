"""Networks of transformers from a local folder: classifiers, and image towers.

The architecture that `config.json` names decides; nothing in the folder is run. Pictures become
inputs by the model's own image processor, in its PIL form.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import torch
import transformers
from torch import nn
from transformers import AutoConfig, AutoImageProcessor
from transformers.models.auto.modeling_auto import MODEL_FOR_IMAGE_CLASSIFICATION_MAPPING_NAMES

from dnd_local.core.errors import UserError
from dnd_local.engines.folders import load_whole, settings_of
from dnd_local.engines.framing import Transform
from dnd_local.engines.target_loading import Loaded
from dnd_local.engines.target_processor import (
    ProcessorTransform,
    check_followed,
    input_size,
    pair,
    token_layout,
)

_TOWERS: Final[Mapping[str, str]] = {
    "CLIPModel": "CLIPVisionModel",
    "CLIPVisionModel": "CLIPVisionModel",
    "CLIPVisionModelWithProjection": "CLIPVisionModelWithProjection",
    "SiglipModel": "SiglipVisionModel",
    "SiglipVisionModel": "SiglipVisionModel",
    "ViTModel": "ViTModel",
    "DeiTModel": "DeiTModel",
    "BeitModel": "BeitModel",
    "Dinov2Model": "Dinov2Model",
    "Dinov2WithRegistersModel": "Dinov2WithRegistersModel",
    "DINOv3ViTModel": "DINOv3ViTModel",
    "DINOv3ConvNextModel": "DINOv3ConvNextModel",
    "ConvNextModel": "ConvNextModel",
    "ConvNextV2Model": "ConvNextV2Model",
    "ResNetModel": "ResNetModel",
    "SwinModel": "SwinModel",
}
"""What is loaded for the architectures that are no classifiers."""

_SPECIAL: Final[Mapping[str, int]] = {
    "vit": 1,
    "deit": 2,
    "beit": 1,
    "dinov2": 1,
    "dinov2_with_registers": 1,
    "dinov3_vit": 1,
    "clip_vision_model": 1,
    "siglip_vision_model": 0,
}
"""Tokens before the patches by `model_type`, registers aside: CLS, DeiT's distillation token."""

_LOCAL: Final = {"local_files_only": True, "trust_remote_code": False}
_PROCESSORS: Final = ("preprocessor_config.json", "processor_config.json")


def load(folder: Path, published: str, origin: str) -> Loaded:
    """Return the network of a folder in transformers' layout, and its processor as a transform.

    Args:
        folder: `config.json`, `preprocessor_config.json` and safetensors.
        published: not used; `config.json` names the architecture.
        origin: not used.

    Raises:
        UserError: an architecture that is not known here, tensors that are lacking, or a
            processor that is not there or cannot be followed.
        Refused: the folder asks to run code of its own.
    """
    kind = _kind(folder)
    processors = [name for name in _PROCESSORS if (folder / name).is_file()]
    if not processors:
        raise UserError(
            f"{folder} has no preprocessor_config.json, so how a picture becomes the network's "
            "input is not known; bring the one of the model that was fine-tuned"
        )
    settings_of(folder, processors[0])
    how = {**_LOCAL, "use_safetensors": True, "dtype": torch.float32}
    module: nn.Module = load_whole(kind, folder, how)
    processor = AutoImageProcessor.from_pretrained(folder, backend="pil", **_LOCAL)
    transform = ProcessorTransform(processor)
    check_followed(transform, folder, type(processor).__name__)
    return module, transform


def classes(folder: Path, published: str) -> tuple[str, tuple[str, ...]] | None:
    """Return the last layer of a classifier and its classes.

    Args:
        folder: its files; only settings are read.
        published: not used.

    Returns:
        None for a network without classes, or whose classes have no names.

    Raises:
        UserError: as `load`.
    """
    kind = _kind(folder)
    config = AutoConfig.from_pretrained(folder, **_LOCAL)
    named = getattr(config, "id2label", None) or {}
    names = tuple(named[i] for i in sorted(named))
    if "ForImageClassification" not in kind.__name__ or _unnamed(names):
        return None
    with torch.device("meta"):
        module = kind(config)
    heads = [
        path
        for path, child in module.named_modules()
        if isinstance(child, nn.Linear) and child.out_features == len(names)
    ]
    return (heads[-1], names) if heads else None


def layout(module: nn.Module, transform: Transform) -> str:
    """Return how the tokens of a plain vision transformer lie, from its settings; else empty."""
    config: Any = module.config
    config = getattr(config, "vision_config", config)
    special = _SPECIAL.get(config.model_type)
    if special is None:
        return ""
    special += int(getattr(config, "num_register_tokens", 0))
    return token_layout(special, input_size(transform), pair(config.patch_size))


def _kind(folder: Path) -> Any:
    """Return the class of the architecture that a folder's `config.json` names."""
    named = (settings_of(folder).get("architectures") or ["no architecture"])[0]
    classifiers: set[str] = set()
    for one in MODEL_FOR_IMAGE_CLASSIFICATION_MAPPING_NAMES.values():
        classifiers.update([one] if isinstance(one, str) else one)
    name = named if named in classifiers else _TOWERS.get(named)
    if name is None or name.startswith("TimmWrapper"):
        other = "--source timm:ARCHITECTURE" if name else "path/to/file.py:factory"
        raise UserError(
            f"{folder / 'config.json'} names {named}, which is no classifier of pictures and no "
            f"image tower known here ({', '.join(sorted(_TOWERS))}); use {other}"
        )
    return getattr(transformers, name)


def _unnamed(names: tuple[str, ...]) -> bool:
    return all(name == f"LABEL_{i}" for i, name in enumerate(names))
