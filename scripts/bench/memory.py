"""Measure a run's peak memory over probe sets of growing size: it should not grow with them.

Each size is one `dnd-local triage` in its own process and workspace, over JPEG files that all
differ, with the pocket target::

    python scripts/bench/memory.py --images 1000 20000
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from PIL import Image

LAYERS = "layer4,fc"


def make_images(folder: Path, count: int) -> None:
    """Write `count` small JPEGs, no two of the same bytes."""
    folder.mkdir()
    for i in range(count):
        picture = Image.new("RGB", (96, 80), (i % 256, i // 256 % 256, 120))
        picture.paste((255 - i % 256, 40, i % 7 * 30), (i % 48, i % 40, i % 48 + 40, i % 40 + 36))
        picture.save(folder / f"{i:06d}.jpg", quality=85)


def peak(probe: Path, workspace: Path) -> tuple[float, float]:
    """Return the peak resident memory of one triage, in MiB, and its seconds."""
    command = [
        str(Path(sys.executable).with_name("dnd-local")), "triage", "pocket", LAYERS,
        "--probe", str(probe), "--workspace", str(workspace),
    ]  # fmt: skip
    started = time.perf_counter()
    child = subprocess.Popen(command, stdout=subprocess.DEVNULL)  # what it says is not measured
    _, status, usage = os.wait4(child.pid, 0)
    child.returncode = os.waitstatus_to_exitcode(status)
    if child.returncode:
        raise SystemExit(f"{' '.join(command)} ended with {child.returncode}")
    return usage.ru_maxrss / 1024, time.perf_counter() - started


def main() -> None:
    """Measure every size and print them with the last one's ratio to the first."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--images", type=int, nargs="+", default=[1000, 20_000])
    given = parser.parse_args()
    peaks = []
    for count in given.images:
        with tempfile.TemporaryDirectory() as scratch:
            make_images(Path(scratch) / "probe", count)
            memory, seconds = peak(Path(scratch) / "probe", Path(scratch) / "workspace")
        peaks.append(memory)
        print(json.dumps({"images": count, "peak_mib": round(memory), "seconds": round(seconds)}))
    print(json.dumps({"ratio": round(peaks[-1] / peaks[0], 3)}))


if __name__ == "__main__":
    main()
