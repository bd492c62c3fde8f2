"""Train the judge: a classifier on other pictures than any model's, used by the bench alone."""

from __future__ import annotations

import shutil

import numpy as np
from shared import MODELS, TEST_COUNT, TRAIN_COUNT, Run, options, render
from target import configuration, responses, right, save, train

from dnd_local.pocket.world import HELD_OUT_SEED, JUDGE_SEED

WIDTHS = (16, 32, 64, 64)


def main() -> None:
    """Train, save, and report held-out accuracy."""
    given = options(__doc__, minutes=4)
    run = Run("judge", given)
    data = render(given.work, JUDGE_SEED, TRAIN_COUNT)
    config = configuration(WIDTHS)
    model = train(run, given, data, config, sparse=0.0)
    shutil.rmtree(MODELS / "judge", ignore_errors=True)
    save(model, config, MODELS / "judge")
    test = render(given.work, HELD_OUT_SEED, TEST_COUNT)
    hits = right(responses(model, test, given.device)[1], test)
    for name, each in hits.items():
        run.log(f"held out: {name} right {each.mean():.4f}")
    run.log(f"held out: all right {np.logical_and.reduce(list(hits.values())).mean():.4f}")


if __name__ == "__main__":
    main()
