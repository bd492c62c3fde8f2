"""Where in a picture a neuron looks: maps to 8 bit, Otsu, contours, boxes, crops.

Describe-and-Dissect, "Probing Set Augmentation". Coordinates are pixels of the original picture,
half-open, x to the right and y down.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeAlias

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from dnd_local.core.records import Box, Pixels

Resize: TypeAlias = Callable[[NDArray[np.uint8], int, int], NDArray[np.uint8]]
"""From 8-bit pixels, a width and a height: the pixels in that size."""


def bilinear(pixels: NDArray[np.uint8], width: int, height: int) -> NDArray[np.uint8]:
    """Return pixels, shape (h, w) or (h, w, 3), resized by OpenCV, bilinear."""
    resized = cv2.resize(pixels, (width, height), interpolation=cv2.INTER_LINEAR)
    return np.asarray(resized, dtype=np.uint8)


def pillow_bicubic(pixels: NDArray[np.uint8], width: int, height: int) -> NDArray[np.uint8]:
    """Return pixels, shape (h, w) or (h, w, 3), resized as the released code resizes them.

    Pillow, bicubic, which also averages over what it makes smaller (row 17 of the ledger).
    """
    # In two steps, because Pillow 13 may begin with the height where earlier ones, the release's
    # among them, begin with the width; the rounding in between differs.
    wide = Image.fromarray(pixels).resize((width, len(pixels)), Image.Resampling.BICUBIC)
    resized = wide.resize((width, height), Image.Resampling.BICUBIC)
    return np.asarray(resized, dtype=np.uint8)


def to_eight_bit(values: NDArray[np.float32]) -> NDArray[np.uint8]:
    """Return a map scaled to 0..255 by its own minimum and maximum; all 0 where it is flat.

    NaN counts as the minimum.
    """
    known = values[np.isfinite(values)]
    if known.size == 0 or known.max() <= known.min():
        return np.zeros(values.shape, dtype=np.uint8)
    low, high = float(known.min()), float(known.max())
    filled = np.nan_to_num(values, nan=low, posinf=high, neginf=low).astype(np.float64)
    scaled = (filled - low) / (high - low)
    return np.asarray(np.rint(scaled * 255), dtype=np.uint8)


def wrap_to_eight_bit(values: NDArray[np.float32]) -> NDArray[np.uint8]:
    """Return a map times 255 modulo 256, as the released code's cast does (row 1 of the ledger).

    NaN and infinity count as 0.
    """
    known = np.nan_to_num(values, nan=0.0, posinf=0.0, neginf=0.0)
    return np.asarray(np.mod(np.trunc(known * 255), 256), dtype=np.uint8)


def attention_boxes(
    eight_bit: NDArray[np.uint8],
    seen: Box,
    height: int,
    width: int,
    *,
    count: int,
    crop_iou: float,
    whole_iou: float,
    resize: Resize = bilinear,
    whole: Box | None = None,
    min_side: int = 0,
) -> tuple[Box, ...]:
    """Return the boxes around what lights up, largest first.

    The map is resized to the region `seen` of a picture of `height` x `width`, thresholded with
    Otsu's method, and the bounding boxes of its external contours are thinned by `keep_apart`.

    Args:
        eight_bit: the map, shape (map height, map width).
        seen: the region of the picture that the map covers.
        count: boxes at most.
        crop_iou: a box is dropped if its IoU with a kept one exceeds this.
        whole_iou: a box is dropped if its IoU with the whole is this or more.
        resize: how the map is brought to the size of `seen`.
        whole: the whole; the picture if not given.
        min_side: a box is dropped if its shorter side has fewer pixels.
    """
    if count == 0:
        return ()
    resized = resize(eight_bit, seen.width, seen.height)
    # A flat map has nothing to threshold (Otsu would call all of it bright), and a map larger
    # than the picture can become flat by being made smaller.
    if resized.max() == resized.min():
        return ()
    _, mask = cv2.threshold(resized, 0, 255, cv2.THRESH_BINARY + cv2.THRESH_OTSU)
    contours, _ = cv2.findContours(mask, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_SIMPLE)
    boxes = []
    for contour in contours:
        x, y, w, h = cv2.boundingRect(contour)
        if min(w, h) >= min_side:
            boxes.append(Box(seen.left + x, seen.top + y, seen.left + x + w, seen.top + y + h))
    whole = whole or Box(0, 0, width, height)
    return keep_apart(boxes, whole, count=count, crop_iou=crop_iou, whole_iou=whole_iou)


def keep_apart(
    boxes: Sequence[Box], whole: Box, *, count: int, crop_iou: float, whole_iou: float
) -> tuple[Box, ...]:
    """Return up to `count` boxes, largest area first, none too like another or the `whole`.

    Equal areas go to the upper, then the left box.
    """
    kept: list[Box] = []
    for box in sorted(boxes, key=lambda b: (-b.area, b.top, b.left)):
        if len(kept) == count:
            break
        if iou(box, whole) < whole_iou and all(iou(box, other) <= crop_iou for other in kept):
            kept.append(box)
    return tuple(kept)


def iou(one: Box, other: Box) -> float:
    """Return intersection over union of two boxes, in [0, 1]."""
    width = min(one.right, other.right) - max(one.left, other.left)
    height = min(one.bottom, other.bottom) - max(one.top, other.top)
    if width <= 0 or height <= 0:
        return 0.0
    common = width * height
    return common / (one.area + other.area - common)


def crop(picture: Pixels, box: Box) -> Pixels:
    """Return the part of a picture inside `box`, a copy."""
    return picture[box.top : box.bottom, box.left : box.right].copy()


def pad_to_framing(picture: Pixels, seen_share: float) -> Pixels:
    """Return a crop centred on a square so large that the network's own crop cuts nothing off.

    Args:
        picture: the crop, any shape; or a tile's, of any bands.
        seen_share: the side of the region that the network sees of a square picture, as a share
            of the square's side (0.875 for a resize to 256 and centre crop of 224).

    The margin has the crop's mean colour, which adds no edge stronger than the crop's own.
    """
    height, width = picture.shape[:2]
    longest = max(height, width)
    side = int(np.ceil(longest / seen_share))
    # Odd or even as the crop's side is, so that the margins on both sides are equal whole pixels.
    side += (side - longest) % 2
    canvas = np.empty((side, side, picture.shape[2]), dtype=picture.dtype)
    mean = picture.reshape(-1, picture.shape[2]).mean(axis=0)
    canvas[:] = np.rint(mean) if np.issubdtype(picture.dtype, np.integer) else mean
    top, left = (side - height) // 2, (side - width) // 2
    canvas[top : top + height, left : left + width] = picture
    return canvas


def squash(picture: Pixels, side: int) -> Pixels:
    """Return a picture forced into a square of `side` pixels (rows 4, 5 and 17 of the ledger)."""
    return pillow_bicubic(picture, side, side)
