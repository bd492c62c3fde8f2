"""More pictures of the world of colours than the pipeline's tests need: a judge wants many."""

from __future__ import annotations

from dnd_local.core.protocols import UnreadableImage
from dnd_local.core.records import Pixels
from tests.fakes import ColourProbe, flat


class ManyColours(ColourProbe):
    """Up to 180 pictures, their colours in turn, their strengths all different."""

    def pixels(self, index: int) -> Pixels:
        if index in self.broken:
            raise UnreadableImage("cut off")
        return flat(index % 3, 60 + index)
