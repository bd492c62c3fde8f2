"""Pictures made into a network's inputs in threads, ahead of the network."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager

import torch
from torch import Tensor

from dnd_local.core.records import Pixels
from dnd_local.core.sequences import distinct

Take = Callable[[Sequence[int]], list[Tensor]]
"""From the indices of pictures to their inputs, in the same order."""


class Preparation:
    """Threads that turn pictures into inputs: those of the batch that is asked for, all cores at
    once, and on a GPU meanwhile those of the next batch. On the CPU both would want the same cores.

    Args:
        prepare: from an RGB picture to one input, safe to call from several threads.
        home: the network's device.
    """

    def __init__(self, prepare: Callable[[Pixels], Tensor], home: torch.device) -> None:
        self._prepare = prepare
        self._batches = 0 if home.type == "cpu" else 1
        self._threads = ThreadPoolExecutor(os.cpu_count(), thread_name_prefix="transform")

    def close(self) -> None:
        """End the threads."""
        self._threads.shutdown()

    @contextmanager
    def of(self, pictures: Sequence[Pixels]) -> Iterator[Take]:
        """Hand over a function that takes the inputs of `pictures`, in the order of batches."""
        started: dict[int, Future[Tensor]] = {}

        def take(indices: Sequence[int]) -> list[Tensor]:
            last = indices[-1] + 1
            end = min(last + self._batches * len(indices), len(pictures))
            for index in (*indices, *range(last, end)):
                if index not in started:
                    started[index] = self._threads.submit(self._prepare, pictures[index])
            results = {index: started.pop(index).result() for index in distinct(indices)}
            return [results[index] for index in indices]

        try:
            yield take
        finally:
            for future in started.values():
                future.cancel()
