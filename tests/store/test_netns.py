"""Commands in a namespace without a network, and the proof that the trial can fail."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from dnd_local.store import netns
from dnd_local.store.guard import child_environment
from tests.outside import ask_for_a_way_out

REASON = netns.why_not()
needs_namespaces = pytest.mark.skipif(bool(REASON), reason=REASON)
NO_LOOPBACK = netns.why_no_loopback()
needs_a_loopback = pytest.mark.skipif(bool(NO_LOOPBACK), reason=NO_LOOPBACK)
HOME = Path(__file__).parents[2]

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


@pytest.mark.parametrize("closed", [netns.isolated, netns.isolated_with_loopback])
@needs_namespaces
@needs_a_loopback
def test_a_planted_call_past_python_fails_there(closed):
    code = (
        f"import sys; sys.path.insert(0, {str(HOME)!r})\n"
        "from tests.outside import ask_for_a_way_out; print(ask_for_a_way_out())"
    )
    assert run((sys.executable, "-c", code)).stdout == f"{ask_for_a_way_out()}\n"
    assert run(closed((sys.executable, "-c", code))).stdout == f"{errno.ENETUNREACH}\n"


@needs_namespaces
@needs_a_loopback
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


@needs_a_loopback
def test_the_command_takes_the_place_of_its_process(tmp_path: Path):
    code = "import os; print(os.getpid())"
    command = netns.isolated_with_loopback((sys.executable, "-c", code))
    with subprocess.Popen(
        command, env=child_environment(), stdout=subprocess.PIPE, text=True
    ) as child:
        assert child.stdout is not None
        assert int(child.stdout.read()) == child.pid


@pytest.mark.parametrize(("user", "in_a_user_namespace"), [(0, False), (1000, True)])
def test_root_keeps_its_right_to_the_files_of_others(monkeypatch, user, in_a_user_namespace):
    monkeypatch.setattr(netns.os, "geteuid", lambda: user, raising=False)
    command = netns.isolated_with_loopback(("true",))
    assert command[0] == "unshare"
    assert "--net" in command
    assert ("--user" in command) == in_a_user_namespace


@pytest.mark.parametrize(
    ("ask", "wrapper"),
    [
        (netns.why_not, "isolated"),
        (netns.why_no_loopback.__wrapped__, "isolated_with_loopback"),
    ],
)
def test_a_system_without_namespaces_says_why(monkeypatch, ask, wrapper):
    monkeypatch.setattr(netns, "sys", SimpleNamespace(platform="darwin", executable="python"))
    assert "exist on Linux only, not on darwin" in ask()
    monkeypatch.setattr(netns, "sys", SimpleNamespace(platform="linux", executable="python"))
    monkeypatch.setattr(netns.shutil, "which", lambda _: None)
    assert "not installed" in ask()
    monkeypatch.setattr(netns.shutil, "which", lambda name: name)
    for code, reason in (("echo no right >&2; exit 1", "no right"), ("exit 3", "exit status 3")):
        monkeypatch.setattr(netns, wrapper, lambda _, code=code: ("sh", "-c", code))
        assert ask() == f"this system refuses namespaces ({reason})"
    monkeypatch.setattr(netns, wrapper, lambda _: ("sleep", "9"))
    monkeypatch.setattr(netns, "_TRIAL_SECONDS", 0.05)
    assert "gave no answer" in ask()


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
