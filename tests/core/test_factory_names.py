"""Names of a user's own engines."""

from __future__ import annotations

from pathlib import Path

import pytest

from dnd_local.core.errors import UserError
from dnd_local.core.factory_names import is_factory, split_factory


@pytest.mark.parametrize("name", ["a.py:make", "some/where.py:make_2", "C:/x.py:f"])
def test_a_file_and_a_function(name: str) -> None:
    assert is_factory(name)
    assert split_factory(name) == (Path(name.rpartition(":")[0]), name.rpartition(":")[2])


@pytest.mark.parametrize("name", ["resnet50", "a.py", "a.py:", "a.py:a-b", "a.txt:make", ":make"])
def test_any_other_name(name: str) -> None:
    assert not is_factory(name)
    with pytest.raises(UserError, match="not of the form"):
        split_factory(name)
