"""Memory that runs out in any engine of the pocket pack: smaller groups, and nearly the same."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from dnd_local.core.conversations import Message, Request
from dnd_local.core.errors import OutOfMemory
from dnd_local.pipeline import opening
from dnd_local.pipeline.dissection import Dissection
from dnd_local.pocket.world import picture
from dnd_local.store.weights import Weights

BATCH, FITS = 4, 1
PICTURES = [np.asarray(picture(5, index)[0]) for index in range(5)]
SETTINGS = {
    "network": {"batch": BATCH}, "captions": {"batch": BATCH}, "llm": {"batch": BATCH},
    "pictures": {"batch": BATCH, "steps": 1, "size": 64}, "clip": {"batch": BATCH},
}  # fmt: skip


def ask(seed: int) -> Request:
    turns = (Message("user", f"a photograph of {seed} red dogs"),)
    return Request(messages=turns, temperature=0.0, seed=seed, max_tokens=5, max_characters=200)


USES: dict[str, Callable[[Any], Any]] = {
    "target": lambda engine: list(engine.responses(PICTURES, ["layer4"])["layer4"]),
    "captioner": lambda engine: engine.caption(PICTURES),
    "language-model": lambda engine: [
        reply.text for reply in engine.reply([ask(seed) for seed in range(5)])
    ],
    "painter": lambda engine: engine.paint(["a dog"] * 5, range(5)),
    "embedder": lambda engine: engine.embed_pictures(PICTURES),
}
"""Five inputs to each engine; what comes back has a row for each."""


@pytest.fixture
def opened(tmp_path: Path) -> Iterator[Callable[[str], Any]]:
    from contextlib import ExitStack

    dissection = Dissection(model="pocket", layer="layer4", workspace=tmp_path, settings=SETTINGS)
    with ExitStack() as held:
        yield lambda role: held.enter_context(
            opening.open_engine(
                role, dissection.make_config(), dissection.execution(), Weights.open(), "cpu"
            )
        )


def run_out(engine: Any, monkeypatch: pytest.MonkeyPatch, fits: int) -> list[int]:
    """Let the engine's forward fail, as torch fails, with more than `fits` inputs."""
    sizes: list[int] = []
    whole = engine._batches.run

    def run(inputs: Any, forward: Callable[[list[Any]], Any]) -> Any:
        def limited(group: list[Any]) -> Any:
            sizes.append(len(group))
            if len(group) > fits:
                raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.")
            return forward(group)

        return whole(inputs, limited)

    monkeypatch.setattr(engine._batches, "run", run)
    return sizes


def close(one: Any, other: Any) -> bool:
    if isinstance(one, str):
        return bool(one == other)
    difference = np.abs(np.asarray(one, np.float64) - np.asarray(other, np.float64))
    return bool(difference.max() <= (1 if np.asarray(one).dtype == np.uint8 else 1e-3))


@pytest.mark.slow
@pytest.mark.parametrize("role", list(USES))
def test_an_engine_goes_on_with_smaller_groups_to_nearly_the_same(
    role: str, opened: Callable[[str], Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    engine = opened(role)
    whole = list(USES[role](engine))
    assert engine.narrowed == 0
    sizes = run_out(engine, monkeypatch, FITS)
    narrow = list(USES[role](engine))
    assert sizes[:3] == [4, 2, 1]
    assert engine.narrowed == FITS
    assert len(narrow) == len(whole) == 5
    assert all(close(one, other) for one, other in zip(whole, narrow, strict=True))
    run_out(engine, monkeypatch, 0)
    with pytest.raises(OutOfMemory, match="out of memory with a single input"):
        USES[role](engine)
