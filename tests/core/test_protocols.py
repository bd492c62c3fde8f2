"""The seams that can be asked at run time whether an object fits them."""

from __future__ import annotations

from collections.abc import Sequence

from dnd_local.core.protocols import Captioner, Embedder, LanguageModel, Painter, Target
from dnd_local.core.records import Pixels


class OnlyCaptions:
    def caption(self, pictures: Sequence[Pixels]) -> list[str]:
        return ["a picture" for _ in pictures]


def test_an_engine_fits_the_seam_it_has_the_methods_of() -> None:
    engine = OnlyCaptions()
    assert isinstance(engine, Captioner)
    assert not any(isinstance(engine, seam) for seam in (Target, LanguageModel, Painter, Embedder))
