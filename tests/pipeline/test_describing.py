"""Labels of a description: at most three, and on request none that is much like a better one."""

from __future__ import annotations

import pytest

from dnd_local.core.errors import UserError
from dnd_local.pipeline.lab import Lab
from dnd_local.pipeline.plan import PLAN
from dnd_local.pipeline.reading import open_run
from tests.bench import Bench

UNLIKE = {"scores": {"alike_above": 0.81}}


def test_labels_alike_are_left_out_on_request_and_no_part_changes(bench: Bench) -> None:
    plain = bench.run("0-2", name="plain")
    assert [len(d.labels) for d in plain.descriptions] == [3, 3, 3]
    opened = dict(bench.calls.opened)
    unlike = bench.run("0-2", name="unlike", **UNLIKE)
    # The labels of a neuron all name its colour, which is all that the embedder knows.
    assert [d.labels for d in unlike.descriptions] == [d.labels[:1] for d in plain.descriptions]
    assert bench.calls.opened["painter"] == opened["painter"]
    one, other = bench.lab(), bench.lab(**UNLIKE)
    assert [stage.key(one) for stage in PLAN] == [stage.key(other) for stage in PLAN]
    assert [d.keys for d in unlike.descriptions] == [d.keys for d in plain.descriptions]


def test_a_second_reading_opens_no_model(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    described = bench.run("0-2", name="unlike", **UNLIKE).descriptions
    opened = dict(bench.calls.opened)
    assert open_run("unlike", bench.workspace).descriptions() == described
    assert dict(bench.calls.opened) == opened
    for path in (bench.workspace / "cache").glob("label-vectors-*"):
        path.unlink()

    def refuse(*_: object, **__: object) -> None:
        raise UserError("no weights of clip; get them")

    run = open_run("unlike", bench.workspace)
    monkeypatch.setattr(Lab, "require", refuse)
    with pytest.raises(UserError, match="no weights of clip"):
        run.descriptions()
