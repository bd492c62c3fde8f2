"""Run folders: one Config, a growing list of neurons, and what happened when."""

from __future__ import annotations

import shutil
import threading
from pathlib import Path
from typing import Any

import msgspec
import pytest

from dnd_local.core.config import Config
from dnd_local.core.config_reading import _ADDED, read_config
from dnd_local.core.digest import key
from dnd_local.core.errors import DamagedFile, Refused, UnknownName, UserError
from dnd_local.core.ledger_rows import sides
from dnd_local.core.records import Neuron
from dnd_local.store.naming import default_name
from dnd_local.store.runs import SCHEMA, RunFolder, run_names

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
    with pytest.raises(DamagedFile, match=r"run\.json is damaged .*; run the same dissect command"):
        run.read()


@pytest.mark.parametrize("change", [0x01, 0x04, 0x80])
def test_any_changed_byte_of_a_record_is_found_and_mended(tmp_path: Path, change: int) -> None:
    run = RunFolder(tmp_path, "mine")
    run.extend(CONFIG, {"a": [1]})
    run.event("start", stage="responses", items=5, of=5)
    record = run.extend(CONFIG, {"a": [4], "b": [2]})
    assert [event["event"] for event in run.events()] == ["asked", "start", "asked"]
    path = run.folder / "run.json"
    whole = path.read_bytes()
    for i in range(0, len(whole), 7):
        spoilt = bytearray(whole)
        spoilt[i] ^= change
        path.write_bytes(bytes(spoilt))
        try:
            assert run.read() == record  # white space may change
        except DamagedFile:
            found = run.check(CONFIG)
            assert found is not None
            assert found.neurons == record.neurons
    path.write_bytes(whole[:100])
    assert run.extend(CONFIG, {}) == run.read() == record


def test_a_damaged_record_of_other_settings_is_not_taken_over(tmp_path: Path) -> None:
    run = RunFolder(tmp_path, "mine")
    run.extend(CONFIG, {"a": [1]})
    run.write_bytes("run.json", b"{")
    with pytest.raises(Refused, match=r"run\.json is damaged, and .* made with other settings"):
        run.check(read_config({"seed": 7}))


def test_the_record_of_another_run_is_not_this_ones(tmp_path: Path) -> None:
    mine, yours = RunFolder(tmp_path, "mine"), RunFolder(tmp_path, "yours")
    mine.extend(CONFIG, {"a": [1]})
    yours.extend(CONFIG, {"a": [2]})
    for name in ("run.json", "stages.json"):
        yours.write_json("stages.json", {"scores": "scores-2"})
        shutil.copy(yours.folder / name, mine.folder / name)
    with pytest.raises(DamagedFile, match=r"mine/run\.json is damaged \(its checksum does not fit"):
        mine.read()
    with pytest.raises(DamagedFile, match=r"mine/stages\.json is damaged"):
        mine.places()


def test_a_folder_that_was_renamed_keeps_its_neurons(tmp_path: Path) -> None:
    mine = RunFolder(tmp_path, "mine")
    mine.extend(CONFIG, {"a": [1, 5]})
    mine.folder.rename(tmp_path / "runs" / "yours")
    yours = RunFolder(tmp_path, "yours")
    assert yours.extend(CONFIG, {"a": [2]}).neurons == {"a": (1, 2, 5)}
    assert yours.read().name == "yours"


def test_a_record_without_a_checksum_is_read_and_written_anew(tmp_path: Path) -> None:
    run = RunFolder(tmp_path, "mine")
    entries = msgspec.to_builtins(run.extend(CONFIG, {"a": [1]}))
    run.write_bytes("run.json", msgspec.json.encode({**entries, "schema": 1}))
    assert run.read().neurons == {"a": (1,)}
    assert run.extend(CONFIG, {"a": [2]}).schema == run.read().schema == SCHEMA
    for damage in ({"neurons": {"a": [-1]}}, {"neurons": {"a": [2, 2]}}, {"other": 1}):
        run.write_bytes("run.json", msgspec.json.encode({**entries, "schema": 1, **damage}))
        with pytest.raises(DamagedFile, match=r"run\.json is damaged"):
            run.read()
    run.write_bytes("run.json", msgspec.json.encode({**entries, "schema": SCHEMA}))
    with pytest.raises(DamagedFile, match="its checksum does not fit"):
        run.read()


def test_a_record_of_a_newer_version_is_left_alone(tmp_path: Path) -> None:
    run = RunFolder(tmp_path, "mine")
    run.write_json("run.json", {"schema": SCHEMA + 1, "neuron_groups": []})
    with pytest.raises(Refused, match="'mine' was made by a newer version"):
        run.check(CONFIG)


def test_a_neuron_that_the_layer_has_no_more(tmp_path: Path) -> None:
    record = RunFolder(tmp_path, "mine").extend(CONFIG, {"a": [1, 7], "b": []})
    record.check_widths({"a": 8, "b": 2})
    with pytest.raises(UserError, match="'mine' has neuron a:7, but the layer has 7 neurons now"):
        record.check_widths({"a": 7, "b": 2})


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


def test_files_for_people_are_indented(tmp_path: Path) -> None:
    run = RunFolder(tmp_path, "mine")
    run.write_json("stages.json", {"b": 1, "a": [2]})
    data = (run.folder / "stages.json").read_bytes()
    assert data.startswith(b'{\n  "a"')
    assert data.endswith(b"}\n")
    found = msgspec.json.decode(data)
    assert len(found.pop("sha256")) == 64
    assert found == {"a": [2], "b": 1}


def test_where_parts_lie_is_read_back(tmp_path: Path) -> None:
    run = RunFolder(tmp_path, "mine")
    assert run.places() == {}
    run.write_json("stages.json", {"scores": "scores-1"})
    assert run.places() == {"scores": "scores-1"}
    run.write_bytes("stages.json", b"[")
    with pytest.raises(DamagedFile, match=r"stages\.json is damaged .*; run the same dissect"):
        run.places()


LATER = tuple(name.split(".") for name in _ADDED)
"""Settings that came after runs had names."""


def without_later_settings(config: Config) -> dict[str, Any]:
    settings: dict[str, Any] = msgspec.to_builtins(config)
    for section, name in LATER:
        del settings[section][name]
    return settings


def test_default_names() -> None:
    pocket = default_name(CONFIG, ["layer4"])
    assert pocket.startswith("pocket-layer4-")
    assert len(pocket.rpartition("-")[2]) == 8
    other = read_config({"seed": 1})
    assert default_name(other, ["layer4"]).rpartition("-")[2] != pocket.rpartition("-")[2]
    # As before there were later settings: a command's run keeps its name.
    assert pocket == f"pocket-layer4-{key(without_later_settings(CONFIG))[:8]}"
    alike = read_config({"scores": {"alike_above": 0.81}})
    assert default_name(alike, ["layer4"]) != pocket
    own = read_config({"network": {"name": "/my dir/net.py:make"}})
    assert default_name(own, ["a.b", "fc"]).startswith("net-a.b_fc-")
    long = default_name(CONFIG, ["encoder.layers." * 20])
    assert len(long) < 120
    assert RunFolder(Path(), long).name == long
