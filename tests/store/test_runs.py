"""Run folders: one Config, a growing list of neurons, and what happened when."""

from __future__ import annotations

import threading
from pathlib import Path

import msgspec
import pytest

from dnd_local.core.config import Config, read_config
from dnd_local.core.errors import DamagedFile, Refused, UnknownName, UserError
from dnd_local.core.ledger import sides
from dnd_local.core.records import Neuron
from dnd_local.store.runs import RunFolder, default_name, run_names

CONFIG = Config()


@pytest.mark.parametrize("name", ["", ".hidden", "-x", "a/b", "..", "a b", "ö", "x" * 122, "a\n"])
def test_a_name_that_is_no_folder_name_everywhere(tmp_path: Path, name: str) -> None:
    with pytest.raises(Refused, match="will not do; use letters"):
        RunFolder(tmp_path, name)


def test_neurons_are_added_once_and_in_order(tmp_path: Path) -> None:
    run = RunFolder(tmp_path, "mine")
    run.extend(CONFIG, {"b": [3, 1]})
    record = run.extend(CONFIG, {"b": [2, 3], "a": [0]})
    assert record == run.read()
    assert record.neurons == {"a": (0,), "b": (1, 2, 3)}
    assert record.wanted() == tuple(
        Neuron("pocket", layer, i) for layer, i in [("a", 0), ("b", 1), ("b", 2), ("b", 3)]
    )


def test_facts_outlast_new_neurons(tmp_path: Path) -> None:
    run = RunFolder(tmp_path, "mine")
    run.extend(CONFIG, {"a": [1]})
    run.update(devices=("0",), software={"torch": "2"}, seconds={"scores": 1.5})
    record = run.extend(CONFIG, {"a": [2]})
    assert (record.devices, record.software) == (("0",), {"torch": "2"})
    assert record.seconds == {"scores": 1.5}


def test_the_record_says_which_side_of_each_row_of_the_ledger_was_taken(tmp_path: Path) -> None:
    run = RunFolder(tmp_path, "mine")
    assert set(run.extend(CONFIG, {"a": [1]}).ledger.values()) == {"ours"}
    official = RunFolder(tmp_path, "official").extend(read_config({"compat": "official"}), {})
    assert (official.ledger["01"], official.ledger["16"]) == ("released", "ours")
    # A record from before it was kept gets it with its next neurons.
    run.update(ledger={})
    assert run.extend(CONFIG, {"a": [2]}).ledger == sides(CONFIG.ledger)


def test_other_settings_are_refused_and_named(tmp_path: Path) -> None:
    run = RunFolder(tmp_path, "mine")
    run.extend(CONFIG, {"a": [1]})
    other = read_config({"seed": 7, "pictures": {"steps": 3}})
    with pytest.raises(
        Refused,
        match=r"'mine' exists with other .* \(seed was 0, is 7, pictures.steps was 50, is 3\)",
    ):
        run.extend(other, {"a": [2]})
    assert run.read().neurons == {"a": (1,)}
    with pytest.raises(Refused, match="give another --run NAME"):
        run.check(other)
    run.check(CONFIG)
    RunFolder(tmp_path, "new").check(other)


def test_an_unknown_run_offers_near_names(tmp_path: Path) -> None:
    RunFolder(tmp_path, "pocket-layer4").extend(CONFIG, {})
    with pytest.raises(UnknownName, match=r"Did you mean pocket-layer4\? `dnd-local runs` lists"):
        RunFolder(tmp_path, "pocket-layer3").read()
    assert run_names(tmp_path) == ("pocket-layer4",)
    assert run_names(tmp_path / "nothing") == ()


def test_a_run_that_was_stopped_in_its_first_pass_says_so(tmp_path: Path) -> None:
    run = RunFolder(tmp_path, "mine")
    run.event("start", stage="responses", items=5, of=5)
    with pytest.raises(UserError, match=r"'mine' has no neurons yet: .* the same command goes on"):
        run.read()
    assert run_names(tmp_path) == ()


@pytest.mark.parametrize("data", [b"", b"{}", b'{"schema": "x"}', b"\xff", b'{"name": "\xff"}'])
def test_a_damaged_record(tmp_path: Path, data: bytes) -> None:
    run = RunFolder(tmp_path, "mine")
    run.write_bytes("run.json", data)
    with pytest.raises(DamagedFile, match=r"run\.json is damaged .*; delete it, results stay"):
        run.read()


def test_two_at_once_lose_no_neuron(tmp_path: Path) -> None:
    threads = [
        threading.Thread(target=lambda i=i: RunFolder(tmp_path, "r").extend(CONFIG, {"a": [i]}))
        for i in range(12)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert RunFolder(tmp_path, "r").read().neurons == {"a": tuple(range(12))}


def test_events_are_lines_and_a_cut_line_is_left_out(tmp_path: Path) -> None:
    run = RunFolder(tmp_path, "mine")
    assert list(run.events()) == []
    run.event("start", stage="scores", items=4, of=4)
    run.event("finish", stage="scores", items=4, failed=1, seconds=2.0)
    path = run.folder / "events.jsonl"
    path.write_bytes(path.read_bytes() + b'{"time": 1, "ev')
    kinds = [event["event"] for event in run.events()]
    assert kinds == ["start", "finish"]
    path.write_bytes(path.read_bytes() + b'\n{"event": "\xff"}\n17\n')
    assert [event["event"] for event in run.events()] == kinds


def test_what_was_measured_is_added_up(tmp_path: Path) -> None:
    run = RunFolder(tmp_path, "mine")
    for items, failed, seconds in ((4, 1, 2.0), (2, 0, 1.5)):
        run.event("start", stage="scores", items=items, of=9)
        run.event("finish", stage="scores", items=items, failed=failed, seconds=seconds)
    run.event("finish", stage="captions", items=1, failed=0, seconds=0.5)
    assert run.measured() == {"scores": (3.5, 5), "captions": (0.5, 1)}


def test_files_for_people_are_indented(tmp_path: Path) -> None:
    run = RunFolder(tmp_path, "mine")
    run.write_json("stages.json", {"b": 1, "a": [2]})
    data = (run.folder / "stages.json").read_bytes()
    assert data.startswith(b'{\n  "a"')
    assert data.endswith(b"}\n")
    assert msgspec.json.decode(data) == {"a": [2], "b": 1}


def test_where_parts_lie_is_read_back(tmp_path: Path) -> None:
    run = RunFolder(tmp_path, "mine")
    assert run.places() == {}
    run.write_json("stages.json", {"scores": "scores-1"})
    assert run.places() == {"scores": "scores-1"}
    run.write_bytes("stages.json", b"[")
    with pytest.raises(DamagedFile, match=r"stages\.json is damaged .*; delete it, results stay"):
        run.places()


def test_default_names() -> None:
    pocket = default_name(CONFIG, ["layer4"])
    assert pocket.startswith("pocket-layer4-")
    assert len(pocket.rpartition("-")[2]) == 8
    other = read_config({"seed": 1})
    assert default_name(other, ["layer4"]).rpartition("-")[2] != pocket.rpartition("-")[2]
    own = read_config({"network": {"name": "/my dir/net.py:make"}})
    assert default_name(own, ["a.b", "fc"]).startswith("net-a.b_fc-")
    long = default_name(CONFIG, ["encoder.layers." * 20])
    assert len(long) < 120
    assert RunFolder(Path(), long).name == long
