"""The tree of errors: what each is caught by, its exit code, its one line."""

from __future__ import annotations

import errno
import inspect
import os
from pathlib import Path

import pytest

from dnd_local.core import errors
from dnd_local.core.errors import (
    DndError,
    EngineError,
    Interrupted,
    UnknownName,
    UserError,
    disk_error,
)

CLASSES = [
    value
    for value in vars(errors).values()
    if inspect.isclass(value) and issubclass(value, DndError)
]


@pytest.mark.parametrize("error", CLASSES)
def test_the_drawing_shows_every_error(error: type[DndError]) -> None:
    lines = (errors.__doc__ or "").splitlines()
    assert any(error.__name__ in line.split() for line in lines)


@pytest.mark.parametrize("error", CLASSES)
def test_exit_codes_follow_the_tree(error: type[DndError]) -> None:
    expected = 2 if issubclass(error, UserError) else 130 if error is Interrupted else 1
    assert error.exit_code == expected


def test_no_engine_error_is_the_users() -> None:
    assert not any(issubclass(error, UserError) for error in EngineError.__subclasses__())


def test_an_unknown_name_offers_near_ones_and_says_what_to_do() -> None:
    error = UnknownName("layer", "layr4", ["layer3", "layer4", "fc"], "See dnd-local layers.")
    assert str(error) == (
        "unknown layer 'layr4'. Did you mean layer4, layer3? See dnd-local layers."
    )
    assert (error.kind, error.name, error.near) == ("layer", "layr4", ("layer4", "layer3"))


def test_a_name_like_nothing_offers_nothing() -> None:
    error = UnknownName("layer", "zzz", iter(["layer3"]))
    assert str(error) == "unknown layer 'zzz'."
    assert error.near == ()


@pytest.mark.parametrize(
    ("code", "advice"),
    [
        (errno.ENOSPC, "make room"),
        (errno.EDQUOT, "make room"),
        (errno.EIO, "look at the disk"),
        (errno.EROFS, "see to the rights"),
        (errno.EACCES, "see to the rights"),
        (errno.EMFILE, "raise the limit"),
        (errno.EISDIR, "move away what lies there"),
    ],
)
def test_what_the_system_refuses_has_path_cause_and_advice(code: int, advice: str) -> None:
    for path in ("/a/b", b"/a/b", Path("/a/b")):
        error = disk_error(OSError(code, os.strerror(code), path))
        assert str(error).startswith(f"/a/b: {os.strerror(code)}; {advice}")
        assert error is not None
        assert error.exit_code == 2
    assert str(disk_error(OSError(code, os.strerror(code)))).startswith("a file or the output: ")


def test_no_temporary_folder_is_a_full_disk() -> None:
    error = FileNotFoundError(errno.ENOENT, "No usable temporary directory found in ['/tmp']")
    assert str(disk_error(error)).startswith(
        "No usable temporary directory found in ['/tmp']; make"
    )


@pytest.mark.parametrize(
    "error",
    [
        FileNotFoundError(errno.ENOENT, "gone", "/a"),
        OSError("no number"),
        OSError(errno.EINVAL, "x"),
    ],
)
def test_other_errors_of_the_system_are_ours(error: OSError) -> None:
    assert disk_error(error) is None
