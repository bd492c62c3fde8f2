"""What flows through the pipeline: frozen records, one type a stage.

Each stage makes a new record and never fills in an old one, so the type of a value says which
stages have run. Pictures are not held in records: a record names them by the digest of their
bytes (a `BlobId`), and the blob store keeps each once.

Coordinates are pixels of the original picture, x to the right and y down, half-open.
"""

from __future__ import annotations

import html
from dataclasses import dataclass, fields
from typing import Any, Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

Pixels: TypeAlias = NDArray[np.uint8]
"""An RGB picture, shape (height, width, 3)."""

BlobId: TypeAlias = str
"""SHA-256 of a stored picture's file bytes, 64 hex digits."""

Rule: TypeAlias = Literal["mean", "topk-sq-mean", "topk-compare", "image-products"]
RULES: tuple[Rule, ...] = ("mean", "topk-sq-mean", "topk-compare", "image-products")

NeuronClass: TypeAlias = Literal["live", "dead", "constant", "duplicate"]
Purpose: TypeAlias = Literal["simplify", "summarise", "merge"]
Role: TypeAlias = Literal["system", "user", "assistant"]
Status: TypeAlias = Literal["described", "dead", "constant", "duplicate", "abstained", "failed"]


class Card:
    """Mixin: a record shows itself in a notebook as a two-column table."""

    __slots__ = ()

    def _repr_html_(self) -> str:
        rows = "".join(
            f"<tr><th scope='row'>{html.escape(field.name)}</th>"
            f"<td style='overflow-wrap: anywhere'>{html.escape(_short(getattr(self, field.name)))}"
            "</td></tr>"
            for field in fields(self)  # type: ignore[arg-type]
        )
        return f"<table><caption>{type(self).__name__}</caption>{rows}</table>"


def _short(value: Any) -> str:
    text = str(value)
    return text if len(text) <= 200 else text[:199] + "…"


@dataclass(frozen=True, slots=True, order=True)
class Neuron(Card):
    """One output channel of one layer of a target network; `index` counts from 0."""

    target: str
    layer: str
    index: int

    def __str__(self) -> str:
        return f"{self.target} {self.layer} {self.index}"


@dataclass(frozen=True, slots=True, order=True)
class Box(Card):
    """A half-open rectangle in pixels of the original picture."""

    left: int
    top: int
    right: int
    bottom: int

    @property
    def width(self) -> int:
        return self.right - self.left

    @property
    def height(self) -> int:
        return self.bottom - self.top

    @property
    def area(self) -> int:
        return self.width * self.height


@dataclass(frozen=True, slots=True)
class LayerInfo(Card):
    """A layer that can be dissected: its dotted path, output shape without the batch axis.

    `spatial` says whether a neuron of it has a map (a convolution, or patch tokens).
    """

    path: str
    kind: str
    shape: tuple[int, ...]
    neurons: int
    spatial: bool


@dataclass(frozen=True, slots=True)
class SkippedImage(Card):
    """A probe image that could not be used, and why."""

    index: int
    name: str
    reason: str


@dataclass(frozen=True, slots=True, eq=False)
class Responses:
    """One chunk of the probe set for one layer.

    `values` is float16 of shape (n_images, n_neurons); row 0 is probe image `first`.
    A row of NaN belongs to a skipped image.
    """

    layer: str
    first: int
    values: NDArray[np.float16]
    skipped: tuple[SkippedImage, ...] = ()


@dataclass(frozen=True, slots=True)
class Triage(Card):
    """A neuron's class over the probe set, with the figures it rests on.

    `twin` is the lower index that a duplicate repeats; `active_share` the share of usable images
    with a response above the dead threshold. Under the released side of the ledger's row 11
    every neuron counts as live, whatever its figures.
    """

    index: int
    verdict: NeuronClass
    minimum: float
    mean: float
    maximum: float
    spread: float
    active_share: float
    twin: int | None = None


@dataclass(frozen=True, slots=True)
class LayerTriage(Card):
    """The triage of every neuron of one layer, in the order of their indices."""

    layer: str
    neurons: tuple[Triage, ...]
    n_images: int
    n_skipped: int


@dataclass(frozen=True, slots=True)
class Exemplar(Card):
    """A probe image, or a crop of one (`box`), that a neuron responds to strongly.

    `blob` is the picture itself as the captioner sees it; `map` the neuron's 8-bit map over the
    region `seen` of the original, both None where the layer has no map.
    """

    image: int
    name: str
    box: Box | None
    response: float
    blob: BlobId
    map: BlobId | None = None
    seen: Box | None = None


@dataclass(frozen=True, slots=True)
class Exemplars(Card):
    """A neuron's exemplars, highest response first.

    `boxes` holds every attention crop that was tried, by probe image; `note` says why there were
    none, where there were none.
    """

    neuron: Neuron
    exemplars: tuple[Exemplar, ...]
    boxes: tuple[tuple[int, tuple[Box, ...]], ...] = ()
    note: str = ""


@dataclass(frozen=True, slots=True)
class Message(Card):
    """One turn of a conversation with a language model."""

    role: Role
    text: str


@dataclass(frozen=True, slots=True)
class Request(Card):
    """One question to a language model; nothing outside it can change the answer."""

    messages: tuple[Message, ...]
    temperature: float
    seed: int
    max_tokens: int
    max_characters: int = 200


@dataclass(frozen=True, slots=True)
class Reply(Card):
    """What a language model answered: the raw text and why it stopped (`stop`, `length`, …)."""

    text: str
    finish: str = "stop"


@dataclass(frozen=True, slots=True)
class Exchange(Card):
    """A request, its raw reply, what became of it; `problem` is empty where it was usable."""

    purpose: Purpose
    draw: int
    attempt: int
    request: Request
    reply: Reply
    text: str
    problem: str = ""


@dataclass(frozen=True, slots=True)
class Captions(Card):
    """One caption an exemplar, in the exemplars' order."""

    neuron: Neuron
    texts: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Phrases(Card):
    """One short phrase a caption, in the exemplars' order, and the exchanges that made them."""

    neuron: Neuron
    texts: tuple[str, ...]
    exchanges: tuple[Exchange, ...]


@dataclass(frozen=True, slots=True)
class Candidate(Card):
    """A candidate concept: its text, the model's own words, and the draw it came from."""

    text: str
    raw: str
    draw: int


@dataclass(frozen=True, slots=True)
class Reject(Card):
    """A reply that did not become a candidate, and why."""

    text: str
    reason: str
    draw: int


@dataclass(frozen=True, slots=True)
class Concepts(Card):
    """A neuron's candidate concepts and what was rejected on the way."""

    neuron: Neuron
    candidates: tuple[Candidate, ...]
    rejects: tuple[Reject, ...]
    exchanges: tuple[Exchange, ...]


@dataclass(frozen=True, slots=True)
class Picture(Card):
    """One generated picture and the seed of its noise."""

    blob: BlobId
    seed: int


@dataclass(frozen=True, slots=True)
class Pictures(Card):
    """The generated pictures of one concept, shared by every neuron, layer and run."""

    concept: str
    prompt: str
    purpose: Literal["select", "judge"]
    pictures: tuple[Picture, ...]


@dataclass(frozen=True, slots=True)
class ScoredCandidate(Card):
    """A candidate with all its evidence; each tuple runs over its pictures, in index order.

    `responses` are the target's, `ranks` among all pictures of the neuron's candidates (0 =
    highest), `cosines` the mean CLIP cosine of each picture to the exemplars.
    """

    text: str
    responses: tuple[float, ...]
    ranks: tuple[float, ...]
    cosines: tuple[float, ...]
    mean: float
    topk_sq_mean: float
    topk_compare: float
    image_products: float

    def score(self, rule: Rule) -> float:
        """Return the score under `rule` (for `mean` and `topk-sq-mean` lower is better)."""
        return float(getattr(self, rule.replace("-", "_")))


@dataclass(frozen=True, slots=True)
class Scores(Card):
    """Every candidate of a neuron with all four scores, in the order they were drawn.

    The rule that decides is not part of it: another rule needs no new scores.
    """

    neuron: Neuron
    candidates: tuple[ScoredCandidate, ...]


@dataclass(frozen=True, slots=True)
class Label(Card):
    """One short text and its score under the run's rule."""

    text: str
    score: float


@dataclass(frozen=True, slots=True)
class Description(Card):
    """The labels of a neuron, best first, three at most, with where their evidence lies.

    `keys` names, for each stage, the key of the parts that this description rests on.
    """

    neuron: Neuron
    status: Status
    labels: tuple[Label, ...]
    rule: Rule
    reason: str = ""
    keys: tuple[tuple[str, str], ...] = ()

    @property
    def title(self) -> str:
        """The first label, or why there is none in a word."""
        return self.labels[0].text if self.labels else self.status

    def _repr_html_(self) -> str:
        place = f"{self.neuron.target} · {self.neuron.layer} · neuron {self.neuron.index}"
        labels = " · ".join(f"{own.text} ({own.score:.3g})" for own in self.labels)
        lines = (
            ("opacity: .7; font-size: .85em", place),
            ("font-size: 1.4em; font-weight: 600", self.title),
            ("opacity: .8", labels or self.reason),
        )
        return "".join(
            f"<div style='{style}'><bdi>{html.escape(text)}</bdi></div>" for style, text in lines
        )


@dataclass(frozen=True, slots=True)
class DescriptionRow(Card):
    """One neuron's labels as some describer wrote them; the currency of every comparison."""

    describer: str
    target: str
    layer: str
    neuron: int
    labels: tuple[str, ...]
    scores: tuple[float, ...]
    status: Status


@dataclass(frozen=True, slots=True)
class DescriptionTable(Card):
    """What compare, evaluate, report, baselines and imports share: rows of one describer."""

    describer: str
    rows: tuple[DescriptionRow, ...]

    def of_layer(self, layer: str) -> DescriptionTable:
        """Return the rows of one layer."""
        return DescriptionTable(self.describer, tuple(r for r in self.rows if r.layer == layer))
