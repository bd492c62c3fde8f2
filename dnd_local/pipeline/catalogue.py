"""What can be dissected: networks by name, and the layers of one."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from dnd_local.core.cards import Card
from dnd_local.core.factory_names import is_factory
from dnd_local.core.records import LayerInfo
from dnd_local.engines import registry
from dnd_local.pipeline.dissection import Dissection
from dnd_local.pipeline.lab import Lab
from dnd_local.pipeline.opening import POCKET_TARGETS
from dnd_local.store.manifest import Entry
from dnd_local.store.weights import Weights

if TYPE_CHECKING:
    from dnd_local.engines.factory_check import Examined


@dataclass(frozen=True, slots=True)
class KnownTarget(Card):
    """A network that can be dissected by name, and whether its weights are here."""

    name: str
    kind: str
    weights: str


def known_targets(weights_root: Path | None = None) -> tuple[KnownTarget, ...]:
    """Return every network known by name: the embedded ones, then those of the manifest."""
    weights = Weights.open(weights_root)
    targets = [_known(weights, name, "embedded", entry) for name, entry in POCKET_TARGETS.items()]
    networks = [one for one in weights.manifest.entries if one.network or one.role == "target"]
    targets += [_known(weights, one.id, _kind(one), one.id) for one in networks]
    return tuple(targets)


def layers_of(
    model: str, weights_root: Path | None = None, layout: str = "", latents: str = ""
) -> tuple[LayerInfo, ...]:
    """Return the layers of a network, in the order they run.

    Args:
        model: its name.
        weights_root: the weights folder, the default one if not given.
        layout: what the user says of axes that the network leaves undecided.
        latents: an encoder; the layers are then those that it fits.

    Raises:
        BadConfig: the layout has another form.
        MissingWeights: its weights are not here.
        UnknownName: no network has that name.
        UserError: a network of the user's own that will not do.
    """
    settings = {"network": {"layout": layout, "latents": latents}}
    dissection = Dissection(model=model, layer="-", weights=weights_root, settings=settings)
    if is_factory(model):
        registry.examine_target(model, layout)
    if is_factory(latents):
        registry.adapter("latents_factory").examine(latents)
    lab = Lab(dissection.make_config(), dissection.execution())
    try:
        return lab.target.layers()
    finally:
        lab.close()


def _kind(entry: Entry) -> str:
    kind = entry.network.partition(":")[0] or "folder"
    return f"{kind}, your own" if entry.own else kind


def check_target(name: str, layer: str = "", layout: str = "") -> Examined:
    """Return what a user's own network was found to be, see `engines.factory_check.examine`.

    Raises:
        UserError: it will not do, or `name` is not ``path/to/file.py:factory``.
        UnknownName: no such function, or no such layer.
    """
    examined: Examined = registry.examine_target(name, layout, layer)
    return examined


def _known(weights: Weights, name: str, kind: str, entry: str) -> KnownTarget:
    return KnownTarget(name, kind, "missing" if weights.missing([entry]) else "here")
