"""Shipped files are found in a checkout and in an installed wheel alike."""

from __future__ import annotations

from pathlib import Path

import pytest

from dnd_local.store import resources
from dnd_local.store.resources import checkout, shipped


def test_a_checkout_keeps_prompts_at_its_top() -> None:
    assert (shipped("prompts") / "summarise.txt").is_file()


def test_a_wheel_keeps_them_inside_the_package(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    package = tmp_path / "site-packages" / "dnd_local"
    inside, beside = package / "_shipped" / "prompts", package.parent / "prompts"
    inside.mkdir(parents=True)
    # Another project's folder of the same name beside the package must not win.
    beside.mkdir()
    monkeypatch.setattr(resources, "_PACKAGE", package)
    assert shipped("prompts") == inside


def test_data_of_the_package_itself_is_found() -> None:
    assert shipped("py.typed").name == "py.typed"


def test_a_broken_installation_says_so() -> None:
    with pytest.raises(FileNotFoundError, match=r"lacks nothing\.bin; install it again"):
        shipped("nothing.bin")


def test_a_checkout_knows_its_source_tree_and_a_wheel_has_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    home = checkout()
    assert home is not None
    assert (home / "pyproject.toml").is_file()
    monkeypatch.setattr(resources, "_PACKAGE", tmp_path / "dnd_local")
    assert checkout() is None
