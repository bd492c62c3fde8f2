"""What every test shares: the same hypothesis examples each time, on machines of any speed.

Tests marked `long` run where they are asked for by that mark, and nowhere else.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from hypothesis import settings

from dnd_local.store import guard
from tests.skips import (  # noqa: F401  # hooks
    pytest_addoption,
    pytest_make_collect_report,
    pytest_runtest_makereport,
)

settings.register_profile("house", deadline=None, derandomize=True, database=None)
settings.load_profile("house")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave tests marked `long` out, unless `-m` names that mark."""
    if "long" in config.option.markexpr:
        return
    left_out = [item for item in items if "long" in item.keywords]
    items[:] = [item for item in items if "long" not in item.keywords]
    if left_out:
        config.hook.pytest_deselected(items=left_out)


@pytest.fixture(autouse=True)
def _nobody_guards_this_process() -> Iterator[None]:
    """Fail the test that takes the network from this process: the guard cannot be taken off again.

    Every later test of the process would run behind it, and those that need none would fail far
    from the cause.
    """
    before = guard.is_guarded()
    yield
    assert guard.is_guarded() == before, (
        "this test ran the real go_offline in the tests' own process"
    )


@pytest.fixture
def unguarded(monkeypatch: pytest.MonkeyPatch) -> list[None]:
    """Keep `import dnd_local` and its names from closing the network; one item a time it asked."""
    asked: list[None] = []
    monkeypatch.setattr(guard, "go_offline", lambda **_: asked.append(None))
    return asked
