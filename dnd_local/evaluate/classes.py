"""The class names that a run's network brings along, as truth for its last layer."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from dnd_local.core.descriptions import DescriptionRow, DescriptionTable
from dnd_local.core.errors import UserError
from dnd_local.engines import registry
from dnd_local.evaluate.pocket_truth import read_truth
from dnd_local.evaluate.tables import ReadTable
from dnd_local.pipeline.opening import POCKET_TARGETS, is_factory
from dnd_local.pipeline.reading import StoredRun

POCKET_LAST_LAYER: Final = "fc"


def classes_of_run(run: StoredRun) -> ReadTable:
    """Return the class names of a run's network: torchvision's, or the pocket world's.

    Raises:
        UserError: the network is the user's own, or the run has not its last layer.
        MissingWeights: an embedded target is not there.
    """
    name = run.record.config.network.name
    layer, names = _names(run, name)
    if layer not in run.record.neurons:
        raise UserError(
            f"--truth classes is about the last layer of {name}, {layer}; run "
            f"'{run.record.name}' has {', '.join(run.record.neurons)}"
        )
    rows = tuple(
        DescriptionRow("classes", name, layer, index, (text,), (), "described")
        for index, text in sorted(names.items())
    )
    return ReadTable(DescriptionTable("classes", rows), f"classes of {name}", "class names")


def _names(run: StoredRun, name: str) -> tuple[str, Mapping[int, str]]:
    """Return the last layer's path and the name of each of its neurons."""
    if name in POCKET_TARGETS:
        known = read_truth(run.lab, name).known(POCKET_LAST_LAYER)
        return POCKET_LAST_LAYER, {index: concept.name for index, concept in known.items()}
    if is_factory(name):
        raise UserError(
            f"what the classes of {name} are called is not known: give their names, one a line, "
            "with --truth FILE.txt"
        )
    kind, _, published = run.lab.weights.manifest.entry(name).network.partition(":")
    if kind != "torchvision":
        raise UserError(
            f"the weights of {name} bring no class names: give them, one a line, with --truth "
            "FILE.txt"
        )
    layer, names = registry.adapter("target_torchvision").torchvision_classes(published)
    return layer, dict(enumerate(names))
