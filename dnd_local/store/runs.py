"""Run folders: one Config and a growing list of neurons, ``runs/<name>/``.

``run.json`` says what was asked for, ``stages.json`` where its parts lie, ``events.jsonl`` what
happened when; each file, or each line, carries its checksum. Results are written beside them.
Nothing in this folder is needed to resume: a damaged ``run.json`` is made from ``events.jsonl``.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from itertools import pairwise
from pathlib import Path
from typing import Any, TypeVar

import msgspec
from filelock import FileLock
from msgspec import Struct

from dnd_local.core.config import Config
from dnd_local.core.config_reading import config_digest, flat
from dnd_local.core.errors import DamagedFile, Refused, UnknownName, UserError
from dnd_local.core.ledger import Side
from dnd_local.core.ledger_rows import sides
from dnd_local.core.records import Neuron
from dnd_local.core.sequences import sums
from dnd_local.store.events import EventLog
from dnd_local.store.files import read_whole, write_atomic
from dnd_local.store.sealed import SEAL, sealed_text, unseal

T = TypeVar("T")

SCHEMA = 2
"""Of ``run.json``; 1 was the same without a checksum."""

PLACES = "stages.json"
"""Where a run's parts lie, written at its end."""
_AGAIN = "run the same dissect command again, which writes it anew (parts stay)"
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,120}")


class RunRecord(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The content of ``run.json``.

    `neurons` lists the indices asked for so far, by layer; `ledger` says which side of every row
    of the method's ledger the settings take; `manifest`, `prompts` and `weights` name the user's
    own ("" for the shipped ones), with which alone its parts are found again. A record of where the
    last session ran, never an input, are `software`, `devices`, `llm_server` (kind and version of
    what served the language model) and `isolation` (how its processes were kept off the network).
    """

    schema: int
    name: str
    config: Config
    neurons: dict[str, tuple[int, ...]]
    ledger: dict[str, Side] = {}
    manifest: str = ""
    prompts: str = ""
    weights: str = ""
    software: dict[str, str] = {}
    devices: tuple[str, ...] = ()
    remote_llm: str = ""
    llm_server: str = ""
    isolation: str = ""
    seconds: dict[str, float] = {}

    def __post_init__(self) -> None:
        for layer, ids in self.neurons.items():
            if any(low >= high for low, high in pairwise((-1, *ids))):
                raise ValueError(f"the neurons of {layer} are no rising indices")

    def wanted(self) -> tuple[Neuron, ...]:
        """Return every neuron of the run, by layer and index."""
        target = self.config.network.name
        return tuple(
            Neuron(target, layer, i) for layer, ids in sorted(self.neurons.items()) for i in ids
        )

    def check_widths(self, widths: Mapping[str, int]) -> None:
        """Check the neurons against the number of neurons that each layer has.

        Raises:
            UserError: a layer has no such neuron (its network has changed since).
        """
        for layer, ids in self.neurons.items():
            if ids and ids[-1] >= widths[layer]:
                raise UserError(
                    f"run '{self.name}' has neuron {layer}:{ids[-1]}, but the layer has "
                    f"{widths[layer]} neurons now; give another --run NAME"
                )


class RunFolder:
    """One run's folder in a workspace.

    Raises:
        Refused: the name could not be a folder's name everywhere.
    """

    def __init__(self, workspace: Path, name: str) -> None:
        if not _NAME.fullmatch(name):
            raise Refused(
                f"run name '{name}' will not do; use letters, digits, '.', '_' and '-', "
                "starting with a letter or digit"
            )
        self.name = name
        self.folder = workspace / "runs" / name
        self._log = EventLog(self.folder / "events.jsonl")

    def read(self) -> RunRecord:
        """Return the run's record.

        Raises:
            UnknownName: there is no such run; near names are offered.
            UserError: it was stopped before its neurons were known.
            DamagedFile: ``run.json`` is not what its checksum promises.
            Refused: a newer version wrote it.
        """
        path = self.folder / "run.json"
        try:
            return self._record(read_whole(path))
        except ValueError as error:  # bad JSON, or bad UTF-8, or a value out of range
            raise DamagedFile(f"{path} is damaged ({error}); {_AGAIN}") from None
        except FileNotFoundError:
            if self._log.path.exists():
                raise UserError(
                    f"run '{self.name}' has no neurons yet: it was stopped in its pass over the "
                    "probe set, or only triage was asked for; the same command goes on from there"
                ) from None
            known = run_names(self.folder.parents[1])
            raise UnknownName("run", self.name, known, "`dnd-local runs` lists them.") from None

    def _record(self, data: bytes) -> RunRecord:
        if SEAL.encode() not in data:
            old = msgspec.json.decode(data, type=RunRecord)
            if old.schema == 1:
                return old
        entries = unseal(data, dict[str, Any], f"{self.name}/run.json")
        if entries["schema"] > SCHEMA:
            raise Refused(f"run '{self.name}' was made by a newer version of dnd-local")
        return msgspec.convert(entries, RunRecord)

    def extend(
        self,
        config: Config,
        neurons: Mapping[str, Iterable[int]],
        manifest: Path | None = None,
        prompts: Path | None = None,
        weights: Path | None = None,
    ) -> RunRecord:
        """Add neurons to the run, making it if need be, and return its record.

        Args:
            config: what can change a result.
            neurons: indices to add, by layer.
            manifest: the user's own manifest, if that is where the models come from.
            prompts: the user's own folder of prompts, likewise.
            weights: the weights folder.

        Raises:
            Refused: the run exists with another Config.
        """
        with self._locked():
            old = self.check(config)
            merged = {layer: set(ids) for layer, ids in (old.neurons if old else {}).items()}
            for layer, ids in neurons.items():
                merged.setdefault(layer, set()).update(ids)
            record = msgspec.structs.replace(
                old or RunRecord(schema=SCHEMA, name=self.name, config=config, neurons={}),
                schema=SCHEMA,
                neurons={layer: tuple(sorted(ids)) for layer, ids in sorted(merged.items())},
                ledger=sides(config.ledger),
                manifest=_absolute(manifest),
                prompts=_absolute(prompts),
                weights=_absolute(weights),
            )
            self.write_json("run.json", record)
            if old is None or record.neurons != old.neurons:
                self.event("asked", neurons=record.neurons, settings=config_digest(config))
            return record

    def check(self, config: Config) -> RunRecord | None:
        """Return the run's record, None where it is new.

        A damaged one is made again from ``events.jsonl``, as far as that goes.

        Raises:
            Refused: the run exists with another Config.
        """
        if not (self.folder / "run.json").exists():
            return None
        try:
            old = self.read()
        except DamagedFile:
            return self._recovered(config)
        if old.config != config:
            raise Refused(
                f"run '{self.name}' exists with other settings "
                f"({', '.join(_differences(old.config, config))}); give another --run NAME"
            )
        return old

    def _recovered(self, config: Config) -> RunRecord:
        """Return the record as ``events.jsonl`` tells it: the neurons last asked for."""
        neurons: dict[str, tuple[int, ...]] = {}
        for event in self.events():
            if event["event"] == "asked":
                if event["settings"] != config_digest(config):
                    raise Refused(
                        f"{self.folder / 'run.json'} is damaged, and the run '{self.name}' was "
                        "made with other settings; give another --run NAME"
                    )
                neurons = {layer: tuple(ids) for layer, ids in event["neurons"].items()}
        return RunRecord(schema=SCHEMA, name=self.name, config=config, neurons=neurons)

    def update(self, seconds: Mapping[str, float] = {}, **changes: Any) -> RunRecord:
        """Change facts of the record that are no inputs; `seconds` of stages are added up."""
        with self._locked():
            old = self.read()
            record = msgspec.structs.replace(old, seconds=sums(old.seconds, seconds), **changes)
            self.write_json("run.json", record)
            return record

    def write_json(self, name: str, value: Any) -> None:
        """Write a JSON file of the run, whole, indented for people, with its checksum."""
        self.write_bytes(name, sealed_text(value, f"{self.name}/{name}"))

    def read_json(self, name: str, kind: type[T], advice: str) -> T:
        """Return what `write_json` wrote; `advice` says what to do where that is damaged.

        Raises:
            FileNotFoundError: there is no such file.
            DamagedFile: it is not what its checksum promises, or is another run's.
        """
        data = read_whole(path := self.folder / name)
        try:
            return unseal(data, kind, f"{self.name}/{name}")
        except ValueError as error:  # bad JSON, or bad UTF-8
            raise DamagedFile(f"{path} is damaged ({error}); {advice}") from None

    def write_bytes(self, name: str, data: bytes) -> None:
        """Write a file of the run, whole or not at all."""
        write_atomic(self.folder / name, data)

    def places(self) -> dict[str, str]:
        """Return the folder of each stage's parts as the run last ended, none before.

        Raises:
            DamagedFile: ``stages.json`` is not what its checksum promises.
        """
        try:
            return self.read_json(PLACES, dict[str, str], _AGAIN)
        except FileNotFoundError:
            return {}

    def event(self, kind: str, **facts: Any) -> None:
        """Append one line to ``events.jsonl``."""
        self._log.add(kind, **facts)

    def measured(self) -> dict[str, tuple[float, int]]:
        """Return (seconds, items made) of each stage over all sessions, from ``events.jsonl``."""
        return self._log.measured()

    def events(self) -> Iterator[dict[str, Any]]:
        """Yield the lines of ``events.jsonl``; a line cut off or damaged is left out."""
        return self._log.lines()

    def damaged_events(self) -> int:
        """Return how many lines of ``events.jsonl`` were cut off or damaged."""
        return self._log.damaged()

    @contextmanager
    def _locked(self) -> Iterator[None]:
        self.folder.mkdir(parents=True, exist_ok=True)
        with FileLock(self.folder / ".lock"):
            yield


def _absolute(path: Path | None) -> str:
    return "" if path is None else str(path.absolute())


def run_names(workspace: Path) -> tuple[str, ...]:
    """Return the names of a workspace's runs, sorted."""
    return tuple(sorted(path.parent.name for path in workspace.glob("runs/*/run.json")))


def _differences(old: Config, new: Config) -> list[str]:
    """Return the dotted names of the settings that differ, old and new value beside them."""
    one, other = (flat(msgspec.to_builtins(config)) for config in (old, new))
    return [f"{name} was {one[name]}, is {other[name]}" for name in one if one[name] != other[name]]
