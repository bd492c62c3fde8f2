"""One workspace for all tests of the report: a run by fake engines, and one of hostile texts."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from dnd_local.pipeline.reading import StoredRun, open_run
from tests.bench import Bench
from tests.report.synthetic import hostile_label, write_run

ODD_LAYER = '../la yer"<b>'


@dataclass
class Desk:
    """What the tests read: a bench, a plain run of six neurons, a hostile one of five."""

    bench: Bench
    plain: StoredRun
    hostile: StoredRun


@pytest.fixture(scope="package")
def desk(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Desk]:
    """Yield the workspace; tests that change it make their own."""
    with pytest.MonkeyPatch.context() as monkeypatch:
        bench = Bench(tmp_path_factory.mktemp("desk") / "work", monkeypatch)
        bench.run("0-5", name="plain")
        hostile = write_run(bench, 5, "hostile", ODD_LAYER, label=hostile_label)
        yield Desk(bench, open_run("plain", bench.workspace), hostile)


@pytest.fixture
def own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Bench:
    """Return an empty workspace of the test's own."""
    return Bench(tmp_path / "own", monkeypatch)
