"""How long a run took, stage by stage: what ``dnd-local bench`` shows and compares."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import msgspec

from dnd_local.core.errors import UserError
from dnd_local.pipeline.plan import PLAN
from dnd_local.pipeline.reading import StoredRun
from dnd_local.store.files import read_whole
from dnd_local.store.outputs import Cell


@dataclass(frozen=True, slots=True)
class StageTime:
    """What a stage took over all sessions of a run.

    `seconds` are those in which it was at work, `loading` those of them in which engines were
    opened (0 where worker processes opened them); `parts` counts what it made.
    """

    stage: str
    parts: int
    seconds: float
    loading: float = 0.0

    @property
    def each(self) -> float | None:
        """Seconds a part, without loading; None where none was made."""
        return (self.seconds - self.loading) / self.parts if self.parts else None


@dataclass(frozen=True, slots=True)
class RunTimes:
    """The stages of a run that were at work, and where it last ran."""

    run: str
    neurons: int
    devices: tuple[str, ...]
    software: Mapping[str, str]
    stages: tuple[StageTime, ...]

    @property
    def seconds(self) -> float:
        """Seconds of all stages."""
        return sum(stage.seconds for stage in self.stages)


def times_of(run: StoredRun) -> RunTimes:
    """Return how long a run's stages took, as its events tell."""
    measured, loading = run.folder.measured(), defaultdict[str, float](float)
    for event in run.folder.events():
        loading[event.get("stage", "")] += event.get("loading", 0.0)
    stages = []
    for stage in PLAN:
        if stage.name in measured:
            seconds, parts = measured[stage.name]
            loaded = round(loading[stage.name], 3)
            stages.append(StageTime(stage.name, parts, round(seconds, 3), loaded))
    record = run.record
    return RunTimes(
        record.name, len(record.wanted()), record.devices, record.software, tuple(stages)
    )


def read_times(path: Path) -> RunTimes:
    """Return the times in a file that `encoded` made.

    Raises:
        UserError: the file cannot be read as one.
    """
    try:
        return msgspec.json.decode(read_whole(path), type=RunTimes)
    except (OSError, ValueError) as error:
        raise UserError(
            f"{path} is no file of times ({error}); `dnd-local bench RUN --out {path.name}` "
            "writes one"
        ) from None


def encoded(times: RunTimes) -> bytes:
    """Return times as JSON, for `read_times`."""
    return msgspec.json.format(msgspec.json.encode(times), indent=2) + b"\n"


def time_records(times: RunTimes, other: RunTimes | None = None) -> list[dict[str, Cell]]:
    """Return one record a stage; with `other`, how many times as fast as there a part is made."""
    elsewhere = {stage.stage: stage.each for stage in other.stages} if other else {}
    records: list[dict[str, Cell]] = []
    for stage in times.stages:
        record: dict[str, Cell] = {
            "stage": stage.stage,
            "parts": stage.parts,
            "seconds": stage.seconds,
            "share": round(stage.seconds / times.seconds, 4) if times.seconds else None,
            "loading": stage.loading,
            "each": stage.each,
        }
        if other:
            each = elsewhere.get(stage.stage)
            record["other_each"] = each
            record["times_as_fast"] = each / stage.each if each and stage.each else None
        records.append(record)
    return records
