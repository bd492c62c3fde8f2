"""Draw a contact sheet with the saved painter: four pictures of each of sixteen prompts."""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import torch
from measure import draw, load_painter
from PIL import Image
from shared import REPOSITORY

LABELS = (
    "a dog on a striped red background",
    "a rocket on a plain blue background",
    "a tree on a checkered gray background",
    "a car on a plain white background",
    "a penguin on a dotted green background",
    "a hammer on a plain yellow background",
    "an apple on a striped black background",
    "a cat on a plain purple background",
    "a dotted yellow background",
    "a checkered orange background",
    "striped background",
    "red background",
    "pizza",
    "umbrellas",
    "animals",
    "food",
)
EACH, COLUMNS = 4, 4


def main() -> None:
    """Draw the sheet, one label after another from left to right and top to bottom."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--threads", type=int, default=2)
    default = REPOSITORY / "docs" / "images" / "pocket-painter.png"
    parser.add_argument("--out", type=Path, default=default)
    given = parser.parse_args()
    torch.set_num_threads(given.threads)
    pipe = load_painter()
    strips = []
    for place, label in enumerate(LABELS):
        prompts = [f"one realistic picture of {label}"] * EACH
        seeds = list(range(EACH * place, EACH * place + EACH))
        strips.append(np.concatenate(list(draw(pipe, prompts, seeds)), axis=1))
    rows = [
        np.concatenate(strips[at : at + COLUMNS], axis=1) for at in range(0, len(strips), COLUMNS)
    ]
    sheet = Image.fromarray(np.concatenate(rows))
    given.out.parent.mkdir(parents=True, exist_ok=True)
    sheet.save(given.out, optimize=True)
    print(f"{given.out}: {', '.join(LABELS)}")


if __name__ == "__main__":
    main()
