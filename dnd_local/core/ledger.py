"""The ledger: where the released code and this project differ, and which side a run takes.

`Config.compat` picks a `Ledger`; each stage is handed it and looks up its own row's side in a
table of two functions beside the code that it changes. No other place knows of `official`.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Final, Literal, TypeAlias

from dnd_local.core.cards import Card

Side: TypeAlias = Literal["ours", "released"]


@dataclass(frozen=True, slots=True)
class Ledger(Card):
    """The side taken of every row that leaves a choice; a field is named by what it decides.

    Attributes:
        map_values: row 1, how a map becomes 8 bit.
        map_place: row 2, which part of the picture a map lies on.
        crop_shape: row 4, the shape in which exemplars and crops are seen.
        picture_size: row 5, the size in which generated pictures are judged.
        cosine_over: row 6, the pictures whose CLIP cosine weighs a candidate.
        wording: rows 9 and 18, how replies are read and phrases joined.
        top_up: row 10, whether repeats are made up for.
        triage: row 11, which neurons are set aside.
        map_resize: row 17, how a map is brought to the size of what it covers.
        draws: row 19, in which order phrases are shown, how long a reply may be, how a list is
            spelled that is to be merged.
    """

    map_values: Side = "ours"
    map_place: Side = "ours"
    crop_shape: Side = "ours"
    picture_size: Side = "ours"
    cosine_over: Side = "ours"
    wording: Side = "ours"
    top_up: Side = "ours"
    triage: Side = "ours"
    map_resize: Side = "ours"
    draws: Side = "ours"


OURS: Final = Ledger()
RELEASED: Final = Ledger(*("released" for _ in fields(Ledger)))  # type: ignore[arg-type]
"""The released side of every row that leaves a choice (`--compat official`)."""


@dataclass(frozen=True, slots=True)
class Row(Card):
    """One difference.

    `choice` names the field of `Ledger` that decides it. Where there is none the released side
    is never taken, and `never` says why in a word.
    """

    number: int
    released: str
    ours: str
    choice: str = ""
    never: str = ""

    def taken(self, ledger: Ledger) -> Side:
        """Return the side that a run under `ledger` takes."""
        side: Side = getattr(ledger, self.choice) if self.choice else "ours"
        return side


ROWS: Final[tuple[Row, ...]] = (
    Row(1, "Maps become 8 bit by a factor of 255 and wrap, so values above 1 turn to noise",
        "Each map is scaled between its own lowest and highest value", "map_values"),
    Row(2, "The centre crop's map is stretched over the whole picture, so boxes are off",
        "The map lies on the region that the network saw", "map_place"),
    Row(3, "A vision transformer's map is its folded CLS vector, the same for every neuron",
        "The neuron's own map over the patch tokens", never="meaningless"),
    Row(4, "Exemplars and crops are squashed to squares of 375 pixels",
        "Original pixels; a crop keeps its shape inside a margin", "crop_shape"),
    Row(5, "Generated pictures are shrunk to 32 pixels before they are judged",
        "Full size, through the network's own transform", "picture_size"),
    Row(6, "The cosine counts only pictures among the ten highest of all, otherwise it is -1",
        "The cosine of a candidate's own highest pictures", "cosine_over"),
    Row(8, "One unseeded random generator, so a label depends on the neurons before it",
        "A seed for each picture and each draw: company and order change nothing",
        never="unrepeatable"),
    Row(9, "Replies are cut at colons and commas, and labels of any length pass",
        "One line, five words at most; lists are merged, the rest asked again or rejected",
        "wording"),
    Row(10, "Often one or two of five labels are distinct",
        "Drawn again until enough are distinct, within a bound", "top_up"),
    Row(11, "Dead neurons tie on every image and get confident labels",
        "Dead, constant and duplicate neurons are found first and named as such", "triage"),
    Row(12, "Some options are read and then ignored",
        "Every option does what it says", never="misleading"),
    Row(13, "The captioner's checkpoint fits no layer, so another model's weights run",
        "That other model, by its own name", never="equivalent"),
    Row(14, "Documents and code name different generators and language models",
        "Each model is named by its digest", never="contradictory"),
    Row(15, "Models are loaded again for every neuron, results are written at the end",
        "Each model is loaded once a stage, every part is kept as it is made", never="wasteful"),
    Row(16, "Names are run as code, checkpoints are pickles",
        "Names are looked up, weights are safetensors", never="unsafe"),
    Row(17, "Maps and the squares of 375 and 32 pixels are resized by Pillow, bicubic",
        "Maps bilinear, by OpenCV; pictures are not resized but by the network's transform",
        "map_resize"),
    Row(18, "A phrase is kept whole, of a label its second piece, with all its marks",
        "Quotation marks, bullets, thoughts and blanks are taken off", "wording"),
    Row(19, "The first draw has the phrases' order, later ones shuffle on; replies have no limit",
        "Each draw shuffles the phrases' order; 40 tokens a reply", "draws"),
)  # fmt: skip


def sides(ledger: Ledger) -> dict[str, Side]:
    """Return the side taken of every row, by its number in two digits, for a run's record."""
    return {f"{row.number:02d}": row.taken(ledger) for row in ROWS}
