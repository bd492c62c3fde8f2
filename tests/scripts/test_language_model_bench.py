"""The bench of the language model, at a size that takes a moment."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[2] / "scripts" / "bench"))

import language_model


def test_it_counts_requests_and_how_many_were_under_way(
    capsys: pytest.CaptureFixture[str],
) -> None:
    language_model.flow(3, 0.02)
    first, one, several = capsys.readouterr().out.splitlines()
    assert first == "3 neurons, 256 requests under way at most"
    assert one.startswith("one group at a time: ")
    assert several.startswith("groups overlap: ")
    # The same questions, whatever is under way beside them.
    asked = [line.split(": ")[1].split()[0] for line in (one, several)]
    assert asked[0] == asked[1]
    assert int(asked[0]) >= 3 * 15
