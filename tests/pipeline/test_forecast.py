"""What a run would cost, without doing it."""

from __future__ import annotations

import pytest

from dnd_local.core.errors import UnknownName
from dnd_local.pipeline import opening
from dnd_local.pipeline.forecast import Forecast, forecast, measured_rates
from dnd_local.pipeline.plan import PLAN
from dnd_local.pipeline.selection import read_selection
from dnd_local.store.runs import RunFolder
from tests.bench import Bench
from tests.fakes import LAYER


def ask(bench: Bench, ids: str = "0-2", layer: str = LAYER, name: str = "", **words) -> Forecast:
    return forecast(bench.config(**words), bench.execution(), read_selection(layer, ids), name)


def counts(found: Forecast) -> dict[str, tuple[int, int]]:
    return {own.stage: (own.done, own.items) for own in found.stages}


def test_before_anything_is_done(bench: Bench) -> None:
    found = ask(bench)
    assert [own.stage for own in found.stages] == [stage.name for stage in PLAN]
    assert counts(found) == {
        "responses": (0, 5), "triage": (0, 1), "exemplars": (0, 3), "captions": (0, 3),
        "phrases": (0, 3), "concepts": (0, 3), "pictures": (0, 15), "scores": (0, 3),
    }  # fmt: skip
    assert all(own.seconds is None for own in found.stages)
    assert found.pictures == 3 * 5 * 2
    assert found.disk_bytes == int(30 * 64 * 1.6)
    assert found.free_bytes > 0
    assert found.missing_weights == ()
    assert dict(bench.calls.opened) == {"target": 1}
    assert not bench.workspace.exists()


def test_what_is_done_costs_nothing_and_the_rest_by_measured_rates(bench: Bench) -> None:
    run = bench.run("0,1")
    RunFolder(bench.workspace, run.record.name).event(
        "finish", stage="captions", items=40, failed=0, seconds=400.0
    )
    bench.calls.opened.clear()
    found = ask(bench, "0-3")
    assert counts(found)["captions"] == (2, 3), "neuron 3 is known to be dead"
    assert counts(found)["responses"] == (5, 5)
    seconds = {own.stage: own.seconds for own in found.stages}
    assert seconds["responses"] == 0.0
    rate = measured_rates(bench.execution())["captions"]
    assert seconds["captions"] == pytest.approx(rate, abs=0.1)
    assert 9 < rate < 10.5
    assert not bench.calls.opened


def test_a_rate_is_measured_over_all_runs(bench: Bench) -> None:
    for name, seconds in (("a", 4.0), ("b", 2.0)):
        run = RunFolder(bench.workspace, name)
        run.extend(bench.config(), {})
        run.event("finish", stage="scores", items=3, failed=1, seconds=seconds)
        run.event("finish", stage="phrases", items=1, failed=1, seconds=9.0)
    assert measured_rates(bench.execution()) == {"scores": 1.5}


def test_missing_weights_are_named_and_nothing_is_opened(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    ids = dict.fromkeys(
        ("target", "captioner", "language-model", "painter", "embedder"), ("blip-base",)
    )
    monkeypatch.setattr(opening, "model_ids", lambda config: ids)
    found = ask(bench, "0-2")
    assert found.missing_weights == ("blip-base",)
    assert not bench.calls.opened
    assert counts(found)["responses"] == (0, 5)
    assert found.pictures == 0


def test_names_and_mistakes(bench: Bench) -> None:
    assert ask(bench, name="mine").run == "mine"
    assert ask(bench).run.startswith("pocket-colours-")
    with pytest.raises(UnknownName, match="Did you mean colours"):
        ask(bench, layer="colour")
