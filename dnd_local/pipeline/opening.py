"""From names in the settings to opened engines and probe sets, none before it is needed."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from dnd_local.core.config import Config, Execution, ProbeConfig
from dnd_local.core.conversations import Reply
from dnd_local.core.digest import file_sha256, key
from dnd_local.core.errors import UserError
from dnd_local.core.protocols import EngineRole, ProbeSet
from dnd_local.core.records import Pixels
from dnd_local.engines import registry
from dnd_local.engines.language_model_replay import ReplayLanguageModel
from dnd_local.pipeline.replies import replies_of
from dnd_local.store.probe_sets import FunctionProbe, open_probe
from dnd_local.store.weights import Weights

POCKET_TARGETS = {"pocket": "pocket-target", "pocket-odd": "pocket-target-odd"}
"""The embedded targets by the name a user types."""


def is_factory(name: str) -> bool:
    """Return whether a target's name is ``path/to/file.py:factory``."""
    path, colon, function = name.rpartition(":")
    return bool(colon) and path.endswith(".py") and function.isidentifier()


def model_ids(config: Config) -> dict[EngineRole, tuple[str, ...]]:
    """Return the manifest ids behind each role; a user's own factory and a replay have none."""
    name = config.network.name
    target = () if is_factory(name) else (POCKET_TARGETS.get(name, name),)
    pictures = config.pictures
    decoder = () if pictures.decoder == "own" else (pictures.decoder,)
    replayed = config.llm.engine.startswith("replay:")
    return {
        "target": target,
        "captioner": (config.captions.model,),
        "language-model": () if replayed else (config.llm.model,),
        "painter": (pictures.model, *decoder),
        "embedder": (config.clip.model,),
    }


def weights_digest(role: EngineRole, config: Config, execution: Execution, weights: Weights) -> str:
    """Return what stands in a key for the weights behind a role."""
    if role == "target" and is_factory(config.network.name):
        return _factory_digest(config.network.name)
    if role == "language-model" and config.llm.engine.startswith("replay:"):
        return key(_replayed(config.llm.engine, execution))
    return key([weights.digest(name) for name in model_ids(config)[role]])


@contextmanager
def open_engine(
    role: EngineRole, config: Config, execution: Execution, weights: Weights, device: str
) -> Iterator[Any]:
    """Open the engine of a role, from verified local files only, and let go of it afterwards."""
    folders = [weights.folder(name) for name in model_ids(config)[role]]
    devices = execution.devices if execution.workers == 1 else (device,)
    opened: AbstractContextManager[Any]
    match role:
        case "target" if is_factory(config.network.name):
            opened = registry.open_factory(config.network, devices)
        case "target":
            entry = weights.manifest.entry(*model_ids(config)[role])
            opened = registry.open_target(
                config.network, folders[0], devices, entry.network, entry.origin
            )
        case "captioner":
            opened = registry.open_captioner(config.captions, folders[0], devices)
        case "language-model" if config.llm.engine.startswith("replay:"):
            opened = _replay(config.llm.engine, execution)
        case "language-model":
            opened = registry.open_language_model(config.llm, folders, execution, devices)
        case "painter":
            opened = registry.open_painter(config.pictures, folders, devices)
        case _:  # the embedder
            opened = registry.open_embedder(config.clip, folders[0], devices)
    with opened as engine:
        yield engine


def open_probe_set(config: ProbeConfig, execution: Execution) -> ProbeSet:
    """Return the probe set of the settings.

    Raises:
        UserError: a set is not there; the message says how to get it.
        UnknownName: neither a name nor a folder.
    """
    cache_dir = probe_cache(execution.workspace)
    return open_probe(config.sets, execution.data, cache_dir, {"pocket": pocket_probe})


def probe_cache(workspace: Path) -> Path:
    """Return where a workspace remembers the content hashes of probe sets."""
    return workspace / "cache"


@cache
def pocket_probe() -> ProbeSet:
    """Return the embedded probe set: pictures of the pocket world, drawn when they are read."""
    from dnd_local.pocket import world

    folder = Path(world.__file__).parent
    # What draws the pictures, not the pictures: drawing them all would take longer.
    drawn_from = [file_sha256(folder / name) for name in ("world.py", "words.json", "sprites.png")]
    digest = key(["pocket probe", drawn_from, world.PROBE_SEED, world.PROBE_COUNT])

    def pixels(index: int) -> Pixels:
        image, _ = world.picture(world.PROBE_SEED, index)
        return np.asarray(image, dtype=np.uint8)

    def name(index: int) -> str:
        return f"pocket-{index:05d}"

    return FunctionProbe(digest, world.PROBE_COUNT, name, pixels)


@contextmanager
def _replay(engine: str, execution: Execution) -> Iterator[Any]:
    """Hand over the replies that a run keeps, under ``replay:RUN[/DESCRIBER]``."""
    yield ReplayLanguageModel(_replayed(engine, execution))


def _replayed(engine: str, execution: Execution) -> dict[str, Reply]:
    return replies_of(engine.removeprefix("replay:"), execution.workspace)


def decoding_threads() -> int:
    """Return how many threads decode probe images: one a core, eight at most."""
    return min(os.cpu_count() or 1, 8)


def _factory_digest(name: str) -> str:
    """Return the digest of a user's factory: its source; its weights are hashed when it is opened.

    Raises:
        UserError: the file is not there.
    """
    path = Path(name.rpartition(":")[0])
    if not path.is_file():
        raise UserError(f"no file {path} for the target '{name}'; give path/to/file.py:factory")
    return key([file_sha256(path), registry.factory_state_digest(name)])
