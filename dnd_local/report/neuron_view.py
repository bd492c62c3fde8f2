"""What a neuron's page shows: its evidence, put in the order and units of a reader."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from dnd_local.core.cards import Card
from dnd_local.core.conversations import Exchange, Message
from dnd_local.core.ranking import LOWER_IS_BETTER, compared_cosine
from dnd_local.core.records import RULES, Box, Candidate, Exemplar, Pictures, Rule, ScoredCandidate
from dnd_local.core.sequences import grouped
from dnd_local.pipeline.evidence import Evidence
from dnd_local.pipeline.plan import proposing
from dnd_local.report import plots
from dnd_local.report.cards import CardView
from dnd_local.report.gather import Histogram, RangeGroup
from dnd_local.report.shelf import Shelf, Shown, map_image
from dnd_local.store.blobs import BlobFolder

STRIP_WIDTH = 220.0
"""Width of a candidate's strip of ranks."""


@dataclass(frozen=True, slots=True)
class ExemplarView(Card):
    """An exemplar as drawn: everything in pixels of the original picture.

    `frame` is the part of the original that `shown` shows, None where the picture is gone; `boxes`
    are the crops tried on the same image, `scene` that image where the exemplar is a crop.
    """

    place: int
    exemplar: Exemplar
    caption: str
    phrase: str
    shown: Shown | None
    frame: Box | None
    scene: Shown | None
    boxes: tuple[Box, ...]
    map: str


@dataclass(frozen=True, slots=True)
class PictureView(Card):
    """A generated picture with its figures, None where it was not scored."""

    shown: Shown | None
    seed: int
    response: float | None
    rank: float | None
    cosine: float | None
    share: float


@dataclass(frozen=True, slots=True)
class RangeView(Card):
    """Images at one place in the order of responses, None where a picture cannot be had."""

    name: str
    images: tuple[tuple[Shown | None, float, str], ...]


@dataclass(frozen=True, slots=True)
class CandidateView(Card):
    """A candidate; `place` is its place under the run's rule, 0 where it was not scored.

    `cosine` is what topk-compare weighed it with; `best_of` names the rules under which it comes
    first.
    """

    place: int
    candidate: Candidate
    prompt: str
    pictures: tuple[PictureView, ...]
    scored: ScoredCandidate | None
    cosine: float | None
    best_of: tuple[Rule, ...]
    strip: tuple[float, ...]


@dataclass(frozen=True, slots=True)
class Conversation(Card):
    """Exchanges with a language model that open alike: `opening` once, then each last turn."""

    purpose: str
    opening: tuple[Message, ...]
    exchanges: tuple[Exchange, ...]


@dataclass(frozen=True, slots=True)
class Neighbour(Card):
    """A neuron whose labels mean alike, and the cosine of their vectors."""

    card: CardView
    cosine: float


@dataclass(frozen=True, slots=True)
class NeuronView(Card):
    """A neuron's page."""

    card: CardView
    evidence: Evidence
    exemplars: tuple[ExemplarView, ...]
    range: tuple[RangeView, ...]
    candidates: tuple[CandidateView, ...]
    pictures: int
    plot: plots.Bars | None
    conversations: tuple[Conversation, ...]


def blobs_of(evidence: Evidence) -> list[str]:
    """Return every picture that a neuron's page shows."""
    exemplars = evidence.exemplars.exemplars if evidence.exemplars else ()
    painted = [p.blob for part in evidence.pictures for p in part.pictures]
    return [e.blob for e in exemplars] + painted


def neuron_view(
    evidence: Evidence,
    card: CardView,
    histogram: Histogram | None,
    groups: Sequence[RangeGroup],
    shelf: Shelf,
    blobs: BlobFolder,
    whole: Mapping[int, str],
) -> NeuronView:
    """Return a neuron's page.

    Args:
        evidence: all that is known.
        card: the neuron in short.
        histogram: of its responses, None where they are gone.
        groups: images down the range of its responses, none where they are gone.
        shelf: the site's pictures.
        blobs: the workspace's, for maps.
        whole: blobs of probe images that were kept whole.
    """
    shelf.put(blobs_of(evidence))
    scored = evidence.scores.candidates if evidence.scores else ()
    phrases = evidence.phrases.exchanges if evidence.phrases else ()
    proposals = [part for stage in proposing() for part in evidence.all_of(stage)]
    concepts = [exchange for part in proposals for exchange in part.exchanges]
    exemplars = evidence.exemplars.exemplars if evidence.exemplars else ()
    plot = None
    if histogram is not None:
        marks = [e.response for e in exemplars]
        plot = plots.histogram(histogram.counts, histogram.low, histogram.high, marks)
    return NeuronView(
        card=card,
        evidence=evidence,
        exemplars=_exemplars(evidence, shelf, blobs, whole),
        range=tuple(
            RangeView(
                group.name,
                tuple(
                    (_scene(one.image, shelf, whole), one.response, shelf.name(one.image))
                    for one in group.images
                ),
            )
            for group in groups
        ),
        candidates=_candidates(evidence, shelf),
        pictures=sum(len(candidate.ranks) for candidate in scored),
        plot=plot,
        conversations=conversations([*phrases, *concepts]),
    )


def _exemplars(
    evidence: Evidence, shelf: Shelf, blobs: BlobFolder, whole: Mapping[int, str]
) -> tuple[ExemplarView, ...]:
    if evidence.exemplars is None:
        return ()
    boxes = dict(evidence.exemplars.boxes)
    captions = evidence.captions.texts if evidence.captions else ()
    phrases = evidence.phrases.texts if evidence.phrases else ()
    maps = {e.map: map_image(blobs, e.map) for e in evidence.exemplars.exemplars}
    views = []
    for i, exemplar in enumerate(evidence.exemplars.exemplars):
        shown = shelf.get(exemplar.blob)
        scene = None if exemplar.box is None else _scene(exemplar.image, shelf, whole)
        views.append(
            ExemplarView(
                place=i + 1,
                exemplar=exemplar,
                caption=captions[i] if i < len(captions) else "",
                phrase=phrases[i] if i < len(phrases) else "",
                shown=shown,
                frame=(exemplar.box or Box(0, 0, shown.width, shown.height)) if shown else None,
                scene=scene,
                boxes=boxes.get(exemplar.image, ()),
                map=maps[exemplar.map] if exemplar.seen else "",
            )
        )
    return tuple(views)


def _scene(image: int, shelf: Shelf, whole: Mapping[int, str]) -> Shown | None:
    """Return an image of the probe set, as an exemplar where it was kept as one."""
    kept = whole.get(image)
    return shelf.get(kept) if kept else shelf.scene(image)


def _candidates(evidence: Evidence, shelf: Shelf) -> tuple[CandidateView, ...]:
    if evidence.concepts is None:
        return ()
    rule = evidence.description.rule
    scored = {c.text: c for c in evidence.scores.candidates} if evidence.scores else {}
    painted = {part.concept: part for part in evidence.pictures}
    order = _best_first(list(scored.values()), rule)
    best = {by_rule: _best_first(list(scored.values()), by_rule)[0] for by_rule in RULES if scored}
    # After a race a picture may stand for several, so ranks go up to what all would have had.
    total = len(scored) * max((len(one.ranks) for one in scored.values()), default=0)
    total = max(total, *(math.ceil(max(one.ranks)) + 1 for one in scored.values()), 0)
    responses = [r for one in scored.values() for r in one.responses]
    low, high = min(responses, default=0.0), max(responses, default=0.0)
    views = []
    for candidate in evidence.concepts.candidates:
        numbers = scored.get(candidate.text)
        pictures = painted.get(candidate.text)
        views.append(
            CandidateView(
                place=order.index(numbers) + 1 if numbers else 0,
                candidate=candidate,
                prompt=pictures.prompt if pictures else "",
                pictures=_pictures(pictures, numbers, shelf, low, high) if pictures else (),
                scored=numbers,
                cosine=compared_cosine(numbers, list(scored.values())) if numbers else None,
                best_of=tuple(r for r in RULES if numbers is not None and best[r] is numbers),
                strip=plots.strip(numbers.ranks, total, STRIP_WIDTH) if numbers else (),
            )
        )
    return tuple(sorted(views, key=lambda view: view.place or len(views) + 1))


def _pictures(
    pictures: Pictures, scored: ScoredCandidate | None, shelf: Shelf, low: float, high: float
) -> tuple[PictureView, ...]:
    """Return a candidate's pictures, highest response first, `share` their place in [low, high]."""
    shown = []
    for i, picture in enumerate(pictures.pictures):
        known = scored is not None and i < len(scored.responses)
        response = scored.responses[i] if scored and known else None
        span = (high - low) or 1.0
        shown.append(
            PictureView(
                shown=shelf.get(picture.blob),
                seed=picture.seed,
                response=response,
                rank=scored.ranks[i] if scored and known else None,
                cosine=scored.cosines[i] if scored and known else None,
                share=0.0 if response is None else round((response - low) / span, 3),
            )
        )
    return tuple(sorted(shown, key=lambda p: float("inf") if p.rank is None else p.rank))


def _best_first(candidates: list[ScoredCandidate], rule: Rule) -> list[ScoredCandidate]:
    sign = 1.0 if rule in LOWER_IS_BETTER else -1.0
    return sorted(candidates, key=lambda candidate: sign * candidate.score(rule))


def conversations(exchanges: Sequence[Exchange]) -> tuple[Conversation, ...]:
    """Return exchanges grouped by purpose and opening turns, in the order they were made."""
    alike = grouped(exchanges, lambda exchange: (exchange.purpose, exchange.request.messages[:-1]))
    return tuple(
        Conversation(purpose, opening, tuple(same)) for (purpose, opening), same in alike.items()
    )
