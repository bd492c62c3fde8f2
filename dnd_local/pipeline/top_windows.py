"""Each neuron's top images, found for many neurons in one pass over their layer's responses.

Exemplars are made for a few neurons at a time, since their pictures are held in memory. If each few
read the layer's responses again, reading would grow with the square of the neurons.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from itertools import islice
from threading import Lock
from typing import Final

from dnd_local.core.sequences import distinct

WINDOW: Final = 512
"""Neurons of one pass: their responses to a chunk of 512 images are 2 MB."""


class TopWindows:
    """The top images of neurons that were asked for lately, and of those that will be next.

    Safe to be asked by several threads; one of them reads while the others wait for it.
    """

    def __init__(self) -> None:
        self._lock = Lock()
        self._expected: dict[str, list[int]] = {}
        self._known: dict[tuple[str, int], list[int]] = {}

    def expect(self, neurons: Iterable[tuple[str, int]]) -> None:
        """Hear, by layer and index, which neurons will be asked for, in about this order."""
        expected: dict[str, list[int]] = {}
        for layer, index in neurons:
            expected.setdefault(layer, []).append(index)
        with self._lock:
            self._expected = expected

    def of(
        self, layer: str, wanted: Sequence[int], find: Callable[[Sequence[int]], list[list[int]]]
    ) -> list[list[int]]:
        """Return the top images of the `wanted` neurons of a layer.

        Args:
            layer: the neurons' layer.
            wanted: their indices.
            find: finds the top images of any neurons of the layer, in one pass.
        """
        with self._lock:
            unknown = [index for index in wanted if (layer, index) not in self._known]
            if unknown:
                together = distinct([*unknown, *self._next(layer, unknown[0])])
                for index, images in zip(together, find(together), strict=True):
                    self._known[layer, index] = images
            result = [self._known[layer, index] for index in wanted]
            for oldest in list(islice(self._known, max(len(self._known) - 2 * WINDOW, 0))):
                del self._known[oldest]
            return result

    def _next(self, layer: str, index: int) -> list[int]:
        """Return the expected neurons from `index` on that are not known yet, a window of them."""
        line = self._expected.get(layer, [])
        if index not in line:
            return []
        start = line.index(index)
        return [one for one in line[start : start + WINDOW] if (layer, one) not in self._known]
