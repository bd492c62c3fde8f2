"""Draw pictures of the pocket world that no model has seen, in one folder a class.

    python scripts/pocket/class_folders.py pictures --count 50

A picture shows one object, and the folder is named after it; with `--by colour` or `--by pattern`
after its background.
"""

from __future__ import annotations

import argparse
from collections import Counter
from itertools import count
from pathlib import Path

from dnd_local.pocket import world
from dnd_local.pocket.words import vocabulary


def main() -> None:
    """Draw `count` pictures of each class, in the order of the held-out pictures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("out", type=Path)
    parser.add_argument("--count", type=int, default=50, help="pictures a class")
    parser.add_argument("--by", choices=("object", "colour", "pattern"), default="object")
    given = parser.parse_args()
    words = vocabulary()
    classes = {"object": words.objects, "colour": words.colours, "pattern": words.patterns}
    wanted = Counter({one.name: given.count for one in classes[given.by]})
    for index in count():
        if not wanted.total():
            break
        image, shown = world.picture(world.HELD_OUT_SEED, index)
        by = {"object": shown.objects, "colour": (shown.colour,), "pattern": (shown.pattern,)}
        names = by[given.by]
        if len(names) != 1 or not wanted[names[0]]:
            continue
        folder = given.out / names[0]
        folder.mkdir(parents=True, exist_ok=True)
        image.save(folder / f"{index:05d}.png")
        wanted[names[0]] -= 1
    names = ", ".join(one.name for one in classes[given.by])
    print(f"{given.out}: {given.count} pictures each of {names}")


if __name__ == "__main__":
    main()
