"""Slow, obvious re-implementations that the fast code is compared with.

Written from the method's own words, in plain Python: no numpy tricks, no OpenCV, nothing shared
with the code under test but the records.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from fractions import Fraction

from dnd_local.core.records import Box

Grid = Sequence[Sequence[int]]


def highest(values: Sequence[float], count: int) -> list[int]:
    """Take the highest value that is left, the lower index first, until there are enough."""
    left = [i for i, value in enumerate(values) if not math.isnan(value)]
    chosen: list[int] = []
    while left and len(chosen) < count:
        best = left[0]
        for i in left:
            if values[i] > values[best]:
                best = i
        left.remove(best)
        chosen.append(best)
    return chosen


def ranks_from_highest(values: Sequence[float]) -> list[float]:
    """A value's rank: how many are higher, plus half of the others that are equal."""
    known = [-math.inf if math.isnan(value) else value for value in values]
    return [
        sum(other > value for other in known) + (sum(other == value for other in known) - 1) / 2
        for value in known
    ]


@dataclass
class OracleScores:
    """The four scores of one candidate."""

    mean: float
    topk_sq_mean: float
    topk_compare: float
    image_products: float


def average(values: Sequence[float]) -> float:
    """The mean."""
    return math.fsum(values) / len(values)


def scores(
    responses: Sequence[Sequence[float]], cosines: Sequence[Sequence[float]], beta: int
) -> list[OracleScores]:
    """The four scores of every candidate, as the method's section on the best concept has them."""
    everything = [value for own in responses for value in own]
    all_ranks = ranks_from_highest(everything)
    known = [value for value in everything if not math.isnan(value)]
    low, high = (min(known), max(known)) if known else (0.0, 0.0)

    ranks: list[list[float]] = []
    start = 0
    for own in responses:
        ranks.append(all_ranks[start : start + len(own)])
        start += len(own)

    squared = [average([rank * rank for rank in sorted(own)[:beta]]) for own in ranks]
    found = []
    for i, own in enumerate(responses):
        worse = sum(other > squared[i] for other in squared)
        by_response = sorted(range(len(own)), key=lambda picture: ranks[i][picture])[:beta]
        products = []
        for value, cosine in zip(own, cosines[i], strict=True):
            flat = high == low or math.isnan(value)
            weight = 0.0 if flat else (value - low) / (high - low)
            products.append(weight * cosine)
        found.append(
            OracleScores(
                mean=average(ranks[i]),
                topk_sq_mean=squared[i],
                topk_compare=(1 + worse) * average([cosines[i][p] for p in by_response]),
                image_products=average(products),
            )
        )
    return found


def released_compare(
    responses: Sequence[Sequence[float]], cosines: Sequence[Sequence[float]], beta: int
) -> list[float]:
    """The released `topk-compare`: squares over all pictures, cosines only of the ten highest."""
    places = [(i, j) for i, own in enumerate(responses) for j in range(len(own))]
    everything = [responses[i][j] for i, j in places]
    rank = dict(zip(places, ranks_from_highest(everything), strict=True))
    ten = {places[place] for place in highest(everything, 10)}

    squared = []
    for i, own in enumerate(responses):
        lowest = sorted(rank[i, j] for j in range(len(own)))[:beta]
        squared.append(average([value * value for value in lowest]))
    found = []
    for i, own in enumerate(responses):
        counted = [cosines[i][j] for j in range(len(own)) if (i, j) in ten]
        weight = average(counted) if counted else -1.0
        found.append((1 + sum(other > squared[i] for other in squared)) * weight)
    return found


def released_piece(reply: str) -> str:
    """What the release keeps of a label: all of it, or what lies between the first two colons."""
    if ":" not in reply:
        return reply
    after = reply[reply.index(":") + 1 :]
    return after[: after.index(":")] if ":" in after else after


def released_candidates(reply: str, merged: str) -> list[str]:
    """The candidates of one draw; `merged` is what comes back if the label is a list.

    Where nothing is left to paint there is none, which is our refusal and not the release's.
    """
    label = released_piece(reply)
    if "," in label and label.strip() not in ("", "."):
        label = released_piece(merged)
    label = label.lower()
    if label[-1:] == ".":
        found = [label[:-1]]
    elif (label.split() or [""])[-1] in ("design", "designs", "graphic", "graphics"):
        found = [label, label + " background"]
    else:
        found = [label]
    return found if found[0].strip() else []


def released_joining(texts: Sequence[str]) -> str:
    """Each text, and after it a comma and a blank unless it is the same text as the last one."""
    joined = ""
    for text in texts:
        joined += text
        if text != texts[len(texts) - 1]:
            joined += ", "
    return joined


def pixels_of(box: Box) -> set[tuple[int, int]]:
    """Every pixel inside a box."""
    return {(x, y) for x in range(box.left, box.right) for y in range(box.top, box.bottom)}


def iou(one: Box, other: Box) -> float:
    """Pixels in both over pixels in either, counted one by one."""
    either = pixels_of(one) | pixels_of(other)
    return len(pixels_of(one) & pixels_of(other)) / len(either) if either else 0.0


def keep_apart(
    boxes: Sequence[Box], whole: Box, count: int, crop_iou: float, whole_iou: float
) -> list[Box]:
    """Largest first; drop what is like the whole picture or like one that was kept."""
    left = list(boxes)
    kept: list[Box] = []
    while left and len(kept) < count:
        largest = left[0]
        for box in left:
            by_size = len(pixels_of(box)) - len(pixels_of(largest))
            if by_size > 0 or (by_size == 0 and (box.top, box.left) < (largest.top, largest.left)):
                largest = box
        left.remove(largest)
        too_large = iou(largest, whole) >= whole_iou
        too_like = any(iou(largest, other) > crop_iou for other in kept)
        if not too_large and not too_like:
            kept.append(largest)
    return kept


def otsu_thresholds(grid: Grid) -> list[int]:
    """Every threshold whose variance between the two classes is highest, in exact arithmetic.

    Pixels above a threshold are bright. Several thresholds may be equally good.
    """
    flat = [value for row in grid for value in row]
    best: Fraction | None = None
    found: list[int] = []
    for threshold in range(256):
        dark = [value for value in flat if value <= threshold]
        bright = [value for value in flat if value > threshold]
        if not dark or not bright:
            continue
        gap = Fraction(sum(dark), len(dark)) - Fraction(sum(bright), len(bright))
        variance = gap * gap * len(dark) * len(bright)
        if best is None or variance > best:
            best, found = variance, [threshold]
        elif variance == best:
            found.append(threshold)
    return found


def bicubic_weight(distance: float) -> float:
    """Keys' cubic with a = -1/2, which Pillow calls bicubic."""
    x = abs(distance)
    if x < 1:
        return 1.5 * x**3 - 2.5 * x**2 + 1
    return -0.5 * x**3 + 2.5 * x**2 - 4 * x + 2 if x < 2 else 0.0


def resized_row(row: Sequence[int], length: int) -> list[int]:
    """A row of 8-bit values in another length; made smaller, the cubic is made wider with it."""
    scale = len(row) / length
    wide = max(scale, 1.0)
    found = []
    for place in range(length):
        centre = (place + 0.5) * scale
        first = max(int(centre - 2 * wide + 0.5), 0)
        last = min(int(centre + 2 * wide + 0.5), len(row))
        weights = [bicubic_weight((i + 0.5 - centre) / wide) for i in range(first, last)]
        # As 8-bit resizing is done everywhere: weights in units of 2**-22, halves away from zero.
        whole = [round_half_away(weight / sum(weights) * 2**22) for weight in weights]
        total = sum(weight * row[first + i] for i, weight in enumerate(whole))
        found.append(min(max((total + 2**21) >> 22, 0), 255))
    return found


def round_half_away(value: float) -> int:
    """The nearest whole number."""
    return int(value + 0.5) if value >= 0 else -int(-value + 0.5)


def pillow_bicubic(grid: Grid, width: int, height: int) -> list[list[int]]:
    """Rows first, then columns, rounded to 8 bit in between."""
    rows = [resized_row(row, width) for row in grid]
    columns = [resized_row(column, height) for column in zip(*rows, strict=True)]
    return [list(row) for row in zip(*columns, strict=True)]


def released_boxes(values: Sequence[Sequence[float]], side: int) -> list[list[Box]]:
    """The released boxes of a map over a square, a list for each threshold that is equally good.

    The map times 255, cut off, modulo 256; Pillow's resize; Otsu; outer areas; at most four.
    """
    eight_bit = [[math.trunc(value * 255) % 256 for value in row] for row in values]
    square = pillow_bicubic(eight_bit, side, side)
    whole = Box(0, 0, side, side)
    found = []
    for threshold in otsu_thresholds(square):
        bright = [[value > threshold for value in row] for row in square]
        found.append(keep_apart(outer_boxes(bright), whole, 4, 0.5, 0.8))
    return found or [[]]


SIDES = ((1, 0), (-1, 0), (0, 1), (0, -1))
AROUND = (*SIDES, (1, 1), (1, -1), (-1, 1), (-1, -1))
Pixel = tuple[int, int]


def flood(
    start: Pixel, steps: Sequence[Pixel], may_enter: Callable[[int, int], bool]
) -> set[Pixel]:
    """Every pixel that can be reached from `start` by `steps`."""
    reached, waiting = {start}, [start]
    while waiting:
        x, y = waiting.pop()
        for dx, dy in steps:
            step = (x + dx, y + dy)
            if step not in reached and may_enter(*step):
                reached.add(step)
                waiting.append(step)
    return reached


def outer_boxes(bright: Sequence[Sequence[bool]]) -> list[Box]:
    """Bounding boxes of bright areas (joined by corners too), but for those inside another's hole.

    What is outside is flooded from beyond the border; an area counts if the flood touches it.
    """
    height, width = len(bright), len(bright[0])

    def lit(x: int, y: int) -> bool:
        return 0 <= x < width and 0 <= y < height and bright[y][x]

    def dark_or_beyond(x: int, y: int) -> bool:
        return -1 <= x <= width and -1 <= y <= height and not lit(x, y)

    outside = flood((-1, -1), SIDES, dark_or_beyond)
    seen: set[Pixel] = set()
    boxes = []
    for pixel in ((x, y) for y in range(height) for x in range(width)):
        if not lit(*pixel) or pixel in seen:
            continue
        area = flood(pixel, AROUND, lit)
        seen |= area
        if any((x + dx, y + dy) in outside for x, y in area for dx, dy in SIDES):
            xs, ys = [x for x, _ in area], [y for _, y in area]
            boxes.append(Box(min(xs), min(ys), max(xs) + 1, max(ys) + 1))
    return boxes


def top_images(
    rows: Sequence[Sequence[float]], neuron: int, count: int, eligible: Sequence[bool]
) -> list[int]:
    """The eligible images in the order of their response, the first of equals first."""
    column = [row[neuron] if fit else math.nan for row, fit in zip(rows, eligible, strict=True)]
    return highest(column, count)


@dataclass
class OracleTriage:
    """What triage finds about one neuron."""

    verdict: str
    twin: int | None
    low: float
    mean: float
    high: float
    spread: float
    active: float


def correlation(one: Sequence[float], other: Sequence[float]) -> float:
    """Pearson's, from its definition."""
    a, b = average(one), average(other)
    together = average([(x - a) * (y - b) for x, y in zip(one, other, strict=True)])
    return together / (deviation(one) * deviation(other))


def deviation(values: Sequence[float]) -> float:
    """The standard deviation of all of them (not of a sample)."""
    mean = average(values)
    return math.sqrt(average([(value - mean) ** 2 for value in values]))


def triage(
    rows: Sequence[Sequence[float]], dead: float, constant: float, duplicate: float
) -> list[OracleTriage]:
    """Every neuron's class, looking at the whole matrix again for each."""
    usable = [row for row in rows if not all(math.isnan(value) for value in row)]
    found: list[OracleTriage] = []
    for k in range(len(usable[0])):
        columns = [
            [0.0 if math.isnan(v) else v for v in column] for column in zip(*usable, strict=True)
        ]
        own = columns[k]
        size = max(abs(value) for value in own)
        verdict, twin = "live", None
        if size <= dead:
            verdict = "dead"
        elif deviation(own) <= constant * size:
            verdict = "constant"
        else:
            for earlier, before in enumerate(found):
                if before.verdict == "live" and correlation(own, columns[earlier]) > duplicate:
                    verdict, twin = "duplicate", earlier
                    break
        active = sum(value > dead for value in own) / len(own)
        found.append(
            OracleTriage(verdict, twin, min(own), average(own), max(own), deviation(own), active)
        )
    return found
