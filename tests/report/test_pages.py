"""What templates are given: escaping, and numbers as people write them."""

from __future__ import annotations

import pytest
from jinja2 import UndefinedError

from dnd_local.report.pages import bytes_text, render, seconds_text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(None, "–"), (90, "1.5 min")],
)
def test_durations(seconds: float | None, text: str) -> None:
    assert seconds_text(seconds) == text


@pytest.mark.parametrize(("size", "text"), [(0, "–"), (2_100_000_000, "2.1 GB")])
def test_sizes(size: int, text: str) -> None:
    assert bytes_text(size) == text


def test_a_value_that_a_page_lacks_is_an_error_not_a_gap() -> None:
    with pytest.raises(UndefinedError):
        render("run.html")
