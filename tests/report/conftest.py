"""One workspace for all tests of the report: a run by fake engines, and one of hostile texts."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from dnd_local.evaluate.verdicts import RULINGS, Judged, Verdict, write_verdicts
from dnd_local.pipeline.reading import StoredRun, open_run
from tests.bench import Bench
from tests.report.synthetic import SCRIPT, hostile_label, write_run

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


@pytest.fixture(scope="package")
def judged(desk: Desk) -> StoredRun:
    """Return the plain run once more, its three labels judged: one each way, in this order."""
    result = desk.bench.run("0-5", name="judged")
    run = open_run("judged", desk.bench.workspace)
    labelled = [own for own in result.descriptions if own.labels]
    write_verdicts(
        run.folder,
        [
            Verdict(own.neuron.layer, own.neuron.index, own.labels[0].text, ruling, support,
                    _figures(support))
            for own, ruling, support in zip(labelled, RULINGS, (0.75, 0.875, 0.5), strict=True)
        ],
    )  # fmt: skip
    return run


def _figures(support: float) -> tuple[Judged, ...]:
    rows = (("correlation", support), ("f1", 0.25), ("auc", 0.9375), (SCRIPT, 0.125))
    return tuple(
        Judged(name, value, value - 0.0625, value + 0.0625, 0.0, 0.5, float("nan"), support)
        for name, value in rows
    )


@pytest.fixture
def own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Bench:
    """Return an empty workspace of the test's own."""
    return Bench(tmp_path / "own", monkeypatch)
