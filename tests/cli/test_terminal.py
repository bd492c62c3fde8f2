"""What a person sees in a terminal: our lines only, within its width, no word broken.

Every command runs over fake engines, at several widths; one run with the embedded models, whose
libraries have much to say, runs in a real terminal.
"""

from __future__ import annotations

import fcntl
import os
import pty
import re
import struct
import subprocess
import sys
import termios
from collections.abc import Sequence
from pathlib import Path

import pytest
from rich.cells import cell_len
from rich.console import Console

from dnd_local.cli.progress import ProgressLines
from dnd_local.pipeline.plan import PLAN
from tests.cli.option_world import OptionWorld, make_world
from tests.cli.test_every_option import BASES, REQUIRED

WIDTHS = (60, 80, 120)
WIDE = 400
CONTROL = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")
WORD = re.compile(r"[A-Za-z]{3,}")
SPINNERS = "✓⠋⠙⠹⠸⠼⠴⠦⠧⠇⠏"


@pytest.fixture(scope="module")
def origin(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("terminal") / "origin"
    make_world(folder)
    return folder


def too_long(text: str, width: int) -> list[str]:
    """Return the lines that a terminal would break, but for a path or command of one piece."""
    lines = [line.rstrip() for line in text.splitlines()]
    return [line for line in lines if cell_len(line) > width and len(line.split()) > 1]


def said(origin: Path, root: Path, command: str, width: int) -> str:
    """Return what a command prints in a terminal of a width."""
    name, value = REQUIRED.get(command, ("", ""))
    with pytest.MonkeyPatch.context() as patch:
        world = OptionWorld(patch, origin, root, terminal=True)
        with world.prepared_for(command):
            patch.setenv("COLUMNS", str(width))
            outcome = world.run_line(f"{BASES[command]} {name} {value}")
    assert outcome.code == (2 if command == "doctor" else 0), outcome.err
    return CONTROL.sub("", outcome.out)


@pytest.mark.parametrize("command", [command for command in BASES if command])
def test_every_line_fits_and_no_word_is_broken(origin: Path, tmp_path: Path, command: str) -> None:
    words = set(WORD.findall(said(origin, tmp_path / "wide", command, WIDE)))
    for width in WIDTHS:
        text = said(origin, tmp_path / str(width), command, width)
        assert not too_long(text, width)
        assert not set(WORD.findall(text)) - words
        assert "…" not in text


@pytest.mark.parametrize("width", WIDTHS)
def test_a_stages_line_is_whole_at_any_width(width: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", str(width))
    with ProgressLines() as lines:
        for stage in PLAN:
            lines.start(stage.name, 113_305, 113_305)
            lines.advance(stage.name, 12_345)
        lines.start("report", 1, 0)
        lines.finish("report", 0.0)
        console = Console(width=width)
        with console.capture() as capture:
            console.print(lines._bars.get_renderable())
    shown = capture.get()
    assert "…" not in shown
    assert shown.count("12345/113305") == len(PLAN)
    assert shown.count("✓") == 1
    for stage in PLAN:
        assert stage.title.partition(":")[0] in shown
    assert not too_long(shown, width)


def in_terminal(words: Sequence[str], width: int, home: Path) -> tuple[int, list[str]]:
    """Return a command's exit code and the lines that it leaves in a real terminal."""
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 50, width, 0, 0))
    left_out = ("COLUMNS", "LINES")
    environment = {k: v for k, v in os.environ.items() if k not in left_out} | {"TERM": "xterm"}
    with subprocess.Popen(
        [sys.executable, "-c", "from dnd_local.cli.main import run; run()", *words],
        stdin=theirs, stdout=theirs, stderr=theirs, env=environment, cwd=home,
    ) as process:  # fmt: skip
        os.close(theirs)
        shown = b""
        try:
            while chunk := os.read(ours, 65536):
                shown += chunk
        except OSError:  # Linux's way to say that the other side is closed
            pass
    os.close(ours)
    text = CONTROL.sub("", shown.decode())
    return process.returncode, [part for line in text.split("\n") for part in line.split("\r")]


@pytest.mark.timeout(300)
def test_a_real_run_prints_our_lines_only(tmp_path: Path) -> None:
    words = [
        "dissect",
        "pocket",
        "layer4",
        "--ids",
        "1",
        "--pictures-count",
        "2",
        "--pictures-steps",
        "2",
        "--run",
        "mine",
    ]
    words += ["--workspace", str(tmp_path / "work")]
    code, lines = in_terminal([*words, "--report"], 80, tmp_path)
    assert code == 0, lines
    again = subprocess.run(
        [sys.executable, "-c", "from dnd_local.cli.main import run; run()", *words],
        capture_output=True, text=True, cwd=tmp_path, check=True,
    )  # fmt: skip
    assert again.stderr == ""
    told = [line.strip() for line in lines if line.strip()]
    ours = set(again.stdout.split()) | {
        "Report:",
        str(tmp_path / "work/runs/mine/report/index.html"),
    }
    for line in told:
        assert line[0] in SPINNERS or set(line.split()) <= ours, line
    assert "✓ scores: which candidate fits" in " ".join(told)
    assert not too_long("\n".join(lines), 80)
