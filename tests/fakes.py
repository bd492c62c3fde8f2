"""A world of flat colours and engines that know it: for tests only, no user ever gets one.

The target has one layer, ``colours``, with a map: neurons 0, 1, 2 are redness, greenness and
blueness, 3 is dead, 4 constant, 5 repeats 0. The captioner names the strongest channel, the
language model the word that most phrases share, the painter paints the colour it reads.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from dnd_local.core.conversations import Reply, Request
from dnd_local.core.errors import EngineError, UnknownName
from dnd_local.core.protocols import ResponseMap, UnreadableImage
from dnd_local.core.records import Box, LayerInfo, Pixels

NAMES = ("red", "green", "blue")
LAYER = "colours"
NEURONS = 6


def flat(colour: int, strength: int, side: int = 8) -> Pixels:
    """Return a picture that is dark but for a square of one channel."""
    picture = np.full((side, side, 3), 20, dtype=np.uint8)
    picture[2:6, 2:6, colour] = strength
    return picture


class ColourProbe:
    """`count` pictures, their colours in turn, their strengths all different."""

    digest = "0" * 64

    def __init__(self, count: int = 30, broken: Sequence[int] = ()) -> None:
        self.count, self.broken = count, broken

    def __len__(self) -> int:
        return self.count

    def name(self, index: int) -> str:
        return f"{NAMES[index % 3]}-{index}"

    def pixels(self, index: int) -> Pixels:
        if index in self.broken:
            raise UnreadableImage("cut off")
        return flat(index % 3, 60 + 5 * index)


@dataclass
class Calls:
    """What the engines were asked, by role."""

    opened: Counter[str] = field(default_factory=Counter)
    asked: Counter[str] = field(default_factory=Counter)


class FakeTarget:
    bands = 0

    def __init__(self, calls: Calls) -> None:
        self.calls = calls

    def layers(self) -> tuple[LayerInfo, ...]:
        return (LayerInfo(LAYER, "Colours", (NEURONS, 8, 8), NEURONS, True),)

    def responses(
        self, pictures: Sequence[Pixels], layers: Sequence[str]
    ) -> dict[str, NDArray[np.float32]]:
        for layer in layers:
            if layer != LAYER:
                raise UnknownName("layer", layer, [LAYER])
        self.calls.asked["target"] += len(pictures)
        values = np.zeros((len(pictures), NEURONS), dtype=np.float32)
        for row, picture in zip(values, pictures, strict=True):
            means = picture.reshape(-1, 3).mean(axis=0) / 255
            row[:3] = np.maximum(2 * means - means.sum(), 0)
            row[4] = 0.5
            row[5] = row[0]
        return dict.fromkeys(layers, values)

    def maps(
        self, pictures: Sequence[Pixels], layer: str, neurons: Sequence[Sequence[int]]
    ) -> list[list[ResponseMap]]:
        return [
            [
                ResponseMap(
                    picture[..., k % 3].astype(np.float32),
                    Box(0, 0, picture.shape[1], picture.shape[0]),
                )
                for k in own
            ]
            for picture, own in zip(pictures, neurons, strict=True)
        ]

    def outputs(
        self, pictures: Sequence[Pixels], layer: str, silent: Sequence[Sequence[int]]
    ) -> NDArray[np.float32]:
        """The first three neurons are the outputs; where all are 0, the last of them wins."""
        values = self.responses(pictures, [layer])[layer]
        made = np.repeat(values[None, :, :3], len(silent), axis=0)
        for row, own in zip(made, silent, strict=True):
            row[:, [i for i in own if i < 3]] = 0
        return made + np.array([0, 1e-4, 2e-4], dtype=np.float32)

    def framing(self, height: int, width: int) -> Box | None:
        return Box(0, 0, width, height)


class FakeCaptioner:
    def __init__(self, calls: Calls) -> None:
        self.calls = calls

    def caption(self, pictures: Sequence[Pixels]) -> list[str]:
        self.calls.asked["captioner"] += len(pictures)
        return [
            f"there is a {NAMES[int(p.reshape(-1, 3).mean(axis=0).argmax())]} square"
            for p in pictures
        ]


class FakeLanguageModel:
    """Answers from `script`, else simplifies and summarises by counting words."""

    def __init__(self, calls: Calls, script: Callable[[Request], str | None] | None = None) -> None:
        self.calls, self.script = calls, script

    def reply(self, requests: Sequence[Request]) -> list[Reply]:
        self.calls.asked["language-model"] += len(requests)
        return [Reply(self._answer(request)) for request in requests]

    def _answer(self, request: Request) -> str:
        if self.script is not None and (text := self.script(request)) is not None:
            return text
        asked = request.messages[-1].text
        if asked.startswith("there is a "):
            return asked.removeprefix("there is a ")
        if "," in asked or ";" in asked:
            return asked.replace(";", ",").split(",")[0]
        colour = Counter(asked.split()).most_common(1)[0][0]
        colour = next((w for w in asked.split() if w in NAMES), colour)
        endings = ("squares", "things", "patches", "shapes", "areas", "colour")
        return f"{colour} {endings[request.seed % len(endings)]}"


class FakePainter:
    def __init__(self, calls: Calls) -> None:
        self.calls = calls

    def paint(self, prompts: Sequence[str], seeds: Sequence[int]) -> list[Pixels]:
        self.calls.asked["painter"] += len(prompts)
        return [
            flat(next((i for i, n in enumerate(NAMES) if n in prompt), 0), 100 + seed % 100)
            for prompt, seed in zip(prompts, seeds, strict=True)
        ]


class FakeEmbedder:
    def __init__(self, calls: Calls) -> None:
        self.calls = calls

    def embed_pictures(self, pictures: Sequence[Pixels]) -> NDArray[np.float32]:
        self.calls.asked["embedder"] += len(pictures)
        means = np.array([p.reshape(-1, 3).mean(axis=0) for p in pictures], dtype=np.float32)
        means = means.reshape(-1, 3)
        return np.asarray(means / np.linalg.norm(means, axis=1, keepdims=True), dtype=np.float32)

    def embed_texts(self, texts: Sequence[str]) -> NDArray[np.float32]:
        return np.array([[float(n in t) for n in NAMES] for t in texts], dtype=np.float32)


class Broken:
    """Raises whatever is asked of it."""

    bands = 0

    def __getattr__(self, name: str) -> Callable[..., None]:
        def fail(*_: object, **__: object) -> None:
            raise EngineError("it broke")

        return fail


def engines(calls: Calls) -> dict[str, object]:
    """Return one engine a role, all reporting to `calls`."""
    return {
        "target": FakeTarget(calls),
        "captioner": FakeCaptioner(calls),
        "language-model": FakeLanguageModel(calls),
        "painter": FakePainter(calls),
        "embedder": FakeEmbedder(calls),
    }
