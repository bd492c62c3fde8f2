"""Making parts: halving, broken engines, and what crosses from a worker process."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import msgspec
import pytest

from dnd_local.core.errors import (
    BadConfig,
    DamagedFile,
    DndError,
    EngineError,
    MissingWeights,
    NoReply,
    OutOfMemory,
    Refused,
    UnknownName,
    UserError,
)
from dnd_local.core.records import Captions, Neuron
from dnd_local.engines.device import cpu_threads
from dnd_local.pipeline import executors
from dnd_local.pipeline.executors import (
    InProcess,
    Job,
    Outcome,
    Processes,
    launch,
    outcome_of,
    read_job,
    write_outcome,
)
from dnd_local.pipeline.lab import Lab
from dnd_local.pipeline.making import Failure, make_parts
from dnd_local.pipeline.plan import CAPTIONS, PHRASES, PLAN
from dnd_local.pipeline.session import open_session
from dnd_local.pipeline.stage import Item, Stage
from dnd_local.store.netns import isolated_with_loopback
from tests.bench import Bench

ITEMS = [Item(f"layer-{i:05d}", "layer", i) for i in range(10)]


class Kitchen:
    """A stage that fails where it is told to, and remembers its batches."""

    def __init__(self, fails: Callable[[Sequence[Item]], DndError | None]) -> None:
        self.fails, self.batches = fails, list[tuple[int, ...]]()
        self.stage: Stage[Captions] = replace(CAPTIONS, run=self.run, at_once=1)

    def run(self, lab: Lab, items: Sequence[Item]) -> list[Captions]:
        self.batches.append(tuple(item.index for item in items))
        if error := self.fails(items):
            raise error
        target = lab.config.network.name
        neurons = [Neuron(target, item.layer, item.index) for item in items]
        return [Captions(neuron, (str(neuron.index),)) for neuron in neurons]

    def make(self, bench: Bench, size: int = 10) -> tuple[list[Failure], list[int]]:
        advanced: list[int] = []
        groups = [ITEMS[i : i + size] for i in range(0, len(ITEMS), size)]
        result = make_parts(self.stage, bench.lab(), groups, advanced.append)
        assert sum(advanced) == result.parts
        return list(result.failures), advanced


def has(*bad: int) -> Callable[[Sequence[Item]], DndError | None]:
    def fails(items: Sequence[Item]) -> DndError | None:
        return EngineError("it broke") if {item.index for item in items} & set(bad) else None

    return fails


def made(bench: Bench, stage: Stage = CAPTIONS) -> list[int]:
    missing = stage.parts(bench.lab()).missing([item.name for item in ITEMS])
    return [item.index for item in ITEMS if item.name not in missing]


def test_parts_are_written_as_batches_are_done(bench: Bench) -> None:
    kitchen = Kitchen(has())
    assert kitchen.make(bench, 4) == ([], [4, 4, 2])
    assert made(bench) == list(range(10))
    folder = CAPTIONS.parts(bench.lab())
    assert folder.read("layer-00007").texts == ("7",)
    assert (folder.folder / "key.json").is_file()


def test_one_bad_item_does_not_take_its_company_with_it(bench: Bench) -> None:
    kitchen = Kitchen(has(6))
    failures, advanced = kitchen.make(bench)
    assert failures == [Failure("captions", "layer-00006", "it broke")]
    assert made(bench) == [0, 1, 2, 3, 4, 5, 7, 8, 9]
    assert sum(advanced) == 9
    assert kitchen.batches[:3] == [tuple(range(10)), (0, 1, 2, 3, 4), (5, 6, 7, 8, 9)]


def test_what_is_too_large_together_is_made_in_smaller_groups(bench: Bench) -> None:
    kitchen = Kitchen(lambda items: OutOfMemory("CUDA") if len(items) > 2 else None)
    failures, _ = kitchen.make(bench)
    assert failures == []
    assert made(bench) == list(range(10))


def test_what_is_too_large_alone_says_which_setting_to_lower(bench: Bench) -> None:
    kitchen = Kitchen(lambda items: OutOfMemory("CUDA") if ITEMS[3] in items else None)
    ((failure,), _) = kitchen.make(bench)
    assert failure.reason == "out of memory, even alone; lower the stage's batch setting (CUDA)"


def test_an_engine_that_fails_on_every_item_stops_the_stage(bench: Bench) -> None:
    kitchen = Kitchen(has(*range(10)))
    with pytest.raises(EngineError, match="captions fails on every item; the first says: it broke"):
        kitchen.make(bench, 4)
    assert max(max(batch) for batch in kitchen.batches) == 3
    assert made(bench) == []


def test_what_failed_before_may_fail_again_without_stopping_the_rest(bench: Bench) -> None:
    Kitchen(has(0, 1)).make(bench, 4)
    stage = Kitchen(has(0, 1)).stage
    result = make_parts(stage, bench.lab(), [ITEMS[:2]], lambda done: None)
    assert [failure.item for failure in result.failures] == [ITEMS[0].name, ITEMS[1].name]
    broken = Kitchen(has(*range(10)))
    with pytest.raises(EngineError, match="fails on every item"):
        broken.make(bench, 2)
    assert max(max(batch) for batch in broken.batches) == 3


def test_a_bad_batch_after_a_good_one_stops_nothing(bench: Bench) -> None:
    failures, _ = Kitchen(has(4, 5, 6, 7)).make(bench, 4)
    assert [failure.item for failure in failures] == [ITEMS[i].name for i in (4, 5, 6, 7)]
    assert made(bench) == [0, 1, 2, 3, 8, 9]


@pytest.mark.parametrize("error", [NoReply("server gone"), DamagedFile("part x"), Refused("no")])
def test_what_no_smaller_group_would_mend_stops_at_once(bench: Bench, error: DndError) -> None:
    kitchen = Kitchen(lambda items: error if items[0].index else None)
    with pytest.raises(type(error), match=str(error)):
        kitchen.make(bench, 5)
    assert len(kitchen.batches) == 2
    assert made(bench) == [0, 1, 2, 3, 4]


def test_an_engine_stays_open_for_the_stages_that_use_it_and_no_longer(bench: Bench) -> None:
    lab = bench.lab()
    assert lab.captioner
    assert lab.painter
    InProcess(lab).make(Kitchen(has()).stage, ITEMS, lambda done: None)
    assert lab.captioner
    assert lab.painter
    assert bench.calls.opened == {"captioner": 1, "painter": 2}


def test_a_session_lets_go_of_its_engines_however_it_ends(bench: Bench) -> None:
    closed: list[object] = []

    def work() -> None:
        with open_session(bench.config(), bench.execution(), ("colours",), "", None) as session:
            session.lab.keep = closed.append  # type: ignore[assignment,method-assign]
            raise EngineError("it broke")

    with pytest.raises(EngineError, match="it broke"):
        work()
    assert closed == [()]


# ---- worker processes --------------------------------------------------------------------------

ANSWER = """
import json, pathlib, sys
folder = pathlib.Path(sys.argv[1]).parent
for rank, outcome in enumerate({outcomes!r}):
    (folder / f"outcome-{{rank}}.json").write_text(json.dumps(outcome))
print("a hint", file=sys.stderr)
"""


def answering(monkeypatch: pytest.MonkeyPatch, *outcomes: dict[str, Any]) -> None:
    """Let a child process answer for all workers."""
    code = ANSWER.format(outcomes=outcomes)
    monkeypatch.setattr(
        executors,
        "launch",
        lambda job, execution: ([sys.executable, "-c", code, str(job)], dict(os.environ)),
    )
    monkeypatch.setattr(executors, "POLL_SECONDS", 0.01)


def make_with(bench: Bench, stage: Stage = CAPTIONS) -> list[Failure]:
    lab = Lab(bench.config(), bench.execution(workers=2))
    return list(Processes(lab).make(stage, ITEMS, lambda done: None).failures)


def test_failures_of_all_workers_come_together(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    one = {"stage": "captions", "item": "a", "reason": "x"}
    other = {"stage": "captions", "item": "b", "reason": "y"}
    answering(monkeypatch, {"failures": [one]}, {"failures": [other]})
    assert make_with(bench) == [Failure(**one), Failure(**other)]


@pytest.mark.parametrize(
    ("error", "arrives"),
    [
        (UserError("x"), UserError),
        (BadConfig("x"), BadConfig),
        (MissingWeights("x"), MissingWeights),
        (DamagedFile("x"), DamagedFile),
        (Refused("x"), Refused),
        (EngineError("x"), EngineError),
        (NoReply("x"), NoReply),
        (OutOfMemory("x"), EngineError),
        (UnknownName("layer", "x", []), UserError),
    ],
)
def test_an_error_crosses_with_its_type_and_words(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, error: DndError, arrives: type[DndError]
) -> None:
    outcome = outcome_of(error)
    answering(monkeypatch, {}, {"error": outcome.error, "message": outcome.message})
    with pytest.raises(arrives) as caught:
        make_with(bench)
    assert type(caught.value) is arrives
    assert str(caught.value) == str(error)


def test_a_worker_that_dies_leaves_its_last_words(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    answering(monkeypatch, {})
    with pytest.raises(EngineError, match=r"worker 1 of stage captions ended .*\na hint"):
        make_with(bench)


def test_parts_are_counted_while_workers_write_them(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    answering(monkeypatch, {}, {})
    Kitchen(has()).make(bench)
    advanced: list[int] = []
    lab = Lab(bench.config(), bench.execution(workers=2))
    Processes(lab).make(CAPTIONS, ITEMS, advanced.append)
    assert sum(advanced) == 10


def test_being_interrupted_ends_the_workers(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    note = tmp_path / "pid"
    code = f"import os, time; open({str(note)!r}, 'w').write(str(os.getpid())); time.sleep(600)"
    monkeypatch.setattr(
        executors, "launch", lambda job, execution: ([sys.executable, "-c", code], dict(os.environ))
    )

    sleep = time.sleep

    def stop(_: float) -> None:
        while not (note.exists() and note.read_text()):
            sleep(0.01)
        raise KeyboardInterrupt

    monkeypatch.setattr(time, "sleep", stop)
    with pytest.raises(KeyboardInterrupt):
        make_with(bench)
    with pytest.raises(ProcessLookupError):
        os.kill(int(note.read_text()), 0)


def test_what_was_opened_here_is_closed_before_workers_start(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    answering(monkeypatch, {}, {})
    lab = Lab(bench.config(), bench.execution(workers=2))
    assert lab.target
    Processes(lab).make(CAPTIONS, ITEMS, lambda done: None)
    assert lab.target
    assert bench.calls.opened["target"] == 2


def test_one_language_model_server_serves_all(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    kitchen = Kitchen(has())
    stage = replace(PHRASES, record=Captions, run=kitchen.run)
    config = bench.config(llm={"engine": "vllm"})
    lab = Lab(config, bench.execution(workers=2))
    assert Processes(lab).make(stage, ITEMS, lambda done: None).failures == ()
    assert len(kitchen.batches) == 1
    answering(monkeypatch, {}, {})
    assert make_with(bench, stage) == []
    assert len(kitchen.batches) == 1


def test_a_job_arrives_as_it_was_sent(bench: Bench, tmp_path: Path) -> None:
    seen: list[Job] = []

    def spy(job: Path, execution: Any) -> tuple[list[str], dict[str, str]]:
        seen.append(read_job(job))
        code = ANSWER.format(outcomes=({}, {}))
        return [sys.executable, "-c", code, str(job)], dict(os.environ)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(executors, "launch", spy)
        make_with(bench)
    (job,) = seen
    assert job.config == bench.config()
    assert job.execution == bench.execution(workers=2)
    assert (job.stage, job.items) == ("captions", tuple(ITEMS))


def test_an_outcome_is_left_where_it_is_looked_for(bench: Bench, tmp_path: Path) -> None:
    job = Job(
        config=bench.config(), execution=bench.execution(), stage="captions", items=(),
        outcome=tmp_path,
    )  # fmt: skip
    failure = Failure("captions", "a", "x")
    write_outcome(job, 0, Outcome(failures=(failure,)))
    write_outcome(job, 1, Outcome())
    assert executors._gather(tmp_path, 2, CAPTIONS) == (failure,)


@pytest.mark.parametrize("stage", PLAN, ids=lambda stage: stage.name)
def test_every_stage_can_be_named_to_a_worker(stage: Stage) -> None:
    assert [other for other in PLAN if other.name == stage.name] == [stage]


def test_the_launch_is_accelerates(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(executors, "why_no_loopback", lambda: "no right")
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    monkeypatch.setenv("https_proxy", "http://elsewhere")
    command, environment = launch(Path("job.json"), bench.execution(workers=2))
    text = " ".join(command)
    assert "-m accelerate.commands.launch --num_processes 2 --num_machines 1" in text
    assert "--multi_gpu" in command
    assert text.endswith("-m dnd_local.pipeline.worker job.json")
    assert environment["ACCELERATE_USE_CPU"] == "true"
    assert environment["OMP_NUM_THREADS"] == str(cpu_threads())
    assert environment["HF_HUB_OFFLINE"] == environment["PYTHONSAFEPATH"] == "1"
    assert "https_proxy" not in environment
    assert command[0] == sys.executable
    assert not {"GLOO_SOCKET_IFNAME", "NCCL_SOCKET_IFNAME"} & set(environment)


def test_workers_start_where_nothing_but_a_loopback_is(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    execution = bench.execution(workers=2)
    monkeypatch.setenv("GLOO_SOCKET_IFNAME", "eth0")
    monkeypatch.setattr(executors, "why_no_loopback", lambda: "no right")
    bare, _ = launch(Path("job.json"), execution)
    monkeypatch.setattr(executors, "why_no_loopback", lambda: "")
    command, environment = launch(Path("job.json"), execution)
    assert command == list(isolated_with_loopback(bare))
    assert environment["GLOO_SOCKET_IFNAME"] == environment["NCCL_SOCKET_IFNAME"] == "lo"


def test_a_worker_beside_a_graphics_card_computes_little_itself(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    execution = msgspec.structs.replace(bench.execution(), devices=("0",), workers=1)
    assert launch(Path("job.json"), execution)[1]["OMP_NUM_THREADS"] == "1"


def test_the_launch_on_graphics_cards(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "3")
    monkeypatch.setattr(executors, "why_no_loopback", lambda: "no right")
    execution = msgspec.structs.replace(bench.execution(), devices=("2", "5"), workers=1)
    command, environment = launch(Path("job.json"), execution)
    assert command[command.index("--gpu_ids") + 1] == "2,5"
    assert "--multi_gpu" not in command
    assert "ACCELERATE_USE_CPU" not in environment
    assert environment["OMP_NUM_THREADS"] == "3"
