"""Worker processes: orders, answers, and two real ones against this process, byte for byte.

The real ones have no network, and the network under study, a user's own code, can tell.
"""

from __future__ import annotations

import errno
import io
import os
import socket
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from dnd_local.core.config import Config, Execution
from dnd_local.core.config_reading import read_config
from dnd_local.pipeline import worker
from dnd_local.pipeline.crew import Order, Outcome
from dnd_local.pipeline.plan import RESPONSES
from dnd_local.pipeline.runner import triage_layers
from dnd_local.pipeline.stage import Item
from dnd_local.pipeline.worker import (
    Post,
    Worker,
    decoded,
    encoded,
    lines_until_gone,
    serve,
)
from dnd_local.store.netns import why_no_loopback
from tests.bench import Bench
from tests.fakes import LAYER, Broken
from tests.outside import ask_for_a_way_out

WATCHED = """
import os, pathlib, socket, sys

sys.path.insert(0, {home!r})
from tests.outside import ask_for_a_way_out
from tests.pipeline import tiny_net

def make():
    names = sorted(name for _, name in socket.if_nameindex())
    note = f"{{' '.join(names)}}: {{ask_for_a_way_out()}}"
    pathlib.Path({notes!r}, str(os.getpid())).write_text(note)
    return tiny_net.make()
"""


def photos(folder: Path, count: int = 11) -> Path:
    folder.mkdir()
    rng = np.random.default_rng(3)
    for i in range(count):
        noise = rng.integers(0, 256, (20, 24, 3), dtype=np.uint8)
        Image.fromarray(noise).save(folder / f"{i}.png")
    (folder / "broken.png").write_bytes(b"no picture")
    return folder


def factory(home: Path) -> str:
    """Return a user's own network that notes, by process, what it sees of the network around."""
    (home / "notes").mkdir()
    source = WATCHED.format(home=str(Path(__file__).parents[2]), notes=str(home / "notes"))
    (home / "watched.py").write_text(source)
    return f"{home / 'watched.py'}:make"


def settings(probe: Path, network_name: str) -> Config:
    network = {"name": network_name, "batch": 4}
    return read_config({"network": network, "probe": {"sets": [str(probe)], "chunk": 4}})


def execution(home: Path, workers: int) -> Execution:
    return Execution(workspace=home, weights=home / "weights", data=home / "data", workers=workers)


def parts_below(home: Path) -> dict[str, bytes]:
    files = sorted((home / "artefacts").rglob("*"))
    return {str(p.relative_to(home)): p.read_bytes() for p in files if p.is_file()}


ITEMS = tuple(Item.of_chunk(LAYER, i) for i in range(5))


def post(bench: Bench) -> Post:
    return Post(config=bench.config(), execution=bench.execution(workers=2), device="cpu")


def order(*items: Item) -> Order:
    return Order(stage="responses", batches=tuple((item,) for item in items))


def test_a_worker_makes_its_orders_and_says_so(bench: Bench) -> None:
    parts = RESPONSES.parts(bench.lab())
    names = [item.name for item in ITEMS]
    said: list[bytes] = []
    lines = [encoded(post(bench)), encoded(order(*ITEMS[1:3])), encoded(order(ITEMS[0]))]
    serve(lines, said.append)
    assert parts.missing(names) == names[3:]
    answers = [decoded(line, int | Outcome) for line in said]
    assert answers == [1, 1, Outcome(parts=2), 1, Outcome(parts=1)]
    assert bench.calls.opened["target"] == 1, "the engine stays open between orders"


def test_an_error_becomes_an_answer(bench: Bench) -> None:
    bench.replaced["target"] = Broken()
    outcome = Worker(post(bench)).make(order(*ITEMS), lambda done: None)
    assert outcome.error == "EngineError"
    assert "it broke" in outcome.message


def test_a_full_disk_becomes_an_answer_and_our_own_fault_does_not(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    worker = Worker(post(bench))
    monkeypatch.setattr(os, "fsync", fail_with(errno.ENOSPC))
    outcome = worker.make(order(*ITEMS), lambda done: None)
    assert outcome.error == "UserError"
    assert "No space left on device; make room" in outcome.message
    monkeypatch.setattr(os, "fsync", fail_with(errno.EINVAL))
    with pytest.raises(OSError, match="Invalid argument"):
        worker.make(order(*ITEMS), lambda done: None)
    worker.close()


def fail_with(code: int) -> Callable[[int], None]:
    def fail(_: int) -> None:
        raise OSError(code, os.strerror(code))

    return fail


def test_a_worker_leaves_when_nobody_is_there_to_give_orders() -> None:
    left: list[str] = []
    lines = lines_until_gone(io.BytesIO(b"one\ntwo\n"), lambda: left.append("gone"))
    assert list(lines) == [b"one\n", b"two\n"]
    assert left == ["gone"]


def test_a_worker_is_offline_before_it_reads_an_order(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    said: list[str] = []
    monkeypatch.setattr(worker, "go_offline", lambda **allowed: said.append(f"offline {allowed}"))
    monkeypatch.setattr(worker, "lines_until_gone", lambda stream, leave: [leave])

    def spy(lines: list[Callable[[], None]], say: Callable[[bytes], object]) -> None:
        said.append("serving")
        os.write(1, b"a library's chatter")
        say(b"an answer")
        lines[0]()

    monkeypatch.setattr(worker, "serve", spy)
    monkeypatch.setattr(os, "_exit", lambda code: said.append(f"left with {code}"))
    output = os.dup(1)
    try:
        worker.main()
    finally:
        os.dup2(output, 1)
        os.close(output)
    assert said == ["offline {}", "serving", "left with 1"]
    shown = capfd.readouterr()
    assert shown.out == "an answer"
    assert "a library's chatter" in shown.err


@pytest.fixture(scope="module")
def both(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the work of this process in ``one`` and of two workers in ``two``."""
    home = tmp_path_factory.mktemp("both")
    config, layers = settings(photos(home / "photos"), factory(home)), ("0", "2")
    alone = triage_layers(config, execution(home / "one", 1), layers)
    together = triage_layers(config, execution(home / "two", 2), layers)
    assert together == alone
    assert [len(own.neurons) for own in together] == [5, 4]
    assert together[0].n_skipped == 1
    return home


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_two_processes_make_what_one_makes_byte_for_byte(both: Path) -> None:
    made = parts_below(both / "one")
    assert made == parts_below(both / "two")
    assert len(made) == 2 * 3 + 2 + 2


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.skipif(bool(why_no_loopback()), reason=why_no_loopback())
def test_workers_have_no_way_out(both: Path) -> None:
    notes = {int(path.name): path.read_text() for path in (both / "notes").iterdir()}
    names = " ".join(sorted(name for _, name in socket.if_nameindex()))
    assert notes.pop(os.getpid()) == f"{names}: {ask_for_a_way_out()}"
    # Two workers made the responses; the triage was made here.
    assert len(notes) == 2
    assert set(notes.values()) == {f"lo: {errno.ENETUNREACH}"}
