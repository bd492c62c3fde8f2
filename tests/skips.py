"""Lets a test skip itself only for a reason on the list `skips.txt`, under `--listed-skips`.

A test that skips itself checks nothing and looks green. On a machine of its own, one may; where
everything must be checked (scripts/check), any other reason is a failure.
"""

from __future__ import annotations

from collections.abc import Generator
from fnmatch import fnmatchcase
from pathlib import Path
from typing import TypeVar

import pytest

LIST = Path(__file__).with_name("skips.txt")
Report = TypeVar("Report", pytest.TestReport, pytest.CollectReport)


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add `--listed-skips`."""
    text = "fail a test that skips itself for a reason that is not in tests/skips.txt"
    parser.addoption("--listed-skips", action="store_true", help=text)


@pytest.hookimpl(wrapper=True, trylast=True)
def pytest_runtest_makereport(
    item: pytest.Item,
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """See `checked`."""
    return checked((yield), item.config)


@pytest.hookimpl(wrapper=True, trylast=True)
def pytest_make_collect_report(
    collector: pytest.Collector,
) -> Generator[None, pytest.CollectReport, pytest.CollectReport]:
    """See `checked`; a whole module may skip itself while it is collected."""
    return checked((yield), collector.config)


def checked(report: Report, config: pytest.Config) -> Report:
    """Return a report of a skip as a failure, if its reason is not listed."""
    if not (config.getoption("--listed-skips") and report.skipped) or hasattr(report, "wasxfail"):
        return report
    said = report.longrepr[2] if isinstance(report.longrepr, tuple) else str(report.longrepr)
    reason = said.removeprefix("Skipped: ")
    if not any(fnmatchcase(reason, pattern) for pattern in listed()):
        report.outcome = "failed"
        report.longrepr = (
            f"{report.nodeid} skips itself, for a reason that is not in {LIST}: {reason}"
        )
    return report


def listed() -> list[str]:
    """Return the patterns of the list."""
    lines = LIST.read_text("utf-8").splitlines()
    return [line for line in lines if line and not line.startswith("#")]
