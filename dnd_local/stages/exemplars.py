"""Stage 1: the pictures that say most about a neuron (the paper's "probing set augmentation").

The K probe images of highest response, and crops of them around what the neuron's own map lights
up, compete by response; the best are the exemplars.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, TypeAlias

import numpy as np
from numpy.typing import NDArray

from dnd_local.core import regions
from dnd_local.core.config import ExemplarsConfig
from dnd_local.core.ledger import OURS, Ledger, Side
from dnd_local.core.protocols import Blobs, ProbeSet, ResponseMap, Target
from dnd_local.core.ranking import highest
from dnd_local.core.records import BlobId, Box, Exemplar, Exemplars, Neuron, Pixels, Responses
from dnd_local.core.tiles import shown

RELEASED_SIDE: Final = 375
"""The square of pixels that the released code squashes every picture to."""


@dataclass(frozen=True, slots=True, eq=False)
class _View:
    """A picture that competes to be an exemplar: a probe image, or a crop of one."""

    image: int
    box: Box | None
    pixels: Pixels
    map: BlobId | None
    seen: Box | None


_Prepare: TypeAlias = Callable[[_View], Pixels]

_EIGHT_BIT: Final[Mapping[Side, Callable[[NDArray[np.float32]], NDArray[np.uint8]]]] = {
    "ours": regions.to_eight_bit,
    "released": regions.wrap_to_eight_bit,
}
"""Row 1 of the ledger."""

_PLACED: Final[Mapping[Side, Callable[[ResponseMap, Box], Box | None]]] = {
    "ours": lambda map_, whole: map_.seen,
    "released": lambda map_, whole: whole,
}
"""Row 2 of the ledger: the region of the picture that a map is taken to cover."""

_RESIZED: Final[Mapping[Side, regions.Resize]] = {
    "ours": regions.bilinear,
    "released": regions.pillow_bicubic,
}
"""Row 17 of the ledger: how a map is brought to the size of what it covers."""

SHAPED: Final[Mapping[Side, Callable[[Pixels], Pixels]]] = {
    "ours": lambda picture: picture,
    "released": lambda picture: regions.squash(picture, RELEASED_SIDE),
}
"""Row 4 of the ledger: a probe image, or a crop of one, as it is kept and captioned."""


def top_images(
    chunks: Iterable[Responses],
    neurons: Sequence[int],
    count: int,
    eligible: NDArray[np.bool_],
) -> list[list[int]]:
    """Return, for each neuron, the probe indices of its `count` highest responses, best first.

    Ties go to the lower index; skipped images (NaN) and those not `eligible` never enter. One
    pass, and only the best so far are held.
    """
    best: list[list[tuple[float, int]]] = [[] for _ in neurons]
    for chunk in chunks:
        allowed = eligible[chunk.first : chunk.first + len(chunk.values)]
        columns = chunk.values[:, list(neurons)].astype(np.float64)
        columns[~allowed] = np.nan
        for ranked, column in zip(best, columns.T, strict=True):
            ranked.extend((-float(column[i]), chunk.first + i) for i in highest(column, count))
            ranked.sort()
            del ranked[count:]
    return [[index for _, index in ranked] for ranked in best]


def exemplify(
    neurons: Sequence[Neuron],
    top: Sequence[Sequence[int]],
    target: Target,
    probe: ProbeSet,
    blobs: Blobs,
    config: ExemplarsConfig,
    ledger: Ledger = OURS,
) -> list[Exemplars]:
    """Return the exemplars of each neuron of one layer, highest response first.

    Args:
        neurons: neurons of the same layer.
        top: for each, the probe indices of its highest responses.
        probe: the images as the network sees them.
        ledger: how maps become boxes, and in which shape pictures and crops are seen.
    """
    layer = neurons[0].layer
    pictures = _read(top, probe, ledger)
    maps = _maps(neurons, top, pictures, target, layer)
    views, notes = [], []
    for neuron, images in zip(neurons, top, strict=True):
        competing, note = _views(neuron, images, pictures, maps, blobs, config, ledger)
        views.append(competing)
        notes.append(note)
    prepare = _FRAMED[ledger.crop_shape](_seen_share(target))
    flat = [prepare(view) for competing in views for view in competing]
    responses = iter(target.responses(flat, [layer])[layer])
    chosen = []
    for neuron, competing, note in zip(neurons, views, notes, strict=True):
        view_responses = [float(next(responses)[neuron.index]) for _ in competing]
        chosen.append(_choose(neuron, competing, view_responses, note, probe, blobs, config))
    return chosen


def _read(top: Sequence[Sequence[int]], probe: ProbeSet, ledger: Ledger) -> dict[int, Pixels]:
    """Return each wanted image once, however many neurons share it."""
    wanted = sorted({index for images in top for index in images})
    return {index: SHAPED[ledger.crop_shape](probe.pixels(index)) for index in wanted}


def _maps(
    neurons: Sequence[Neuron],
    top: Sequence[Sequence[int]],
    pictures: dict[int, Pixels],
    target: Target,
    layer: str,
) -> dict[tuple[int, int], ResponseMap]:
    """Return the map of each (image, neuron) that is wanted, one forward an image."""
    asked: dict[int, list[int]] = {index: [] for index in pictures}
    for neuron, images in zip(neurons, top, strict=True):
        for index in images:
            asked[index].append(neuron.index)
    by_image = target.maps(list(pictures.values()), layer, list(asked.values()))
    return {
        (index, k): one
        for (index, ks), maps in zip(asked.items(), by_image, strict=True)
        for k, one in zip(ks, maps, strict=False)  # a layer without maps gives none
    }


def _views(
    neuron: Neuron,
    images: Sequence[int],
    pictures: dict[int, Pixels],
    maps: dict[tuple[int, int], ResponseMap],
    blobs: Blobs,
    config: ExemplarsConfig,
    ledger: Ledger,
) -> tuple[list[_View], str]:
    """Return a neuron's images and their crops, and why there are no crops where there are none."""
    views: list[_View] = []
    note = ""
    for index in images:
        pixels = pictures[index]
        height, width = pixels.shape[:2]
        response_map = maps.get((index, neuron.index))
        if response_map is None:
            note = "the layer has no map, so there are no crops"
            views.append(_View(index, None, pixels, None, None))
            continue
        eight_bit = _EIGHT_BIT[ledger.map_values](response_map.values)
        seen = _PLACED[ledger.map_place](response_map, Box(0, 0, width, height))
        stored = blobs.put(eight_bit)
        views.append(_View(index, None, pixels, stored, seen))
        if seen is None:
            note = "the transform could not be followed, so there are no crops"
            continue
        for box in regions.attention_boxes(
            eight_bit,
            seen,
            height,
            width,
            count=config.crops,
            crop_iou=config.crop_iou,
            whole_iou=config.whole_iou,
            resize=_RESIZED[ledger.map_resize],
            whole=seen if config.whole == "seen" else None,
            min_side=config.min_side,
        ):
            cut = SHAPED[ledger.crop_shape](regions.crop(pixels, box))
            views.append(_View(index, box, cut, stored, seen))
    return views, note


def _seen_share(target: Target) -> float:
    """Return the side of what the network sees of a square picture, as a share of its side."""
    side = 1000
    seen = target.framing(side, side)
    return min(seen.width, seen.height) / side if seen else 1.0


def _padder(share: float) -> _Prepare:
    def prepare(view: _View) -> Pixels:
        return view.pixels if view.box is None else regions.pad_to_framing(view.pixels, share)

    return prepare


_FRAMED: Final[Mapping[Side, Callable[[float], _Prepare]]] = {
    "ours": _padder,
    "released": lambda share: lambda view: view.pixels,
}
"""Row 4 again: a view as the network is given it, from the share of a square that it sees."""


def _of_few_images(order: Sequence[int], views: Sequence[_View], most: int) -> list[int]:
    """Return `order` without an image's views beyond its first `most`; all of them for 0."""
    seen: Counter[int] = Counter()
    chosen = []
    for i in order:
        seen[views[i].image] += 1
        if not most or seen[views[i].image] <= most:
            chosen.append(i)
    return chosen


def _choose(
    neuron: Neuron,
    views: Sequence[_View],
    responses: Sequence[float],
    note: str,
    probe: ProbeSet,
    blobs: Blobs,
    config: ExemplarsConfig,
) -> Exemplars:
    """Return the views of highest response as the neuron's exemplars."""
    chosen = tuple(
        Exemplar(
            image=views[i].image,
            name=probe.name(views[i].image),
            box=views[i].box,
            response=responses[i],
            blob=blobs.put(shown(probe, views[i].pixels)),
            map=views[i].map,
            seen=views[i].seen,
        )
        for i in _of_few_images(highest(responses, len(views)), views, config.views)[: config.count]
    )
    boxes: dict[int, list[Box]] = {}
    for view in views:
        if view.box is not None:
            boxes.setdefault(view.image, []).append(view.box)
    return Exemplars(neuron, chosen, tuple((i, tuple(b)) for i, b in boxes.items()), note)
