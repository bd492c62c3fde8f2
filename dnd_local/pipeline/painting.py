"""Blocks of pictures painted, and what can change a picture."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec

from dnd_local.core.config import Config
from dnd_local.core.config_reading import as_before
from dnd_local.core.records import PicturePurpose, Pictures
from dnd_local.pipeline.lab import Lab
from dnd_local.pipeline.stage import Item
from dnd_local.stages.pictures import paint


def paint_blocks(lab: Lab, items: Sequence[Item], purpose: PicturePurpose) -> list[Pictures]:
    """Return the pictures of each block, painted for `purpose`."""
    blocks = [(item.text, range(item.index, item.index + item.count)) for item in items]
    config = lab.config
    return paint(
        blocks, lab.painter, lab.prompts, lab.blobs, config.seed, purpose, config.pictures.quality
    )


def painted_alike(config: Config, purpose: PicturePurpose) -> Any:
    """Return what can change a picture: all its settings but how many pictures are asked for."""
    pictures = as_before("pictures", msgspec.structs.replace(config.pictures, count=1))
    return (pictures, config.seed, purpose)
