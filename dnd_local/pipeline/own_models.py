"""Registering a model of the user's own: what an engine must be able to read, then `store/add`."""

from __future__ import annotations

from pathlib import Path
from typing import Final, cast, get_args

from dnd_local.core.config import NetworkConfig
from dnd_local.core.errors import BadConfig, UserError
from dnd_local.core.protocols import LATENTS, EngineRole
from dnd_local.engines import registry
from dnd_local.engines.folders import WORD_LIST, has_chat_template, quantised_by
from dnd_local.engines.vllm_command import read_model
from dnd_local.pipeline.opening import POCKET_TARGETS
from dnd_local.store.add import Added, Consent, Wish, add
from dnd_local.store.fetch import Progress
from dnd_local.store.survey import OPEN_CLIP_NAMES, PLAIN_NAMES
from dnd_local.store.weights import Weights

ROLES: Final[tuple[str, ...]] = (*get_args(EngineRole), LATENTS)

OPTIONS: Final = {
    "target": "dnd-local dissect {name} LAYER",
    "captioner": "--captions-model {name}",
    "language-model": "--llm-model {name}",
    "painter": "--pictures-model {name}",
    "embedder": "--clip-model {name}",
    LATENTS: "dnd-local dissect NETWORK LAYER --latents {name}",
}
"""How a registered model is used, by its role."""

_PAINTING_BYTES: Final = 4_000_000_000
"""Device memory for ten pictures of 512 pixels under way, roughly."""


def add_model(
    weights: Weights,
    name: str,
    folder: Path,
    role: str,
    source: str,
    progress: Progress,
    consent: Consent,
) -> Added:
    """Register a folder as a model of a role, under a name.

    Args:
        weights: the weights folder.
        name: what it is called from now on.
        folder: the user's folder.
        role: one of `ROLES`.
        source: how a target's files become a network, ``torchvision:NAME@MEMBER``; empty for
            another role, and for a folder whose `config.json` tells all.
        progress: who watches.
        consent: whether pickles may be read.

    Raises:
        BadConfig: role, source or name will not do.
        UserError: no engine of that role reads the folder; or as `store.add.add`.
    """
    if role not in ROLES:
        raise BadConfig(f"--role is one of {', '.join(ROLES)}, not '{role}'")
    if name in POCKET_TARGETS:
        raise BadConfig(f"'{name}' is the name of an embedded network; choose another")
    if source and role != "target":
        raise BadConfig(f"--source {source} is for targets, and this is a {role}; leave it out")
    folder = folder.expanduser()
    note = _examined(role, folder, source) if folder.is_dir() else ""
    worded = role == "captioner" and (folder / WORD_LIST).is_file()
    open_clip = role == "embedder" or source == "open_clip" or worded
    wish = Wish(
        name=name,
        folder=folder,
        role=role,
        network=source,
        note=note,
        prefer=(*OPEN_CLIP_NAMES, *PLAIN_NAMES) if open_clip else PLAIN_NAMES,
        spare=_PAINTING_BYTES if role == "painter" else 0,
    )
    return add(weights, wish, progress, consent, lambda copy: _try(role, copy, source))


def _examined(role: str, folder: Path, source: str) -> str:
    """Return a note on a folder that looks like a model of a role; before anything is read.

    Raises:
        UserError: it does not.
    """
    if role == "target":
        registry.check_source(folder, source)
        return ""
    if role == LATENTS:
        registry.adapter("latents").check_settings(folder)
        return ""
    if role != "language-model":
        registry.kind_of(cast(EngineRole, role), folder)
        return ""
    if not has_chat_template(folder):
        raise UserError(
            f"{folder} brings no chat template (chat_template.jinja, or in tokenizer_config.json), "
            "and the prompts are turns of a conversation; take the instruct version of the model"
        )
    method = quantised_by(folder)
    return f"quantised by {method}; for vLLM" if method else ""


def _try(role: str, copy: Path, source: str) -> None:
    """Let the engine look at the finished folder; a network under study is loaded whole."""
    if role == "language-model":
        read_model(copy)
    if role == LATENTS:
        registry.adapter("latents").load_latents(copy)
    if role == "target":
        with registry.open_target(NetworkConfig(), copy, ("cpu",), source):
            pass
