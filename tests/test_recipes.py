"""CONTRIBUTING.md's recipes stay true: each addition is one entry of a table, seen everywhere."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch import nn
from torchvision.transforms import v2

from dnd_local.core.cards import Card
from dnd_local.core.config import CaptionsConfig, NetworkConfig
from dnd_local.core.ranking import LOWER_IS_BETTER, score_candidates
from dnd_local.core.records import RULES, Neuron, Pixels
from dnd_local.engines import registry
from dnd_local.engines.folders import settings_of
from dnd_local.engines.target_loading import load_state
from dnd_local.pipeline import evidence, forecast, plan
from dnd_local.pipeline.plan import CAPTIONS, NEURON, PLAN
from dnd_local.pipeline.reading import open_run
from dnd_local.pipeline.selection import read_selection
from dnd_local.pipeline.stage import Stage, groups_of
from dnd_local.store.outputs import CANDIDATE_COLUMNS
from tests.bench import Bench
from tests.fakes import LAYER

CPU = ("cpu",)


@pytest.fixture
def bench(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Bench:
    return Bench(tmp_path, monkeypatch)


@dataclass(frozen=True, slots=True)
class WordCount(Card):
    neuron: Neuron
    words: int


WORDS = Stage(
    name="words", title="words of captions", kind=NEURON,
    version=1, record=WordCount, needs=(CAPTIONS,), settings=lambda c: None, batches=groups_of(8),
    run=lambda lab, items: [
        WordCount(one.neuron, sum(len(text.split()) for text in one.texts))
        for one in CAPTIONS.read(lab, items)
    ],
)  # fmt: skip


def test_a_stage_of_the_plan_is_run_and_seen_everywhere(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    for module in (plan, forecast, evidence):
        monkeypatch.setattr(module, "PLAN", (*PLAN, WORDS))
    before = forecast.forecast(bench.config(), bench.execution(), read_selection(LAYER, "0-2"))
    bench.run("0-2", name="mine")
    after = forecast.forecast(bench.config(), bench.execution(), read_selection(LAYER, "0-2"))
    counts = [{one.stage: (one.done, one.items) for one in f.stages} for f in (before, after)]
    assert [count["words"] for count in counts] == [(0, 3), (3, 3)]
    run = open_run("mine", bench.workspace)
    status = {one.stage: (one.done, one.of) for one in run.status()}
    assert status["words"] == (3, 3)
    known = run.evidence_of(Neuron("pocket", LAYER, 1))
    words = known.of(WORDS)
    assert words is not None
    assert known.captions is not None
    assert words.words == sum(len(text.split()) for text in known.captions.texts)
    assert known.as_json()["words"] == words


class SizeCaptioner:
    """Says how large a picture is."""

    def __init__(self, folder: Path, config: CaptionsConfig, devices: Sequence[str]) -> None:
        self.unit = settings_of(folder, "sizes.json")["unit"]

    def caption(self, pictures: Sequence[Pixels]) -> list[str]:
        return [f"{picture.shape[1]} {self.unit}" for picture in pictures]


def _linear(folder: Path, published: str, origin: str) -> tuple[nn.Module, Any]:
    network = nn.Sequential(nn.Conv2d(3, int(published), 1))
    load_state(network, folder / "model.safetensors", folder.name)
    scaled = v2.ToDtype(torch.float32, scale=True)
    return network, v2.Compose([v2.Resize((8, 8)), v2.PILToTensor(), scaled])


def _numbered(folder: Path, published: str) -> tuple[str, tuple[str, ...]]:
    return "0", tuple(f"class {i}" for i in range(int(published)))


def _module(monkeypatch: pytest.MonkeyPatch, name: str, **contents: Any) -> None:
    module = ModuleType(f"dnd_local.engines.{name}")
    vars(module).update(contents)
    monkeypatch.setitem(sys.modules, module.__name__, module)


def test_a_kind_of_engine_is_one_entry(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    _module(monkeypatch, "captioner_sizes", SizeCaptioner=SizeCaptioner)
    kind = registry.EngineKind("sizes", "captioner_sizes", "SizeCaptioner", "sizes.json")
    kinds = {**registry.BUILT_IN, "captioner": (*registry.BUILT_IN["captioner"], kind)}
    monkeypatch.setattr(registry, "BUILT_IN", kinds)
    (tmp_path / "sizes.json").write_text('{"unit": "wide"}')
    with registry.open_built_in("captioner", CaptionsConfig(), [tmp_path], CPU) as engine:
        assert engine.caption([np.zeros((4, 6, 3), np.uint8)]) == ["6 wide"]


def test_a_source_of_targets_is_one_entry(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    _module(monkeypatch, "target_linear", load=_linear, classes=_numbered)
    monkeypatch.setattr(
        registry, "TARGET_SOURCES", {**registry.TARGET_SOURCES, "linear": "target_linear"}
    )
    save_file(nn.Sequential(nn.Conv2d(3, 2, 1)).state_dict(), tmp_path / "model.safetensors")
    with registry.open_target(NetworkConfig(batch=1), tmp_path, CPU, "linear:2") as target:
        assert [layer.neurons for layer in target.layers()] == [2]
    assert registry.target_classes(tmp_path, "linear:2") == ("0", ("class 0", "class 1"))


@pytest.mark.parametrize("source", registry.TARGET_SOURCES.values())
def test_every_source_loads_and_knows_its_classes(source: str) -> None:
    module = registry.adapter(source)
    assert callable(module.load)
    assert callable(module.classes)


def test_every_rule_has_a_score_a_direction_and_a_column() -> None:
    (only,) = score_candidates(["dog"], [[1.0, 2.0]], [[0.1, 0.2]], 2)
    assert all(isinstance(only.score(rule), float) for rule in RULES)
    assert set(RULES) >= LOWER_IS_BETTER
    assert CANDIDATE_COLUMNS[-len(RULES) :] == RULES
