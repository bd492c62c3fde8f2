"""Low-rank adapters (LoRA) added to the weights of a denoising network, once, when it is loaded.

For a layer with weights W the file holds `lora_down` D, `lora_up` U and `alpha` a; with r the rows
of D, W becomes W + a / r * U D (Hu et al. 2021, "LoRA: Low-Rank Adaptation of Large Language
Models").
"""

from __future__ import annotations

from pathlib import Path
from typing import Final

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

from dnd_local.core.errors import DamagedFile, UserError
from dnd_local.engines.folders import only_safetensors

_PREFIX: Final = "lora_unet_"
_PARTS: Final = ("lora_down.weight", "lora_up.weight", "alpha")


def add_lora(network: nn.Module, folder: Path) -> int:
    """Add an adapter to a denoising network; return how many layers it changed.

    Names are those in which LCM-LoRA is published: ``lora_unet_`` and the module's path with its
    dots as underscores.

    Raises:
        MissingWeights, DamagedFile: no safetensors file, or not a whole one.
        UserError: the adapter is another network's: a layer is not there, or of another shape.
    """
    path = only_safetensors(folder)
    try:
        tensors = load_file(path)
    except SafetensorError as error:
        raise DamagedFile(f"{path} is not a whole safetensors file: {error}") from None
    layers = {
        _PREFIX + name.replace(".", "_"): module
        for name, module in network.named_modules()
        if isinstance(module, nn.Linear | nn.Conv2d)
    }
    adapted = _by_layer(path, tensors)
    unknown = sorted(adapted.keys() - layers.keys())
    if unknown or not adapted:
        raise UserError(
            f"{path} is no adapter of this image generator: "
            + (
                f"{len(unknown)} layers are not in it ({unknown[0]}, …)"
                if unknown
                else "it is empty"
            )
        )
    with torch.no_grad():
        for name, (down, up, alpha) in adapted.items():
            weight = layers[name].weight
            change = (up.flatten(1).float() @ down.flatten(1).float()) * (alpha / down.shape[0])
            if change.numel() != weight.numel():
                raise UserError(
                    f"{path}: {name} is of shape {tuple(up.shape)} x {tuple(down.shape)}, and the "
                    f"layer of {tuple(weight.shape)}: it is another image generator's adapter"
                )
            weight.copy_((weight.float() + change.reshape(weight.shape)).to(weight.dtype))
    return len(adapted)


def _by_layer(path: Path, tensors: dict[str, Tensor]) -> dict[str, tuple[Tensor, Tensor, float]]:
    """Return down, up and alpha of each layer.

    Raises:
        UserError: a tensor is none of these, or a layer lacks one; alpha may be left out.
    """
    parts: dict[str, dict[str, Tensor]] = {}
    for name, tensor in tensors.items():
        layer, _, part = name.partition(".")
        if part not in _PARTS:
            raise UserError(f"{path} is no LoRA in the form that is read: it holds '{name}'")
        parts.setdefault(layer, {})[part] = tensor
    whole = {}
    for layer, named in parts.items():
        if not {"lora_down.weight", "lora_up.weight"} <= named.keys():
            raise UserError(f"{path}: {layer} lacks a part ({', '.join(sorted(named))})")
        down, up = named["lora_down.weight"], named["lora_up.weight"]
        whole[layer] = (down, up, float(named.get("alpha", torch.tensor(float(down.shape[0])))))
    return whole
