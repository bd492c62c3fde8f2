"""Contests with forced rivals: who wins, who is dropped early, and how many pictures that takes."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest

from dnd_local.core.ranking import best_labels

sys.path.insert(0, str(Path(__file__).parents[2] / "scripts" / "bench"))

import shortcuts

TEXTS = ("dog", "cat", "car", "tree", "sea")


def draw(levels: dict[str, float], noise: float, seed: int = 0) -> shortcuts.Draw:
    rng = np.random.default_rng(seed)
    responses = {
        text: (level + noise * rng.standard_normal((10, 3))).astype(np.float32)
        for text, level in levels.items()
    }
    embeddings = {text: np.full((10, 2), 0.5, np.float32) for text in levels}
    return shortcuts.Draw(responses, embeddings)


def contest() -> shortcuts.Contest:
    return shortcuts.Contest(1, TEXTS, np.array([1.0, 1.0], np.float32))


def test_the_winner_is_that_of_the_scoring_rule() -> None:
    levels = dict(zip(TEXTS, (1.0, 3.0, 2.0, 0.0, 0.0), strict=True))
    pictures = draw(levels, noise=1.0)
    counts = dict.fromkeys(TEXTS, 10)
    scored = contest().scores(pictures, counts).candidates
    assert [len(one.responses) for one in scored] == [10] * 5
    assert contest().winner(pictures) == best_labels(scored, "topk-compare", 1)[0].text


def test_the_hopeless_are_dropped_after_four_pictures() -> None:
    levels = dict(zip(TEXTS, (0.0, 9.0, 0.0, 0.0, 0.0), strict=True))
    assert contest().race(draw(levels, noise=0.1), 4) == ("cat", dict.fromkeys(TEXTS, 4))


@pytest.mark.parametrize("seed", range(5))
def test_close_candidates_get_all_their_pictures(seed: int) -> None:
    levels = dict(zip(TEXTS, (5.0, 5.0, 0.0, 0.0, 0.0), strict=True))
    pictures = draw(levels, noise=0.5, seed=seed)
    winner, counts = contest().race(pictures, 4)
    assert winner in ("dog", "cat")
    assert counts[winner] == max(counts.values())
    assert all(counts[text] == 4 for text in ("car", "tree", "sea"))
