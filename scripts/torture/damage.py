"""Damage: bytes flipped, cut off, zeroed, or swapped; no command may give another answer."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from workplace import RUN, Workplace, in_child

from dnd_local.evaluate.held_out import JUDGE_PICTURES
from dnd_local.pipeline.plan import PLAN
from dnd_local.pipeline.reading import StoredRun, open_run
from dnd_local.pipeline.upkeep import check_workspace

Look = Callable[[StoredRun], Any]

LOOKS: dict[str, Look] = {
    "show": lambda run: [run.evidence_of(neuron) for neuron in run.record.wanted()],
    "status": lambda run: [(one.stage, one.done, one.of) for one in run.status()],
    "labels": lambda run: run.descriptions(),
    "pictures": lambda run: [
        [picture.tobytes() for picture in run.pictures(neuron.index)]
        for neuron in run.record.wanted()
    ],
    "responses": lambda run: run.responses().tobytes(),
}
"""Ways to read a run; each gives what it should, or stops by name."""


def sweep(place: Workplace, trials: int, seed: int) -> Iterator[str]:
    """Yield a line for every trial that broke a promise, and an empty one for every other."""
    rng = random.Random(seed)
    right = {name: look(open_run(RUN, place.reference)) for name, look in LOOKS.items()}
    for number in range(trials):
        yield _trial(place, number, rng, right)


def _trial(place: Workplace, number: int, rng: random.Random, right: dict[str, Any]) -> str:
    workspace = place.copy("damage")
    what = _damage(workspace, rng)
    name = rng.choice(list(LOOKS))

    def look() -> str:
        seen = LOOKS[name](open_run(RUN, workspace))
        return "" if repr(seen) == repr(right[name]) else "another answer"

    seen = in_child(look)
    if seen.said == "another answer" and not what.startswith("delete"):
        return f"trial {number}, {what}: {name} gave another answer"
    if seen.code not in (0, 2):
        return f"trial {number}, {what}: {name} ended with {seen.code}: {seen.said}"
    in_child(lambda: check_workspace(workspace, (*PLAN, JUDGE_PICTURES), repair=True) and None)
    again = in_child(lambda: place.dissect(workspace) and None)
    if again.code:
        return f"trial {number}, {what}: dissect ended with {again.code}: {again.said}"
    wrong = [
        path
        for path, data in place.expected.items()
        if path.startswith("runs/") and (workspace / path).read_bytes() != data
    ]
    return f"trial {number}, {what}: {wrong[0]} differs" if wrong else ""


def _damage(workspace: Path, rng: random.Random) -> str:
    """Damage one file in one way; return what was done to which."""
    files = [
        path for path in sorted(workspace.rglob("*")) if path.is_file() and path.stat().st_size
    ]
    path = rng.choice(files)
    data = bytearray(path.read_bytes())
    kind = rng.choice(["flip", "cut", "zero", "swap", "delete", "empty"])
    at = rng.randrange(len(data))
    if kind == "flip":
        data[at] ^= 1 << rng.randrange(8)
    elif kind == "cut":
        del data[at:]
    elif kind == "zero":
        data[at : at + 16] = bytes(len(data[at : at + 16]))
    elif kind == "empty":
        data = bytearray()
    elif kind == "swap":
        alike = [other for other in files if other.suffix == path.suffix and other != path]
        other = rng.choice(alike or files)
        path.write_bytes(other.read_bytes())
        other.write_bytes(data)
        return f"swap of {_short(path, workspace)} and {_short(other, workspace)}"
    if kind == "delete":
        path.unlink()
    else:
        path.write_bytes(data)
    return f"{kind} at byte {at} of {_short(path, workspace)}"


def _short(path: Path, workspace: Path) -> str:
    return str(path.relative_to(workspace))
