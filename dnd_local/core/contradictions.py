"""Settings that each are in their range and do not go together."""

from __future__ import annotations

from msgspec import Struct

from dnd_local.core.errors import BadConfig


def check_at_least(section: str, settings: Struct, name: str, other: str) -> None:
    """Refuse a setting that is lower than another one of its section.

    Raises:
        BadConfig: it is; the message says both and how far to raise it.
    """
    value, least = getattr(settings, name), getattr(settings, other)
    if value < least:
        raise BadConfig(
            f"{section}.{name} is {value}, fewer than {section}.{other} ({least}); raise it to at "
            f"least {least}"
        )


def check_race(first: int, whole: int, *, official: bool) -> None:
    """Refuse settings under which a race cannot be.

    Raises:
        BadConfig: the released code is followed, which does not race, or the `first` pictures
            are all of the `whole` already.
    """
    if first and official:
        raise BadConfig(
            f"scores.race is {first}, and compat 'official' follows the released code, which does "
            "not race; give --race 0, or leave out --compat"
        )
    if first and first >= whole:
        raise BadConfig(
            f"scores.race is {first}, and pictures.count {whole}: no pictures are left to race "
            "for; lower scores.race, or give --race 0"
        )


def check_alone(race: int, rounds: int) -> None:
    """Refuse a race and rounds together: a round needs whole scores, which a race does not make.

    Raises:
        BadConfig: both are asked for.
    """
    if race and rounds:
        raise BadConfig(
            f"scores.race is {race} and concepts.rounds {rounds}: a round needs every picture of "
            "every candidate, which a race leaves out; give --race 0 or --rounds 0"
        )
