"""Which neurons: ``1,2,3``, ``0-63``, both, or ``all``, of one or several layers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from dnd_local.core.errors import BadConfig, UnknownName, UserError
from dnd_local.core.factory_names import own_name
from dnd_local.core.records import LayerInfo
from dnd_local.core.regular import read_regular
from dnd_local.core.sequences import distinct

MAX_DIGITS: Final = 6
"""Digits of the largest index: no layer has a million neurons, and a range is held as a list."""


@dataclass(frozen=True, slots=True)
class Selection:
    """Layers, and the indices wanted of each; `ids` is None for all of them."""

    layers: tuple[str, ...]
    ids: tuple[int, ...] | None = None

    def through(self, latents: str) -> Selection:
        """Return the selection with each layer named as that of an encoder's latents.

        ``layer4`` becomes ``layer4:NAME``; without an encoder nothing changes.
        """
        end = f":{own_name(latents)}"
        if not latents:
            return self
        layers = tuple(distinct(layer.removesuffix(end) + end for layer in self.layers))
        return Selection(layers, self.ids)

    def check(self, layers: Sequence[LayerInfo]) -> None:
        """Check against the network before anything slow starts.

        Raises:
            UnknownName: a layer that the network has not.
            UserError: an index that a layer has not.
        """
        known = {layer.path: layer for layer in layers}
        fitting = "`dnd-local layers MODEL` lists them"
        if any(layer.kind.startswith("latents of") for layer in layers):
            fitting += "; with --latents those that have as many neurons as the encoder reads"
        for layer in self.layers:
            if layer not in known:
                raise UnknownName("layer", layer, known, f"{fitting}.")
            self._of(layer, known[layer].neurons)

    def resolve(self, counts: Mapping[str, int]) -> dict[str, tuple[int, ...]]:
        """Return the indices of each layer, given how many neurons each has.

        Raises:
            UserError: an index that a layer has not.
        """
        return {layer: self._of(layer, counts[layer]) for layer in self.layers}

    def _of(self, layer: str, count: int) -> tuple[int, ...]:
        if self.ids is None:
            return tuple(range(count))
        outside = [i for i in self.ids if i >= count]
        if outside:
            raise UserError(
                f"layer {layer} has {count} neurons (0 to {count - 1}), so none has the id "
                f"{outside[0]}"
            )
        return self.ids


def read_selection(layers: str, ids: str) -> Selection:
    """Return the selection written as ``layer4,fc`` and ``1,2,8-15``, ``all`` or ``@FILE``.

    A file holds ids in the same form, on as many lines as it likes; what follows ``#`` is a remark.

    Raises:
        BadConfig: it cannot be read as one.
    """
    names = tuple(distinct(part.strip() for part in layers.split(",")))
    if not all(names):
        raise BadConfig(f"layers '{layers}' has an empty name; write for example layer3,layer4")
    ids = _from_file(ids.strip()) if ids.strip().startswith("@") else ids
    if ids.strip() == "all":
        return Selection(names)
    chosen: set[int] = set()
    for part in ids.split(","):
        first, dash, last = part.strip().partition("-")
        if not (first.isdecimal() and (last.isdecimal() if dash else True)):
            raise BadConfig(
                f"ids '{_shown(ids)}': cannot read '{_shown(part)}'; write 1,2,3 or 0-63 or all "
                "or @FILE"
            )
        if max(len(first), len(last)) > MAX_DIGITS:
            raise BadConfig(f"ids '{_shown(ids)}': no layer has a neuron '{_shown(part.strip())}'")
        low, high = int(first), int(last if dash else first)
        if high < low:
            raise BadConfig(f"ids '{ids}': the range '{part.strip()}' runs backwards")
        chosen.update(range(low, high + 1))
    return Selection(names, tuple(sorted(chosen)))


def _from_file(ids: str) -> str:
    """Return what the file of ``@FILE`` holds, as one list.

    Raises:
        BadConfig: it cannot be read, is no text, or holds no id.
    """
    path = Path(ids[1:]).expanduser()
    try:
        text = read_regular(path).decode("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        why = error.strerror if isinstance(error, OSError) else "it is no text in UTF-8"
        raise BadConfig(f"ids '{_shown(ids)}': cannot read {path}: {why}") from None
    lines = [line.partition("#")[0].strip().strip(",") for line in text.splitlines()]
    parts = ",".join(",".join(line.split()) if "," not in line else line for line in lines if line)
    if not parts:
        raise BadConfig(f"ids '{_shown(ids)}': {path} holds no id")
    return parts


def _shown(text: str) -> str:
    return text if len(text) <= 80 else f"{text[:80]}…"
