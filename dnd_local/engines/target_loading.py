"""Networks to study: small ones from a folder, a user's own from a file; what tells two apart."""

from __future__ import annotations

import hashlib
import re
from collections import OrderedDict
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any, Final, TypeAlias

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn
from torchvision.transforms._presets import ImageClassification

from dnd_local.core.errors import DamagedFile, MissingWeights, UserError
from dnd_local.engines.bands import try_out
from dnd_local.engines.folders import settings_of
from dnd_local.engines.framing import Transform
from dnd_local.engines.planted_net import PLANTED, PlantedNet
from dnd_local.engines.small_resnet import SmallResNet

SMALL_RESNET: Final = "torchvision-resnet-basicblock"
SMALL_RESNET_LAST: Final = "fc"
_ARCHITECTURES: Final[Mapping[str, Callable[[Mapping[str, Any]], nn.Module]]] = {
    SMALL_RESNET: lambda config: SmallResNet(config["widths"], len(config["outputs"])),
    PLANTED: PlantedNet,
}
Loaded: TypeAlias = tuple[nn.Module, Transform]

_OLD_DENSENET = re.compile(r"^(.*denselayer\d+\.(?:norm|relu|conv))\.([12]\.\w+)$")
"""DenseNet's published weights are older than its module names: ``norm.1`` for ``norm1``."""

_DIGEST_PICTURES: Final = ((96, 128), (160, 90))
"""Height and width of the pictures by which a transform is told from another."""


def load(folder: Path, published: str, origin: str) -> Loaded:
    """Return the network of a folder whose `config.json` says all about it.

    Raises:
        UserError: nothing says which network the folder holds.
    """
    if not (folder / "config.json").is_file():
        raise UserError(
            f"nothing says which network {folder} is: give its entry in the weights manifest "
            f'"network": "torchvision:NAME@MEMBER"'
        )
    return load_folder(folder)


def classes(folder: Path, published: str) -> tuple[str, tuple[str, ...]] | None:
    """Return the last layer of a folder's network and the outputs that its `config.json` names.

    Args:
        folder: its files.
        published: empty, since the folder tells all.

    Returns:
        None where there is no such `config.json`.
    """
    settings = settings_of(folder) if (folder / "config.json").is_file() else {}
    if settings.get("architecture") != SMALL_RESNET or not settings.get("outputs"):
        return None
    return SMALL_RESNET_LAST, tuple(settings["outputs"])


def load_folder(folder: Path) -> Loaded:
    """Return the network of a folder with `config.json` and `model.safetensors`.

    The configuration holds ``architecture`` (torchvision-resnet-basicblock: a `SmallResNet`;
    pocket-planted: a `PlantedNet`), its ``widths``, the names of its ``outputs``, and the
    transform's ``size`` (shorter side, then centre crop), ``mean`` and ``std``.

    Raises:
        MissingWeights, DamagedFile: a file is not there, or is not what it should be.
        UserError: another architecture, or tensors that are not this network's.
    """
    config = settings_of(folder)
    build = _ARCHITECTURES.get(str(config.get("architecture")))
    if build is None:
        raise UserError(
            f"{folder / 'config.json'}: architecture '{config.get('architecture')}' is not "
            f"{SMALL_RESNET}; for a network of your own use path/to/file.py:factory"
        )
    try:
        module = build(config)
        size = config["size"]
        transform = ImageClassification(
            crop_size=size, resize_size=size, mean=config["mean"], std=config["std"]
        )
    except (KeyError, TypeError, ValueError) as error:
        raise DamagedFile(f"{folder / 'config.json'} is not whole: {error!r}") from None
    load_state(module, folder / "model.safetensors", folder.name)
    return channels_last(module), transform


def load_state(module: nn.Module, path: Path, name: str) -> None:
    """Put the tensors of a safetensors file into a network, every one, in the network's dtype.

    Raises:
        MissingWeights, DamagedFile: the file is not there, or is not safetensors.
        UserError: keys are missing, left over, or of another shape; the first few are named.
    """
    if not path.is_file():
        raise MissingWeights(f"weights of {name} are not at {path}")
    try:
        state = load_file(path)
    except SafetensorError as error:
        raise DamagedFile(f"{path} is not a whole safetensors file: {error}") from None
    given = {_OLD_DENSENET.sub(r"\1\2", key): value for key, value in state.items()}
    wanted = module.state_dict()
    problems = _differences(wanted, given)
    if problems:
        raise UserError(f"{path} does not fit {name}: {'; '.join(problems)}")
    full: OrderedDict[str, Tensor] = OrderedDict({**wanted, **given})
    full._metadata = wanted._metadata  # type: ignore[attr-defined]  # versions: MNASNet asks
    module.load_state_dict(full)


def _differences(wanted: Mapping[str, Tensor], given: Mapping[str, Tensor]) -> list[str]:
    counters = {key for key in wanted if key.endswith("num_batches_tracked")}
    shapes = [
        f"{key} {tuple(given[key].shape)} for {tuple(wanted[key].shape)}"
        for key in wanted.keys() & given.keys()
        if given[key].shape != wanted[key].shape
    ]
    kinds = {
        "missing": wanted.keys() - given.keys() - counters,  # old files lack those
        "left over": given.keys() - wanted.keys(),
        "of another shape": shapes,
    }
    return [f"{len(keys)} {kind} ({_few(keys)})" for kind, keys in kinds.items() if keys]


def _few(keys: Iterable[str]) -> str:
    names = sorted(keys)
    return ", ".join(names[:3]) + (", …" if len(names) > 3 else "")


def channels_last(module: nn.Module) -> nn.Module:
    """Return a network of torchvision's modules, its convolutions in the faster memory layout.

    Not for a user's own: one that calls `view` on a map would fail.
    """
    return module.to(memory_format=torch.channels_last)


def state_digest(module: nn.Module) -> str:
    """Return the SHA-256 of a network's tensors: names, dtypes, shapes and bytes."""
    digest = hashlib.sha256()
    for key, tensor in sorted(module.state_dict().items()):
        digest.update(f"{key} {tensor.dtype} {tuple(tensor.shape)}\n".encode())
        flat = tensor.detach().cpu().contiguous().reshape(-1)
        digest.update(flat.view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()


def transform_digest(transform: Transform) -> str:
    """Return the SHA-256 of what a transform makes of fixed pictures, one wide and one tall.

    A function has no lasting name, so its results on fixed pictures stand for it. A random
    transform gives another digest each time.
    """
    digest = hashlib.sha256()
    for shape in _DIGEST_PICTURES:
        noise = np.random.default_rng(0).integers(0, 256, (*shape, 3)).astype(np.uint8)
        tensor = try_out(transform, noise)
        digest.update(f"{tensor.dtype} {tuple(tensor.shape)}\n".encode())
        digest.update(tensor.contiguous().numpy().tobytes())
    return digest.hexdigest()
