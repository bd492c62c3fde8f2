"""Whose labels an ablation goes by, how the network is read, what its outputs mean."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from dnd_local.core.descriptions import DescriptionTable
from dnd_local.core.errors import BadConfig, UserError
from dnd_local.core.factory_names import own_name
from dnd_local.evaluate.ablation import Ablation, Classifier, ablate
from dnd_local.evaluate.ablation_sets import match_labels
from dnd_local.evaluate.class_folders import output_columns, read_class_folders
from dnd_local.evaluate.describers import open_describer, run_name, table_of_run
from dnd_local.evaluate.judged_rows import on_devices
from dnd_local.evaluate.packs import is_pack
from dnd_local.evaluate.text_truth import class_names, read_classes
from dnd_local.pipeline.dissection import Dissection, read_devices
from dnd_local.pipeline.lab import Lab
from dnd_local.pipeline.opening import probe_cache
from dnd_local.pipeline.reading import StoredRun, list_runs, open_run
from dnd_local.pipeline.session import Progress
from dnd_local.pipeline.settings import default_workspace


@dataclass(frozen=True, slots=True)
class Asked:
    """What `ablate` was asked for, as its options name it."""

    model: str
    layer: str
    match: str
    data: Path
    labels: str = ""
    keep: bool = False
    classifier: Classifier = "head"
    classes: Path | None = None
    controls: int = 100
    config: Path | None = None
    devices: str = "cpu"
    seed: int = 0
    workspace: Path | None = None
    weights: Path | None = None


def silence(asked: Asked, progress: Progress) -> Ablation:
    """Return what silencing neurons by their labels does to each class.

    Raises:
        UserError: labels, pictures or names that will not do, before the network is opened.
    """
    source = label_source(asked.model, asked.layer, asked.labels, asked.workspace, asked.weights)
    matched = match_labels(source.table, asked.layer, asked.match)
    lab = laboratory(
        source, asked.model, asked.config, asked.devices, asked.workspace, asked.weights
    )
    data = read_class_folders(asked.data, probe_cache(lab.execution.workspace))
    names: tuple[str, ...] = ()
    columns = None
    if asked.classifier == "head":
        names = output_names(lab, asked.model, asked.classes)
        columns = output_columns(data.classes, names)
    try:
        return ablate(
            lab, matched, data, columns, len(names),
            keep=asked.keep, controls=asked.controls, seed=asked.seed, progress=progress,
        )  # fmt: skip
    finally:
        lab.close()


@dataclass(frozen=True, slots=True)
class LabelSource:
    """Labels, and the run that they are of, None where a file holds them."""

    table: DescriptionTable
    run: StoredRun | None


def label_source(
    model: str, layer: str, labels: str, workspace: Path | None, weights: Path | None
) -> LabelSource:
    """Return the labels named; where none are, those of the only run about the layer.

    Raises:
        BadConfig: none are named and several runs are about the layer, or none is; or the labels
            are of another network.
    """
    if not labels:
        runs = [
            run.name
            for run in list_runs(workspace or default_workspace())
            if run.target == model and layer in run.layers
        ]
        if len(runs) != 1:
            which = f"runs {', '.join(runs)} are" if runs else "no run is"
            raise BadConfig(
                f"{which} about {layer} of {model}; say whose labels are meant: --labels RUN, or a "
                "file of them"
            )
        labels = runs[0]
    if Path(labels).suffix.lower() in (".csv", ".tsv") or is_pack(Path(labels)):
        table = open_describer(labels, layer).table
        about = {row.target for row in table.rows if row.target}
        # A pack holds a factory's file without its folder.
        other = next((name for name in sorted(about) if own_name(name) != own_name(model)), "")
        run = None
    else:
        run = open_run(run_name(labels), workspace, weights)
        table = table_of_run(run).of_layer(layer)
        other = run.record.config.network.name
        other = "" if other == model else other
    if other:
        raise BadConfig(f"the labels of {labels} are about {other}, not about {model}")
    return LabelSource(table, run)


def laboratory(
    source: LabelSource,
    model: str,
    config: Path | None,
    devices: str,
    workspace: Path | None,
    weights: Path | None,
) -> Lab:
    """Return a laboratory whose network is read as the labels' run read it.

    Raises:
        BadConfig: a settings file where the run has its settings already.
        MissingWeights: the network is not there.
    """
    if source.run is not None:
        if config is not None:
            name = source.run.record.name
            raise BadConfig(f"--config would change nothing: run '{name}' has its settings")
        lab = on_devices(source.run, read_devices(devices)).lab
    else:
        asked = Dissection(
            model=model, layer="-", config=config, workspace=workspace, weights=weights,
            devices=devices,
        )  # fmt: skip
        execution = asked.execution()
        lab = Lab(asked.make_config(), execution, execution.devices[0])
    lab.require(("target",), probe=False)
    return lab


def output_names(lab: Lab, model: str, classes: Path | None) -> tuple[str, ...]:
    """Return the names of the network's outputs, from a file or as its weights bring them.

    Raises:
        UserError: no file is given and the weights bring none.
    """
    if classes is not None:
        return tuple(row.labels[0] for row in read_classes(classes).table.rows)
    named = class_names(model, lab.weights)
    if named is None:
        raise UserError(
            f"what the outputs of {model} stand for is not known: give their names, one a line: "
            "--classes FILE"
        )
    return named[1]
