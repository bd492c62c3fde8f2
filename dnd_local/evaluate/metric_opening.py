"""Opening the text metrics by name, and saying which ones cannot run here and why."""

from __future__ import annotations

import csv
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from dnd_local.core.config import ClipConfig
from dnd_local.core.errors import BadConfig, UnknownName, UserError
from dnd_local.engines import registry
from dnd_local.evaluate.text_similarity import (
    BertScore,
    EmbeddingCosine,
    TextMetric,
    TokenF1,
)

WEIGHTS: Final = {
    "token-f1": "",
    "clip": "clip-vit-b-16",
    "mpnet": "mpnet",
    "minilm": "minilm",
    "bertscore": "roberta-large",
}
"""Every metric by the name a user types, with the manifest id of the weights it needs."""

BASELINE_LAYER: Final = 17
"""The layer whose row of a baseline file counts; BERTScore uses the same."""


@dataclass(frozen=True, slots=True)
class Opened:
    """The metrics that can run, and one line for each that cannot."""

    metrics: tuple[TextMetric, ...]
    left_out: tuple[str, ...]

    def cosine(self, name: str) -> EmbeddingCosine | None:
        """Return the embedding metric called `name`, None where it is not among them."""
        cosines = (m for m in self.metrics if isinstance(m, EmbeddingCosine))
        return next((metric for metric in cosines if metric.name == name), None)


@contextmanager
def open_metrics(
    specs: Sequence[str],
    folder_of: Callable[[str], Path],
    *,
    baseline: Path | None = None,
    devices: Sequence[str] = ("cpu",),
) -> Iterator[Opened]:
    """Hand over the metrics asked for, or with none named, all whose weights are here.

    Args:
        specs: names of `WEIGHTS`, or ``NAME=FOLDER`` to use a model of one's own.
        folder_of: from a manifest id to the verified folder of its files.
        baseline: BERTScore's rescaling file for its model (tab or comma separated, a row a
            layer: layer, precision, recall, F1); with it, rescaled figures join the raw ones.
        devices: "cpu" or indices of CUDA devices.

    Raises:
        UnknownName: a name that is no metric.
        UserError: a metric asked for by name lacks its weights or its library, or there is a
            baseline and no BERTScore.
    """
    metrics: list[TextMetric] = []
    left_out: list[str] = []
    with ExitStack() as held:
        for spec in specs or WEIGHTS:
            name, given, folder = spec.partition("=")
            if name not in WEIGHTS:
                raise UnknownName("metric", name, WEIGHTS, f"Metrics: {', '.join(WEIGHTS)}.")
            try:
                place = Path(folder) if given else _place(name, folder_of)
                metrics += _open(name, place, baseline, devices, held)
            except UserError as error:
                if specs:
                    raise
                left_out.append(f"{name} left out: {error}")
        if baseline and not any(isinstance(metric, BertScore) for metric in metrics):
            raise UserError(
                f"--baseline {baseline} rescales BERTScore, which is not among the metrics here; "
                "add --metric bertscore, or leave it out"
            )
        yield Opened(tuple(metrics), tuple(left_out))


def read_baseline(path: Path, layer: int = BASELINE_LAYER) -> float:
    """Return the F1 of a BERTScore baseline file for `layer`.

    Raises:
        BadConfig: the file cannot be read, or has no such row.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise BadConfig(f"cannot read baseline {path}: {error}") from None
    rows = csv.reader(text.replace("\t", ",").splitlines())
    for row in rows:
        if len(row) >= 4 and row[0].strip() == str(layer):
            try:
                return float(row[3])
            except ValueError:
                break
    raise BadConfig(f"{path} has no row 'layer,P,R,F' for layer {layer}")


def _place(name: str, folder_of: Callable[[str], Path]) -> Path:
    return folder_of(WEIGHTS[name]) if WEIGHTS[name] else Path()


def _open(
    name: str, folder: Path, baseline: Path | None, devices: Sequence[str], held: ExitStack
) -> list[TextMetric]:
    if name == "token-f1":
        return [TokenF1()]
    if not folder.is_dir():
        raise UserError(f"no folder {folder} with the weights of {name}")
    if name == "clip":
        clip = held.enter_context(
            registry.open_built_in("embedder", ClipConfig(), [folder], devices)
        )
        return [EmbeddingCosine("CLIP cosine", folder.name, clip)]
    if name == "bertscore":
        scorer = registry.adapter("bertscore").BertScorer(folder, devices=devices)
        rescaled = [BertScore(folder.name, scorer, read_baseline(baseline))] if baseline else []
        return [BertScore(folder.name, scorer), *rescaled]
    encoder = held.enter_context(registry.open_text_encoder(folder, devices))
    return [EmbeddingCosine(f"{name} cosine", folder.name, encoder)]
