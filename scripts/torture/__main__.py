"""Break a run in every way, and see that nothing is lost and nothing wrong is believed.

    python scripts/torture                        all of them, minutes
    python scripts/torture crash --trials 500     kill -9 at a change of the disk, then again
    python scripts/torture disk --trials 500      an error of the disk there, then again
    python scripts/torture damage --trials 2000   bytes flipped, cut, zeroed, swapped, deleted
    python scripts/torture shared                 two processes share a run, one is killed
    python scripts/torture workers                a run of two workers is killed whole
    python scripts/torture together               report, gc, verify, status during a run
    python scripts/torture small                  small file systems, and files that cannot grow

The engines are the pocket pack's. Exit code 1 where a promise was broken; docs/reliability.md says
what is promised.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
import time
from contextlib import ExitStack, closing
from pathlib import Path

# Before torch is imported: a forked child has no threads but its own.
os.environ["OMP_NUM_THREADS"] = "1"

import crash
import damage
import disk
import several
from workplace import Workplace

from dnd_local.core.amounts import duration_text
from dnd_local.store.guard import go_offline

SWEEPS = {
    "crash": crash.sweep, "disk": disk.sweep, "damage": damage.sweep, "shared": several.shared,
    "workers": several.workers, "together": several.together, "small": several.small,
}  # fmt: skip
TRIALS = {
    "crash": 40, "disk": 40, "damage": 200, "shared": 20, "workers": 4, "together": 8, "small": 20,
}  # fmt: skip


def main() -> int:
    """Return the exit code."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("sweeps", nargs="*", choices=list(SWEEPS), help="all by default")
    parser.add_argument("--trials", type=int, default=0, help="of each sweep; a default for each")
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    go_offline()
    broken = 0
    with ExitStack() as held:
        folder = Path(held.enter_context(tempfile.TemporaryDirectory()))
        place = held.enter_context(closing(Workplace(folder / "place")))
        for name in given.sweeps or list(SWEEPS):
            broken += report(name, place, given.trials or TRIALS[name], given.seed)
    return 1 if broken else 0


def report(name: str, place: Workplace, trials: int, seed: int) -> int:
    """Do one sweep and print what came of it; return how many trials broke a promise."""
    began, done, broken = time.monotonic(), 0, 0
    for line in SWEEPS[name](place, trials, seed):
        done += 1
        if line:
            broken += 1
            print(f"{name}: {line}", flush=True)
        if sys.stderr.isatty():
            print(f"\r{name} {done} of {trials}", end="", file=sys.stderr)
    took = duration_text(time.monotonic() - began)
    print(f"{name}: {done - broken} of {done} held, seed {seed}, {took}", flush=True)
    return broken


if __name__ == "__main__":
    sys.exit(main())
