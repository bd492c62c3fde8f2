"""Search for bytes that break a reader: what is found becomes a file of tests/corpus.

    python scripts/fuzz.py --seconds 20              each reader in turn
    python scripts/fuzz.py table zip --seconds 600   these

With atheris (``pip install atheris``) the search follows the lines of code that an input reaches;
without it, files of the corpus are changed at random. Exit code 1 where a reader broke: neither
took its input nor refused it, or needed more than ten seconds.
"""

from __future__ import annotations

import argparse
import hashlib
import importlib.util
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import traceback
import warnings
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
SLOWEST_S = 10


def main() -> int:
    """Return the exit code."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("readers", nargs="*", help="names of tests/parsers.py; all by default")
    parser.add_argument("--seconds", type=int, default=20, help="for each")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--one", action="store_true", help=argparse.SUPPRESS)
    given = parser.parse_args()
    sys.path.insert(0, str(ROOT))
    if given.one:
        return search(given.readers[0], given.seconds, given.seed)
    from tests.parsers import PARSERS

    broken = 0
    for name in given.readers or PARSERS:
        # A process each: atheris ends with its search.
        command = [sys.executable, __file__, name, "--one"]
        command += ["--seconds", str(given.seconds), "--seed", str(given.seed)]
        broken += subprocess.run(command, check=False).returncode != 0
    return 1 if broken else 0


def search(name: str, seconds: int, seed: int) -> int:
    """Search for inputs that break a reader; return 1 where one was found."""
    warnings.simplefilter("ignore")
    if importlib.util.find_spec("atheris") is not None:
        return by_coverage(name, seconds, seed)
    from tests.parsers import CORPUS, PARSERS, mutated

    signal.signal(signal.SIGALRM, _too_slow)
    seeds = [path.read_bytes() for path in sorted((CORPUS / name).iterdir())]
    rng, tried, taken, ends = random.Random(seed), 0, 0, time.monotonic() + seconds
    broken = False
    while time.monotonic() < ends and not broken:
        data = mutated(rng.choice(seeds), rng.randrange)
        signal.alarm(SLOWEST_S)
        try:
            if PARSERS[name].try_on(data):
                taken += 1
                # What was taken is a place to go on from.
                seeds.append(data)
                del seeds[300:-200]
        except Exception:  # noqa: BLE001  # whatever breaks a reader is what is searched for
            keep(name, data)
            broken = True
        finally:
            signal.alarm(0)
        tried += 1
    print(
        f"{name}: {tried:,} inputs, {taken:,} taken, {'BROKEN' if broken else 'held'}", flush=True
    )
    return int(broken)


def by_coverage(name: str, seconds: int, seed: int) -> int:
    """The same by atheris, which ends the process with its search."""
    atheris: Any = importlib.import_module("atheris")
    with atheris.instrument_imports(include=["dnd_local"]):
        from tests.parsers import CORPUS, PARSERS

    def once(data: bytes) -> None:
        try:
            PARSERS[name].try_on(data)
        except Exception:
            keep(name, data)
            raise

    options = [f"-max_total_time={seconds}", f"-timeout={SLOWEST_S}", f"-seed={seed + 1}"]
    options += ["-rss_limit_mb=8000", "-max_len=20000", "-verbosity=0", "-print_final_stats=1"]
    # libFuzzer adds to the folder that it is given.
    with tempfile.TemporaryDirectory() as folder:
        shutil.copytree(CORPUS / name, Path(folder) / "seeds")
        print(f"{name}, by coverage:", flush=True)
        atheris.Setup([sys.argv[0], *options, str(Path(folder) / "seeds")], once)
        atheris.Fuzz()
    return 0


def keep(name: str, data: bytes) -> None:
    """Make the input a file of the corpus, and print where the reader broke."""
    path = ROOT / "tests" / "corpus" / name / hashlib.sha256(data).hexdigest()[:12]
    path.write_bytes(data)
    print(f"{name} broke on {path.relative_to(ROOT)}:\n{traceback.format_exc()}", flush=True)


def _too_slow(*_: object) -> None:
    raise TimeoutError(f"no answer in {SLOWEST_S} s")


if __name__ == "__main__":
    sys.exit(main())
