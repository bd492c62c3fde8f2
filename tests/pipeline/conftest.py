"""The bench of every pipeline test."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.bench import Bench


@pytest.fixture
def bench(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Bench:
    return Bench(tmp_path / "work", monkeypatch)
