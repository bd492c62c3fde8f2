"""A few trials of every sweep, and a planted fault that a sweep must find."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from dnd_local.store.guard import child_environment

ROOT = Path(__file__).parents[2]
TRIALS = {"crash": 6, "disk": 6, "damage": 16, "shared": 3, "together": 3, "small": 4}

PLANTED = """
import pathlib, sys
sys.path.insert(0, "scripts/torture")
from dnd_local.store import parts

def in_place(path, data):
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("wb") as file:
        # How many changes came before the flush, with the file there and empty.
        before.append(counting.count)
        parts.os.fsync(file.fileno())
        file.write(data)

parts.write_atomic = in_place
from calls import Calls, kill
from crash import _trial
from workplace import Workplace, in_child
before, counting = [], Calls(pathlib.Path("nowhere"), -1, kill)
place = Workplace(pathlib.Path(sys.argv[1]))
counting = Calls(place.fresh("counting"), -1, kill)

def last_part():
    counting.listen()
    place.dissect(place.fresh("counting"))
    return before[-1]

print(_trial(place, int(in_child(last_part).said)))
place.close()
"""
"""Parts that are written in place: one that a crash cuts short is there, and empty."""

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900, func_only=True)]


def run(*words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, *words], cwd=ROOT, env={**child_environment(), "OMP_NUM_THREADS": "1"},
        capture_output=True, text=True, check=False,
    )  # fmt: skip


@pytest.mark.parametrize("sweep", TRIALS)
def test_every_promise_holds_in_a_few_trials(sweep: str) -> None:
    done = run("scripts/torture", sweep, "--trials", str(TRIALS[sweep]), "--seed", "11")
    assert done.returncode == 0, done.stdout + done.stderr
    assert f"{sweep}: {TRIALS[sweep]} of {TRIALS[sweep]} held" in done.stdout


def test_parts_that_are_not_written_whole_are_found_out(tmp_path: Path) -> None:
    done = run("-c", PLANTED, str(tmp_path / "place"))
    assert done.returncode == 0, done.stderr
    assert "is damaged; delete it" in done.stdout
