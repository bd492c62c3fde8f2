"""Worker processes: shares, answers, and two real ones against this process, byte for byte."""

from __future__ import annotations

import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import msgspec
import numpy as np
import pytest
from PIL import Image

from dnd_local.core.config import Config, Execution, read_config
from dnd_local.pipeline import worker
from dnd_local.pipeline.executors import Job, Outcome
from dnd_local.pipeline.plan import RESPONSES
from dnd_local.pipeline.runner import triage_layers
from dnd_local.pipeline.stage import Item
from dnd_local.pipeline.worker import work
from tests.bench import Bench
from tests.fakes import LAYER, Broken

FACTORY = f"{Path(__file__).with_name('tiny_net.py')}:make"


def photos(folder: Path, count: int = 11) -> Path:
    folder.mkdir()
    rng = np.random.default_rng(3)
    for i in range(count):
        noise = rng.integers(0, 256, (20, 24, 3), dtype=np.uint8)
        Image.fromarray(noise).save(folder / f"{i}.png")
    (folder / "broken.png").write_bytes(b"no picture")
    return folder


def settings(probe: Path) -> Config:
    network = {"name": FACTORY, "batch": 4}
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
    parts = bench.lab().parts(RESPONSES)
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
    monkeypatch.setattr(worker, "go_offline", lambda allow: said.update(allow=allow))
    monkeypatch.setattr(worker, "work", lambda *given: said.update(given=given))
    monkeypatch.setattr(sys, "argv", ["worker", str(path)])
    worker.main()
    assert said["given"] == (sent, 1, 2, device)
    assert said["cpu"] == (kind == "cpu")
    assert said["allow"] == ("llm.example.org",)
    assert said["ended"]


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_two_processes_make_what_one_makes_byte_for_byte(tmp_path: Path) -> None:
    config, layers = settings(photos(tmp_path / "photos")), ("0", "2")
    alone = triage_layers(config, execution(tmp_path / "one", 1), layers)
    together = triage_layers(config, execution(tmp_path / "two", 2), layers)
    assert together == alone
    assert [len(own.neurons) for own in together] == [5, 4]
    assert together[0].n_skipped == 1
    made = parts_below(tmp_path / "one")
    assert made == parts_below(tmp_path / "two")
    assert len(made) == 2 * 3 + 2 + 2
