"""The doctor: each thing looked at, with the cure where something is wrong."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest
from packaging.requirements import Requirement

from dnd_local.core.errors import UserError
from dnd_local.engines.vllm_python import VllmPython
from dnd_local.pipeline import doctor
from dnd_local.pipeline.doctor import Finding, Patient, examine
from dnd_local.store.guard import SWITCHES
from dnd_local.store.weights import Weights
from tests.store.hub import entry, put, weights

FILES = {"config.json": b"{}"}


class Machine:
    """Answers what the doctor asks of other programs."""

    def __init__(self, gpus: str | None = None, devices: int = 0, torch: str | None = None) -> None:
        self.gpus = gpus
        facts = {"version": "2.14", "built_for": "13.0", "devices": devices}
        self.torch = json.dumps(facts) if torch is None else torch

    def __call__(self, command: Sequence[str]) -> str:
        if command[0] == "nvidia-smi":
            if self.gpus is None:
                raise UserError("cannot run nvidia-smi")
            return self.gpus
        if self.torch == "broken":
            raise UserError("`python -c` failed: ImportError: libcudart")
        return self.torch


@pytest.fixture
def there(tmp_path: Path) -> Weights:
    put(tmp_path / "w/model", FILES)
    return weights(tmp_path / "w", entry(files=FILES, memory=11_000_000_000))


def test_an_old_python_is_a_problem():
    assert doctor.python_found((3, 11, 0)).state == "ok"
    old = doctor.python_found((3, 10, 4))
    assert (old.state, old.cure) == ("problem", "use Python 3.11 or newer")


def test_packages_missing_or_too_old_are_named_with_a_command():
    wanted = ["msgspec>=0.1", "no-such-package>=2", "typer>=999"]
    absent, old, fine = doctor.packages_found(map(Requirement, wanted))
    assert (absent.name, absent.found) == ("no-such-package", "not installed")
    assert absent.cure == 'pip install "no-such-package>=2"'
    assert old.found.endswith("and >=999 is needed")
    assert fine.found.startswith("1 installed")


def test_requirements_come_from_the_installation_or_the_source_tree(monkeypatch):
    def installed(_: str) -> list[str]:
        return ["torch>=2", 'vllm>=0.32; extra == "vllm"']

    monkeypatch.setattr(doctor.metadata, "requires", installed)
    assert [one.name for one in doctor.requirements()] == ["torch"]

    def absent(_: str) -> list[str]:
        raise doctor.metadata.PackageNotFoundError

    monkeypatch.setattr(doctor.metadata, "requires", absent)
    assert {"torch", "msgspec", "typer"} <= {one.name for one in doctor.requirements()}


def test_gpus_are_listed_and_a_small_one_has_a_hint(there):
    lines = "0, NVIDIA H100, 81559, 80000, 570.1\n1, Small, 8192, 8000, 570.1\n"
    large, small, torch = doctor.gpus_found(Machine(lines, devices=2), there)
    assert large == Finding("gpu", "0", "ok", "NVIDIA H100, 86 GB, 84 GB free, driver 570.1")
    assert (small.state, "int4" in small.cure) == ("note", True)
    assert torch.state == "ok"


def test_a_torch_that_does_not_see_the_gpus_is_a_problem(there):
    *_, torch = doctor.gpus_found(Machine("0, H100, 81559, 80000, 5\n", devices=0), there)
    assert (torch.state, torch.found) == ("problem", "torch 2.14 sees 0 GPUs of 1")
    assert "CUDA 13.0" in torch.cure


@pytest.mark.parametrize("answer", ["broken", "no json"])
def test_a_torch_that_does_not_start_is_a_problem(there, answer):
    none, torch = doctor.gpus_found(Machine(torch=answer), there)
    assert (none.state, torch.state) == ("note", "problem")


def test_vllm_is_a_problem_only_where_it_was_asked_for(monkeypatch):
    def absent(*_: object) -> VllmPython:
        raise UserError("this Python has no vLLM; install it")

    monkeypatch.setattr(doctor, "find_vllm", absent)
    assert doctor.vllm_found("/x").state == "problem"
    found = doctor.vllm_found("")
    assert (found.state, found.found, found.cure) == (
        "note",
        "this Python has no vLLM",
        "install it",
    )
    monkeypatch.setattr(doctor, "find_vllm", lambda *_: VllmPython(Path("/p"), "0.33", False))
    assert doctor.vllm_found("").found == "vLLM 0.33 in /p"


def test_weights_are_told_by_profile_and_damage_by_name(tmp_path):
    put(tmp_path / "a", FILES)
    put(tmp_path / "b", {"config.json": b"[]"})
    there = weights(
        tmp_path,
        entry("a", FILES, profiles=["fast", "paper"]),
        entry("b", FILES, profiles=["paper"]),
        entry("c", FILES, known=False, profiles=["eval"]),
        entry("d", FILES, role="probe set archive", profiles=["fast"]),
        entry("e", {}, source={"kind": "shipped", "folder": "x"}, profiles=["pocket"]),
    )
    found = {(one.name, one.state): one for one in doctor.weights_found(there)}
    assert found["b", "problem"].found == "config.json is damaged"
    assert found["b", "problem"].cure == "dnd-local weights pull b"
    assert found["paper", "note"].found == "1 of 2 here, 2 B to come"
    assert found["fast", "ok"].found == "all 1 here"
    assert found["eval", "note"].found == "0 of 1 here, an unknown size to come"
    assert found["pocket", "problem"].cure == "install dnd-local again"


def test_models_of_the_users_own_are_looked_at(tmp_path):
    put(tmp_path / "a", FILES)
    lines = [
        entry(name, FILES, profiles=[], source={"kind": "local", "folder": "/f"})
        for name in ("a", "b")
    ]
    found = {(one.name, one.state): one for one in doctor.weights_found(weights(tmp_path, *lines))}
    assert found["your own", "ok"].found == "2 registered"
    assert "put the old file back into /f" in found["b", "problem"].cure
    assert ("a", "problem") not in found


def test_probe_sets_that_are_not_prepared_come_with_the_command(tmp_path):
    (tmp_path / "broden").mkdir()
    found = {one.name: one for one in doctor.probe_sets_found(tmp_path)}
    assert found["broden"].state == "ok"
    assert found["imagenet-val"].cure.startswith("dnd-local probe prepare imagenet-val ")


def test_a_disk_that_is_nearly_full_is_a_problem(tmp_path, monkeypatch):
    folders = {"weights": tmp_path / "not/yet/there"}
    assert next(iter(doctor.disks_found(folders))).state in ("ok", "problem")
    monkeypatch.setattr(doctor, "LOW_DISK_BYTES", 1 << 62)
    (low,) = doctor.disks_found(folders)
    assert (low.state, low.cure) == ("problem", "make room, or name a folder on a larger disk")


def test_the_air_gap_is_looked_at(monkeypatch):
    monkeypatch.setattr(doctor.netns, "why_no_loopback", lambda: "")
    open_process, namespace = doctor.offline_found({"HTTPS_PROXY": "x"})
    assert open_process.state == "problem"
    assert "HF_HUB_OFFLINE" in open_process.found
    assert "HTTPS_PROXY" in open_process.found
    assert namespace.state == "ok"
    (unguarded, _) = doctor.offline_found(SWITCHES)
    assert unguarded.found == "not closed: no guard"
    monkeypatch.setattr(doctor, "is_guarded", lambda: True)
    monkeypatch.setattr(doctor.netns, "why_no_loopback", lambda: "no right")
    closed, none = doctor.offline_found(SWITCHES)
    assert closed.state == "ok"
    assert none.found == "none to be had: no right; worker processes have the guard alone"
    assert (none.state, "user namespaces allowed" in none.cure) == ("note", True)


def test_everything_is_examined_once(there, tmp_path, monkeypatch):
    monkeypatch.setattr(doctor.netns, "why_no_loopback", lambda: "")
    tried = Finding("smoke run", "painter", "ok", "fine")
    patient = Patient(there, tmp_path, tmp_path, runner=Machine(), smoke=lambda: [tried])
    subjects = list(dict.fromkeys(one.subject for one in examine(patient)))
    assert subjects == [
        "python",
        "packages",
        "gpu",
        "vllm",
        "weights",
        "probe set",
        "disk",
        "air gap",
        "smoke run",
    ]
    without = Patient(there, tmp_path, tmp_path, runner=Machine())
    assert "smoke run" not in {one.subject for one in examine(without)}


def test_other_programs_are_asked_offline(there, tmp_path):
    code = "import os; print(os.environ['HF_HUB_OFFLINE'])"
    assert Patient(there, tmp_path, tmp_path).runner((sys.executable, "-c", code)) == "1\n"
