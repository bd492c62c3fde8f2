"""The tree of errors: what each is caught by, its exit code, its one line."""

from __future__ import annotations

import inspect

import pytest

from dnd_local.core import errors
from dnd_local.core.errors import DndError, EngineError, Interrupted, UnknownName, UserError

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
