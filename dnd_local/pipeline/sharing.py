"""Processes that share the work on one workspace, started whenever, on any machines that see it.

Each takes what nobody has in hand, by leases on the parts (`store/leases`), and goes over the plan
again until all is made: no process is first among them, and none waits for one that has not
started. The parts are the same whoever makes them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from functools import partial
from typing import Any

from dnd_local.pipeline.lab import Lab
from dnd_local.pipeline.making import Made, make_parts
from dnd_local.pipeline.stage import Item, Stage
from dnd_local.store.leases import Leases


class Shared:
    """Makes parts in this process, each only where no other process has it in hand."""

    def __init__(self, lab: Lab, leases: Leases) -> None:
        self.lab, self._leases = lab, leases

    def free(self, stage: Stage[Any], items: Sequence[Item]) -> list[Item]:
        """See `Executor`."""
        folder = stage.parts(self.lab).folder
        held = self._leases.held_elsewhere(folder, [item.name for item in items])
        return [item for item in items if item.name not in held]

    def make(
        self, stage: Stage[Any], items: Sequence[Item], advance: Callable[[int], None]
    ) -> Made:
        """See `Executor`. Each process begins at another batch, so that few meet."""
        self.lab.keep(stage.roles)
        batches = list(stage.batches(self.lab.config, items))
        first = self._leases.number % len(batches)
        batches = batches[first:] + batches[:first]
        return make_parts(stage, self.lab, batches, advance, partial(self._holding, stage))

    @contextmanager
    def _holding(self, stage: Stage[Any], batch: Sequence[Item]) -> Iterator[Sequence[Item]]:
        """Give those of a batch that are missing still, and nobody else's meanwhile."""
        folder = stage.parts(self.lab).folder
        with ExitStack() as leases:
            held = []
            for item in batch:
                if self._leases.claim(folder, item.name):
                    leases.callback(self._leases.release, folder, item.name)
                    held.append(item)
            yield stage.missing(self.lab, held)
