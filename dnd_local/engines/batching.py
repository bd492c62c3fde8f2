"""Running a model at one padded batch shape, so that no result depends on its batch."""

from __future__ import annotations

import logging
from collections.abc import Callable, Hashable, Sequence
from typing import TypeVar

from dnd_local.core.errors import OutOfMemory
from dnd_local.core.sequences import grouped
from dnd_local.engines.device import out_of_memory_as_ours, release

T = TypeVar("T")
R = TypeVar("R")

_log = logging.getLogger(__name__)


class PaddedBatches:
    """Groups of exactly `shape` inputs, the last one filled up by repeating its last input.

    Kernels are chosen by shape: at one shape a row is computed the same way whatever the other
    rows hold (on the CPU in fp32 to the bit). Where a group does not fit into memory, `shape` is
    halved for good and the group runs again; results then agree with the wider shape's within
    rounding.
    """

    def __init__(self, shape: int) -> None:
        self.shape = self._asked = shape

    @property
    def narrowed(self) -> int:
        """The shape that memory forced on the groups, 0 while they have the one asked for."""
        return self.shape if self.shape < self._asked else 0

    def run(self, inputs: Sequence[T], forward: Callable[[list[T]], Sequence[R]]) -> list[R]:
        """Return `forward`'s result for every input, in their order.

        Args:
            inputs: any number of them.
            forward: takes `shape` inputs and returns as many results, in order.

        Raises:
            OutOfMemory: not even one input fits.
        """
        results: list[R] = []
        while len(results) < len(inputs):
            group = list(inputs[len(results) : len(results) + self.shape])
            padded = group + group[-1:] * (self.shape - len(group))
            try:
                with out_of_memory_as_ours():
                    done = forward(padded)
            except OutOfMemory as error:
                self._halve(error)
                continue
            results.extend(done[: len(group)])
        return results

    def run_by_length(
        self,
        inputs: Sequence[T],
        length: Callable[[T], Hashable],
        forward: Callable[[list[T]], Sequence[R]],
    ) -> list[R]:
        """Return `forward`'s results in the inputs' order, inputs of one length at a time.

        For texts: a batch holds only inputs of one padded length, so the shape at which an input
        runs depends on that input alone.

        Raises:
            OutOfMemory: not even one input fits.
        """
        alike = grouped(range(len(inputs)), lambda index: length(inputs[index]))
        by_index: dict[int, R] = {}
        for indices in alike.values():
            results = self.run([inputs[index] for index in indices], forward)
            by_index.update(zip(indices, results, strict=True))
        return [by_index[index] for index in range(len(inputs))]

    def _halve(self, error: OutOfMemory) -> None:
        if self.shape == 1:
            raise OutOfMemory(
                f"out of memory with a single input ({error}); use a smaller model, fewer bits "
                "(quantisation) or a larger device"
            ) from error
        self.shape //= 2
        release()
        _log.warning("out of memory: going on with groups of %d", self.shape)


class OnBatches:
    """Mixin of an engine that runs its model on `PaddedBatches`."""

    _batches: PaddedBatches

    @property
    def narrowed(self) -> int:
        """See `PaddedBatches.narrowed`; parts that are made from then on say it."""
        return self._batches.narrowed


def up_to_multiple(length: int, multiple: int) -> int:
    """Return the smallest multiple of `multiple` that is at least `length` and not 0."""
    return max(multiple, -(-length // multiple) * multiple)
