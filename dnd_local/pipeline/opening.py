"""From names in the settings to opened engines and probe sets, none before it is needed."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from functools import cache
from pathlib import Path
from typing import Any, Final

import numpy as np

from dnd_local.core.config import Config, Execution, ProbeConfig
from dnd_local.core.conversations import Reply
from dnd_local.core.digest import file_sha256, key
from dnd_local.core.errors import BadConfig, UnknownName
from dnd_local.core.factory_names import is_factory
from dnd_local.core.protocols import LATENTS, EngineRole, ProbeSet
from dnd_local.core.records import Pixels
from dnd_local.engines import language_models, registry
from dnd_local.engines.language_model_replay import ReplayLanguageModel
from dnd_local.engines.painter_kinds import generator_of
from dnd_local.pipeline.replies import replies_of
from dnd_local.store.manifest import Manifest
from dnd_local.store.probe_sets import FunctionProbe, open_probe
from dnd_local.store.roles import serving
from dnd_local.store.weights import Weights

POCKET_TARGETS = {
    "pocket": "pocket-target",
    "pocket-odd": "pocket-target-odd",
    "pocket-hard": "pocket-target-hard",
}
"""The embedded targets by the name a user types."""


SECTIONS: Final[Mapping[EngineRole, str]] = {
    "target": "network",
    "captioner": "captions",
    "language-model": "llm",
    "painter": "pictures",
    "embedder": "clip",
}
"""The section of the settings that is each role's."""


def settings_of(role: EngineRole, config: Config) -> Any:
    """Return a role's section of the settings."""
    return getattr(config, SECTIONS[role])


def engine_name(role: EngineRole, config: Config) -> str:
    """Return what the settings call a role's engine: a manifest id, a kind, or a factory."""
    if role == "target":
        return config.network.name
    if role == "language-model":
        return config.llm.engine
    name: str = settings_of(role, config).model
    return name


def model_ids(config: Config) -> dict[EngineRole, tuple[str, ...]]:
    """Return the manifest ids behind each role.

    A user's own factory, a replay and a named server have none.

    Raises:
        BadConfig: a folder in place of a name; a small decoder or a LoRA beside a painter of the
            user's own.
    """
    name = config.network.name
    pictures = config.pictures
    decoder = () if pictures.decoder == "own" else (pictures.decoder,)
    elsewhere = config.llm.engine == "server" or config.llm.engine.startswith("replay:")
    lora = (pictures.lora,) if pictures.lora else ()
    if (decoder or lora) and is_factory(pictures.model):
        setting = f"decoder '{decoder[0]}'" if decoder else f"lora '{pictures.lora}'"
        raise BadConfig(
            f"pictures.{setting} is for a painter of the weights folder, and {pictures.model} is "
            "your own; leave it out"
        )
    ids: dict[EngineRole, tuple[str, ...]] = {
        "target": (POCKET_TARGETS.get(name, name),),
        "captioner": (config.captions.model,),
        "language-model": () if elsewhere else (config.llm.model,),
        "painter": (pictures.model, *decoder, *lora),
        "embedder": (config.clip.model,),
    }
    ids = {
        role: () if is_factory(engine_name(role, config)) else names for role, names in ids.items()
    }
    if (latents := config.network.latents) and not is_factory(latents):
        ids["target"] = (*ids["target"], latents)
    for role, names in ids.items():
        for one in names:
            _refuse_folder(LATENTS if one == latents else role, one)
    return ids


def _refuse_folder(role: str, name: str) -> None:
    if "/" in name or name in (".", ".."):
        source = " --source SOURCE" if role == "target" else ""
        raise BadConfig(
            f"'{name}' is no name of {'' if role == LATENTS else 'a '}{role}; register the folder "
            "once, then use its name: "
            f"dnd-local weights add NAME {name} --role {role}{source}"
        )


_MODELS: Final[Mapping[EngineRole, str]] = {
    "target": "network",
    "captioner": "captioner",
    "language-model": "language model",
    "painter": "image generator",
    "embedder": "embedder",
}
"""What a user calls a role's model."""

_LISTED = "`dnd-local weights list` shows them; `dnd-local weights add` registers one of your own."
_TARGETS_LISTED = "`dnd-local targets` lists them; another one is path/to/file.py:factory."


def check_names(roles: Iterable[EngineRole], config: Config, manifest: Manifest) -> None:
    """Check that the manifest has the models that the settings name for `roles`.

    Raises:
        UnknownName: it has not; names of such models that are near are offered.
    """
    ids = {entry.id for entry in manifest.entries}
    for role in roles:
        if absent := [name for name in model_ids(config)[role] if name not in ids]:
            if absent[0] == config.network.latents:
                known = serving(manifest.entries, LATENTS)
                raise UnknownName(LATENTS, absent[0], known, _LISTED)
            known, hint = serving(manifest.entries, role), _LISTED
            if role == "target":  # the embedded ones go by shorter names
                longer = POCKET_TARGETS.values()
                known = [*POCKET_TARGETS, *(name for name in known if name not in longer)]
                hint = _TARGETS_LISTED
            raise UnknownName(_MODELS[role], absent[0], known, hint)


def check_settings(roles: Iterable[EngineRole], config: Config, weights: Weights) -> None:
    """Check that no setting was given that means nothing to the engine of the weights folder.

    Raises:
        BadConfig: one was.
        UserError: a kind of image generator that is not painted with.
    """
    for role in roles:
        ids = model_ids(config)[role]
        if role not in registry.BUILT_IN or not ids:
            continue
        settings = settings_of(role, config)
        kind = registry.kind_of(role, weights.folder(ids[0]))
        if role == "painter":
            generator_of(weights.folder(ids[0]), settings)
        for name in kind.without:
            if (value := getattr(settings, name)) != getattr(type(settings)(), name):
                raise BadConfig(
                    f"{SECTIONS[role]}.{name} is {value}, and {settings.model} ({kind.name}) has "
                    "no such setting; leave it out"
                )


def in_process(roles: Iterable[EngineRole], config: Config) -> tuple[EngineRole, ...]:
    """Return those of `roles` whose engine is a built-in one that this process loads itself."""
    return tuple(
        role
        for role in roles
        if not is_factory(engine_name(role, config))
        and (role != "language-model" or config.llm.engine == "transformers")
    )


@contextmanager
def open_engine(
    role: EngineRole, config: Config, execution: Execution, weights: Weights, device: str
) -> Iterator[Any]:
    """Open the engine of a role, from verified local files only, and let go of it afterwards."""
    name, settings = engine_name(role, config), settings_of(role, config)
    ids = model_ids(config)[role]
    folders = [weights.folder(model) for model in ids]
    # One server of our own serves all workers, so every device is its to use.
    alone = execution.workers == 1 or (role == "language-model" and name == "vllm")
    devices = execution.devices if alone else (device,)
    opened: AbstractContextManager[Any]
    latents = _latents(settings.latents, folders) if role == "target" else None
    if is_factory(name):
        opened = registry.open_factory(role, name, settings, devices, latents)
    elif role == "target":
        entry = weights.manifest.entry(ids[0])
        opened = registry.open_target(
            settings, folders[0], devices, entry.network, entry.origin, latents
        )
    elif role == "language-model" and name.startswith("replay:"):
        opened = _replay(name, execution)
    elif role == "language-model":
        opened = language_models.open_language_model(settings, folders, execution, devices)
    else:
        opened = registry.open_built_in(role, settings, folders, devices)
    with opened as engine:
        yield engine


def _latents(name: str, folders: Sequence[Path]) -> Any:
    """Return the encoder of latents, from the last of the target's folders or a factory."""
    if not name:
        return None
    if is_factory(name):
        return registry.adapter("latents_factory").load(name)
    return registry.adapter("latents").load_latents(folders[-1])


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
    # Hashed is what draws the pictures; drawing all of them to hash them would take longer.
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
    yield ReplayLanguageModel(replayed(engine, execution))


def replayed(engine: str, execution: Execution) -> dict[str, Reply]:
    """Return the replies that a run keeps, by request."""
    return replies_of(engine.removeprefix("replay:"), execution.workspace)


def decoding_threads() -> int:
    """Return how many threads decode probe images: one a core, eight at most."""
    return min(os.cpu_count() or 1, 8)
