"""Which pickles a pull may read: those of a known hash, and others once the user agrees.

Loading a pickle can run any code that it holds. If its whole hash is in the manifest or given by
the user, it is the file that somebody checked. If its source publishes only the first digits of the
hash, the user decides; the converter then reads it, and the whole hashes are pinned.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import TypeAlias

from dnd_local.core.errors import Refused
from dnd_local.store.fetch import Wanted

Consent: TypeAlias = Callable[[Sequence[Wanted]], bool]
"""Asks the user whether to read pickles known by the first digits of their hash."""


def with_hashes(wanted: Sequence[Wanted], trusted: Mapping[str, str]) -> list[Wanted]:
    """Return the files with the user's hashes filled in, by file name or label.

    Raises:
        Refused: of a pickle no digit of its hash is known.
    """
    filled = []
    for one in wanted:
        given = trusted.get(one.label) or trusted.get(_name(one))
        if given and one.sha256 is None:
            one = replace(one, sha256=given.lower())
        filled.append(one)
    unknown = [one for one in filled if one.pickle and not (one.sha256 or one.sha256_prefix)]
    if unknown:
        raise Refused(
            f"{', '.join(one.label for one in unknown)}: a pickle whose hash nobody "
            f"published is not read; fetch {unknown[0].url} yourself, judge it, and give its hash: "
            f"--trust {_name(unknown[0])}=SHA256"
        )
    return filled


def agree(wanted: Sequence[Wanted], consent: Consent) -> None:
    """Ask, before anything lands, whether to read pickles known by a prefix of their hash.

    Raises:
        Refused: the answer is no.
    """
    half_known = [one for one in wanted if one.pickle and one.sha256 is None]
    if half_known and not consent(half_known):
        raise Refused(
            f"{', '.join(one.label for one in half_known)}: a pickle of whose hash only the "
            "first digits are published is read after you agree: add --yes, or give the whole "
            f"hash: --trust {_name(half_known[0])}=SHA256"
        )


def never(_: Sequence[Wanted]) -> bool:
    """Refuse, where there is nobody to ask."""
    return False


def _name(wanted: Wanted) -> str:
    return wanted.label.rpartition("/")[2]
