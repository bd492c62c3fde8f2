"""Pickles become safetensors in a child process, or are refused; code in them never runs."""

from __future__ import annotations

from pathlib import Path

import pytest

from dnd_local.core.errors import Refused
from dnd_local.store import convert as module
from dnd_local.store.convert import convert, main, tensors_of

torch = pytest.importorskip("torch")


def saved(path: Path, value: object) -> Path:
    torch.save(value, path)
    return path


def test_a_checkpoint_becomes_safetensors_with_its_names_and_values(tmp_path):
    from safetensors.torch import load_file

    weight = torch.arange(6.0).reshape(2, 3)
    state = {"module.a": weight, "module.tied": weight, "module.turned": weight.T}
    source = saved(tmp_path / "w.pth.tar", {"state_dict": state, "epoch": 3, "arch": "resnet18"})
    convert(source, tmp_path / "w.safetensors")
    made = load_file(tmp_path / "w.safetensors")
    assert sorted(made) == ["a", "tied", "turned"]
    assert torch.equal(made["turned"], weight.T)


class Canary:
    """Touches a file when it is unpickled by a reader that runs what it reads."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self):
        return (Path.touch, (self.path,))


def test_code_in_a_pickle_is_refused_and_does_not_run(tmp_path):
    source = saved(tmp_path / "evil.pth", {"a": Canary(tmp_path / "canary")})
    with pytest.raises(Refused, match=r"evil.pth could not be converted"):
        convert(source, tmp_path / "evil.safetensors")
    assert not (tmp_path / "canary").exists()
    assert not (tmp_path / "evil.safetensors").exists()


def test_the_child_has_no_network_and_an_offline_environment(tmp_path, monkeypatch):
    seen: dict[str, object] = {}

    def run(command, *, env, **_):
        seen.update(command=command, env=env)
        return type("Done", (), {"returncode": 0, "stderr": ""})

    monkeypatch.setattr(module.subprocess, "run", run)
    monkeypatch.setattr(module, "why_not", lambda: "")
    convert(tmp_path / "a", tmp_path / "b")
    assert seen["command"][0] == "unshare"
    assert seen["env"]["HF_HUB_OFFLINE"] == "1"
    monkeypatch.setattr(module, "why_not", lambda: "not here")
    convert(tmp_path / "a", tmp_path / "b")
    assert seen["command"][0] == module.sys.executable


def test_a_child_that_dies_silently_is_told_by_its_status(tmp_path, monkeypatch):
    dead = type("Done", (), {"returncode": -9, "stderr": ""})
    monkeypatch.setattr(module.subprocess, "run", lambda *_, **__: dead)
    with pytest.raises(Refused, match="exit status -9"):
        convert(tmp_path / "a", tmp_path / "b")


def test_the_childs_own_work_in_this_process(tmp_path, monkeypatch):
    from safetensors.torch import load_file

    monkeypatch.setattr(module, "go_offline", lambda: None)
    source = saved(tmp_path / "w.pth", {"a": torch.ones(2)})
    main(source, tmp_path / "w.safetensors")
    assert load_file(tmp_path / "w.safetensors")["a"].tolist() == [1, 1]


def test_only_tables_of_tensors_are_taken():
    one = torch.zeros(1)
    assert list(tensors_of({"a": one, "module.b": one})) == ["a", "module.b"]
    assert list(tensors_of({"state_dict": {"module.b": one}, "epoch": 1})) == ["b"]
    for bad, message in [
        ([one], "it holds a list"),
        ({}, "it holds a dict"),
        ({"a": 3}, "its 'a' is a int, not a tensor"),
        ({3: one}, "its '3' is"),
    ]:
        with pytest.raises(Refused, match=message):
            tensors_of(bad)
