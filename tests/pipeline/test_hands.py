"""Worker processes from outside: how they are started, what they say, how they end."""

from __future__ import annotations

import os
import sys
import threading
import time
from pathlib import Path

import msgspec
import pytest

from dnd_local.core.errors import EngineError
from dnd_local.engines.device import cpu_threads
from dnd_local.pipeline import hands
from dnd_local.pipeline.crew import Order, Outcome
from dnd_local.pipeline.hands import ProcessHand, hire, launch
from dnd_local.pipeline.lab import Lab
from dnd_local.pipeline.stage import Item
from dnd_local.pipeline.worker import Post, decoded
from dnd_local.store.netns import isolated_with_loopback
from tests.bench import Bench

ORDER = Order(stage="captions", batches=((Item("layer-00000", "layer", 0),),))


def started(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, code: str, number: int = 1
) -> ProcessHand:
    """Return a worker whose program is `code`."""
    monkeypatch.setattr(
        hands, "launch", lambda execution: ([sys.executable, "-c", code], dict(os.environ))
    )
    return ProcessHand(Lab(bench.config(), bench.execution(workers=2)), number)


def test_counts_are_heard_and_the_outcome_is_the_answer(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    note = tmp_path / "said"
    code = f"""if True:
        import sys
        lines = sys.stdin.readline() + sys.stdin.readline()
        open({str(note)!r}, "w").write(lines)
        print(3); print(4); print('{{"parts": 7}}', flush=True)
        sys.stdin.read()
    """
    hand = started(bench, monkeypatch, code)
    advanced: list[int] = []
    assert hand.make(ORDER, advanced.append) == Outcome(parts=7)
    hand.close()
    assert advanced == [3, 4]
    post, order = note.read_bytes().splitlines()
    execution = bench.execution(workers=2)
    assert decoded(post, Post) == Post(config=bench.config(), execution=execution, device="cpu")
    assert decoded(order, Order) == ORDER


@pytest.mark.parametrize("first", ["", "sys.stdin.readline(); "])
def test_a_worker_that_dies_leaves_its_last_words(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, first: str
) -> None:
    hand = started(bench, monkeypatch, f"import sys; {first}print('a hint', file=sys.stderr)")
    if not first:
        hand._process.wait()  # it is gone before anything is sent
    with pytest.raises(EngineError, match=r"worker 1 of stage captions ended .*\na hint"):
        hand.make(ORDER, lambda done: None)
    hand.close()


def test_a_worker_is_ended_whatever_it_is_doing(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    hand = started(bench, monkeypatch, "import time; print(1, flush=True); time.sleep(600)")
    heard, errors = threading.Event(), list[BaseException]()

    def wait() -> None:
        try:
            hand.make(ORDER, lambda done: heard.set())
        except EngineError as error:
            errors.append(error)

    thread = threading.Thread(target=wait)
    thread.start()
    assert heard.wait(20)
    begun = time.monotonic()
    hand.close()
    thread.join(20)
    assert time.monotonic() - begun < 10
    assert len(errors) == 1
    with pytest.raises(ProcessLookupError):
        os.kill(hand._process.pid, 0)


def test_workers_are_dealt_out_over_the_devices(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    code = f"""if True:
        import os, sys
        open(os.path.join({str(tmp_path)!r}, str(os.getpid())), "w").write(sys.stdin.readline())
        print('{{}}', flush=True)
        sys.stdin.read()
    """
    monkeypatch.setattr(
        hands, "launch", lambda execution: ([sys.executable, "-c", code], dict(os.environ))
    )
    execution = msgspec.structs.replace(bench.execution(workers=3), devices=("2", "5"))
    crew = hire(Lab(bench.config(), execution))
    for hand in crew:
        hand.make(ORDER, lambda done: None)
        hand.close()
    devices = [decoded(path.read_bytes(), Post).device for path in tmp_path.iterdir()]
    assert sorted(devices) == ["2", "2", "5"]


def test_the_launch(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hands, "why_no_loopback", lambda: "no right")
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    monkeypatch.setenv("https_proxy", "http://elsewhere")
    command, environment = launch(bench.execution(workers=2))
    assert command == [sys.executable, "-P", "-m", "dnd_local.pipeline.worker"]
    assert environment["OMP_NUM_THREADS"] == str(cpu_threads())
    assert environment["OMP_WAIT_POLICY"] == "passive"
    assert environment["HF_HUB_OFFLINE"] == "1"
    assert "https_proxy" not in environment
    monkeypatch.setenv("OMP_NUM_THREADS", "3")
    monkeypatch.setattr(hands, "why_no_loopback", lambda: "")
    closed, environment = launch(bench.execution(workers=2))
    assert closed == list(isolated_with_loopback(command))
    assert environment["OMP_NUM_THREADS"] == "3"


def test_a_worker_beside_a_graphics_card_computes_little_itself(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    execution = msgspec.structs.replace(bench.execution(workers=2), devices=("0", "1"))
    assert launch(execution)[1]["OMP_NUM_THREADS"] == "1"
