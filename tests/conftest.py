"""What every test shares: the same hypothesis examples each time, on machines of any speed.

Tests marked `long` run where they are asked for by that mark, and nowhere else.
"""

from __future__ import annotations

import pytest
from hypothesis import settings

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
