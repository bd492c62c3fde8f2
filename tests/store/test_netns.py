"""Commands in a namespace without a network, and the proof that the trial can fail."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from dnd_local.store import netns
from dnd_local.store.guard import child_environment

REASON = netns.why_not()
needs_namespaces = pytest.mark.skipif(bool(REASON), reason=REASON)

LEAK = "import socket; s = socket.socket(); s.settimeout(5); s.connect(('192.0.2.1', 80))"
LOOPBACK = """
import socket
server = socket.socket(); server.bind(('127.0.0.1', 0)); server.listen()
socket.create_connection(server.getsockname(), timeout=5)
print(sorted(name for _, name in socket.if_nameindex()))
"""


def run(command: tuple[str, ...]) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command, env=child_environment(), capture_output=True, text=True, check=False, timeout=60
    )


@needs_namespaces
def test_work_that_needs_no_network_is_done_as_ever():
    done = run(netns.isolated((sys.executable, "-c", "print(6 * 7)")))
    assert (done.returncode, done.stdout) == (0, "42\n")


@needs_namespaces
def test_a_planted_call_outside_fails_there():
    done = run(netns.isolated((sys.executable, "-c", LEAK)))
    assert done.returncode == 1
    assert "Network is unreachable" in done.stderr


@needs_namespaces
def test_even_loopback_is_down_unless_asked_for():
    assert run(netns.isolated((sys.executable, "-c", LOOPBACK))).returncode == 1
    done = run(netns.isolated_with_loopback((sys.executable, "-c", LOOPBACK)))
    assert (done.returncode, done.stdout) == (0, "['lo']\n")
    leak = run(netns.isolated_with_loopback((sys.executable, "-c", LEAK)))
    assert "Network is unreachable" in leak.stderr


@needs_namespaces
def test_files_are_written_as_oneself(tmp_path: Path):
    run(netns.isolated(("touch", str(tmp_path / "made"))))
    assert (tmp_path / "made").stat().st_uid == os.getuid()


def test_a_system_without_namespaces_says_why(monkeypatch):
    monkeypatch.setattr(netns, "sys", SimpleNamespace(platform="darwin"))
    assert "exist on Linux only, not on darwin" in netns.why_not()
    monkeypatch.setattr(netns, "sys", SimpleNamespace(platform="linux"))
    monkeypatch.setattr(netns.shutil, "which", lambda _: None)
    assert "not installed" in netns.why_not()
    monkeypatch.setattr(netns.shutil, "which", lambda name: name)
    monkeypatch.setattr(netns, "isolated", lambda _: ("sh", "-c", "echo no right >&2; exit 1"))
    assert netns.why_not() == "this system refuses user namespaces (no right)"
    monkeypatch.setattr(netns, "isolated", lambda _: ("sleep", "9"))
    monkeypatch.setattr(netns, "_TRIAL_SECONDS", 0.05)
    assert "gave no answer" in netns.why_not()


def test_loopback_is_raised_before_the_command_takes_over(monkeypatch):
    done: list[object] = []
    monkeypatch.setattr(netns, "raise_loopback", lambda: done.append("up"))
    monkeypatch.setattr(netns.os, "execvp", lambda *command: done.append(command))
    netns.main(["true", "x"])
    assert done == ["up", ("true", ["true", "x"])]


def test_the_loopback_flag_is_added_to_those_there_are(monkeypatch):
    import fcntl
    import struct

    seen: list[tuple[int, bytes]] = []

    def ioctl(_: object, request: int, data: bytes) -> bytes:
        seen.append((request, data))
        return struct.pack("16sh14x", b"lo", 8)

    monkeypatch.setattr(fcntl, "ioctl", ioctl)
    netns.raise_loopback()
    assert [request for request, _ in seen] == [0x8913, 0x8914]
    assert struct.unpack_from("16sh", seen[1][1]) == (b"lo" + bytes(14), 9)
