"""The exchanges that a finished run keeps: it can be made again from them, without any model."""

from __future__ import annotations

from pathlib import Path

import msgspec

from dnd_local.core.errors import Refused
from dnd_local.core.records import Concepts, Exchange, Phrases
from dnd_local.store.parts import PartFolder
from dnd_local.store.runs import RunFolder


def exchanges_of(run: str, workspace: Path) -> tuple[Exchange, ...]:
    """Return every exchange behind a run's phrases and concepts, neuron by neuron.

    Raises:
        UnknownName: there is no such run.
        Refused: the run was never finished, so where its parts lie is not known.
    """
    folder = RunFolder(workspace, run)
    items = [f"{neuron.layer}-{neuron.index:05d}" for neuron in folder.read().wanted()]
    path = folder.folder / "stages.json"
    if not path.exists():
        raise Refused(f"run '{run}' was never finished, so its replies cannot be replayed")
    places = msgspec.json.decode(path.read_bytes(), type=dict[str, str])
    phrases = _parts(workspace, places["phrases"], Phrases)
    concepts = _parts(workspace, places["concepts"], Concepts)
    found: list[Exchange] = []
    for parts in (phrases, concepts):
        missing = set(parts.missing(items))
        for item in items:
            if item not in missing:
                found += parts.read(item).exchanges
    return tuple(found)


def _parts(
    workspace: Path, place: str, record: type[Phrases] | type[Concepts]
) -> PartFolder[Phrases | Concepts]:
    stage, _, key16 = place.rpartition("-")
    return PartFolder(workspace / "artefacts", stage, key16, record)
