"""See what each command reaches: files outside its places, and addresses outside this machine.

    python scripts/reach                     every command, with a network and without one: minutes
    python scripts/reach --sample            a few commands
    python scripts/reach --leave-out 'pocket bench'    all but the longest
    python scripts/reach --by hook           as Python sees it, where there is no strace

The engines are the pocket pack's. Exit code 1 where a command reached beyond its places (they are
in places.py; docs/airgap.md says them in words), or did not do its work.
"""

from __future__ import annotations

import argparse
import shlex
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2]))

# The files that lines read are those of tests, which lie beside this folder.
from lines import LINES, OWN, SAMPLE, make_world, prepare
from places import Places, Reached
from tracing import hooked, read_hooked, read_trace, traced, why_no_strace

from dnd_local.core.amounts import count_text, duration_text
from dnd_local.store.guard import child_environment
from dnd_local.store.netns import isolated_with_loopback, why_no_loopback

LONGEST_S = 1800


def main() -> int:
    """Return the exit code."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--sample", action="store_true", help=f"only {', '.join(SAMPLE)}")
    parser.add_argument(
        "--leave-out", action="append", default=[], choices=list(LINES), metavar="COMMAND"
    )
    parser.add_argument("--by", choices=["strace", "hook"], default="strace")
    parser.add_argument("--network", choices=["with", "without", "both"], default="both")
    given = parser.parse_args()
    by = given.by
    closed = {"with": [False], "without": [True], "both": [False, True]}[given.network]
    if by == "strace" and (why := why_no_strace()):
        print(f"{why}: Python's audit hook is asked instead, which does not see libraries in C")
        by = "hook"
    if True in closed and (why := why_no_loopback()):
        print(f"{why}: no command runs without a network")
        closed = [False]
    chosen = [one for one in SAMPLE if given.sample] or list(LINES)
    chosen = [one for one in chosen if one not in given.leave_out]
    broken = 0
    for without in closed:
        with tempfile.TemporaryDirectory() as folder:
            world = Path(folder).resolve() / "world"
            make_world(world)
            broken += sum(report(command, world, by, without) for command in chosen)
    return 1 if broken else 0


def report(command: str, world: Path, by: str, without: bool) -> bool:
    """Run a command, print what it reached, and return whether that broke the promise."""
    prepare(command, world)
    began = time.monotonic()
    done, reached = run(shlex.split(LINES[command]), world, by, without)
    places = Places(
        inputs=(str(world / "in"),),
        own=tuple(str(world / name) for name in OWN),
    )
    beyond = places.beyond(reached)
    files = len({one.there for one in reached if one.kind in ("read", "change")})
    addresses = sorted({one.there for one in reached if one.kind in ("connect", "bind")})
    says = "held" if not beyond else "BROKEN"
    print(
        f"{command}, {'no network' if without else 'network'}, {by}: {says}, "
        f"{count_text(files, 'file')}, addresses {', '.join(addresses) or 'none'}, "
        f"{duration_text(time.monotonic() - began)}",
        flush=True,
    )
    for one in beyond:
        print(f"  {one.kind} {one.there}")
    if done.returncode:
        print(f"  ended with {done.returncode}: {done.stderr[-2000:]}")
    return bool(beyond or done.returncode or not files)


def run(
    words: Sequence[str], world: Path, by: str, without: bool
) -> tuple[subprocess.CompletedProcess[str], list[Reached]]:
    """Run a command in the world; return how it ended and what it reached."""
    log = Path(tempfile.mkdtemp(dir=world.parent)) / "log"
    command = (sys.executable, "-P", "-m", "dnd_local", *words)
    environment = environment_of(world)
    if by == "strace":
        command = tuple(traced(command, log, closed=without))
    else:
        environment = hooked(log, environment)
        command = isolated_with_loopback(command) if without else command
    done = subprocess.run(
        command, cwd=world, env=environment, capture_output=True, text=True, check=False,
        timeout=LONGEST_S,
    )  # fmt: skip
    return done, list(read_trace(log, str(world)) if by == "strace" else read_hooked(log))


ELSEWHERE = ("XDG_", "TORCHINDUCTOR_", "TRITON_")
"""Variables that name folders outside the world; torch sets one where it was imported."""


def environment_of(world: Path) -> dict[str, str]:
    """Return an environment in which every folder of the user's lies in the world."""
    folders = {name: str(world / name.lower()) for name in ("WORKSPACE", "WEIGHTS", "DATA")}
    return {
        **{
            name: text
            for name, text in child_environment().items()
            if not name.startswith(ELSEWHERE)
        },
        **{f"DND_LOCAL_{name}": folder for name, folder in folders.items()},
        "HOME": str(world / "home"),
        "TMPDIR": str(world / "tmp"),
        "OMP_NUM_THREADS": "1",
    }


if __name__ == "__main__":
    sys.exit(main())
