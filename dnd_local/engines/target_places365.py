"""ResNet-18 with the weights that were published for the 365 scenes of Places365."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Final

from torchvision.models import resnet18
from torchvision.transforms._presets import ImageClassification

from dnd_local.core.errors import DamagedFile
from dnd_local.engines.folders import only_safetensors
from dnd_local.engines.target_loading import Loaded, channels_last, load_state

SCENES: Final = 365
CATEGORIES: Final = "categories_places365.txt"
"""A line a scene: ``/a/apartment_building/outdoor 8``."""

_LINE = re.compile(r"/[a-z]/(\S+) (\d+)")


def load(folder: Path, published: str, origin: str) -> Loaded:
    """Return torchvision's ResNet-18 with 365 classes, and the transform of its validation.

    The shorter side becomes 256 pixels, the middle 224 of it are kept, normalised as for ImageNet.

    Args:
        folder: a state dict in safetensors.
        published: not used: one network was published so.
        origin: not used.

    Raises:
        MissingWeights, DamagedFile: no safetensors file, or not a whole one.
        UserError: the tensors are not this network's.
    """
    module = resnet18(weights=None, num_classes=SCENES)
    load_state(module, only_safetensors(folder), "resnet18_places365")
    return channels_last(module), ImageClassification(crop_size=224, resize_size=256)


def classes(folder: Path, published: str) -> tuple[str, tuple[str, ...]] | None:
    """Return the last layer and the scene of each of its neurons; None without `CATEGORIES`.

    ``/a/apartment_building/outdoor`` is "apartment building outdoor".

    Raises:
        DamagedFile: the file does not name every scene once.
    """
    path = folder / CATEGORIES
    if not path.is_file():
        return None
    lines = [_LINE.fullmatch(line) for line in path.read_text("utf-8").split("\n") if line]
    by_index = {int(line[2]): line[1] for line in lines if line is not None}
    if len(lines) != SCENES or sorted(by_index) != list(range(SCENES)):
        raise DamagedFile(f"{path} does not name each of {SCENES} scenes once; get it again")
    names = (by_index[index] for index in range(SCENES))
    return "fc", tuple(name.replace("_", " ").replace("/", " ") for name in names)
