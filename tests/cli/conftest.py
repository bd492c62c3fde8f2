"""The command line as a user calls it: arguments in, exit code and what was said out."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest
from PIL import Image

from dnd_local.cli import dissect, main, weights, weights_add
from dnd_local.evaluate import null_tests
from tests.bench import Bench
from tests.evaluate.colours import ManyColours


class Said(NamedTuple):
    """What a command came to."""

    code: int
    out: str
    err: str


Command = Callable[..., Said]


def photographs_in(home: Path) -> Path:
    """Return a folder of six pictures of coarse noise."""
    folder = home / "photographs"
    folder.mkdir()
    rng = np.random.default_rng(0)
    for index in range(6):
        coarse = Image.fromarray(rng.integers(0, 256, (6, 8, 3), dtype=np.uint8))
        coarse.resize((200, 150)).save(folder / f"{index}.png")
    return folder


@pytest.fixture(autouse=True)
def _commands_leave_the_network_open(monkeypatch: pytest.MonkeyPatch) -> None:
    """Keep the commands from closing this process's network: tests/store/test_guard.py tries it."""
    for module in (main, dissect, weights, weights_add):
        monkeypatch.setattr(module, "go_offline", lambda **_: None)


@pytest.fixture
def command(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Command:
    """Run ``dnd-local`` with these words, in this process, in folders of the test's own."""
    for name in ("WORKSPACE", "DATA", "WEIGHTS"):
        monkeypatch.setenv(f"DND_LOCAL_{name}", str(tmp_path / name.lower()))
    monkeypatch.setenv("COLUMNS", "300")

    def call(*words: object) -> Said:
        monkeypatch.setattr(sys, "argv", ["dnd-local", *map(str, words)])
        capsys.readouterr()
        try:
            main.run()
            code = 0
        except SystemExit as exit_:
            code = int(exit_.code or 0)
        return Said(code, *capsys.readouterr())

    return call


@pytest.fixture
def bench(command: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Bench:
    """Fake engines behind the workspace that commands use."""
    return Bench(tmp_path / "workspace", monkeypatch)


@pytest.fixture
def mine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Bench:
    """A run ``mine`` of many colours, half of the probe set held out."""
    monkeypatch.setattr(null_tests, "RESAMPLES", 100)
    monkeypatch.setenv("DND_LOCAL_WORKSPACE", str(tmp_path / "work"))
    monkeypatch.setenv("DND_LOCAL_WEIGHTS", str(tmp_path / "weights"))
    monkeypatch.chdir(tmp_path)
    own = Bench(tmp_path / "work", monkeypatch)
    own.probe = ManyColours(60)
    own.run("0-3", name="mine", probe={"chunk": 7, "holdout": 0.5})
    return own
