"""The pocket world: small pictures whose every attribute is known.

Picture ``index`` of ``seed`` depends on the world's version, the seed and the index alone, so
any part of any set can be drawn in any order, by any number of workers.
"""

from __future__ import annotations

import hashlib
import random
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Final

import numpy as np
import numpy.typing as npt
from PIL import Image

from dnd_local.pocket.words import RGB, Colour, Concept, category_of, vocabulary

SIZE: Final = 64
"""Height and width of a picture, in pixels."""

TILE: Final = 96
"""Height and width of one sprite on the sheet, in pixels."""

TRAIN_SEED: Final = 1
"""The pictures that target, captioner and embedder learn from."""
JUDGE_SEED: Final = 2
"""The pictures that the judge alone learns from."""
HELD_OUT_SEED: Final = 3
"""Pictures that no model has seen, for measuring."""
PROBE_SEED: Final = 4
"""The default probe set; no model has seen it either."""
PAINTER_SEED: Final = 5
"""The pictures that the painter alone learns from, drawn on a grid of `PAINTER_GRID` pixels."""
PAINTER_GRID: Final = 8
"""In pixels: as wide as one of the painter's latents."""
PROBE_COUNT: Final = 2000
"""How many pictures the default probe set has."""

_SHARE_NONE: Final = 0.15
_SHARE_TWO: Final = 0.15
_SPREAD: Final = 10
"""How far, in 8-bit levels, each channel of a background may stray from its colour."""
_SHARE_HELD_OUT: Final = 10
"""One combination in so many is kept from the painter."""


@dataclass(frozen=True, slots=True)
class Attributes:
    """What a picture shows.

    Attributes:
        objects: Names of the objects, left to right; none, one or two, never twice the same.
        boxes: Where they are: half-open pixel boxes (x0, y0, x1, y1), one an object.
        colour: Name of the background colour.
        pattern: Name of the background pattern.
    """

    objects: tuple[str, ...]
    boxes: tuple[tuple[int, int, int, int], ...]
    colour: str
    pattern: str

    def categories(self) -> tuple[str, ...]:
        """Return the categories of the objects, without repeats."""
        return tuple(dict.fromkeys(category_of(name) for name in self.objects))

    def concepts(self) -> frozenset[Concept]:
        """Return every concept that holds for the picture."""
        return frozenset(
            {
                *(Concept("object", name) for name in self.objects),
                *(Concept("category", name) for name in self.categories()),
                Concept("colour", self.colour),
                Concept("pattern", self.pattern),
            }
        )


def _generator(seed: int, index: int) -> random.Random:
    text = f"pocket/{vocabulary().version}/{seed}/{index}"
    return random.Random(int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big"))


@cache
def _sprites() -> dict[str, Image.Image]:
    """Cut the sheet into one RGBA tile an object, in the order of ``words.json``."""
    with (files("dnd_local.pocket") / "sprites.png").open("rb") as handle:
        sheet = Image.open(handle).convert("RGBA")
    columns = sheet.width // TILE
    tiles: dict[str, Image.Image] = {}
    for place, thing in enumerate(vocabulary().objects):
        x, y = TILE * (place % columns), TILE * (place // columns)
        tiles[thing.name] = sheet.crop((x, y, x + TILE, y + TILE))
    return tiles


def _mask(pattern: str, rng: random.Random, grid: int) -> npt.NDArray[np.bool_]:
    """Return where the second colour goes, shape (SIZE, SIZE).

    Raises:
        ValueError: If nothing here draws that pattern.
    """
    rows, columns = np.mgrid[0:SIZE, 0:SIZE]
    fewest = -(-10 // grid)
    period = grid * rng.randint(fewest, max(fewest, 15 // grid))
    phase = 1 if grid == 1 else period
    rows = rows + rng.randrange(0, period, phase)
    columns = columns + rng.randrange(0, period, phase)
    if pattern == "plain":
        return np.zeros((SIZE, SIZE), dtype=np.bool_)
    if pattern == "striped":
        along = rows if rng.random() < 0.5 else columns
        return np.asarray(along % period < period * 0.45, dtype=np.bool_)
    if pattern == "dotted":
        middle = (period - 1) / 2
        distance = np.hypot(rows % period - middle, columns % period - middle)
        return np.asarray(distance <= period * 0.29, dtype=np.bool_)
    if pattern == "checkered":
        cell = max(7, period * 2 // 3 // grid * grid)
        return np.asarray((rows // cell + columns // cell) % 2 == 1, dtype=np.bool_)
    raise ValueError(f"unknown pattern {pattern!r}: teach dnd_local.pocket.world to draw it")


def _shifted(rgb: RGB, shift: tuple[int, ...]) -> npt.NDArray[np.uint8]:
    moved = np.clip(np.asarray(rgb) + np.asarray(shift), 0, 255)
    shifted: npt.NDArray[np.uint8] = moved.astype(np.uint8)
    return shifted


def _background(colour: Colour, pattern: str, rng: random.Random, grid: int) -> Image.Image:
    shift = tuple(rng.randint(-_SPREAD, _SPREAD) for _ in range(3))
    if colour.base[0] == colour.base[1] == colour.base[2]:
        # A tinted gray is a matter of opinion: all three channels move together.
        shift = (shift[0],) * 3
    mask = _mask(pattern, rng, grid)[:, :, None]
    pixels = np.where(mask, _shifted(colour.other, shift), _shifted(colour.base, shift))
    return Image.fromarray(pixels.astype(np.uint8), "RGB")


def _places(count: int, rng: random.Random, grid: int) -> tuple[tuple[int, int, int, int], ...]:
    """Choose square boxes: one anywhere, or two side by side that do not overlap."""

    def between(low: int, high: int) -> int:
        return grid * rng.randint(-(-low // grid), high // grid)

    if count == 1:
        size = between(38, 54)
        x, y = between(0, SIZE - size), between(0, SIZE - size)
        return ((x, y, x + size, y + size),)
    boxes = []
    for start in (0, SIZE // 2)[:count]:
        size = between(28, SIZE // 2)
        x, y = start + between(0, SIZE // 2 - size), between(0, SIZE - size)
        boxes.append((x, y, x + size, y + size))
    return tuple(boxes)


def draw(
    objects: tuple[str, ...], colour: str, pattern: str, rng: random.Random, grid: int = 1
) -> tuple[Image.Image, Attributes]:
    """Draw a picture of the given things; the generator decides the rest.

    Args:
        objects: None, one or two object names.
        colour: The background colour.
        pattern: The background pattern.
        rng: Decides sizes, places, mirroring, shades and the pattern's phase.
        grid: Sizes, places and periods are multiples of so many pixels; above 1 every pattern
            starts in the corner.

    Returns:
        The RGB picture of SIZE x SIZE pixels and its attributes.
    """
    ground = next(entry for entry in vocabulary().colours if entry.name == colour)
    image = _background(ground, pattern, rng, grid)
    boxes = _places(len(objects), rng, grid)
    for name, box in zip(objects, boxes, strict=True):
        side = box[2] - box[0]
        sprite = _sprites()[name].resize((side, side), Image.Resampling.LANCZOS)
        if rng.random() < 0.5:
            sprite = sprite.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
        image.paste(sprite, box[:2], sprite)
    return image, Attributes(objects, boxes, colour, pattern)


def picture(seed: int, index: int, grid: int = 1) -> tuple[Image.Image, Attributes]:
    """Return one picture of the world.

    Args:
        seed: Which endless sequence of pictures; see the constants of this module.
        index: The place in it, from 0.
        grid: As in `draw`: above 1 the pictures vary less, which the painter learns sooner.

    Returns:
        The RGB picture of SIZE x SIZE pixels and its attributes.

    Raises:
        ValueError: If the index is negative.
    """
    if index < 0:
        raise ValueError(f"picture index {index} is negative: count from 0")
    words = vocabulary()
    rng = _generator(seed, index)
    lot = rng.random()
    first, second = rng.sample([thing.name for thing in words.objects], 2)
    objects: tuple[str, ...] = (first,)
    if lot < _SHARE_NONE:
        objects = ()
    elif lot < _SHARE_NONE + _SHARE_TWO:
        objects = (first, second)
    colour = rng.choice(words.colours).name
    pattern = rng.choice(words.patterns).name
    return draw(objects, colour, pattern, rng, grid)


def kept_from_painter(name: str, colour: str, pattern: str) -> bool:
    """Say whether the painter must never see this combination while it learns.

    Args:
        name: An object.
        colour: A background colour.
        pattern: A background pattern.
    """
    text = f"combination/{vocabulary().version}/{name}/{colour}/{pattern}"
    return hashlib.sha256(text.encode()).digest()[0] % _SHARE_HELD_OUT == 0


def held_out_combinations() -> tuple[tuple[str, str, str], ...]:
    """Return every (object, colour, pattern) that the painter has not seen, in word order."""
    words = vocabulary()
    return tuple(
        (thing.name, colour.name, pattern.name)
        for thing in words.objects
        for colour in words.colours
        for pattern in words.patterns
        if kept_from_painter(thing.name, colour.name, pattern.name)
    )
