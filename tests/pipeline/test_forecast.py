"""What a run would cost, without doing it."""

from __future__ import annotations

import pytest

from dnd_local.core.errors import UnknownName, UserError
from dnd_local.pipeline import opening
from dnd_local.pipeline.forecast import (
    LOSSY_BYTES,
    PICTURE_BYTES,
    Forecast,
    forecast,
    measured_rates,
)
from dnd_local.pipeline.selection import read_selection
from dnd_local.store.runs import RunFolder
from tests.bench import EXACT, Bench
from tests.fakes import LAYER


def ask(bench: Bench, ids: str = "0-2", layer: str = LAYER, name: str = "", **words) -> Forecast:
    return forecast(bench.config(**words), bench.execution(), read_selection(layer, ids), name)


def counts(found: Forecast) -> dict[str, tuple[int, int]]:
    return {own.stage: (own.done, own.items) for own in found.stages}


def test_before_anything_is_done(bench: Bench) -> None:
    found = ask(bench)
    assert [own.stage for own in found.stages] == [stage.name for stage in EXACT]
    assert counts(found) == {
        "responses": (0, 5), "triage": (0, 1), "exemplars": (0, 3), "captions": (0, 3),
        "phrases": (0, 3), "concepts": (0, 3), "pictures": (0, 15), "scores": (0, 3),
    }  # fmt: skip
    assert all(own.seconds is None for own in found.stages)
    assert found.pictures == 3 * 5 * 2
    assert found.neurons == 3
    values = len(bench.probe) * 6
    assert found.disk_bytes == 2 * values + int(30 * 64 * 1.6)
    assert found.files == 5 + 1 + 5 * 3 + 15 + 30 + 3 * 10
    assert (found.seconds, found.rates, found.shorter, found.missing) == (None, "", (), ())
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
    rate = measured_rates(bench.config(), bench.execution())["captions"]
    assert found.rates == "measured in this workspace"
    assert found.seconds == pytest.approx(sum(x for x in seconds.values() if x), abs=0.1)
    assert seconds["captions"] == pytest.approx(rate, abs=0.1)
    assert 9 < rate < 10.5
    assert not bench.calls.opened


def test_a_rate_is_measured_over_all_runs(bench: Bench) -> None:
    for name, seconds in (("a", 4.0), ("b", 2.0)):
        run = RunFolder(bench.workspace, name)
        run.extend(bench.config(), {})
        run.event("finish", stage="scores", items=3, failed=1, seconds=seconds)
        run.event("finish", stage="phrases", items=1, failed=1, seconds=9.0)
    config, here = bench.config(), bench.execution()
    assert measured_rates(config, here) == {"scores": 1.5}
    assert measured_rates(bench.config(scores={"beta": 2}), here) == {}
    RunFolder(bench.workspace, "b").update(devices=("0",))
    assert measured_rates(config, here) == {"scores": 2.0}, "a GPU's rate is not a CPU's"


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
    assert len(found.missing) == 1
    assert "dnd-local weights pull blip-base" in found.missing[0]
    assert counts(found) == {
        "responses": (0, 0), "triage": (0, 1), "exemplars": (0, 3), "captions": (0, 3),
        "phrases": (0, 3), "concepts": (0, 3), "pictures": (0, 15), "scores": (0, 3),
    }  # fmt: skip
    assert found.pictures == 3 * 5 * 2
    unknown = ask(bench, "all")
    assert (unknown.neurons, unknown.pictures) == (None, 10)


def test_a_missing_probe_set_is_named_beside_the_weights(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    def gone(*_: object) -> None:
        raise UserError("no probe set")

    def wrong(*_: object) -> None:
        raise UnknownName("probe set", "x", [])

    monkeypatch.setattr(opening, "open_probe_set", gone)
    assert ask(bench).missing == ("no probe set",)
    monkeypatch.setattr(opening, "open_probe_set", wrong)
    with pytest.raises(UnknownName):
        ask(bench)


def test_without_a_measured_rate_the_published_one_stands_for_its_painters(bench: Bench) -> None:
    paper = {"model": "sd15", "count": 10, "steps": 50, "size": 512}
    found = ask(bench, pictures=paper)
    assert found.pictures == 150
    assert found.seconds == pytest.approx(3 * 38.8)
    assert "38.8 s a neuron on one V100" in found.rates
    shorter = dict(found.shorter)
    assert shorter["--pictures-steps 20"] == pytest.approx(3 * 38.8 * 0.4, abs=0.1)
    assert shorter["--pictures-count 5"] == pytest.approx(3 * 38.8 / 2, abs=0.1)
    fast = ask(bench, pictures=paper | {"steps": 20})
    assert [option for option, _ in fast.shorter] == ["--pictures-count 5"]


def test_lossy_pictures_take_less_disk(bench: Bench) -> None:
    whole, lossy = (ask(bench, pictures={"size": 512, "quality": kept}) for kept in (0, 90))
    saved = whole.pictures * 512**2 * (PICTURE_BYTES - LOSSY_BYTES)
    assert whole.disk_bytes - lossy.disk_bytes == pytest.approx(saved, abs=2)


def test_what_is_measured_says_what_is_shorter(bench: Bench) -> None:
    many = {"count": 10, "size": 8}
    bench.run("0", pictures=many)
    found = ask(bench, "0-2", pictures=many)
    assert found.rates == "measured in this workspace"
    assert found.seconds is not None
    assert all(seconds <= found.seconds for _, seconds in found.shorter)
    assert not ask(bench, "0", pictures=many).shorter, "nothing is left to paint"


def test_names_and_mistakes(bench: Bench) -> None:
    assert ask(bench, name="mine").run == "mine"
    assert ask(bench).run.startswith("pocket-colours-")
    with pytest.raises(UnknownName, match="Did you mean colours"):
        ask(bench, layer="colour")
