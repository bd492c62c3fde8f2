"""Run folders: one Config and a growing list of neurons, ``runs/<name>/``.

``run.json`` says what was asked for, ``stages.json`` where its parts lie, ``events.jsonl`` what
happened when. Results are written beside them; nothing in this folder is needed to resume.
"""

from __future__ import annotations

import re
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import msgspec
from filelock import FileLock
from msgspec import Struct

from dnd_local.core.config import Config
from dnd_local.core.digest import canonical, key
from dnd_local.core.errors import DamagedFile, Refused, UnknownName, UserError
from dnd_local.core.ledger import Side, sides
from dnd_local.core.records import Neuron
from dnd_local.store.files import write_atomic

SCHEMA = 1
PLACES = "stages.json"
"""Where a run's parts lie, written at its end."""
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,120}")


class RunRecord(Struct, frozen=True, kw_only=True):
    """The content of ``run.json``.

    `neurons` lists the indices asked for so far, by layer; `ledger` says which side of every row
    of the method's ledger the settings take; `manifest` and `prompts` name the user's own ("" for
    the shipped ones), with which alone its parts are found again; `software`, `devices` and
    `isolation` (how its processes were kept off the network) are a record of where the last
    session ran, never an input.
    """

    schema: int
    name: str
    config: Config
    neurons: dict[str, tuple[int, ...]]
    ledger: dict[str, Side] = {}
    manifest: str = ""
    prompts: str = ""
    software: dict[str, str] = {}
    devices: tuple[str, ...] = ()
    remote_llm: str = ""
    isolation: str = ""
    seconds: dict[str, float] = {}

    def wanted(self) -> tuple[Neuron, ...]:
        """Return every neuron of the run, by layer and index."""
        target = self.config.network.name
        return tuple(
            Neuron(target, layer, i) for layer, ids in sorted(self.neurons.items()) for i in ids
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

    def read(self) -> RunRecord:
        """Return the run's record.

        Raises:
            UnknownName: there is no such run; near names are offered.
            UserError: it was stopped before its neurons were known.
            DamagedFile: ``run.json`` cannot be read as one.
        """
        path = self.folder / "run.json"
        try:
            return msgspec.json.decode(path.read_bytes(), type=RunRecord)
        except FileNotFoundError:
            if (self.folder / "events.jsonl").exists():
                raise UserError(
                    f"run '{self.name}' has no neurons yet: it was stopped in its pass over the "
                    "probe set, or only triage was asked for; the same command goes on from there"
                ) from None
            known = run_names(self.folder.parents[1])
            raise UnknownName("run", self.name, known, "`dnd-local runs` lists them.") from None
        except ValueError as error:  # bad JSON, or bad UTF-8
            raise DamagedFile(f"{path} is damaged ({error}); delete it, results stay") from None

    def extend(
        self,
        config: Config,
        neurons: Mapping[str, Iterable[int]],
        manifest: Path | None = None,
        prompts: Path | None = None,
    ) -> RunRecord:
        """Add neurons to the run, making it if need be, and return its record.

        Args:
            config: what can change a result.
            neurons: indices to add, by layer.
            manifest: the user's own manifest, if that is where the models come from.
            prompts: the user's own folder of prompts, likewise.

        Raises:
            Refused: the run exists with another Config.
        """
        with self._locked():
            old = self.check(config)
            merged = {layer: set(ids) for layer, ids in (old.neurons if old else {}).items()}
            for layer, ids in neurons.items():
                merged.setdefault(layer, set()).update(ids)
            new = RunRecord(schema=SCHEMA, name=self.name, config=config, neurons={})
            record = msgspec.structs.replace(
                old or new,
                neurons={layer: tuple(sorted(ids)) for layer, ids in sorted(merged.items())},
                ledger=sides(config.ledger),
                manifest=_absolute(manifest),
                prompts=_absolute(prompts),
            )
            self.write_json("run.json", record)
            return record

    def check(self, config: Config) -> RunRecord | None:
        """Return the run's record, None where it is new.

        Raises:
            Refused: the run exists with another Config.
        """
        old = self.read() if (self.folder / "run.json").exists() else None
        if old is not None and old.config != config:
            raise Refused(
                f"run '{self.name}' exists with other settings "
                f"({', '.join(_differences(old.config, config))}); give another --run NAME"
            )
        return old

    def update(self, **changes: Any) -> RunRecord:
        """Change facts of the record that are not inputs (software, devices, seconds)."""
        with self._locked():
            record = msgspec.structs.replace(self.read(), **changes)
            self.write_json("run.json", record)
            return record

    def write_json(self, name: str, value: Any) -> None:
        """Write a JSON file of the run, whole, indented for people."""
        self.write_bytes(name, msgspec.json.format(canonical(value)) + b"\n")

    def write_bytes(self, name: str, data: bytes) -> None:
        """Write a file of the run, whole or not at all."""
        write_atomic(self.folder / name, data)

    def places(self) -> dict[str, str]:
        """Return the folder of each stage's parts as the run last ended, none before.

        Raises:
            DamagedFile: ``stages.json`` cannot be read as one.
        """
        path = self.folder / PLACES
        try:
            return msgspec.json.decode(path.read_bytes(), type=dict[str, str])
        except FileNotFoundError:
            return {}
        except ValueError as error:  # bad JSON, or bad UTF-8
            raise DamagedFile(f"{path} is damaged ({error}); delete it, results stay") from None

    def event(self, kind: str, **facts: Any) -> None:
        """Append one line to ``events.jsonl``."""
        line = canonical({"time": round(time.time(), 3), "event": kind, **facts}) + b"\n"
        self.folder.mkdir(parents=True, exist_ok=True)
        # One write of one line in append mode: lines of two processes do not mix.
        with (self.folder / "events.jsonl").open("ab", buffering=0) as file:
            file.write(line)

    def measured(self) -> dict[str, tuple[float, int]]:
        """Return (seconds, items made) of each stage over all sessions, from ``events.jsonl``."""
        found: dict[str, tuple[float, int]] = {}
        for event in self.events():
            if event.get("event") == "finish":
                took, made = found.get(event["stage"], (0.0, 0))
                new = event["items"] - event["failed"]
                found[event["stage"]] = (took + event["seconds"], made + new)
        return found

    def events(self) -> Iterator[dict[str, Any]]:
        """Yield the lines of ``events.jsonl``; a line cut off by a crash is left out."""
        path = self.folder / "events.jsonl"
        for line in path.read_bytes().splitlines() if path.exists() else []:
            try:
                yield msgspec.json.decode(line, type=dict[str, Any])
            except ValueError:  # bad JSON, or bad UTF-8
                continue

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


def default_name(config: Config, layers: Iterable[str]) -> str:
    """Return ``<target>-<layer>-<key8>``; the key is that of the whole Config."""
    target = Path(config.network.name.partition(":")[0]).stem
    words = re.sub(r"[^A-Za-z0-9._-]+", "_", f"{target}-{'+'.join(layers)}")
    return f"{words.strip('._-')[:100]}-{key(config)[:8]}"


def _differences(old: Config, new: Config) -> list[str]:
    """Return the dotted names of the settings that differ, old and new value beside them."""
    one, other = (_flat(msgspec.to_builtins(config)) for config in (old, new))
    return [f"{name} was {one[name]}, is {other[name]}" for name in one if one[name] != other[name]]


def _flat(values: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for name, value in values.items():
        if isinstance(value, Mapping):
            flat.update(_flat(value, f"{prefix}{name}."))
        else:
            flat[prefix + name] = value
    return flat
