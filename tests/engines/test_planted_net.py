"""The planted network: formulas from pixels, noise that is the same for the same picture."""

from __future__ import annotations

import json
from collections import Counter
from importlib.resources import files
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from scipy import stats

from dnd_local.core.config import NetworkConfig
from dnd_local.core.formulas import value_of
from dnd_local.engines.planted_net import PlantedNet
from dnd_local.engines.target_loading import load_folder
from dnd_local.engines.target_torch import TorchTarget

FOLDER = Path(str(files("dnd_local.pocket"))) / "models" / "target-hard"
CONFIG = json.loads((FOLDER / "config.json").read_text(encoding="utf-8"))
HALVES = ("developing", "frozen")


@pytest.fixture(scope="module")
def target() -> TorchTarget:
    module, transform = load_folder(FOLDER)
    return TorchTarget(module, transform, NetworkConfig(name="pocket-hard", batch=32))


@pytest.fixture(scope="module")
def pictures() -> list[Any]:
    from dnd_local.pocket import world

    return [np.asarray(world.picture(world.HELD_OUT_SEED, i)[0]) for i in range(192)]


@pytest.fixture(scope="module")
def responses(target: TorchTarget, pictures: list[Any]) -> dict[str, Any]:
    return target.responses(pictures, HALVES)


def column(half: str, kind: str) -> int:
    return next(i for i, own in enumerate(CONFIG["layers"][half]) if own["kind"] == kind)


def test_the_bench_has_its_size_in_both_halves() -> None:
    fakes = ("noise", "sparse noise", "shuffled")
    for half in HALVES:
        kinds = Counter(own["kind"] for own in CONFIG["layers"][half])
        assert sum(kinds[kind] for kind in fakes) == 300
        meant = {k: n for k, n in kinds.items() if k not in (*fakes, "random network")}
        assert sum(meant.values()) >= 150
        assert len(meant) >= 12
    one, other = (Counter(own["kind"] for own in CONFIG["layers"][half]) for half in HALVES)
    assert one == other
    salts = [own["salt"] for half in HALVES for own in CONFIG["layers"][half]]
    assert len(set(salts)) == len(salts)


@pytest.mark.parametrize("kind", ["single", "conjunction", "negation", "graded", "offset"])
def test_a_neuron_follows_its_formula(kind: str, responses: Any, pictures: list[Any]) -> None:
    from dnd_local.pocket import world
    from dnd_local.pocket.labels import true_attributes

    known = [world.picture(world.HELD_OUT_SEED, i)[1] for i in range(192)]
    true = true_attributes(known, np.stack(pictures))
    index = column("developing", kind)
    own = CONFIG["layers"]["developing"][index]
    wanted = value_of(own["formula"], true)
    assert np.ptp(wanted) > 0, "a picture of either sort is needed"
    found = responses["developing"][:, index]
    assert np.corrcoef(wanted, found)[0, 1] > 0.95
    assert found.mean() == pytest.approx(own["offset"] + wanted.mean() / own["spread"], abs=0.1)


def test_the_same_picture_has_the_same_response_in_any_company(
    target: TorchTarget, pictures: list[Any], responses: Any
) -> None:
    alone = target.responses([pictures[7]], HALVES)
    for half in HALVES:
        assert alone[half][0].tolist() == responses[half][7].tolist()


def test_noise_is_normal_and_changes_with_one_level_of_one_pixel(
    target: TorchTarget, pictures: list[Any], responses: Any
) -> None:
    index = column("developing", "noise")
    noise = [i for i, own in enumerate(CONFIG["layers"]["developing"]) if own["kind"] == "noise"]
    values = responses["developing"][:, noise]
    assert stats.kstest(values.ravel(), "norm").pvalue > 1e-3
    together = np.corrcoef(values.T) - np.eye(len(noise))
    assert np.abs(together).max() < 0.45  # 192 pictures, 4,005 pairs
    touched = pictures[0].copy()
    touched[10, 20, 1] ^= 1
    changed = target.responses([touched], HALVES)["developing"][0, index]
    assert abs(changed - responses["developing"][0, index]) > 1e-3


def test_shuffled_neurons_have_a_real_histogram(responses: Any) -> None:
    index = column("frozen", "shuffled")
    quantiles = CONFIG["layers"]["frozen"][index]["quantiles"]
    found = responses["frozen"][:, index]
    assert found.min() >= quantiles[0] - 1e-6
    assert found.max() <= quantiles[-1] + 1e-6
    assert np.median(found) == pytest.approx(
        quantiles[len(quantiles) // 2], abs=(quantiles[-1] - quantiles[0]) / 4
    )


def test_random_channels_are_the_random_networks(responses: Any) -> None:
    index = column("developing", "random network")
    assert np.ptp(responses["developing"][:, index]) > 0


def test_half_precision_reads_the_same_levels(pictures: list[Any]) -> None:
    net = PlantedNet(CONFIG | {"layers": {}})
    exact = torch.arange(256).reshape(1, 1, 16, 16).expand(1, 3, 16, 16) / 255
    for dtype in (torch.float32, torch.float16):
        levels = net._levels(((exact - 0.5) / 0.25).to(dtype))
        assert levels.tolist() == (exact * 255).round().double().tolist()
