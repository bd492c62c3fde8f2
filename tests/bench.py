"""A workspace with fake engines behind it, for tests of whatever runs the pipeline."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from dnd_local.core.config import Config, Execution
from dnd_local.pipeline import engine_digests, opening
from dnd_local.pipeline.lab import Lab
from dnd_local.pipeline.plan import plan_of
from dnd_local.pipeline.runner import RunResult, dissect_neurons
from dnd_local.pipeline.selection import read_selection
from dnd_local.pipeline.settings import make_config
from tests.fakes import LAYER, Calls, ColourProbe, engines

EXACT = plan_of(Config())
"""The stages of a run without a race."""


class Bench:
    """A workspace with fake engines behind it, and a count of what they were asked."""

    def __init__(self, workspace: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.workspace, self.calls = workspace, Calls()
        self.probe = ColourProbe()
        self.replaced: dict[str, Any] = {}
        self.llm_url = ""
        self._monkeypatch = monkeypatch

        @contextmanager
        def open_engine(role: str, *_: Any) -> Iterator[Any]:
            self.calls.opened[role] += 1
            yield {**engines(self.calls), **self.replaced}[role]

        monkeypatch.setattr(opening, "open_engine", open_engine)
        monkeypatch.setattr(opening, "open_probe_set", lambda *_: self.probe)
        monkeypatch.setattr(engine_digests, "weights_digest", lambda role, *_: f"weights of {role}")
        monkeypatch.setattr(
            opening, "model_ids", lambda config: dict.fromkeys(engines(Calls()), ())
        )

    @classmethod
    def over(cls, other: Bench) -> Bench:
        """Return a bench with whole engines and a fresh count over the workspace of another."""
        return cls(other.workspace, other._monkeypatch)

    def execution(self, workers: int = 1) -> Execution:
        home = self.workspace
        return Execution(
            workspace=home, weights=home / "weights", data=home / "data", workers=workers,
            llm_url=self.llm_url,
        )  # fmt: skip

    def lab(self, **options: Any) -> Lab:
        return Lab(self.config(**options), self.execution())

    def config(self, **options: Any) -> Config:
        small = {"probe": {"chunk": 7}, "pictures": {"count": 2, "size": 8}, **options}
        return make_config("pocket", options=small)

    def run(self, ids: str = "0,1,2", name: str = "", **options: Any) -> RunResult:
        selection = read_selection(LAYER, ids)
        return dissect_neurons(self.config(**options), self.execution(), selection, name)

    def jsonl(self, result: RunResult) -> bytes:
        return (result.folder / "descriptions.jsonl").read_bytes()
