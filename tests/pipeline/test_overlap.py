"""Several batches at once: engines in one thread, results in order, nothing lost on the way out."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import CancelledError, Future, ThreadPoolExecutor
from contextlib import closing
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest

from dnd_local.core.conversations import Reply, Request
from dnd_local.core.errors import EngineError, NoReply
from dnd_local.core.records import Captions, Neuron, Pictures, Pixels
from dnd_local.pipeline.lab import Lab
from dnd_local.pipeline.making import make_parts
from dnd_local.pipeline.overlap import EngineCalls, in_order
from dnd_local.pipeline.plan import CAPTIONS, PICTURES
from dnd_local.pipeline.stage import Item, Stage
from tests.bench import Bench
from tests.fakes import FakePainter, flat

ITEMS = [Item(f"layer-{i:05d}", "layer", i) for i in range(12)]
GROUPS = [ITEMS[i : i + 2] for i in range(0, 12, 2)]


class Doubler:
    """An engine that remembers in which thread it was called."""

    def __init__(self) -> None:
        self.threads: list[threading.Thread] = []

    def twice(self, number: int, *, plus: int = 0) -> int:
        self.threads.append(threading.current_thread())
        if number < 0:
            raise EngineError(f"{number} is negative")
        return 2 * number + plus


def test_results_come_in_order_and_the_engine_has_one_thread() -> None:
    engine, calls = Doubler(), EngineCalls()
    proxy = calls.through(engine)

    def task(number: int) -> int:
        time.sleep(0.01 * (number % 3))  # the later ones may be done first
        return proxy.twice(number, plus=1)

    found = list(in_order([partial(task, i) for i in range(9)], 3, calls))
    assert found == [2 * i + 1 for i in range(9)]
    assert set(engine.threads) == {threading.current_thread()}


def test_no_more_tasks_run_than_asked_for() -> None:
    calls, lock = EngineCalls(), threading.Lock()
    proxy = calls.through(Doubler())
    running, most = 0, 0

    def task() -> None:
        nonlocal running, most
        proxy.twice(1)
        with lock:
            running += 1
            most = max(most, running)
        time.sleep(0.02)
        with lock:
            running -= 1

    list(in_order([task] * 8, 3, calls))
    assert 1 < most <= 3


def test_the_second_task_begins_with_the_first_call_of_an_engine() -> None:
    calls, begun = EngineCalls(), list[int]()
    proxy = calls.through(Doubler())

    def task(number: int) -> None:
        begun.append(number)
        time.sleep(0.02)
        if number == 0:
            assert begun == [0]
        proxy.twice(number)

    list(in_order([partial(task, number) for number in range(4)], 3, calls))
    assert begun == [0, 1, 2, 3]


def test_an_engines_error_is_raised_in_the_task_that_asked() -> None:
    calls = EngineCalls()
    proxy = calls.through(Doubler())

    def task(number: int) -> str:
        try:
            return str(proxy.twice(number))
        except EngineError as error:
            return str(error)

    numbers = (1, -2, 3)
    found = list(in_order([partial(task, number) for number in numbers], 2, calls))
    assert found == ["2", "-2 is negative", "6"]


def test_a_task_that_fails_ends_the_rest_and_lets_those_under_way_write() -> None:
    calls, written = EngineCalls(), list[int]()
    proxy = calls.through(Doubler())
    both = threading.Barrier(2)

    def bad() -> None:
        proxy.twice(1)
        both.wait()
        raise OSError(28, "No space left on device")

    def slow() -> None:
        proxy.twice(1)
        both.wait()
        time.sleep(0.05)
        written.append(1)
        proxy.twice(2)
        written.append(2)

    tasks: list[Callable[[], None]] = [bad, slow, lambda: written.append(3)]
    with pytest.raises(OSError, match="No space"), closing(in_order(tasks, 2, calls)) as found:
        list(found)
    assert written == [1], "no engine is called any more, and no task begins"
    with pytest.raises(CancelledError):
        proxy.twice(1)


def test_an_interrupt_inside_an_engine_reaches_whoever_serves() -> None:
    class Stopped:
        def paint(self) -> None:
            raise KeyboardInterrupt

    calls = EngineCalls()
    proxy = calls.through(Stopped())
    turned_down: list[str] = []

    def task() -> None:
        try:
            proxy.paint()
        except CancelledError:
            turned_down.append("cancelled")

    with pytest.raises(KeyboardInterrupt), closing(in_order([task] * 4, 3, calls)) as found:
        list(found)
    assert 1 <= len(turned_down) <= 3


def test_what_nobody_has_answered_is_turned_down_at_the_end() -> None:
    calls = EngineCalls()
    with ThreadPoolExecutor(1) as pool:
        asked = pool.submit(calls.call, lambda: pytest.fail("nobody serves"))
        while calls._asked.empty() and not asked.done():
            time.sleep(0.001)
        calls.close()
        with pytest.raises(CancelledError):
            asked.result(timeout=60)


# ---- a language model behind a server: asked by one thread, waited for by many ------------------


class Server:
    """A language model whose replies come when the test says so."""

    def __init__(self) -> None:
        self.threads: list[threading.Thread] = []
        self.begun: list[Future[list[Reply]]] = []

    def reply(self, requests: Sequence[Request]) -> list[Reply]:
        raise AssertionError("nobody waits in the thread that serves")

    def begin(self, requests: Sequence[Request]) -> Future[list[Reply]]:
        self.threads.append(threading.current_thread())
        self.begun.append(Future())
        return self.begun[-1]


def test_questions_of_several_tasks_are_under_way_together() -> None:
    class Waiting(Server):
        def begin(self, requests: Sequence[Request]) -> Future[list[Reply]]:
            future = super().begin(requests)
            if len(self.begun) == 3:  # the first is answered only now
                for number, one in enumerate(self.begun):
                    one.set_result([Reply(str(number))])
            return future

    engine, calls = Waiting(), EngineCalls()
    proxy = calls.through(engine)
    found = list(in_order([lambda: proxy.reply([])] * 3, 3, calls))
    assert found == [[Reply("0")], [Reply("1")], [Reply("2")]]
    assert set(engine.threads) == {threading.current_thread()}


def test_a_task_that_is_done_makes_room_for_another_before_the_first_has_ended() -> None:
    calls, last = EngineCalls(), threading.Event()
    proxy = calls.through(Doubler())

    def task(number: int) -> int:
        if number == 0:
            proxy.twice(0)
            assert last.wait(60)
        if number == 5:
            last.set()
        return number

    assert list(in_order([partial(task, i) for i in range(6)], 2, calls)) == list(range(6))


def test_what_was_asked_is_given_up_when_a_task_fails() -> None:
    engine, calls = Server(), EngineCalls()
    proxy = calls.through(engine)

    def asks() -> None:
        proxy.reply([])

    def fails() -> None:
        proxy.reply([])

    def serve() -> None:
        while len(engine.begun) < 2:
            time.sleep(0.001)
        engine.begun[0].set_exception(NoReply("it hangs"))

    with ThreadPoolExecutor(1) as pool:
        pool.submit(serve)
        with (
            pytest.raises(NoReply, match="it hangs"),
            closing(in_order([fails, asks], 2, calls)) as x,
        ):
            list(x)
    assert engine.begun[1].cancelled()


def test_what_is_asked_after_the_end_is_given_up_at_once() -> None:
    engine, calls = Server(), EngineCalls()

    def begin() -> Future[list[Reply]]:
        future = engine.begin([])
        calls.close()  # Ctrl-C comes now
        return future

    with ThreadPoolExecutor(1) as pool:
        asked = pool.submit(calls.wait, begin)
        calls.serve(asked, before=lambda: None)
        with pytest.raises(CancelledError):
            asked.result()
    assert engine.begun[0].cancelled()


# ---- parts -------------------------------------------------------------------------------------


class Captioning:
    """A stage of three groups at once whose captioner is asked in each; it fails where told."""

    def __init__(self, bad: Sequence[int] = ()) -> None:
        self.bad = bad
        self.stage: Stage[Captions] = replace(CAPTIONS, run=self.run, at_once=3)

    def run(self, lab: Lab, items: Sequence[Item]) -> list[Captions]:
        (text,) = lab.captioner.caption([flat(0, 200)])
        if {item.index for item in items} & set(self.bad):
            raise EngineError("it broke")
        neurons = [Neuron("net", item.layer, item.index) for item in items]
        return [Captions(neuron, (text,)) for neuron in neurons]


def made(bench: Bench, stage: Stage) -> list[int]:
    return [item.index for item in stage.there(bench.lab(), ITEMS)]


def test_failures_are_told_in_the_order_of_items(bench: Bench) -> None:
    advanced: list[int] = []
    stage = Captioning(bad=(3, 8, 9)).stage
    result = make_parts(stage, bench.lab(), GROUPS, advanced.append)
    assert [failure.item for failure in result.failures] == [ITEMS[i].name for i in (3, 8, 9)]
    assert made(bench, stage) == [0, 1, 2, 4, 5, 6, 7, 10, 11]
    assert advanced == [2, 1, 2, 2, 2]


def test_a_broken_engine_stops_the_stage_at_its_first_group(bench: Bench) -> None:
    stage = Captioning(bad=range(12)).stage
    with pytest.raises(EngineError, match="captions fails on every item"):
        make_parts(stage, bench.lab(), GROUPS, lambda done: None)
    assert made(bench, stage) == []


def test_the_lab_hands_out_the_engines_themselves_afterwards(bench: Bench) -> None:
    lab = bench.lab()
    make_parts(Captioning().stage, lab, GROUPS, lambda done: None)
    assert type(lab.captioner).__name__ == "FakeCaptioner"
    assert bench.calls.opened == {"captioner": 1}


# ---- a run that is stopped while pictures are on their way to the disk --------------------------


class Interrupted(FakePainter):
    """Paints two groups; Ctrl-C comes during the third."""

    def paint(self, prompts: Sequence[str], seeds: Sequence[int]) -> list[Pixels]:
        if self.calls.asked["painter"] >= 2 * len(prompts):
            raise KeyboardInterrupt
        return super().paint(prompts, seeds)


def pictures_of(bench: Bench, **options: object) -> tuple[Lab, list[list[Item]]]:
    lab = bench.lab(pictures={"count": 2, "size": 8, "batch": 2}, **options)
    items = [Item.of_block(f"red {i}", 0, 2) for i in range(6)]
    return lab, [list(group) for group in PICTURES.batches(lab.config, items)]


@pytest.fixture
def slow_disk(monkeypatch: pytest.MonkeyPatch) -> None:
    real = os.fsync

    def fsync(file: int) -> None:
        time.sleep(0.02)
        real(file)

    monkeypatch.setattr(os, "fsync", fsync)


@pytest.mark.usefixtures("slow_disk")
def test_ctrl_c_costs_the_group_in_hand_and_keeps_what_was_painted(bench: Bench) -> None:
    bench.replaced["painter"] = Interrupted(bench.calls)
    lab, groups = pictures_of(bench)
    with pytest.raises(KeyboardInterrupt):
        make_parts(PICTURES, lab, groups, lambda done: None)
    kept = PICTURES.there(lab, [item for group in groups for item in group])
    assert len(kept) == len([*groups[0], *groups[1]]), "both groups that were painted"
    assert [p.name for p in lab.execution.workspace.rglob(".*.tmp")] == []


def test_the_next_group_is_painted_while_the_last_one_is_written(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    lab, groups = pictures_of(bench)
    again, real = threading.Event(), os.fsync

    class Watched(FakePainter):
        def paint(self, prompts: Sequence[str], seeds: Sequence[int]) -> list[Pixels]:
            if self.calls.asked["painter"]:
                again.set()
            return super().paint(prompts, seeds)

    def fsync(file: int) -> None:
        assert again.wait(60), "nothing was written before the second group was painted"
        real(file)

    monkeypatch.setattr(os, "fsync", fsync)
    PICTURES.parts(lab).folder.mkdir(parents=True)
    bench.replaced["painter"] = Watched(bench.calls)
    monkeypatch.setattr(type(PICTURES.parts(lab)), "describe", lambda folder, meaning: None)
    make_parts(PICTURES, lab, groups, lambda done: None)
    assert len(PICTURES.there(lab, [item for group in groups for item in group])) == 6


def test_a_full_disk_stops_the_painter_within_the_groups_under_way(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    lab, groups = pictures_of(bench)
    real = Path.replace

    def full(self: Path, target: Path) -> Path:
        if target.suffix == ".png":
            raise OSError(28, os.strerror(28), str(target))
        return real(self, target)

    with monkeypatch.context() as patch:
        patch.setattr(Path, "replace", full)
        with pytest.raises(OSError, match="No space left on device"):
            make_parts(PICTURES, lab, groups, lambda done: None)
    assert bench.calls.asked["painter"] <= 2 * PICTURES.at_once
    assert PICTURES.there(lab, [item for group in groups for item in group]) == []
    make_parts(PICTURES, lab, groups, lambda done: None)
    assert len(PICTURES.there(lab, [item for group in groups for item in group])) == 6


def files(lab: Lab) -> dict[str, bytes]:
    """Return the parts and pictures of a workspace."""
    home = lab.execution.workspace
    return {
        str(path.relative_to(home)): path.read_bytes()
        for folder in ("artefacts", "blobs")
        for path in sorted((home / folder).rglob("*"))
        if path.is_file() and not path.name.endswith(".tmp")
    }


def test_kill_9_costs_no_more_than_the_groups_under_way(bench: Bench, tmp_path: Path) -> None:
    lab, groups = pictures_of(bench)
    items = [item for group in groups for item in group]
    if (child := os.fork()) == 0:
        at_fifth = replace(PICTURES, run=lambda lab, own: kill_at(lab, own, items[4]))
        make_parts(at_fifth, lab, groups, lambda done: None)
        os._exit(0)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == -signal.SIGKILL
    kept = PICTURES.there(lab, items)
    assert len(kept) >= 5 - PICTURES.at_once
    assert PICTURES.read(lab, kept), "what is there is whole"
    make_parts(PICTURES, lab, [[i] for i in PICTURES.missing(lab, items)], lambda done: None)
    again = Bench.over(bench)
    again.workspace = tmp_path / "fresh"
    fresh, groups = pictures_of(again)
    make_parts(PICTURES, fresh, groups, lambda done: None)
    assert files(lab) == files(fresh)


def kill_at(lab: Lab, items: Sequence[Item], last: Item) -> Sequence[Pictures]:
    if last in items:
        os.kill(os.getpid(), signal.SIGKILL)
    return PICTURES.run(lab, items)
