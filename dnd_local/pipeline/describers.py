"""A describer that answers elsewhere: its questions go out as files, round by round.

For the neurons, exemplars and captions of a run, a language model that is not here gets the very
messages that the local one gets. Its replies are kept in a book beside the run; what the book
lacks is the next round (simplify; then summarise; then merge, and what had to be asked again).
When nothing is lacking, ``replay:RUN/DESCRIBER`` is a language model like any other.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import msgspec

from dnd_local.core.config import Config
from dnd_local.core.conversations import Reply, Request
from dnd_local.core.errors import UserError
from dnd_local.engines.language_model_replay import ReplayLanguageModel, RepliesMissing
from dnd_local.pipeline.plan import CAPTIONS
from dnd_local.pipeline.reading import StoredRun
from dnd_local.pipeline.replies import book_path, read_book
from dnd_local.pipeline.runner import RunResult, dissect_neurons
from dnd_local.pipeline.selection import Selection
from dnd_local.pipeline.session import Progress
from dnd_local.pipeline.stage import Item
from dnd_local.stages.concepts import conceive
from dnd_local.stages.phrases import simplify
from dnd_local.store.openai_batch import (
    Family,
    batch_files,
    batch_lines,
    read_batch_file,
    request_id,
)


@dataclass(frozen=True, slots=True)
class Round:
    """What a describer is to be asked next, each question once; none when its book is complete."""

    requests: tuple[Request, ...]
    answered: int
    neurons: int

    def files(self, model: str, family: Family = "chat") -> list[list[str]]:
        """Return the round as the lines of OpenAI batch files for `model` of a `family`."""
        return batch_files(batch_lines(self.requests, model, family))


@dataclass(frozen=True, slots=True)
class Imported:
    """What a file of replies brought: how many entered, what was wrong, and what is left to ask."""

    entered: int
    problems: tuple[str, ...]
    left: Round


def next_round(run: StoredRun, describer: str) -> Round:
    """Return what `describer` is to be asked next about the neurons of a run.

    Raises:
        UserError: the run has no captions yet.
        Refused: the describer's name could not be a file's name.
    """
    return _round(run, read_book(run.lab.execution.workspace, run.record.name, describer))


def import_replies(run: StoredRun, describer: str, path: Path) -> Imported:
    """Enter a file of replies into a describer's book; only what its round asks enters.

    Raises:
        UserError: the file cannot be read, or the run has no captions yet.
    """
    workspace, name = run.lab.execution.workspace, run.record.name
    book = read_book(workspace, name, describer)
    asked = [request_id(request) for request in _round(run, book).requests]
    batch = read_batch_file(path, set(asked) | set(book))
    new = {key: reply for key, reply in batch.replies.items() if key not in book}
    if new:
        whole = book | new
        file = book_path(workspace, name, describer).relative_to(run.folder.folder)
        run.folder.write_json(str(file), whole)
        book = whole
    return Imported(len(new), batch.problems, _round(run, book))


def describe_with(
    run: StoredRun, describer: str, devices: tuple[str, ...], progress: Progress | None = None
) -> RunResult:
    """Return the descriptions of a run's neurons by a describer whose book is complete.

    They are a run of their own, ``RUN-DESCRIBER``, with every other setting the same.

    Raises:
        RepliesMissing: the book is not complete.
    """
    if (left := next_round(run, describer)).requests:
        raise RepliesMissing(left.requests)
    config = describer_config(run.record.config, run.record.name, describer)
    execution = msgspec.structs.replace(run.lab.execution, devices=devices, workers=len(devices))
    name = f"{run.record.name}-{describer}"
    results = [
        dissect_neurons(config, execution, Selection((layer,), ids), name, progress)
        for layer, ids in run.record.neurons.items()
    ]
    failures = tuple(failure for result in results for failure in result.failures)
    count = sum(result.made for result in results)
    return replace(results[-1], failures=failures, made=count)


def describer_config(config: Config, run: str, describer: str) -> Config:
    """Return the settings of a run with its language model replaced by a describer's book."""
    llm = msgspec.structs.replace(config.llm, engine=f"replay:{run}/{describer}", model=describer)
    return msgspec.structs.replace(config, llm=llm)


def _round(run: StoredRun, book: Mapping[str, Reply]) -> Round:
    """Ask as the stages ask, of the book, all neurons together: what it lacks is the round."""
    lab, config = run.lab, run.lab.config
    if config.concepts.rounds or config.concepts.contrast:
        raise UserError(
            f"run '{run.record.name}' has concepts.rounds {config.concepts.rounds} and "
            f"concepts.contrast {config.concepts.contrast}, whose questions rest on what is "
            "computed here in between; a model elsewhere answers for a run without them"
        )
    items = [Item.of_neuron(neuron) for neuron in run.record.wanted()]
    captions = CAPTIONS.read(lab, CAPTIONS.there(lab, items))
    if not captions:
        raise UserError(
            f"run '{run.record.name}' has no captions yet, so there is nothing to ask; "
            f"`dnd-local dissect` makes them first"
        )
    asked = ReplayLanguageModel(book)
    try:
        phrases = simplify(captions, asked, lab.prompts, config.llm, config.seed, config.ledger)
        conceive(
            phrases, asked, lab.prompts, config.llm, config.concepts, config.seed, config.ledger
        )
    except RepliesMissing as error:
        return Round(error.requests, len(book), len(captions))
    return Round((), len(book), len(captions))
