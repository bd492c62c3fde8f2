"""What the shell completes: names of runs, networks, layers and sets, without a model library.

The shell asks at each press of a key, so that nothing here opens a network: layers are those that
runs of the workspace have, and the usual ones of networks whose layers are alike in every member.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import typer

from dnd_local.core.errors import UserError

if TYPE_CHECKING:
    from dnd_local.store.manifest import Entry

STAGES: Final = ("layer1", "layer2", "layer3", "layer4", "fc")

USUAL_LAYERS: Final[Mapping[str, tuple[str, ...]]] = {
    "pocket": STAGES,
    "resnet": STAGES,
    "wide_resnet": STAGES,
    "resnext": STAGES,
    "alexnet": ("features", "classifier"),
    "vgg": ("features", "classifier"),
    "densenet": ("features", "classifier"),
    "vit_": ("encoder.layers", "heads"),
    "swin_": ("features", "head"),
    "convnext_": ("features", "classifier"),
    "efficientnet_": ("features", "classifier"),
    "mobilenet_v": ("features", "classifier"),
}
"""Layers by how a network's name begins."""

SETTINGS: Final[Mapping[str, str]] = {
    "network.latents": "latents",
    "captions.model": "captioner",
    "llm.model": "language-model",
    "pictures.model": "painter",
    "clip.model": "embedder",
}
"""The settings that name a model, with its role."""


def runs(ctx: typer.Context, incomplete: str) -> list[str]:
    """Return the runs of the workspace that the command names so far."""
    from dnd_local.store.runs import run_names

    return _starting(run_names(_workspace(ctx)), incomplete)


def targets(ctx: typer.Context, incomplete: str) -> list[str]:
    """Return the networks known by name."""
    from dnd_local.pipeline.opening import POCKET_TARGETS

    networks = [one.id for one in _entries(ctx) if one.network or one.role == "target"]
    return _starting((*POCKET_TARGETS, *networks), incomplete)


def layers(ctx: typer.Context, incomplete: str) -> list[str]:
    """Return layers of the network that the command names; after a comma the next one."""
    from dnd_local.store.runs import RunFolder, run_names

    target = str(ctx.params.get("model") or "")
    usual = [names for start, names in USUAL_LAYERS.items() if target.startswith(start)]
    known = [name for names in usual for name in names]
    workspace = _workspace(ctx)
    for run in run_names(workspace):
        with suppress(UserError):  # a damaged run completes nothing
            record = RunFolder(workspace, run).read()
            known += record.neurons if record.config.network.name == target else ()
    before, comma, last = incomplete.rpartition(",")
    return [f"{before}{comma}{name}" for name in _starting(known, last)]


def presets(incomplete: str) -> list[str]:
    """Return the shipped presets."""
    from dnd_local.pipeline.settings import presets as shipped

    return _starting(shipped(), incomplete)


def probe_sets(incomplete: str) -> list[str]:
    """Return the probe sets known by name; after a plus the next one."""
    from dnd_local.store.probe_sets import KNOWN_SETS

    before, plus, last = incomplete.rpartition("+")
    return [f"{before}{plus}{name}" for name in _starting(("pocket", *KNOWN_SETS), last)]


def weights(ctx: typer.Context, incomplete: str) -> list[str]:
    """Return the profiles and ids of the manifest."""
    from dnd_local.store.manifest import PROFILES

    return _starting([*PROFILES, *(entry.id for entry in _entries(ctx))], incomplete)


def models(role: str) -> Callable[[typer.Context, str], list[str]]:
    """Return what completes the ids of a role's models."""

    def complete(ctx: typer.Context, incomplete: str) -> list[str]:
        from dnd_local.store.roles import serving

        return _starting(serving(_entries(ctx), role), incomplete)

    return complete


def choices(values: Iterable[Any]) -> Callable[[str], list[str]] | None:
    """Return what completes one of these words, None where there are none to choose from."""
    words = [value for value in values if isinstance(value, str)]
    return (lambda incomplete: _starting(words, incomplete)) if words else None


def _starting(names: Iterable[str], incomplete: str) -> list[str]:
    return [name for name in dict.fromkeys(names) if name.startswith(incomplete)]


def _entries(ctx: typer.Context) -> tuple[Entry, ...]:
    """Return the entries of the weights folder that the command names so far, a user's own too."""
    from dnd_local.store.weights import Weights

    given = {name: ctx.params.get(name) for name in ("weights", "manifest")}
    root, manifest = (Path(path) if path else None for path in given.values())
    try:
        return Weights.open(root, manifest).manifest.entries
    except UserError:
        return ()


def _workspace(ctx: typer.Context) -> Path:
    from dnd_local.pipeline.settings import default_workspace

    given = ctx.params.get("workspace")
    return Path(given) if given else default_workspace()
