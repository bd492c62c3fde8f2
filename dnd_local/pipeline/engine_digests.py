"""What stands in a key for the weights behind a role.

The digest of a user's own factory is taken where it is built, and kept for who only reads.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from msgspec import structs

from dnd_local.core.config import Config, Execution
from dnd_local.core.digest import file_sha256, key
from dnd_local.core.factory_names import is_factory, split_factory
from dnd_local.core.protocols import LATENTS, EngineRole
from dnd_local.engines import registry
from dnd_local.pipeline.opening import (
    engine_name,
    model_ids,
    probe_cache,
    replayed,
    settings_of,
)
from dnd_local.store.kept_digests import keep_digest, kept_digest, stamps_of
from dnd_local.store.weights import Weights


def weights_digest(role: EngineRole, config: Config, execution: Execution, weights: Weights) -> str:
    """Return what stands in a key for the weights behind a role."""
    name = engine_name(role, config)
    if role == "target" and config.network.latents:
        plain = structs.replace(config, network=structs.replace(config.network, latents=""))
        network = weights_digest(role, plain, execution, weights)
        return key([network, _latents_digest(config, execution, weights)])
    if is_factory(name):
        return _kept(
            probe_cache(execution.workspace), role, name, settings_of(role, config)
        ) or examine(role, config, execution)
    if role == "language-model" and name.startswith("replay:"):
        return key(replayed(name, execution))
    if role == "language-model" and name == "server":
        # The weights are elsewhere: these names are all that is known of them.
        return key(["server", config.llm.model, config.llm.root, config.llm.revision])
    return key([weights.digest(name) for name in model_ids(config)[role]])


def examine(role: EngineRole, config: Config, execution: Execution) -> str:
    """Return the digest of a user's own engine: its source, and the state of what it makes.

    The engine is built for it, a target is examined (`targets check`), and the digest is kept for
    whoever asks later: a reader of the run, a worker.

    Raises:
        UserError: the file is not there, or what it makes is not an engine of that role.
    """
    name, settings = engine_name(role, config), settings_of(role, config)
    cache = probe_cache(execution.workspace)
    return _digested(
        cache, role, name, settings, lambda: registry.factory_state_digest(role, name, settings)
    )


def examine_latents(config: Config, execution: Execution) -> str:
    """Return the digest of a user's own encoder of latents, examined as `examine` does.

    Raises:
        UserError: it will not do.
    """
    name, cache = config.network.latents, probe_cache(execution.workspace)
    return _digested(
        cache, LATENTS, name, "", lambda: str(registry.adapter("latents_factory").examine(name))
    )


def _latents_digest(config: Config, execution: Execution, weights: Weights) -> str:
    name, cache = config.network.latents, probe_cache(execution.workspace)
    if not is_factory(name):
        return weights.digest(name)
    return _kept(cache, LATENTS, name, "") or examine_latents(config, execution)


def _kept(cache: Path, kind: str, name: str, settings: Any) -> str:
    """Return the digest that a workspace keeps of a factory, empty where a file of it changed.

    Args:
        cache: the workspace's cache.
        kind: what the factory gives, a role or ``latents``.
        name: ``path/to/file.py:factory``.
        settings: what it is given, or what it is examined with.

    Raises:
        UserError: the file is not there.
    """
    return kept_digest(_place(cache, kind, name, settings))


def _digested(cache: Path, kind: str, name: str, settings: Any, state: Callable[[], str]) -> str:
    """Return the digest of a factory, its source and what `state` says of the thing it builds.

    It is kept beside the stamps of the file and of those that it imports from its folder.

    Raises:
        UserError: the file is not there, or what `state` says.
    """
    path, _ = split_factory(name)
    before = stamps_of([path])
    digest = key([file_sha256(path), state()])
    stamps = before | stamps_of(_files_beside(path))
    keep_digest(_place(cache, kind, name, settings), {**stamps, **before}, digest)
    return digest


def _files_beside(path: Path) -> list[Path]:
    """Return the files that were imported from a file's folder: what it is made of."""
    sources = [getattr(module, "__file__", None) for module in list(sys.modules.values())]
    files = {Path(source).resolve() for source in sources if source}
    return sorted(file for file in files if file.parent == path.parent and file.is_file())


def _place(cache: Path, kind: str, name: str, settings: Any) -> Path:
    path, function = split_factory(name)
    return cache / "engines" / f"{key([kind, str(path), function, settings])[:32]}.json"
