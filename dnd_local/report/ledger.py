"""What the released code does and what this project does, and which of the two a run took."""

from __future__ import annotations

from dataclasses import dataclass

from dnd_local.core.config import Compat
from dnd_local.core.records import Card


@dataclass(frozen=True, slots=True)
class LedgerRow(Card):
    """One difference; `taken` says which side the run took."""

    number: int
    released: str
    ours: str
    taken: str


_SWITCHED = frozenset({1, 2, 4})
"""The rows that `--compat official` turns to the released side."""

_ROWS = (
    ("Maps become 8 bit by a factor of 255 and wrap, so values above 1 turn to noise",
     "Each map is scaled between its own lowest and highest value"),
    ("The centre crop's map is stretched over the whole picture, so boxes are off",
     "The map lies on the region that the network saw"),
    ("A vision transformer's map is its folded CLS vector, the same for every neuron",
     "The neuron's own map over the patch tokens"),
    ("Exemplars and crops are squashed to squares of 375 pixels",
     "Original pixels; a crop keeps its shape inside a margin"),
    ("Generated pictures are shrunk to 32 pixels before they are judged",
     "Full size, through the network's own transform"),
    ("The cosine counts only pictures among the ten highest of all, otherwise it is -1",
     "The cosine of a candidate's own highest pictures"),
    ("A candidate without a ranked picture gets a stand-in better than real ranks",
     "Every picture is ranked, so there is no such case"),
    ("One unseeded random generator, so a label depends on the neurons before it",
     "A seed for each picture and each draw: company and order change nothing"),
    ("Replies are cut at colons and commas, and labels of any length pass",
     "One line, five words at most; lists are merged, the rest asked again or rejected"),
    ("Often one or two of five labels are distinct",
     "Drawn again until enough are distinct, within a bound"),
    ("Dead neurons tie on every image and get confident labels",
     "Dead, constant and duplicate neurons are found first and named as such"),
    ("Some options are read and then ignored",
     "Every option does what it says"),
    ("The captioner's checkpoint fits no layer, so another model's weights run",
     "That other model, by its own name"),
    ("Documents and code name different generators and language models",
     "Each model is named by its digest"),
    ("Models are loaded again for every neuron, results are written at the end",
     "Each model is loaded once a stage, every part is kept as it is made"),
    ("Names are run as code, checkpoints are pickles",
     "Names are looked up, weights are safetensors"),
)  # fmt: skip


def ledger(compat: Compat) -> tuple[LedgerRow, ...]:
    """Return every row with the side that a run under `compat` took."""
    return tuple(
        LedgerRow(i, released, ours,
                  "released" if compat == "official" and i in _SWITCHED else "ours")
        for i, (released, ours) in enumerate(_ROWS, start=1)
    )  # fmt: skip
