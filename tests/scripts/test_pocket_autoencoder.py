"""The painter's encoder is solved for: it projects patches on their principal components."""

from __future__ import annotations

import importlib
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
import torch

from dnd_local.pocket.world import PAINTER_GRID, PAINTER_SEED, picture

SCRIPTS = Path(__file__).parents[2] / "scripts" / "pocket"


@pytest.fixture
def images() -> torch.Tensor:
    """Forty pictures of the painter's, in [-1, 1], shape (40, 3, 64, 64)."""
    drawn = [np.asarray(picture(PAINTER_SEED, index, PAINTER_GRID)[0]) for index in range(40)]
    return torch.from_numpy(np.stack(drawn)).permute(0, 3, 1, 2).float() / 127.5 - 1


@pytest.fixture
def painter_vae(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(SCRIPTS)
    return importlib.import_module("painter_vae")


def test_the_encoder_projects_each_patch(painter_vae: ModuleType, images: torch.Tensor) -> None:
    model = painter_vae.build()
    painter_vae.solve(model, images)
    weight, bias = painter_vae.components(images)
    patches = images[:4].unfold(2, 8, 8).unfold(3, 8, 8)
    wanted = torch.einsum("ncyxhw,kchw->nkyx", patches, weight) + bias[:, None, None]
    with torch.no_grad():
        coded = model.encode(images[:4]).latent_dist
    assert torch.allclose(coded.mean, wanted, atol=0.02)
    assert torch.allclose(coded.std, torch.full_like(coded.std, painter_vae.SPREAD), rtol=1e-3)
    assert wanted.std() > 0.5


def test_components_come_in_order_and_apart(painter_vae: ModuleType, images: torch.Tensor) -> None:
    weight, bias = painter_vae.components(images)
    coded = torch.nn.functional.conv2d(images, weight, bias, stride=painter_vae.PATCH)
    spread = torch.cov(coded.transpose(0, 1).flatten(1))
    deviations = spread.diagonal().sqrt()
    assert (deviations.diff() <= 1e-4).all()
    assert (spread - torch.diag(spread.diagonal())).abs().max() < 1e-3
    assert coded.mean((0, 2, 3)).abs().max() < 1e-3
