"""Worker processes: shares, answers, and two real ones against this process, byte for byte.

The real ones have no network, and the network under study, a user's own code, can tell.
"""

from __future__ import annotations

import errno
import os
import socket
import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import msgspec
import numpy as np
import pytest
from PIL import Image

from dnd_local.core.config import Config, Execution
from dnd_local.core.config_reading import read_config
from dnd_local.pipeline import worker
from dnd_local.pipeline.executors import Job, Outcome
from dnd_local.pipeline.plan import RESPONSES
from dnd_local.pipeline.runner import triage_layers
from dnd_local.pipeline.stage import Item
from dnd_local.pipeline.worker import work
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


def job(bench: Bench, folder: Path, stage: str = "responses") -> Job:
    return Job(
        config=bench.config(), execution=bench.execution(workers=2), stage=stage, items=ITEMS,
        outcome=folder,
    )  # fmt: skip


def outcome(folder: Path, rank: int) -> Outcome:
    return msgspec.json.decode((folder / f"outcome-{rank}.json").read_bytes(), type=Outcome)


def test_each_worker_makes_its_share_and_says_so(bench: Bench, tmp_path: Path) -> None:
    parts = RESPONSES.parts(bench.lab())
    names = [item.name for item in ITEMS]
    work(job(bench, tmp_path), 1, 2, "cpu")
    assert parts.missing(names) == names[0::2]
    work(job(bench, tmp_path), 0, 2, "cpu")
    assert parts.missing(names) == []
    assert [outcome(tmp_path, rank) for rank in (0, 1)] == [Outcome(), Outcome()]
    assert bench.calls.opened["target"] == 2


def test_more_workers_than_work(bench: Bench, tmp_path: Path) -> None:
    work(job(bench, tmp_path), 7, 8, "cpu")
    assert outcome(tmp_path, 7) == Outcome()
    assert not bench.calls.opened


def test_an_error_becomes_an_answer(bench: Bench, tmp_path: Path) -> None:
    bench.replaced["target"] = Broken()
    work(job(bench, tmp_path), 0, 2, "cpu")
    assert outcome(tmp_path, 0).error == "EngineError"
    assert "it broke" in outcome(tmp_path, 0).message


def test_a_full_disk_becomes_an_answer_and_our_own_fault_does_not(
    bench: Bench, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "fsync", fail_with(errno.ENOSPC))
    work(job(bench, tmp_path), 0, 2, "cpu")
    assert outcome(tmp_path, 0).error == "UserError"
    assert "No space left on device; make room" in outcome(tmp_path, 0).message
    monkeypatch.setattr(os, "fsync", fail_with(errno.EINVAL))
    with pytest.raises(OSError, match="Invalid argument"):
        work(job(bench, tmp_path), 1, 2, "cpu")


def fail_with(code: int) -> Callable[[int], None]:
    def fail(_: int) -> None:
        raise OSError(code, os.strerror(code))

    return fail


@pytest.mark.parametrize(("kind", "index", "device"), [("cpu", None, "cpu"), ("cuda", 1, "1")])
def test_share_and_device_come_from_accelerate(
    bench: Bench, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    kind: str, index: int | None, device: str,
) -> None:  # fmt: skip
    said: dict[str, Any] = {}

    class State:
        process_index, num_processes = 1, 2
        device = SimpleNamespace(type=kind, index=index)

        def __init__(self, cpu: bool) -> None:
            said["cpu"] = cpu

        def destroy_process_group(self) -> None:
            said["ended"] = True

    execution = msgspec.structs.replace(
        bench.execution(), devices=("cpu",) if kind == "cpu" else ("0", "1"),
        llm_url="http://llm.example.org", allow_remote_llm=True,
    )  # fmt: skip
    path = tmp_path / "job.json"
    sent = msgspec.structs.replace(job(bench, tmp_path), execution=execution)
    path.write_bytes(msgspec.json.encode(sent, enc_hook=str))
    monkeypatch.setitem(sys.modules, "accelerate", SimpleNamespace(PartialState=State))
    monkeypatch.setattr(worker, "go_offline", lambda **allowed: said.update(allowed=allowed))
    monkeypatch.setattr(worker, "work", lambda *given: said.update(given=given))
    monkeypatch.setattr(sys, "argv", ["worker", str(path)])
    worker.main()
    assert said["given"] == (sent, 1, 2, device)
    assert said["cpu"] == (kind == "cpu")
    assert said["allowed"] == {}  # a language model elsewhere is not asked from here
    assert said["ended"]


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
    # Two workers made the responses; at least one of them made the triage too.
    assert len(notes) >= 2
    assert set(notes.values()) == {f"lo: {errno.ENETUNREACH}"}
