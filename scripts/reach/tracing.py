"""What a command and its children reach: as the kernel sees it, or as Python sees it.

`strace` sees every process and every library. Python's audit hook sees what Python code does, on
every system.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
from collections.abc import Iterator, Sequence
from pathlib import Path

from places import Kind, Reached

from dnd_local.store.netns import isolated_with_loopback

CALLS = (
    "open,openat,openat2,creat,truncate,rename,renameat,renameat2,unlink,unlinkat,mkdir,mkdirat,"
    "rmdir,link,linkat,symlink,symlinkat,connect,bind,sendto,sendmsg,sendmmsg"
)
_LINE = re.compile(
    r"(?P<call>\w+)\((?P<given>.*)\)\s+= (?P<result>-?\d+|\?)(?:<(?P<opened>[^>]*)>)?"
)
_TEXT = re.compile(
    r'(?:(?:AT_FDCWD|\d+)<(?P<folder>(?:[^>\\]|\\.)*)>, )?"(?P<path>(?:[^"\\]|\\.)*)"'
)
_ADDRESS = re.compile(r'inet6?_(?:addr|pton)\((?:AF_INET6, )?"([^"]+)"')
_WRITES = re.compile(r"O_WRONLY|O_RDWR|O_CREAT|O_TRUNC|O_APPEND")


def why_no_strace() -> str:
    """Return why no command can be traced here, empty where it can."""
    if shutil.which("strace") is None:
        return "the program `strace` is not installed"
    done = subprocess.run(
        ["strace", "-f", "-qq", "-o", os.devnull, "true"],
        capture_output=True,
        text=True,
        check=False,
    )
    return f"this system refuses strace ({done.stderr.strip()})" if done.returncode else ""


def traced(command: Sequence[str], log: Path, *, closed: bool) -> list[str]:
    """Return the command under strace, which writes a file for each process into `log`."""
    log.mkdir(parents=True)
    inner = isolated_with_loopback(command) if closed else command
    return [
        "strace", "-ff", "--seccomp-bpf", "-qq", "-y", "-s", "4096", "-e", "signal=none",
        "-e", f"trace={CALLS}", "-o", str(log / "trace"), "--", *inner,
    ]  # fmt: skip


def read_trace(log: Path, folder: str) -> Iterator[Reached]:
    """Yield what the processes of a `traced` command reached; `folder` is where it was started."""
    for file in sorted(log.iterdir()):
        for line in file.read_text("utf-8", "replace").splitlines():
            match = _LINE.match(line)
            if match:
                yield from _of_call(
                    match["call"], match["given"], match["result"], match["opened"], folder
                )


def _of_call(
    call: str, given: str, result: str, opened: str | None, folder: str
) -> Iterator[Reached]:
    if call in ("connect", "bind", "sendto", "sendmsg", "sendmmsg"):
        kind: Kind = "bind" if call == "bind" else "connect"
        yield from (Reached(kind, address) for address in _ADDRESS.findall(given))
        if "AF_UNIX" in given:
            yield Reached(kind, "unix")
        return
    if result.startswith("-") and "open" in call:
        return  # nothing was there, or it was refused
    writes = "open" not in call or bool(_WRITES.search(given))
    if opened:
        yield Reached("change" if writes else "read", _plain(opened))
        return
    named = list(_TEXT.finditer(given))
    if "link" in call and "unlink" not in call:
        named = named[1:]  # what a new link leads to stays as it is
    for match in named:
        place = os.path.join(_plain(match["folder"] or folder), _plain(match["path"]))
        yield Reached("change" if writes else "read", os.path.normpath(place))


def _plain(text: str) -> str:
    """Return a name as it is, from strace's escapes."""
    return (
        text.encode("latin-1", "replace")
        .decode("unicode_escape")
        .encode("latin-1", "replace")
        .decode("utf-8", "replace")
    )


def hooked(log: Path, environment: dict[str, str]) -> dict[str, str]:
    """Return an environment in which every Python process writes what it reaches into `log`."""
    log.mkdir(parents=True)
    here = str(Path(__file__).parent / "hooked")
    path = os.pathsep.join([here, environment["PYTHONPATH"]])
    return {**environment, "PYTHONPATH": path, "DND_LOCAL_REACHED": str(log)}


def read_hooked(log: Path) -> Iterator[Reached]:
    """Yield what the Python processes reached."""
    for file in sorted(log.iterdir()):
        for line in file.read_text("utf-8").splitlines():
            yield Reached(*json.loads(line))
