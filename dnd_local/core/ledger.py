"""The ledger: where the released code and this project differ, and which side a run takes.

`Config.compat` picks a `Ledger`; each stage is handed it and looks up its own row's side in a
table of two functions beside the code that it changes. No other place knows of `official`.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Final, Literal, TypeAlias

from dnd_local.core.cards import Card

Side: TypeAlias = Literal["ours", "released"]


@dataclass(frozen=True, slots=True)
class Ledger(Card):
    """The side taken of every row that leaves a choice; a field is named by what it decides.

    Attributes:
        map_values: row 1, how a map becomes 8 bit.
        map_place: row 2, which part of the picture a map lies on.
        crop_shape: row 4, the shape in which exemplars and crops are seen.
        picture_size: row 5, the size in which generated pictures are judged.
        cosine_over: row 6, the pictures whose CLIP cosine weighs a candidate.
        wording: rows 9 and 18, how replies are read and phrases joined.
        top_up: row 10, whether repeats are made up for.
        triage: row 11, which neurons are set aside.
        map_resize: row 17, how a map is brought to the size of what it covers.
        draws: row 19, in which order phrases are shown, how long a reply may be, how a list is
            spelled that is to be merged.
    """

    map_values: Side = "ours"
    map_place: Side = "ours"
    crop_shape: Side = "ours"
    picture_size: Side = "ours"
    cosine_over: Side = "ours"
    wording: Side = "ours"
    top_up: Side = "ours"
    triage: Side = "ours"
    map_resize: Side = "ours"
    draws: Side = "ours"


OURS: Final = Ledger()
RELEASED: Final = Ledger(*("released" for _ in fields(Ledger)))  # type: ignore[arg-type]
"""The released side of every row that leaves a choice (`--compat official`)."""
