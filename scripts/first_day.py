"""Rehearse the first day behind the air gap, each step timed: pack, carry, install, check, run.

    python scripts/first_day.py [--vllm-python PYTHON]

The connected half gathers wheels, so it needs an index and several gigabytes of disk. All that
follows runs in a network namespace with nothing but a loopback. Exit code 1 where a step failed.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from dnd_local.core.amounts import duration_text, size_text
from dnd_local.store.guard import child_environment
from dnd_local.store.netns import isolated_with_loopback, why_no_loopback
from dnd_local.store.resources import shipped

QUICK = (
    "--ids", "1", "--pictures-count", "2", "--pictures-steps", "1", "--concepts-count", "2",
    "--exemplars-images", "3",
)  # fmt: skip


def main() -> int:
    """Return the exit code."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--vllm-python", default="", help="the Python of vLLM's environment")
    given = parser.parse_args()
    if why := why_no_loopback():
        print(f"{why}: nothing can be rehearsed here")
        return 1
    with tempfile.TemporaryDirectory() as folder:
        return rehearse(Path(folder), given.vllm_python)


def rehearse(place: Path, vllm_python: str) -> int:
    """Do every step below a folder; return 1 at the first that fails."""
    bundle, home = place / "bundle.tar", place / "home"
    home.mkdir()
    program = (sys.executable, "-m", "dnd_local")
    vllm = ("--vllm-python", vllm_python) if vllm_python else ()
    environment = {**child_environment(), "DND_LOCAL_WEIGHTS": str(place / "connected")}
    model = shutil.copytree(shipped("pocket/models/embedder"), place / "model")
    add = (*program, "weights", "add", "own", str(model), "--role", "embedder")
    # pip gathers from an index that its own settings name, which the guard's switches leave alone.
    pack = (*program, "weights", "pack", "own", "--output", str(bundle), *vllm)
    away = place / "away"
    there = {
        "PATH": os.environ["PATH"], "HOME": str(home), "PYTHON": sys.executable,
        "DND_LOCAL_WEIGHTS": str(away / "weights"), "DND_LOCAL_WORKSPACE": str(away / "work"),
        "PYTHONPATH": child_environment()["PYTHONPATH"],
    }  # fmt: skip
    installed = str(away / "dnd-local" / "main" / "bin" / "dnd-local")
    unpacked = away / "bundle"
    unpacked.mkdir(parents=True)
    dry = ("dissect", "resnet50", "layer4", "--ids", "0-3", "--dry-run")
    connected = (("register a model", add), ("pack it with all wheels", pack))
    closed = (
        ("unpack the bundle", ("tar", "xf", str(bundle), "-C", str(unpacked)), (0,)),
        ("install", ("sh", str(unpacked / "install.sh"), str(away / "dnd-local")), (0,)),
        ("verify every byte", (installed, "weights", "verify", "--deep", "own"), (0,)),
        # Weights of the paper are not in this bundle: doctor and dry run say so, with status 2.
        ("doctor", (installed, "doctor"), (0, 2)),
        ("dry run of the paper's setting", (installed, *dry), (0, 2)),
        ("a dissection", (installed, "dissect", "pocket", "layer4", *QUICK), (0,)),
    )
    for name, command in connected:
        if not step(name, command, environment):
            return 1
    print(f"the bundle has {size_text(bundle.stat().st_size)}", flush=True)
    for name, command, fine in closed:
        if not step(name, command, there, fine, closed=True):
            return 1
    return 0


def step(
    name: str,
    command: Sequence[str],
    environment: dict[str, str],
    fine: Sequence[int] = (0,),
    *,
    closed: bool = False,
) -> bool:
    """Do a step, `closed` off from the network or not; print its time, return whether it went."""
    began = time.monotonic()
    # Installed packages must be the bundle's, so the checkout is on the path of the wrapper alone.
    inner = ("env", "-u", "PYTHONPATH", *command) if closed else tuple(command)
    done = subprocess.run(
        isolated_with_loopback(inner) if closed else inner,
        env=environment, capture_output=True, text=True, check=False,
    )  # fmt: skip
    where = "without a network" if closed else "connected"
    took = duration_text(time.monotonic() - began)
    last = (done.stderr.strip() or done.stdout.strip() or "-").splitlines()[-1]
    print(f"{name} ({where}): {took}, status {done.returncode}: {last[:200]}", flush=True)
    if done.returncode not in fine:
        print(done.stdout[-3000:], done.stderr[-3000:], sep="\n")
    return done.returncode in fine


if __name__ == "__main__":
    sys.exit(main())
