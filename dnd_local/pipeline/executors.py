"""Who makes a stage's missing parts: this process, here; `crew` and `sharing` have other ways.

Parts are per item, so there is nothing to merge, and who makes which changes nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Protocol

from dnd_local.pipeline.lab import Lab
from dnd_local.pipeline.making import Made, make_parts
from dnd_local.pipeline.stage import Item, Stage


class Executor(Protocol):
    """Makes parts."""

    def free(self, stage: Stage[Any], items: Sequence[Item]) -> list[Item]:
        """Return those of the missing `items` that nobody else has in hand."""

    def make(
        self, stage: Stage[Any], items: Sequence[Item], advance: Callable[[int], None]
    ) -> Made:
        """Make the parts of `items`; `advance` hears of each few that are done.

        What is neither made nor failed afterwards, another process has in hand.

        Raises:
            UserError: something that the user can mend and that stops every item.
            EngineError: an engine that is broken for every item.
        """


class InProcess:
    """Makes parts in this process, with the engines of one `Lab`."""

    def __init__(self, lab: Lab) -> None:
        self.lab = lab

    def free(self, stage: Stage[Any], items: Sequence[Item]) -> list[Item]:
        """See `Executor`."""
        return list(items)

    def make(
        self, stage: Stage[Any], items: Sequence[Item], advance: Callable[[int], None]
    ) -> Made:
        """See `Executor`. An engine stays open while the stages that follow each other use it."""
        if stage.roles:
            self.lab.keep(stage.roles)
        return make_parts(stage, self.lab, list(stage.batches(self.lab.config, items)), advance)
