"""The whole pipeline on the released side of the ledger (`--compat official`)."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from dnd_local.core.ledger import OURS, RELEASED
from dnd_local.core.ledger_rows import sides
from dnd_local.core.records import Concepts, Exemplars
from dnd_local.pipeline.describers import next_round
from dnd_local.pipeline.plan import CONCEPTS, EXEMPLARS, PICTURES, RESPONSES, plan_of
from dnd_local.pipeline.reading import open_run
from dnd_local.pipeline.replies import replies_of
from dnd_local.pipeline.runner import RunResult
from dnd_local.pipeline.stage import Item
from dnd_local.stages.exemplars import RELEASED_SIDE
from tests.bench import Bench

EVERY_NEURON = "0-5"


@pytest.fixture
def official(bench: Bench) -> RunResult:
    return bench.run(EVERY_NEURON, name="official", compat="official")


def test_official_runs_from_end_to_end(bench: Bench, official: RunResult) -> None:
    assert not official.failures
    first = [own.labels[0].text.split()[0] for own in official.descriptions[:3]]
    assert first == ["red", "green", "blue"]
    assert {own.rule for own in official.descriptions} == {"topk-compare"}
    status = {
        own.stage: (own.done, own.of) for own in open_run("official", bench.workspace).status()
    }
    assert all(done == of > 0 for done, of in status.values())
    assert status["scores"] == (6, 6)


def test_a_dead_neuron_gets_a_confident_label(bench: Bench, official: RunResult) -> None:
    dead, constant, duplicate = official.descriptions[3:]
    assert {own.status for own in (dead, constant, duplicate)} == {"described"}
    assert all(own.labels for own in (dead, constant, duplicate))
    evidence = open_run("official", bench.workspace).evidence("3")
    assert evidence.exemplars is not None
    assert evidence.scores is not None
    # It never responds: its images are the first of the probe set, in order.
    assert evidence.triage.maximum == 0
    assert [own.image for own in evidence.exemplars.exemplars if own.box is None] == list(range(10))
    assert {r for own in evidence.scores.candidates for r in own.responses} == {0.0}


def test_parts_of_the_two_sides_do_not_mix(bench: Bench, official: RunResult) -> None:
    ours, released = bench.lab(), bench.lab(compat="official")
    same = {stage.name for stage in plan_of(ours.config) if stage.key(ours) == stage.key(released)}
    assert same == {RESPONSES.name, PICTURES.name}
    before = {
        path: path.read_bytes()
        for path in (bench.workspace / "artefacts").rglob("*.*")
        if path.is_file()
    }
    apart = Bench.over(bench)
    both = apart.run(EVERY_NEURON, name="ours")
    assert {path: path.read_bytes() for path in before} == before
    assert [own.status for own in both.descriptions[3:]] == ["dead", "constant", "duplicate"]
    alone = Bench.over(bench)
    alone.workspace = bench.workspace.with_name("alone")
    assert alone.jsonl(alone.run(EVERY_NEURON, name="ours")) == bench.jsonl(both)
    again = bench.run(EVERY_NEURON, name="official", compat="official")
    assert again.made == 0
    assert bench.jsonl(again) == bench.jsonl(official)


def test_each_stage_took_the_released_side(bench: Bench, official: RunResult) -> None:
    lab = bench.lab(compat="official")
    items = [Item.of_neuron(neuron) for neuron in official.record.wanted()]
    exemplars: list[Exemplars] = EXEMPLARS.read(lab, items)
    shapes = {lab.blobs.get(e.blob).shape for own in exemplars for e in own.exemplars}
    assert shapes == {(RELEASED_SIDE, RELEASED_SIDE, 3)}
    concepts: list[Concepts] = CONCEPTS.read(lab, items)
    for own in concepts:
        drawn = [e for e in own.exchanges if e.purpose == "summarise"]
        assert [e.draw for e in drawn] == list(range(lab.config.concepts.count))
        assert all("\n" not in e.request.messages[-1].text for e in drawn)


def test_the_record_says_which_side_of_each_row_was_taken(
    bench: Bench, official: RunResult
) -> None:
    written = msgspec.json.decode((official.folder / "run.json").read_bytes())
    assert written["ledger"] == sides(RELEASED)
    assert written["config"]["compat"] == "official"
    assert bench.run("0", name="ours").record.ledger == sides(OURS)


def test_a_describer_elsewhere_is_asked_what_the_local_model_was(
    bench: Bench, official: RunResult
) -> None:
    run = open_run("official", bench.workspace)
    assert next_round(run, "other").requests
    book = replies_of("official", bench.workspace)
    run.folder.write_json("describers/other.json", book)
    found = next_round(run, "other")
    assert (found.requests, found.neurons) == ((), len(official.descriptions))


def test_order_company_and_resuming_change_nothing_on_the_released_side(
    official: RunResult, bench: Bench, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = bench.jsonl(official)
    other = Bench(tmp_path / "other", monkeypatch)
    for ids in ("5,2", "3", "0,1,4"):
        last = other.run(ids, name="official", compat="official")
    assert other.jsonl(last) == whole
