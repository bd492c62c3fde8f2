"""Tiny models, each saved once a session, and pictures to show them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from dnd_local.core.records import Pixels
from tests.engines import tiny


@pytest.fixture(scope="session")
def models(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """Return the function that gives the folder of a tiny model by name, saved when first asked."""
    base = tmp_path_factory.mktemp("models")
    made: dict[str, Path] = {}

    def folder(name: str) -> Path:
        if name not in made:
            made[name] = getattr(tiny, f"save_{name}")(base / name)
        return made[name]

    return folder


@pytest.fixture(scope="session")
def pictures() -> list[Pixels]:
    """Return seven pictures of several sizes: noise over a slope, no two alike."""
    rng = np.random.default_rng(0)
    shapes = [(40, 60), (60, 40), (48, 48), (90, 50), (50, 90), (33, 47), (64, 64)]
    return [_picture(rng, *shape) for shape in shapes]


def _picture(rng: np.random.Generator, height: int, width: int) -> Pixels:
    corner = rng.uniform(0, 255, 3)
    slope = np.linspace(0, 1, width)[None, :, None] * corner
    noise = rng.uniform(0, 80, (height, width, 3))
    return np.clip(slope + noise, 0, 255).astype(np.uint8)
