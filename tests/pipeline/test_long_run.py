"""A run of 2,000 neurons keeps memory, handles, threads and time a neuron flat, its logs short."""

from __future__ import annotations

import os
import sys
import threading
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from dnd_local.core.records import LayerInfo, Pixels
from dnd_local.pipeline.runner import dissect_neurons
from dnd_local.pipeline.selection import read_selection
from dnd_local.store.runs import RunFolder
from tests.bench import Bench
from tests.fakes import LAYER, Calls, ColourProbe, FakeTarget

NEURONS = 2000
FEW = 250


class WideTarget(FakeTarget):
    """A layer of many neurons, each with responses that no other shares."""

    neurons = NEURONS

    def layers(self) -> tuple[LayerInfo, ...]:
        return (LayerInfo(LAYER, "Colours", (self.neurons, 8, 8), self.neurons, True),)

    def responses(
        self, pictures: list[Pixels], layers: list[str]
    ) -> dict[str, NDArray[np.float32]]:
        rows = [
            np.random.default_rng(int(picture.sum())).gamma(1.0, size=self.neurons)
            for picture in pictures
        ]
        return dict.fromkeys(layers, np.array(rows, dtype=np.float32))


class Watching:
    """Looks at this process each time that parts are done."""

    def __init__(self) -> None:
        self.seen: list[tuple[int, int, int]] = []

    def start(self, stage: str, total: int, missing: int) -> None:
        pass

    def advance(self, stage: str, done: int) -> None:
        resident = int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
        self.seen.append((resident, len(os.listdir("/proc/self/fd")), threading.active_count()))

    def finish(self, stage: str, seconds: float) -> None:
        pass


@pytest.mark.long
@pytest.mark.timeout(3600, func_only=True)
def test_nothing_grows_with_the_neurons(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    bench = Bench(tmp_path / "work", monkeypatch)
    bench.probe = ColourProbe(40)
    bench.replaced["target"] = WideTarget(Calls())
    watching = Watching()
    result = dissect_neurons(
        bench.config(), bench.execution(), read_selection(LAYER, "all"), "long", watching
    )
    assert len(result.descriptions) == NEURONS
    assert not result.failures
    first, last = watching.seen[len(watching.seen) // 4], watching.seen[-1]
    memory, handles, threads = (end - begin for begin, end in zip(first, last, strict=True))
    most = max(handles for _, handles, _ in watching.seen)
    sys.stdout.write(
        f"after a quarter: {first}; at the end: {last} (bytes, handles, threads); "
        f"logs {_logs(result.folder):,} bytes\n"
    )
    assert memory < 150e6
    assert handles <= 5
    assert most - first[1] <= 20
    assert threads <= 5
    assert _logs(result.folder) < 200_000


@pytest.mark.long
@pytest.mark.timeout(3600, func_only=True)
def test_a_neuron_takes_as_long_among_many_as_among_few(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    each: dict[int, dict[str, float]] = {}
    for neurons in (FEW, NEURONS):
        bench = Bench(tmp_path / str(neurons), monkeypatch)
        bench.probe = ColourProbe(40)
        target = WideTarget(Calls())
        target.neurons = neurons
        bench.replaced["target"] = target
        selection = read_selection(LAYER, "all")
        dissect_neurons(bench.config(), bench.execution(), selection, "long")
        each[neurons] = {
            event["stage"]: event["seconds"] / neurons
            for event in RunFolder(bench.workspace, "long").events()
            if event["event"] == "finish"
        }
    for stage, seconds in each[NEURONS].items():
        few = each[FEW][stage]
        sys.stdout.write(f"{stage}: {few * 1000:.2f} ms a neuron, then {seconds * 1000:.2f}\n")
        # What takes under half a millisecond a neuron is no matter, at any number of them.
        assert seconds < max(1.5 * few, 0.0005), stage


def _logs(folder: Path) -> int:
    """Return the bytes of what a run writes down of its course."""
    return sum(path.stat().st_size for path in folder.glob("*.log*")) + sum(
        path.stat().st_size
        for path in (folder / "events.jsonl", folder / "stages.json")
        if path.exists()
    )
