"""A run as it lies on disk: how far it is, and all the evidence for a neuron. Opens no engine."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import msgspec
import numpy as np
from numpy.typing import NDArray

from dnd_local.core.cards import Card, Drawn
from dnd_local.core.config import Execution
from dnd_local.core.descriptions import Description
from dnd_local.core.errors import BadConfig, UserError
from dnd_local.core.records import LayerTriage, Neuron, Pixels
from dnd_local.core.sequences import distinct
from dnd_local.pipeline.describing import LABELS, describe_all
from dnd_local.pipeline.evidence import Evidence, gather_evidence
from dnd_local.pipeline.lab import Lab
from dnd_local.pipeline.plan import plan_of, responses_of, triages_of
from dnd_local.pipeline.selection import MAX_DIGITS
from dnd_local.pipeline.settings import default_data, default_workspace
from dnd_local.pipeline.stage import Asked, places
from dnd_local.store.runs import RunFolder, RunRecord, run_names
from dnd_local.store.weights import default_root

OUTDATED: Final = "weights, prompts or images have changed since"
"""Why a neuron has no label any more."""


@dataclass(frozen=True, slots=True)
class RunSummary(Card):
    """One line about a run; of one whose ``run.json`` cannot be used, its name and the fault."""

    name: str
    target: str = ""
    layers: tuple[str, ...] = ()
    neurons: int = 0
    captioner: str = ""
    llm: str = ""
    painter: str = ""
    fault: str = ""


@dataclass(frozen=True, slots=True)
class StageStatus(Card):
    """How many of a stage's parts there are, of how many a run needs so far."""

    stage: str
    done: int
    of: int
    seconds: float


class StoredRun(Drawn):
    """A run of a workspace, read only.

    Args:
        record: the run's record.
        lab: its stores.
    """

    def __init__(self, record: RunRecord, folder: RunFolder, lab: Lab) -> None:
        self.record, self.folder, self.lab = record, folder, lab

    def descriptions(self) -> tuple[Description, ...]:
        """Return the description of every neuron, as far as the run is.

        Raises:
            UserError: a layer has not been triaged yet.
        """
        self.triages()
        return self._described(self.record)

    def outdated(self) -> bool:
        """Return whether the run ended with other weights, prompts or images than are here now.

        The keys of its parts then name what is not there: its labels are gone from sight until
        the same command has made them again.
        """
        ended_with = self.folder.places()
        return bool(ended_with) and ended_with != places(self.lab, plan_of(self.lab.config))

    def _described(self, record: RunRecord) -> tuple[Description, ...]:
        if self.outdated():
            return describe_all(self.lab, record, unfinished=OUTDATED)
        return describe_all(self.lab, record)

    def status(self) -> tuple[StageStatus, ...]:
        """Return how far each stage is; pictures count the candidates known so far.

        Raises:
            UserError: a layer has not been triaged yet, so nobody knows which neurons cost.
        """
        self.triages()
        asked = Asked(tuple(self.record.neurons), self.record.wanted())
        statuses = []
        for stage in plan_of(self.lab.config):
            items = stage.items(self.lab, asked)
            done = len(stage.there(self.lab, items))
            seconds = self.record.seconds.get(stage.name, 0.0)
            statuses.append(StageStatus(stage.name, done, len(items), seconds))
        return tuple(statuses)

    def responses(self, layer: str = "") -> NDArray[np.floating[Any]]:
        """Return every neuron's response to every probe image, (n_images, n_neurons); NaN: skipped.

        Args:
            layer: which layer of the run; its only one if empty.

        Raises:
            BadConfig: the run has several layers, or not this one.
            DamagedFile: responses are gone; the same dissect command makes them where needed.
        """
        layers = tuple(self.record.neurons)
        layer = layer or (layers[0] if len(layers) == 1 else "")
        if layer not in layers:
            raise BadConfig(f"layer '{layer}' is none of the run's: {', '.join(layers)}")
        return np.concatenate([part.values for part in responses_of(self.lab, layer)])

    def prompts(self) -> dict[str, str]:
        """Return the digest of every prompt that the run's stages read, by the prompt's name."""
        names = distinct(name for stage in plan_of(self.record.config) for name in stage.prompts)
        return {name: self.lab.prompts.digest(name) for name in names}

    def labels(self) -> Any:
        """Return a row a neuron: layer, neuron, status, labels and their scores.

        A pandas DataFrame where pandas is installed, else a list of dictionaries.
        """
        rows = [_row(description) for description in self.descriptions()]
        try:
            import pandas as pd
        except ModuleNotFoundError:
            return rows
        return pd.DataFrame(rows)

    def pictures(self, neuron: int | str) -> list[Pixels]:
        """Return the exemplars of a neuron, best first, as uint8 RGB (height, width, 3) each."""
        exemplars = self.evidence(neuron).exemplars
        return [self.lab.blobs.get(e.blob) for e in exemplars.exemplars] if exemplars else []

    def neuron(self, text: int | str) -> Neuron:
        """Return the neuron written as ``17``, or ``layer4:17`` where there are several layers.

        Raises:
            BadConfig: it cannot be read, or the layer is needed.
            UserError: the run has no such neuron.
        """
        layer, _, index = str(text).rpartition(":")
        layers = list(self.record.neurons)
        if not index.isdecimal() or len(index) > MAX_DIGITS or (not layer and len(layers) > 1):
            raise BadConfig(
                f"neuron '{text}' cannot be read; write an index, or LAYER:INDEX with a layer of "
                f"{', '.join(layers)}"
            )
        neuron = Neuron(self.record.config.network.name, layer or layers[0], int(index))
        if neuron.index not in self.record.neurons.get(neuron.layer, ()):
            raise UserError(
                f"run '{self.record.name}' has no neuron {neuron.layer}:{neuron.index}; add it: "
                f"dnd-local dissect {neuron.target} {neuron.layer} --ids {neuron.index} "
                f"--run {self.record.name}"
            )
        return neuron

    def evidence(self, text: int | str) -> Evidence:
        """Return everything about the neuron written as `text` (see `neuron`)."""
        return self.evidence_of(self.neuron(text))

    def evidence_of(self, neuron: Neuron) -> Evidence:
        """Return everything about a neuron.

        Raises:
            UserError: its layer has not been triaged yet.
        """
        triages = self.triages()
        only = msgspec.structs.replace(self.record, neurons={neuron.layer: (neuron.index,)})
        (evidence,) = gather_evidence(self.lab, self._described(only), triages)
        return evidence

    def triages(self) -> dict[str, LayerTriage]:
        """Return the triage of each layer of the run.

        Raises:
            UserError: a layer has not been triaged yet.
        """
        triages = triages_of(self.lab, tuple(self.record.neurons))
        absent = [layer for layer in self.record.neurons if layer not in triages]
        if absent:
            raise UserError(
                f"run '{self.record.name}' has no triage of layer {absent[0]} yet (it was "
                "stopped before, or its network, its probe set or a model has changed since); the "
                "same dissect command goes on from there"
            )
        self.record.check_widths({layer: len(part.neurons) for layer, part in triages.items()})
        return triages


def open_run(
    name: str,
    workspace: str | Path | None = None,
    weights: str | Path | None = None,
    data: str | Path | None = None,
    prompts: str | Path | None = None,
    manifest: str | Path | None = None,
) -> StoredRun:
    """Return a run of a workspace, read with the prompts and the models that it was made with.

    The weights folder is the one named, else the run's, else the usual one: the run's may lie on
    another machine.

    Raises:
        UnknownName: there is no such run.
        MissingWeights: the weights that its keys name are not known here.
    """
    home = _named(workspace) or default_workspace()
    folder = RunFolder(home, name)
    record = folder.read()
    execution = Execution(
        workspace=home,
        weights=_named(weights) or _there(record.weights) or default_root(),
        data=_named(data) or default_data(),
        prompts=_named(prompts or record.prompts),
        manifest=_named(manifest or record.manifest),
    )
    return StoredRun(record, folder, Lab(record.config, execution))


def _row(description: Description) -> dict[str, Any]:
    row: dict[str, Any] = {
        "layer": description.neuron.layer,
        "neuron": description.neuron.index,
        "status": description.status,
    }
    for place in range(LABELS):
        label = description.labels[place] if place < len(description.labels) else None
        row[f"label {place + 1}"] = label.text if label else None
        row[f"score {place + 1}"] = label.score if label else None
    return row


def _named(path: str | Path | None) -> Path | None:
    return Path(path) if path else None


def _there(path: str) -> Path | None:
    return Path(path) if path and Path(path).is_dir() else None


def list_runs(workspace: Path | None = None) -> tuple[RunSummary, ...]:
    """Return one summary a run, by name; a damaged run stands among the others with its fault."""
    workspace = workspace or default_workspace()
    return tuple(_summary(workspace, name) for name in run_names(workspace))


def _summary(workspace: Path, name: str) -> RunSummary:
    try:
        record = RunFolder(workspace, name).read()
    except UserError as error:
        return RunSummary(name, fault=str(error))
    config = record.config
    return RunSummary(
        name=name,
        target=config.network.name,
        layers=tuple(record.neurons),
        neurons=sum(map(len, record.neurons.values())),
        captioner=config.captions.model,
        llm=f"{config.llm.model} ({config.llm.engine})",
        painter=config.pictures.model,
    )
