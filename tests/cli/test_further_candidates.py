"""What `show` and the pages say of further candidates."""

from __future__ import annotations

from typing import Any

import pytest

from dnd_local.pipeline import further_stages
from tests.bench import Bench
from tests.cli.conftest import Command
from tests.fakes import LAYER, FakeLanguageModel

SMALL = ("--pictures-count", 2, "--pictures-size", 8, "--probe-chunk", 7)


def test_groups_and_images_that_excite_less_are_shown(
    command: Command, bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    def halves(rows: Any, most: int) -> tuple[list[list[int]], float]:
        half = len(rows) // 2
        return [[*range(half)], [*range(half, len(rows))]], 0.5

    monkeypatch.setattr(further_stages, "clusters", halves)
    bench.replaced["language-model"] = FakeLanguageModel(
        bench.calls, lambda request: "red" if request.seed % 2 else "blue"
    )
    words = ("--rounds", 1, "--contrast", 2, "--meanings", 2, "--concepts-count", 1)
    said = command("dissect", "pocket", LAYER, "--ids", "0-2", "--run", "mine", *SMALL, *words)
    assert said.code == 0, said.err
    shown = [command("show", "mine", index).out for index in range(3)]
    assert all(" cold " in text and "there is a" in text for text in shown)
    (both, *_) = [text for text in shown if "Meanings: " in text]
    assert "(exemplars 1, 2" in both
    said = command("report", "mine")
    assert said.code == 0, said.err
    pages = list((bench.workspace / "runs" / "mine" / "report").rglob(f"{LAYER}*.html"))
    texts = [page.read_text("utf-8") for page in pages]
    assert any("Groups of exemplars that look alike" in text for text in texts)
    assert any("Images that excite it less" in text for text in texts)
