"""What the run page shows: settings, models, stages, counts, plots, and every neuron in short."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, get_args

import msgspec
import numpy as np
from numpy.typing import NDArray

from dnd_local.core.cards import Card
from dnd_local.core.config import Config
from dnd_local.core.config_reading import flat
from dnd_local.core.descriptions import Status
from dnd_local.core.factory_names import is_factory
from dnd_local.core.ledger import Side
from dnd_local.core.ledger_rows import ROWS, Row
from dnd_local.core.protocols import EngineRole
from dnd_local.evaluate.verdicts import LEGEND, Word
from dnd_local.pipeline import opening
from dnd_local.pipeline.lab import Lab
from dnd_local.pipeline.plan import plan_of
from dnd_local.pipeline.reading import StoredRun
from dnd_local.pipeline.served import SERVER
from dnd_local.pipeline.stage import roles_of
from dnd_local.report import plots
from dnd_local.report.cards import CardView
from dnd_local.report.map_names import TRIED, MapName, Point, names_in_map
from dnd_local.store.manifest import Hub, Local, Shipped, Source, Url, User

FREQUENT: Final = 18
"""Labels in the list of frequent ones."""


@dataclass(frozen=True, slots=True)
class StageView(Card):
    """A stage: how far, how long, how much memory its largest model is said to need (bytes)."""

    name: str
    done: int
    of: int
    seconds: float
    each: float | None
    memory: int
    key: str


@dataclass(frozen=True, slots=True)
class ModelView(Card):
    """A model behind a role; `digest` stands for its weights in every key."""

    role: str
    names: tuple[str, ...]
    sources: tuple[str, ...]
    licences: tuple[str, ...]
    digest: str


@dataclass(frozen=True, slots=True)
class Frequency(Card):
    """A label and how many neurons have it first."""

    text: str
    count: int
    share: float


@dataclass(frozen=True, slots=True)
class RunView(Card):
    """The run page; `verdicts` counts labels by verdict, empty where none was judged."""

    name: str
    config: Config
    settings: tuple[tuple[str, str], ...]
    layers: tuple[tuple[str, int], ...]
    counts: tuple[tuple[Status, int], ...]
    verdicts: tuple[tuple[Word, int], ...]
    cards: tuple[CardView, ...]
    stages: tuple[StageView, ...]
    models: tuple[ModelView, ...]
    ledger: tuple[tuple[Row, Side], ...]
    prompts: tuple[tuple[str, str], ...]
    probe: tuple[str, int, str]
    software: tuple[tuple[str, str], ...]
    devices: tuple[str, ...]
    remote_llm: str
    llm_server: str
    isolation: str
    frequent: tuple[Frequency, ...]
    distinct: int
    scores: plots.Bars
    points: tuple[Point, ...]
    names: tuple[MapName, ...]


def run_view(
    run: StoredRun, cards: Sequence[CardView], places: NDArray[np.float64] | None
) -> RunView:
    """Return the run page; `places` are the cards' in the map, (n_cards, 2) in [0, 1], if any."""
    record, lab = run.record, run.lab
    counted = Counter(card.status for card in cards)
    judged = Counter(card.verdict.word for card in cards if card.verdict)
    labels = Counter(card.labels[0].text for card in cards if card.labels)
    most = max(labels.values(), default=1)
    mapped = [] if places is None else places.tolist()
    points = [
        Point(place, card, round(100 * x, 2), round(100 * y, 2))
        for place, (card, (x, y)) in enumerate(zip(cards, mapped, strict=False))
        if card.labels
    ]
    return RunView(
        name=record.name,
        config=record.config,
        settings=tuple(settings_in_words(msgspec.to_builtins(record.config))),
        layers=tuple((layer, len(ids)) for layer, ids in record.neurons.items()),
        counts=tuple((s, counted[s]) for s in get_args(Status) if counted[s]),
        verdicts=tuple((word, judged[word]) for word in LEGEND if judged),
        cards=tuple(cards),
        stages=_stages(run),
        models=_models(lab),
        ledger=tuple((row, row.taken(record.config.ledger)) for row in ROWS),
        prompts=tuple(run.prompts().items()),
        probe=(" + ".join(record.config.probe.sets), len(lab.probe), lab.probe.digest),
        software=tuple(record.software.items()),
        devices=record.devices,
        remote_llm=record.remote_llm,
        llm_server=record.llm_server,
        isolation=record.isolation,
        frequent=tuple(
            Frequency(text, count, count / most) for text, count in _most_common(labels, FREQUENT)
        ),
        distinct=len(labels),
        scores=plots.value_histogram([c.score for c in cards if c.score is not None]),
        points=tuple(points),
        names=names_in_map(points, [text for text, _ in _most_common(labels, TRIED)]),
    )


def settings_in_words(values: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Return settings as (dotted name, value as text) pairs."""
    return [
        (name, ", ".join(map(str, value)) if isinstance(value, list | tuple) else str(value))
        for name, value in flat(values).items()
    ]


def _stages(run: StoredRun) -> tuple[StageView, ...]:
    measured = run.folder.measured()
    views = []
    for stage, state in zip(plan_of(run.lab.config), run.status(), strict=True):
        seconds, count = measured.get(stage.name, (state.seconds, 0))
        views.append(
            StageView(
                name=stage.name,
                done=state.done,
                of=state.of,
                seconds=seconds,
                each=seconds / count if count else None,
                memory=run.lab.largest_memory(roles_of([stage])),
                key=stage.key(run.lab),
            )
        )
    return tuple(views)


def _models(lab: Lab) -> tuple[ModelView, ...]:
    digests = {
        role: d
        for stage in plan_of(lab.config)
        for role, d in stage.meaning(lab)["weights"].items()
    }
    views = []
    for role, names in opening.model_ids(lab.config).items():
        entries = [lab.weights.manifest.entry(name) for name in names]
        views.append(
            ModelView(
                role=role,
                names=(*names, *unlisted(role, lab.config, names)),
                sources=tuple(_source(entry.source) for entry in entries),
                licences=tuple(entry.licence.spdx or "not stated" for entry in entries),
                digest=digests[role],
            )
        )
    return tuple(views)


def unlisted(role: EngineRole, config: Config, listed: Sequence[str]) -> tuple[str, ...]:
    """Return the names of what is behind a role and has no entry in the manifest."""
    name, llm = opening.engine_name(role, config), config.llm
    if role == "target":
        return tuple(one for one in (name, config.network.latents) if is_factory(one))
    if listed:
        return ()
    if role != "language-model" or name != SERVER:
        return (name,)
    known = (("root", llm.root), ("revision", llm.revision))
    return (f"{llm.model} (a server's{''.join(f', {k} {v}' for k, v in known if v)})",)


def _source(source: Source) -> str:
    match source:
        case Hub():
            return f"{source.repository} at {source.revision[:10]}"
        case Url():
            return source.base
        case Shipped():
            return "ships with dnd-local"
        case User():
            return f"brought by the user ({source.page})"
        case Local():
            return f"a model of the user's own ({source.folder or 'from a bundle'})"


def _most_common(labels: Counter[str], count: int) -> list[tuple[str, int]]:
    return sorted(labels.items(), key=lambda pair: (-pair[1], pair[0]))[:count]
