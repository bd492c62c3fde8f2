"""What reading the responses of a layer costs its exemplars: six neurons at a time, and in windows.

Usage: .venv/bin/python scripts/bench/top_images.py [--images 20000] [--neurons 2048]

Random responses are stored as a run stores them. "Six at a time" is timed on a few groups and
multiplied; windows are timed on all neurons.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from dnd_local.core.records import Responses
from dnd_local.pipeline.top_windows import TopWindows
from dnd_local.stages.exemplars import top_images
from dnd_local.store.parts import PartFolder

CHUNK = 512
GROUP = 6
TRIED = 4
"""Groups of six that are timed."""


def main() -> None:
    """Print seconds for the whole layer, both ways."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--images", type=int, default=20_000)
    parser.add_argument("--neurons", type=int, default=2048)
    args = parser.parse_args()
    rng = np.random.default_rng(0)
    with tempfile.TemporaryDirectory() as scratch:
        folder = PartFolder(Path(scratch), "responses", "0" * 64, Responses)
        chunks = range(-(-args.images // CHUNK))
        for chunk in chunks:
            values = rng.normal(size=(CHUNK, args.neurons)).astype(np.float16)
            folder.write(f"layer-{chunk:05d}", Responses("layer", chunk * CHUNK, values))
        eligible = np.ones(len(chunks) * CHUNK, dtype=np.bool_)

        def responses() -> Iterator[Responses]:
            for chunk in chunks:
                yield folder.read(f"layer-{chunk:05d}")

        def find(neurons: Sequence[int]) -> list[list[int]]:
            return top_images(responses(), neurons, 10, eligible)

        groups = [
            list(range(start, min(start + GROUP, args.neurons)))
            for start in range(0, args.neurons, GROUP)
        ]
        began = time.perf_counter()
        before = [find(group) for group in groups[:TRIED]]
        six = (time.perf_counter() - began) / TRIED * len(groups)
        tops = TopWindows()
        tops.expect(("layer", index) for index in range(args.neurons))
        began = time.perf_counter()
        after = [tops.of("layer", group, find) for group in groups]
        windows = time.perf_counter() - began
        assert after[:TRIED] == before
    print(f"{args.neurons} neurons over {len(eligible):,} images, seconds for all")
    print(f"six at a time  {six:8.1f}  (from {TRIED} of {len(groups)} groups)")
    print(f"in windows     {windows:8.1f}")


if __name__ == "__main__":
    main()
