"""``evaluate``: does a label predict its neuron? ``baseline``: CLIP-Dissect as a describer."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from dnd_local.cli import tables
from dnd_local.cli.arguments import (
    AsJson,
    Devices,
    Layers,
    Model,
    Preset,
    Probe,
    Settings,
    Weights,
    Workspace,
)
from dnd_local.cli.compare import (
    Metrics,
    Out,
    Seed,
    open_all_metrics,
    read_record,
    say_figures,
    say_read,
)
from dnd_local.cli.figures import checked_file, say, show_records, write_all
from dnd_local.cli.options import with_settings
from dnd_local.cli.progress import ProgressLines

if TYPE_CHECKING:
    from dnd_local.core.descriptions import DescriptionTable
    from dnd_local.evaluate.exports import Cell
    from dnd_local.evaluate.metric_opening import Opened
    from dnd_local.evaluate.verdicts import Verdict
    from dnd_local.pipeline.reading import StoredRun

SHOWN = ("layer", "neuron", "label", "verdict", "support", "correlation", "auprc", "auc")
PLANTED = "planted"
"""The truth that an embedded target brings along."""

CLASSES = "classes"
"""The class names that a network brings along."""


class Evidence(StrEnum):
    """What labels are judged by."""

    images = "images"
    pictures = "pictures"
    both = "both"


class Method(StrEnum):
    """Describers that need no language model."""

    clip_dissect = "clip-dissect"


def evaluate(
    run: Annotated[str, typer.Argument(help="The run's name; `dnd-local runs` lists them.")],
    labels: Annotated[
        str, typer.Option(help="Judge another describer's labels on this run's neurons.")
    ] = "",
    probe: Annotated[
        str, typer.Option(help="Images that the run has not seen, where it holds none out.")
    ] = "",
    evidence: Annotated[
        Evidence, typer.Option(help="Held-out images, fresh pictures of the labels, or both.")
    ] = Evidence.both,
    truth: Annotated[
        str,
        typer.Option(help="Known truth instead: planted (of the embedded targets), planted "
                          "concepts (.json), classes (of a torchvision or embedded network's "
                          "last layer), class names (.txt), human annotations (.csv)."),
    ] = "",
    layer: Annotated[str, typer.Option(help="Judge only this layer's neurons.")] = "",
    metric: Metrics = None,
    agree_above: Annotated[
        float,
        typer.Option(help="Annotations: only neurons with two annotators of this CLIP cosine."),
    ] = 0.81,
    all_neurons: Annotated[
        bool, typer.Option(help="Annotations: also neurons on which annotators disagree.")
    ] = False,
    devices: Devices = "cpu",
    word: Annotated[str, typer.Option(help="The constant word of the second null.")] = "object",
    out: Out = None,
    seed: Seed = 0,
    workspace: Workspace = None,
    weights: Weights = None,
    as_json: AsJson = False,
) -> None:  # fmt: skip
    """Give every neuron's label a verdict: supported, weak, or no better than the null.

    Images that yielded no exemplar, and pictures from fresh seeds, judge the label against the
    labels of other neurons and against one constant word. All figures go into the run's
    verdicts.csv, from which `show`, `status` and `report` take them; the table shows the measures
    that decide.

    Examples:

      dnd-local evaluate my-run

      dnd-local evaluate my-run --truth planted

      dnd-local evaluate my-run --truth classes --metric mpnet

      dnd-local evaluate my-run --labels clip-dissect.csv --truth my-network.json
    """
    from dnd_local.evaluate.describers import open_describer
    from dnd_local.evaluate.held_out import of_layer, placed
    from dnd_local.evaluate.verdicts import NO_LABEL, counts, lines, read_verdicts, write_verdicts
    from dnd_local.pipeline.reading import open_run

    stored = open_run(run, workspace, weights)
    read = open_describer(labels or run, layer if labels else "", workspace, weights)
    whole = placed(stored, read.table)
    table = of_layer(stored, whole, layer)
    if truth == PLANTED or truth.endswith(".json"):
        _against_planted(stored, table, truth, out, seed, as_json)
        return
    if truth:
        above = None if all_neurons else agree_above
        with open_all_metrics(metric, weights, devices, None) as opened:
            _against_texts(stored, table, truth, opened, above, out, seed, as_json)
        return
    verdicts = _verdicts(stored, table, probe, evidence, word, seed)
    records = lines(verdicts, table.rows)
    if not labels:
        earlier = read_verdicts(stored.folder.folder).besides(layer)
        write_verdicts(stored.folder, [*earlier, *verdicts], whole.rows)
    if as_json:
        tables.echo_json({"describer": table.describer, "verdicts": records})
    else:
        words: dict[Cell, str] = {verdict.ruling: verdict.word for verdict in verdicts}
        shown = [{**own, "verdict": words.get(own["verdict"], NO_LABEL)} for own in records]
        show_records(shown, SHOWN)
        found = ", ".join(f"{count} {ruling}" for ruling, count in counts(verdicts).items())
        say("", f"{table.describer}, {len(verdicts)} labels: {found}")
    write_all(out, {"verdicts": records})


@with_settings
def baseline(
    method: Annotated[Method, typer.Argument(help="clip-dissect.")],
    model: Model,
    layer: Layers,
    concepts: Annotated[Path, typer.Option(help="The concept list, one a line.")],
    similarity: Annotated[
        str,
        typer.Option(help="soft-wpmi, wpmi, cosine, cosine-cubed or rank-reorder."),
    ] = "soft-wpmi",
    ids: Annotated[str, typer.Option(help="Neurons: 1,2,3 or 0-63 or all.")] = "all",
    out: Annotated[
        Path | None,
        typer.Option(
            help="CSV, .jsonl or .parquet file. Default: named after all.", callback=checked_file
        ),
    ] = None,
    probe: Probe = None,
    preset: Preset = "",
    config: Settings = None,
    workspace: Workspace = None,
    weights: Weights = None,
    devices: Devices = "cpu",
    seed: Annotated[int | None, typer.Option(help="Seed of the run.", min=0)] = None,
    as_json: AsJson = False,
    *,
    settings: dict[str, Any],
) -> None:
    """Describe neurons by CLIP-Dissect: the best of your concepts, on a run's own responses.

    The CSV that it writes goes into `compare` and `evaluate --labels`.

    Example:

      dnd-local baseline clip-dissect pocket fc --concepts words.txt
    """
    from dnd_local.evaluate.baseline import clip_dissect, read_concepts
    from dnd_local.evaluate.exports import table_records, write_records
    from dnd_local.pipeline.request import Request

    request = Request(
        model=model, layer=layer, ids=ids, probe=probe, preset=preset, config=config,
        workspace=workspace, weights=weights, devices=devices, seed=seed, settings=settings,
    )  # fmt: skip
    words = read_concepts(concepts)
    with ProgressLines() as progress:
        table = clip_dissect(
            request.make_config(), request.execution(), request.selection(), words,
            similarity,  # type: ignore[arg-type]  # checked there, with the names that would do
            progress,
        )  # fmt: skip
    records = table_records(table)
    target = out or Path(f"{method.value}-{similarity}-{Path(model).stem}-{layer}.csv")
    write_records(records, target)
    if as_json:
        tables.echo_json(records)
        return
    show_records(records, ("layer", "neuron", "status", "label_1", "score_1", "label_2", "label_3"))
    say("", f"Written: {target}")


def _verdicts(
    stored: StoredRun,
    table: DescriptionTable,
    probe: str,
    evidence: Evidence,
    word: str,
    seed: int,
) -> tuple[Verdict, ...]:
    from dnd_local.evaluate.held_out import EVIDENCE_KINDS, judge_run

    kinds = [kind for kind in EVIDENCE_KINDS if evidence.value in (kind, "both")]
    try:
        with ProgressLines() as progress:
            return judge_run(
                stored, table, probe=probe, kinds=kinds, word=word, seed=seed,
                progress=progress,
            )  # fmt: skip
    finally:
        stored.lab.close()


def _against_planted(
    stored: StoredRun,
    table: DescriptionTable,
    truth: str,
    out: Path | None,
    seed: int,
    as_json: bool,
) -> None:
    """Print how often a label names what was planted in its neuron."""
    from dnd_local.evaluate.planted_truth import (
        planted_accuracy,
        planted_answers,
        planted_of_run,
        read_planted,
    )

    known = planted_of_run(stored) if truth == PLANTED else read_planted(Path(truth))
    answers = planted_answers(table, known)
    accuracy = planted_accuracy(answers, seed)
    records = [answer.record() for answer in answers]
    if as_json:
        tables.echo_json({"describer": table.describer, "accuracy": accuracy, "answers": records})
    else:
        show_records(records)
        say("", f"{table.describer}: {accuracy.value:.1%} right of {accuracy.n} "
                f"(95 % interval {accuracy.low:.1%} to {accuracy.high:.1%})")  # fmt: skip
    write_all(out, {"planted": records})


def _against_texts(
    stored: StoredRun,
    table: DescriptionTable,
    truth: str,
    opened: Opened,
    above: float | None,
    out: Path | None,
    seed: int,
    as_json: bool,
) -> None:
    """Print how alike labels and class names, or human annotations, are."""
    from dnd_local.evaluate import reproduce as again
    from dnd_local.evaluate.describers import open_describer
    from dnd_local.evaluate.tables import ReadTable
    from dnd_local.evaluate.text_truth import classes_of_run

    own = ReadTable(table, table.describer, "a run of this workspace")
    known = classes_of_run(stored) if truth == CLASSES else open_describer(truth)
    figures = (
        again.milannotations(known, [own], opened, above, seed)
        if known.stacked
        else again.last_layer(known, [own], opened.metrics, seed)
    )
    records = [figure.record() for figure in figures]
    if as_json:
        tables.echo_json({"figures": records, **read_record([known, own], opened)})
    else:
        say_read([known, own], opened)
        say("")
        say_figures(records)
    write_all(out, {"truth": records})
