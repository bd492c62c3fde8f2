"""Networks of timm from a local folder: ``timm:ARCHITECTURE.TAG``, or with timm's `config.json`.

What pictures become is decided by one published setting: the folder's `config.json`, else the tag
that is named, else the architecture's only one. Two tags of an architecture can differ in size and
normalisation, so a bare name with several is refused.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import timm
from timm.data import create_transform, resolve_data_config
from torch import nn

from dnd_local.core.errors import UnknownName, UserError
from dnd_local.engines.folders import only_safetensors, settings_of
from dnd_local.engines.framing import Transform
from dnd_local.engines.target_loading import Loaded, load_state
from dnd_local.engines.target_processor import check_followed, input_size, pair, token_layout


def load(folder: Path, published: str, origin: str) -> Loaded:
    """Return the network of a folder with timm's weights, and the transform of its settings.

    Args:
        folder: safetensors, and timm's `config.json` if it has one.
        published: the architecture, with its tag after a dot where there are several.
        origin: not used.

    Raises:
        UnknownName: timm has no such architecture, or the architecture no such tag.
        UserError: the settings are not decided or not the architecture's, the tensors do not fit,
            or the transform cannot be followed.
    """
    architecture, data, arguments = _settings(folder, published)
    module = timm.create_model(architecture, pretrained=False, **arguments)
    load_state(module, only_safetensors(folder), architecture)
    chosen = resolve_data_config({}, pretrained_cfg=dict(data))
    transform: Transform = create_transform(**chosen, is_training=False)
    check_followed(transform, folder, "timm's transform")
    return module, transform


def classes(folder: Path, published: str) -> tuple[str, tuple[str, ...]] | None:
    """Return the last layer of a network and its classes, where `config.json` names them.

    Raises:
        UnknownName, UserError: as `load`.
    """
    _, data, _ = _settings(folder, published)
    settings = settings_of(folder) if (folder / "config.json").is_file() else {}
    names = settings.get("label_names") or data.get("label_names")
    head = data.get("classifier")
    if not names or not isinstance(head, str):
        return None
    return head, tuple(map(str, names))


def layout(module: nn.Module, transform: Transform) -> str:
    """Return how the tokens of a plain vision transformer lie, as the network says; else empty."""
    embed: Any = getattr(module, "patch_embed", None)
    special = getattr(module, "num_prefix_tokens", None)
    if special is None or not hasattr(embed, "patch_size"):
        return ""
    return token_layout(int(special), input_size(transform), pair(embed.patch_size))


def _settings(folder: Path, published: str) -> tuple[str, Mapping[str, Any], dict[str, Any]]:
    """Return the architecture, what its data must be like, and arguments to build it with."""
    architecture, _, tag = published.partition(".")
    known = timm.list_models()
    if architecture not in known:
        raise UnknownName("architecture of timm", architecture, known, "See timm.list_models().")
    if (folder / "config.json").is_file():
        return _own_settings(folder, architecture, tag)
    tags = [name.partition(".")[2] for name in timm.list_pretrained(f"{architecture}.*")]
    if not tag and len(tags) > 1:
        raise UserError(
            f"{folder} has no config.json, and timm knows {len(tags)} settings of {architecture}; "
            f"say which: --source timm:{architecture}.{tags[0]} ({', '.join(tags[:6])})"
        )
    if tag and tag not in tags:
        raise UnknownName(f"settings of {architecture}", tag, tags)
    name = f"{architecture}.{tag or tags[0]}" if tag or tags else architecture
    return architecture, timm.get_pretrained_cfg(name).to_dict(), {}


def _own_settings(
    folder: Path, architecture: str, tag: str
) -> tuple[str, Mapping[str, Any], dict[str, Any]]:
    settings = settings_of(folder)
    said = str(settings.get("architecture", "")).partition(".")[0]
    if said != architecture or not isinstance(settings.get("pretrained_cfg"), dict):
        raise UserError(
            f"{folder / 'config.json'} is of '{said or 'no architecture of timm'}', not of "
            f"{architecture}; say --source timm:{said or 'ARCHITECTURE'}, or take the file away"
        )
    data = settings["pretrained_cfg"]
    if tag and tag != data.get("tag", tag):
        raise UserError(
            f"{folder / 'config.json'} is of the tag '{data.get('tag')}', not '{tag}'; leave the "
            "tag out"
        )
    arguments = dict(settings.get("model_args") or {})
    if "num_classes" in settings:
        arguments["num_classes"] = settings["num_classes"]
    return architecture, data, arguments
