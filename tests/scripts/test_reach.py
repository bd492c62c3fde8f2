"""What commands may reach: the list itself, planted breaches that must be seen, and a sample."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest
from typer.main import get_command

from dnd_local.cli import main
from dnd_local.store.guard import child_environment

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT / "scripts/reach"))
try:
    from lines import LINES, SAMPLE
    from places import Places, Reached, installation
    from tracing import hooked, read_hooked, read_trace, traced, why_no_strace
finally:
    sys.path.pop(0)

NO_STRACE = why_no_strace()
BREACH = """
import os, socket, sys
open(sys.argv[1]).read()
open(sys.argv[2], "w").close()
os.rename(sys.argv[2], sys.argv[2] + ".moved")
server = socket.socket(); server.bind(("0.0.0.0", 0))
socket.socket(socket.AF_INET, socket.SOCK_DGRAM).connect(("127.0.0.1", 9))
socket.socket(socket.AF_INET, socket.SOCK_DGRAM).sendto(b"", ("127.0.0.2", 9))
s = socket.socket(socket.AF_UNIX); s.bind(sys.argv[2] + ".socket")
"""
"""A process that reads, writes and binds where a command must not."""


def commands(command: object, words: str = "") -> list[str]:
    inner = getattr(command, "commands", {})
    here = (
        [words]
        if words and (not inner or getattr(command, "invoke_without_command", False))
        else []
    )
    return here + [
        one for name, each in inner.items() for one in commands(each, f"{words} {name}".strip())
    ]


def test_every_command_has_a_line() -> None:
    assert {name.partition(",")[0] for name in LINES} == set(commands(get_command(main.app)))
    assert set(SAMPLE) <= set(LINES)


def test_what_is_allowed_and_what_is_not(tmp_path: Path) -> None:
    places = Places(inputs=("/in",), own=("/world/workspace",))
    fine = [
        Reached("read", "/in/a.png"), Reached("read", "/usr/lib/libc.so"),
        Reached("read", installation()[0] + "/bin/python"), Reached("change", "/world/workspace/x"),
        Reached("change", "/dev/null"), Reached("connect", "unix"), Reached("bind", "127.0.0.1"),
        Reached("connect", "::1"), Reached("change", "/proc/12/task/13/comm"),
    ]  # fmt: skip
    wrong = [
        Reached("change", "/in/a.png"), Reached("read", "/inside"), Reached("read", "/root/.netrc"),
        Reached("change", "/usr/lib/x"), Reached("change", "/world/workspace-other"),
        Reached("change", installation()[0] + "/x"), Reached("connect", "192.0.2.1"),
        Reached("bind", "0.0.0.0"), Reached("bind", "::"), Reached("change", "/world"),
    ]  # fmt: skip
    assert places.beyond([*fine, *wrong, *wrong]) == wrong


def breach(tmp_path: Path, environment: dict[str, str], *before: str) -> tuple[str, str]:
    secret, written = tmp_path / "an odd näme \"'", tmp_path / "w"
    secret.write_text("x")
    subprocess.run(
        [*before, sys.executable, "-c", BREACH, str(secret), str(written)],
        env=environment, check=True, cwd=tmp_path,
    )  # fmt: skip
    return str(secret), str(written)


def seen(reached: Sequence[Reached], secret: str, written: str) -> None:
    for one in (
        Reached("read", secret), Reached("change", written), Reached("change", f"{written}.moved"),
        Reached("bind", "0.0.0.0"), Reached("connect", "127.0.0.1"),
        Reached("connect", "127.0.0.2"), Reached("bind", "unix"),
    ):  # fmt: skip
        assert one in reached
    beyond = Places(inputs=(), own=()).beyond(reached)
    assert {one.there for one in beyond} >= {secret, written, f"{written}.moved", "0.0.0.0"}


@pytest.mark.skipif(bool(NO_STRACE), reason=NO_STRACE)
def test_strace_sees_planted_breaches(tmp_path: Path) -> None:
    log = tmp_path / "log"
    before = traced((), log, closed=False)
    secret, written = breach(tmp_path, child_environment(), *before)
    seen(list(read_trace(log, str(tmp_path))), secret, written)


def test_the_audit_hook_sees_planted_breaches(tmp_path: Path) -> None:
    log = tmp_path / "log"
    secret, written = breach(tmp_path, hooked(log, child_environment()))
    seen(list(read_hooked(log)), secret, written)


@pytest.mark.slow
@pytest.mark.timeout(900, func_only=True)
@pytest.mark.parametrize("by", ["strace", "hook"])
def test_a_few_commands_stay_in_their_places(by: str) -> None:
    done = subprocess.run(
        [sys.executable, "scripts/reach", "--sample", "--by", by, "--network", "without"],
        cwd=ROOT, env=child_environment(), capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.count(": held, ") == len(SAMPLE)
