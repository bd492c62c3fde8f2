"""Count what draws beyond the first five bring, and what stopping after repeats keeps of it.

    dnd-local dissect pocket layer4 --ids all --run ten --workspace DIR \
        --concepts-count 10 --concepts-max-draws 10 --pictures-count 1 --pictures-steps 1
    python scripts/bench/top_up.py ten --workspace DIR

A draw's seed is its own, so that this run holds every draw that a rule could ask for. Each rule
wants five candidates of at most ten draws, and is played through on the draws that are there.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

from dnd_local.core.records import Concepts
from dnd_local.pipeline.plan import CONCEPTS
from dnd_local.pipeline.reading import open_run
from dnd_local.pipeline.stage import Asked
from dnd_local.stages.asking import clean

COUNT = 5


def labels_of(part: Concepts) -> list[str]:
    """Return the label of each draw, empty where the reply was rejected."""
    last = {one.draw: one for one in part.exchanges}
    rejected = {one.draw for one in part.rejects}
    return ["" if draw in rejected else clean(last[draw].text) for draw in sorted(last)]


def play(drawn: Sequence[str], bound: int, most_repeats: int) -> tuple[int, int]:
    """Return how many draws a rule asks for and how many labels it gets."""
    asked, known, repeats = 0, set[str](), 0
    while asked < bound and len(known) < COUNT and repeats < most_repeats:
        for label in drawn[asked : min(bound, asked + COUNT - len(known))]:
            repeats = repeats + 1 if label in known else repeats if not label else 0
            known |= {label} - {""}
            asked += 1
    return asked, len(known)


def main() -> None:
    """Print a line for each rule."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("run")
    parser.add_argument("--workspace", type=Path, required=True)
    given = parser.parse_args()
    stored = open_run(given.run, given.workspace)
    wanted = Asked(tuple(stored.record.neurons), stored.record.wanted())
    items = CONCEPTS.items(stored.lab, wanted)
    drawn = [labels_of(part) for part in CONCEPTS.read(stored.lab, items)]
    print(f"{len(drawn)} neurons")
    rules = [("the first five alone", COUNT, 10), ("all ten", 10, 10)]
    rules += [(f"until {most} in a row repeat", 10, most) for most in (2, 3, 4, 5, 6)]
    for name, bound, most in rules:
        played = [play(labels, bound, most) for labels in drawn]
        asked, got = (sum(column) for column in zip(*played, strict=True))
        print(f"{name}: {asked} draws, {got} candidates")


if __name__ == "__main__":
    main()
