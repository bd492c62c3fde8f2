"""Names of a user's own engines."""

from __future__ import annotations

from pathlib import Path

import pytest

from dnd_local.core.errors import UserError
from dnd_local.core.factory_names import is_factory, split_factory


@pytest.mark.parametrize("name", ["a.py:make", "some/where.py:make_2", "C:/x.py:f"])
def test_a_file_and_a_function(name: str) -> None:
    assert is_factory(name)


def test_the_file_of_a_name_must_be_there(tmp_path: Path) -> None:
    path = tmp_path / "net.py"
    with pytest.raises(UserError, match=f"no file {path} for"):
        split_factory(f"{path}:make")
    path.touch()
    assert split_factory(f"{path}:make") == (path, "make")


@pytest.mark.parametrize("name", ["resnet50", "a.py", "a.py:", "a.py:a-b", "a.txt:make", ":make"])
def test_any_other_name(name: str) -> None:
    assert not is_factory(name)
    with pytest.raises(UserError, match="not of the form"):
        split_factory(name)
