"""A race: fewer pictures, the same machinery; with it off nothing of a run changes."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import msgspec
import pytest

from dnd_local.core.conversations import Request
from dnd_local.core.descriptions import Description
from dnd_local.core.errors import EngineError
from dnd_local.core.records import Neuron, Pixels
from dnd_local.pipeline.evidence import Evidence
from dnd_local.pipeline.forecast import forecast
from dnd_local.pipeline.plan import PICTURES, PLAN, RACE, SCORES, plan_of
from dnd_local.pipeline.reading import open_run
from dnd_local.pipeline.runner import RunResult, dissect_neurons
from dnd_local.pipeline.selection import read_selection
from dnd_local.pipeline.stage import Item
from dnd_local.pipeline.upkeep import check_workspace, find_unneeded
from tests.bench import EXACT, Bench
from tests.fakes import LAYER, Calls, FakeLanguageModel, FakePainter

TEN = {"count": 10, "size": 8}
RACE_OF_FOUR = {"race": 4}
IDS = "0-2"


@pytest.fixture
def bench(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Bench:
    return Bench(tmp_path, monkeypatch)


def raced(bench: Bench, ids: str = IDS, name: str = "") -> RunResult:
    return bench.run(ids, name, pictures=TEN, scores=RACE_OF_FOUR)


def exact(bench: Bench, ids: str = IDS, name: str = "") -> RunResult:
    return bench.run(ids, name, pictures=TEN)


def evidence(bench: Bench, result: RunResult, index: int = 0) -> Evidence:
    run = open_run(result.record.name, bench.workspace)
    return run.evidence_of(Neuron("pocket", LAYER, index))


def winners(descriptions: Sequence[Description]) -> list[str]:
    return [description.labels[0].text for description in descriptions]


def test_a_race_paints_less_and_a_run_without_one_paints_the_rest(bench: Bench) -> None:
    few = raced(bench)
    in_race = bench.calls.asked["painter"]
    every = exact(bench)
    whole = bench.calls.asked["painter"]
    assert in_race < whole, "the exact run paints what the race left out, and no picture twice"
    concepts = {c.text for i in range(3) for c in evidence(bench, every, i).scores.candidates}  # type: ignore[union-attr]
    assert whole == 10 * len(concepts)
    assert few.record.name != every.record.name
    assert len(few.descriptions) == len(every.descriptions)
    bench.calls.asked.clear()
    assert raced(bench).made == 0
    assert not bench.calls.asked


def test_each_candidate_has_the_pictures_of_the_rounds_that_it_ran(bench: Bench) -> None:
    told = evidence(bench, raced(bench))
    assert told.scores is not None
    assert told.concepts is not None
    assert told.race
    running = [c.text for c in told.concepts.candidates]
    wanted = dict.fromkeys(running, 4)
    for after, more in zip(told.race, (6, 8, 10), strict=False):
        assert [text for text, _ in after.wins] == running
        assert set(after.running) <= set(running)
        running = list(after.running)
        if len(running) > 1:
            wanted |= dict.fromkeys(running, more)
    assert {c.text: len(c.responses) for c in told.scores.candidates} == wanted
    assert {part.concept: len(part.pictures) for part in told.pictures} == wanted
    assert told.description.labels[0].text in running
    assert [round.pictures for round in told.race] == [4, 6, 8][: len(told.race)]
    assert told.as_json()["race"] == told.race


def test_neither_company_nor_order_nor_a_larger_run_changes_a_race(bench: Bench) -> None:
    together = {d.neuron.index: d for d in raced(bench, "0-2", "together").descriptions}
    other = Bench(bench.workspace / "other", bench._monkeypatch)
    exact(other, "0-2")  # every picture is there already
    for index in (2, 0, 1):
        alone = raced(other, str(index), f"alone-{index}").descriptions[0]
        assert (alone.labels, alone.keys) == (together[index].labels, together[index].keys)


class Lone(FakeLanguageModel):
    """Summarises every neuron in one word, so that there is one candidate."""

    def __init__(self, calls: Calls) -> None:
        super().__init__(calls, self.one_word)

    def one_word(self, request: Request) -> str | None:
        asked = request.messages[-1].text
        return None if asked.startswith("there is a ") else asked.split()[0]


def test_a_lone_candidate_keeps_the_pictures_of_the_first_round(bench: Bench) -> None:
    bench.replaced["language-model"] = Lone(bench.calls)
    result = raced(bench)
    told = evidence(bench, result)
    assert told.race == ()
    assert told.scores is not None
    assert [len(c.responses) for c in told.scores.candidates] == [4]
    assert bench.calls.asked["painter"] == 12
    assert told.description.status == "described"
    bench.calls.asked.clear()
    assert raced(bench).made == 0


class Failing(FakePainter):
    """Breaks after so many pictures, or on one concept."""

    def __init__(self, calls: Calls, after: int = 10**9, concept: str = "nothing") -> None:
        super().__init__(calls)
        self.left, self.concept = after, concept

    def paint(self, prompts: Sequence[str], seeds: Sequence[int]) -> list[Pixels]:
        self.left -= len(prompts)
        if self.left < 0:
            raise KeyboardInterrupt
        if any(self.concept in prompt for prompt in prompts):
            raise EngineError("no such colour")
        return super().paint(prompts, seeds)


@pytest.mark.parametrize("after", [0, 40, 70, 100])
def test_a_race_that_was_stopped_goes_on_to_the_same_bytes(bench: Bench, after: int) -> None:
    other = Bench(bench.workspace / "other", bench._monkeypatch)
    expected = other.jsonl(raced(other))
    Bench.over(bench)
    bench.replaced["painter"] = Failing(bench.calls, after)
    again = Bench.over(bench)
    again.replaced["painter"] = Failing(again.calls, after)
    with pytest.raises(KeyboardInterrupt):
        raced(again)
    assert again.jsonl(raced(Bench.over(again))) == expected


def test_rounds_that_are_gone_are_run_again_to_the_same_bytes(bench: Bench) -> None:
    result = raced(bench)
    expected = bench.jsonl(result)
    lab = bench.lab(pictures=TEN, scores=RACE_OF_FOUR)
    folder = RACE.parts(lab)
    before = {path.name: path.read_bytes() for path in folder.folder.glob("colours*")}
    for name in ("colours-00000", "colours-00001.1"):
        folder.path(name).unlink(missing_ok=True)
    SCORES.parts(lab).path("colours-00000").unlink()
    assert raced(bench).made >= 2
    assert {path.name: path.read_bytes() for path in folder.folder.glob("colours*")} == before
    assert bench.jsonl(result) == expected


def test_a_concept_that_cannot_be_painted_fails_its_neuron_by_name(bench: Bench) -> None:
    bench.replaced["painter"] = Failing(bench.calls, concept="green")
    result = raced(bench)
    status = {d.neuron.index: d.status for d in result.descriptions}
    assert status == {0: "described", 1: "failed", 2: "described"}
    (failed,) = [d for d in result.descriptions if d.status == "failed"]
    assert failed.reason.startswith("pictures: 'green ")
    assert raced(Bench.over(bench)).descriptions[1].status == "described"


def test_processes_that_share_a_race_end_with_the_same(bench: Bench) -> None:
    expected = bench.jsonl(raced(bench, "0-5", "same"))
    other = Bench(bench.workspace / "other", bench._monkeypatch)
    shared = msgspec.structs.replace(other.execution(), shared=True)
    config = other.config(pictures=TEN, scores=RACE_OF_FOUR)
    result = dissect_neurons(config, shared, read_selection(LAYER, "0-5"), "same")
    assert other.jsonl(result) == expected


def test_a_forecast_is_an_upper_bound_before_and_amid_a_race(bench: Bench) -> None:
    config = bench.config(pictures=TEN, scores=RACE_OF_FOUR)
    chosen = read_selection(LAYER, IDS)

    def expected() -> tuple[int, dict[str, tuple[int, int]]]:
        found = forecast(config, bench.execution(), chosen)
        return found.pictures, {one.stage: (one.done, one.items) for one in found.stages}

    pictures, stages = expected()
    assert pictures == 3 * 5 * 10
    assert stages["race"] == (0, 3 * 3)
    again = Bench.over(bench)
    again.replaced["painter"] = Failing(again.calls, 60)
    with pytest.raises(KeyboardInterrupt):
        raced(again)
    pictures, stages = expected()
    last = Bench.over(bench)
    raced(last)
    assert 0 < last.calls.asked["painter"] <= pictures
    pictures, stages = expected()
    assert pictures == 0
    assert all(done == items for done, items in stages.values())
    assert [one.stage for one in forecast(config, bench.execution(), chosen).stages] == [
        stage.name for stage in plan_of(config)
    ]


def test_status_upkeep_and_places_know_a_race(bench: Bench) -> None:
    result = raced(bench)
    exact(bench)
    run = open_run(result.record.name, bench.workspace)
    assert [one.stage for one in run.status()] == [stage.name for stage in plan_of(run.lab.config)]
    assert all(one.done == one.of for one in run.status())
    assert not run.outdated()
    assert set(run.folder.places()) == {stage.name for stage in plan_of(run.lab.config)}
    plain = open_run(exact(bench).record.name, bench.workspace)
    assert set(plain.folder.places()) == {stage.name for stage in EXACT}
    assert "race" not in dict(plain.evidence(0).as_json())
    assert check_workspace(bench.workspace, PLAN).faults == ()
    unneeded = find_unneeded(bench.workspace, PLAN)
    assert (unneeded.folders, unneeded.unknown) == ((), ())
    painted = {p.blob for part in run.evidence(0).pictures for p in part.pictures}
    assert not painted & {path.stem for path in unneeded.pictures}


def test_the_stages_of_a_run_are_those_that_its_settings_ask_for(bench: Bench) -> None:
    assert plan_of(bench.config()) == EXACT
    assert RACE not in EXACT
    racing = plan_of(bench.config(pictures=TEN, scores=RACE_OF_FOUR))
    assert tuple(stage for stage in racing if stage is not RACE) == EXACT
    assert RACE in racing


def test_rounds_and_blocks_have_names_of_their_own(bench: Bench) -> None:
    raced(bench)
    lab = bench.lab(pictures=TEN, scores=RACE_OF_FOUR)
    names = {path.stem for path in RACE.parts(lab).folder.glob("colours*")}
    assert {"colours-00000", "colours-00001", "colours-00002"} <= names
    assert Item.of_neuron(Neuron("pocket", LAYER, 0), 1).name == "colours-00000.1"
    assert PICTURES.key(lab) == PICTURES.key(bench.lab(pictures=TEN))
