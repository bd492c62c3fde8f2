"""What flows through the pipeline: frozen records, one type a stage.

Each stage makes a new record and never fills in an old one, so the type of a value says which
stages have run. Pictures are not held in records: a record names them by the digest of their
bytes (a `BlobId`), and the blob store keeps each once.

Coordinates are pixels of the original picture, x to the right and y down, half-open.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal, TypeAlias, get_args

import numpy as np
from numpy.typing import NDArray

from dnd_local.core.cards import Card
from dnd_local.core.conversations import Exchange

Pixels: TypeAlias = NDArray[np.uint8]
"""An RGB picture, shape (height, width, 3)."""

BlobId: TypeAlias = str
"""SHA-256 of a stored picture's file bytes, 64 hex digits."""

Rule: TypeAlias = Literal["mean", "topk-sq-mean", "topk-compare", "image-products"]
RULES: tuple[Rule, ...] = get_args(Rule)

PicturePurpose: TypeAlias = Literal["select", "judge"]
NeuronClass: TypeAlias = Literal["live", "dead", "constant", "duplicate"]


@dataclass(frozen=True, slots=True, order=True)
class Neuron(Card):
    """One output channel of one layer of a target network; `index` counts from 0."""

    target: str
    layer: str
    index: int

    def __str__(self) -> str:
        return f"{self.target} {self.layer} {self.index}"

    @property
    def part_name(self) -> str:
        """The name of this neuron's parts, for example ``layer4-00017``."""
        return f"{self.layer}-{self.index:05d}"


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

    `values` is of shape (n_images, n_neurons), float16 or, where that would not do, float32; row 0
    is probe image `first`. A row of NaN belongs to a skipped image.
    """

    layer: str
    first: int
    values: NDArray[np.floating[Any]]
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
    """The triage of every neuron of one layer, in the order of their indices.

    `kept_as` is the widest type that a chunk of its responses is kept in.
    """

    layer: str
    neurons: tuple[Triage, ...]
    n_images: int
    n_skipped: int
    kept_as: str = "float16"


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
    """Pictures painted of one concept, from index `first` on, shared by all neurons and runs."""

    concept: str
    prompt: str
    purpose: PicturePurpose
    pictures: tuple[Picture, ...]
    first: int = 0


@dataclass(frozen=True, slots=True)
class RaceRound(Card):
    """What came of one round of a neuron's race, after `pictures` of each candidate left in it.

    `running` are the candidates that get more pictures, in the order drawn; one alone has won.
    `wins` holds, for each candidate that was left, the share of resamplings in which it came first.
    """

    neuron: Neuron
    pictures: int
    running: tuple[str, ...]
    wins: tuple[tuple[str, float], ...]


@dataclass(frozen=True, slots=True)
class ScoredCandidate(Card):
    """A candidate with all its evidence; each tuple runs over its pictures, in index order.

    `responses` are the target's, `ranks` among all pictures of the neuron's candidates (0 =
    highest), `cosines` the mean CLIP cosine of each picture to the exemplars. After a race the
    candidates have different numbers of pictures.
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
    """Every candidate of a neuron with the score of every rule, in the order they were drawn.

    The rule that decides is not part of it: another rule needs no new scores.
    """

    neuron: Neuron
    candidates: tuple[ScoredCandidate, ...]
