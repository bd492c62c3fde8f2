"""A network of the user's own: examined by name and at a run's start, then read without it."""

from __future__ import annotations

import json
import subprocess
import sys
from contextlib import nullcontext
from pathlib import Path

import pytest

from dnd_local.pipeline import opening
from tests.cli.conftest import Command, photographs_in
from tests.fakes import Calls, engines

REPOSITORY = Path(__file__).parents[2]
FACTORY = f"""
import sys
sys.path.insert(0, {str(REPOSITORY)!r})
from tests.pipeline import tiny_net

def make():
    module, transform = tiny_net.make()
    return module, transform

def unseeded():
    from torch import nn
    return nn.Sequential(nn.Conv2d(3, 5, 3)), tiny_net.transform

def leaves():
    sys.exit("bye")
"""
READS = """
import sys
from dnd_local.cli import main
sys.argv = ["dnd-local", *sys.argv[1:]]
try:
    main.run()
finally:
    there = sorted(name for name in sys.modules if name.partition(".")[0] in ("torch", "tests"))
    there += [name for name in sys.modules if name.startswith("dnd_factory_")]
    print("imported:", there)
"""


@pytest.fixture
def mine(tmp_path: Path) -> Path:
    path = tmp_path / "mine.py"
    path.write_text(FACTORY, encoding="utf-8")
    return path


def test_a_network_that_will_do(command: Command, mine: Path) -> None:
    said = command("targets", "check", f"{mine}:make", 2)
    assert said.code == 0, said.err
    assert "the same 4 tensors, 324 parameters" in said.out
    assert "Conv2d, 4 neurons with a map" in said.out
    found = json.loads(command("targets", "check", f"{mine}:make", "--json").out)
    assert (found["input"], found["output"], found["layer"]) == ([3, 16, 16], [2, 4, 12, 12], None)
    flat = command("targets", "check", f"{mine}:make", "0", "--layout", "channels-up")
    assert (flat.code, "network.layout is" in flat.err) == (2, True)


@pytest.mark.parametrize(
    "words",
    [("targets", "check", "{}"), ("layers", "{}"), ("triage", "{}", "0"), ("dissect", "{}", "0")],
)
@pytest.mark.parametrize(
    ("function", "told"),
    [
        ("unseeded", "builds another network each time: 2 of 2 tensors differ (0.bias, 0.weight)"),
        ("leaves", "it called sys.exit('bye') (mine.py, line 15)"),
    ],
)
def test_one_that_will_not_is_one_line_before_any_work(
    command: Command, mine: Path, tmp_path: Path, words: tuple[str, ...], function: str, told: str
) -> None:
    name = f"{mine}:{function}"
    more = () if words[0] in ("targets", "layers") else ("--preset", "pocket")
    said = command(*(word.format(name) for word in words), *more)
    assert said.code == 2
    assert told in said.err
    assert len(said.err.splitlines()) == 1
    assert not list((tmp_path / "workspace").rglob("*.safetensors"))


def test_show_and_status_load_neither_torch_nor_the_users_file(
    command: Command, mine: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real, fakes = opening.open_engine, engines(Calls())
    monkeypatch.setattr(
        opening,
        "open_engine",
        lambda role, *how: real(role, *how) if role == "target" else nullcontext(fakes[role]),
    )
    said = command(
        "dissect", f"{mine}:make", 2, "--ids", 0, "--preset", "pocket", "--run", "first",
        "--probe", photographs_in(tmp_path), "--pictures-count", 2, "--concepts-count", 2,
    )  # fmt: skip
    assert said.code == 0, said.err
    for words in (["show", "first"], ["show", "first", "0"], ["status", "first"], ["runs"]):
        done = subprocess.run(
            [sys.executable, "-c", READS, *words], capture_output=True, text=True, check=True
        )
        assert done.stdout.splitlines()[-1] == "imported: []", words
    mine.write_text(mine.read_text(encoding="utf-8") + "\n# another text\n", encoding="utf-8")
    assert "changed since" in command("show", "first").out + command("show", "first").err
