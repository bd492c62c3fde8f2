"""The kinds of image generators that are painted with, and which settings each can follow.

Knows no model library, so that a run can be refused before anything is loaded.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from dnd_local.core.config import PicturesConfig
from dnd_local.core.errors import BadConfig, UserError
from dnd_local.engines.folders import settings_of


@dataclass(frozen=True, slots=True)
class Generator:
    """A kind of image generator.

    Attributes:
        name: its pipeline's class.
        leave_out: arguments that load the pipeline without what no painter needs.
        latent: whether a small decoder, another sampler and a LoRA fit it.
        multiple: what a picture's side is a multiple of, in pixels.
        distilled_says: whether its folder's schedule tells a distilled one, which keeps its own.
    """

    name: str
    leave_out: Mapping[str, Any]
    latent: bool
    multiple: int
    distilled_says: bool


_KINDS: Final = (
    Generator(
        "StableDiffusionPipeline",
        {"safety_checker": None, "feature_extractor": None, "requires_safety_checker": False},
        latent=True, multiple=8, distilled_says=False,
    ),
    Generator(
        "StableDiffusionXLPipeline", {"add_watermarker": False},
        latent=True, multiple=8, distilled_says=True,
    ),
    Generator("Flux2KleinPipeline", {}, latent=False, multiple=16, distilled_says=False),
)  # fmt: skip
GENERATORS: Final[Mapping[str, Generator]] = {kind.name: kind for kind in _KINDS}
"""By the class that `model_index.json` names."""


def generator_of(folder: Path, config: PicturesConfig) -> Generator:
    """Return the kind of image generator that a folder holds, able to follow the settings.

    Raises:
        BadConfig: a setting that this kind cannot follow.
        MissingWeights, DamagedFile: the folder has no `model_index.json`, or a broken one.
        Refused: the folder asks to run code of its own.
        UserError: another kind.
    """
    name = str(settings_of(folder, "model_index.json").get("_class_name"))
    if name not in GENERATORS:
        raise UserError(
            f"{folder} holds a {name}; painted is with {', '.join(GENERATORS)}, or with a painter "
            "of your own, path/to/file.py:factory"
        )
    kind = GENERATORS[name]
    if config.size % kind.multiple:
        raise BadConfig(
            f"pictures.size is {config.size}; a {name} paints multiples of {kind.multiple} pixels"
        )
    for setting, usual in (("decoder", ("own",)), ("lora", ("",)), ("sampler", ("auto", "own"))):
        if not kind.latent and getattr(config, setting) not in usual:
            raise BadConfig(
                f"pictures.{setting} {getattr(config, setting)} is for Stable Diffusion, and "
                f"{config.model} is a {name}; leave it out"
            )
    return kind
