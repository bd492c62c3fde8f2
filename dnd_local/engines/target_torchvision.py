"""torchvision's classification networks: weights, transform and classes of one enum member.

A network that torchvision published twice has two members, as ``resnet50@IMAGENET1K_V1`` and
``resnet50@IMAGENET1K_V2``, which differ in weights and in transform. Everything here starts from
the member, so that one's weights never meet the other's transform.
"""

from __future__ import annotations

from pathlib import Path, PurePosixPath
from typing import Any
from urllib.parse import urlsplit

import torch
import torchvision
from torch import nn
from torchvision.models import WeightsEnum, get_model_builder, get_model_weights, list_models

from dnd_local.core.errors import UnknownName, UserError
from dnd_local.engines.folders import only_safetensors
from dnd_local.engines.target_loading import Loaded, channels_last, load_state


def torchvision_names() -> tuple[str, ...]:
    """Return the names of torchvision's classification networks."""
    return tuple(list_models(module=torchvision.models))


def member_of(published: str, origin: str = "") -> WeightsEnum:
    """Return the enum member of ``network@MEMBER``, for example ``resnet50@IMAGENET1K_V1``.

    Args:
        published: the network's and the member's name, as torchvision spells them.
        origin: the name of the file that the weights come from, where it is known.

    Raises:
        UnknownName: torchvision has no such network or member.
        UserError: the member's file is another than `origin`.
    """
    name, _, member = published.partition("@")
    known = torchvision_names()
    if name not in known:
        raise UnknownName("network", name, known, "Or give path/to/file.py:factory.")
    members = get_model_weights(name)
    if member not in members.__members__:
        raise UnknownName(f"weights of {name}", member, tuple(members.__members__))
    weights = members[member]
    if origin and origin != file_name(weights):
        raise UserError(
            f"{published} is the file {file_name(weights)}, and these weights come from {origin}: "
            "the transform of the one is not the other's; mend 'network' in the weights manifest"
        )
    return weights


def file_name(weights: WeightsEnum) -> str:
    """Return the name of the file that a member is downloaded as."""
    return PurePosixPath(urlsplit(weights.url).path).name


def load(folder: Path, published: str, origin: str) -> Loaded:
    """Return the network of a folder that holds the state dict of `published`, see `member_of`."""
    return load_torchvision(published, only_safetensors(folder), origin)


def load_torchvision(published: str, state_path: Path, origin: str = "") -> Loaded:
    """Return a torchvision classification network and the transform of the same weights.

    Args:
        published: as `member_of`.
        state_path: the member's state dict as safetensors.
        origin: as `member_of`.

    Raises:
        UnknownName, UserError: as `member_of`; or the file's tensors are not this network's.
        MissingWeights, DamagedFile: the file is not there, or is not safetensors.
    """
    weights = member_of(published, origin)
    name = published.partition("@")[0]
    module = get_model_builder(name)(weights=None, **published_options(name, weights))
    load_state(module, state_path, name)
    return channels_last(module), weights.transforms()


def published_options(name: str, weights: WeightsEnum) -> dict[str, Any]:
    """Return what torchvision's builder changes when it is given weights.

    A network built without them would differ: in its input's size or normalisation.
    """
    if name.startswith("vit_"):
        return {"image_size": weights.meta["min_size"][0]}
    if name.startswith("maxvit"):
        return {"input_size": weights.meta["min_size"]}
    if name in ("googlenet", "inception_v3"):
        return {"transform_input": True, "init_weights": False}
    return {}


def classes(folder: Path, published: str) -> tuple[str, tuple[str, ...]]:
    """Return the last layer of a torchvision network and the classes of its weights.

    Args:
        folder: not read: torchvision itself knows the classes.
        published: as `member_of`.

    Raises:
        UnknownName: as `member_of`.
    """
    weights = member_of(published)
    name = published.partition("@")[0]
    categories = tuple(weights.meta["categories"])
    if name.startswith("regnet"):
        # Its builder reckons widths with tensors, which must have values.
        return "fc", categories
    with torch.device("meta"):
        module = get_model_builder(name)(weights=None, **published_options(name, weights))
    weighed = [path for path, child in module.named_modules() if _weighs(child)]
    return weighed[-1], categories


def _weighs(module: nn.Module) -> bool:
    return next(module.parameters(recurse=False), None) is not None
