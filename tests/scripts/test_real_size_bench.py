"""The whole stack on two neurons: pictures and all four scores, at tiny and at real size."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from dnd_local.core.records import RULES
from dnd_local.pipeline.plan import PICTURES, SCORES
from dnd_local.pipeline.reading import open_run
from dnd_local.store.blobs import BlobFolder

sys.path.insert(0, str(Path(__file__).parents[2] / "scripts" / "bench"))

import real_size
from random_models import REAL, TINY, Sizes

NEEDED = {
    "responses",
    "triage",
    "exemplars",
    "captions",
    "phrases",
    "concepts",
    "pictures",
    "scores",
}


def check(folder: Path, sizes: Sizes) -> None:
    """Measure, and look at what the run left for both neurons."""
    figures = real_size.measure(folder, sizes)
    assert {one["stage"] for one in figures} == NEEDED
    assert all(one["failed"] == 0 for one in figures if one["run"] == "size-file")
    run = open_run("size-file", folder / "workspace", folder / "weights")
    blobs = BlobFolder(folder / "workspace" / "blobs")
    for index in (0, 1):
        evidence = run.evidence(index)
        scored = evidence.of(SCORES)
        assert scored is not None
        (candidate,) = scored.candidates
        assert candidate.text == real_size.REPLY
        scores = [candidate.score(rule) for rule in RULES]
        assert len(scores) == 4
        assert all(isinstance(score, float) and score == score for score in scores)
        painted = [one.blob for part in evidence.all_of(PICTURES) for one in part.pictures]
        assert [blobs.get(blob).shape for blob in painted] == [
            (sizes.picture, sizes.picture, 3)
        ] * 2
    for line in figures:
        print(line)  # noqa: T201  # for who runs it by hand


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_the_script_at_tiny_size(tmp_path: Path) -> None:
    check(tmp_path, TINY)


@pytest.mark.long
@pytest.mark.timeout(7200)
def test_the_stack_at_its_real_size(tmp_path: Path) -> None:
    check(tmp_path, REAL)
