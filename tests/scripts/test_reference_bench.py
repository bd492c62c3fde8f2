"""The released control flow, on the same engines, comes to the same labels and shares nothing."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from dnd_local.core.config import Execution
from dnd_local.pipeline.settings import default_data, make_config
from dnd_local.store.weights import default_root

sys.path.insert(0, str(Path(__file__).parents[2] / "scripts" / "bench"))

import reference


@pytest.mark.slow
def test_both_flows_come_to_the_same_labels(tmp_path: Path) -> None:
    config = make_config("pocket", options={"pictures": {"steps": 2, "count": 4}})
    execution = Execution(workspace=tmp_path, weights=default_root(), data=default_data())
    racing = make_config(
        "pocket", options={"pictures": {"steps": 2, "count": 4}, "scores": {"race": 2}}
    )
    figures = reference.compare(config, execution, 3, {"race": racing})
    assert figures["neurons"] == figures["exact"]["same_first_label"] == 3
    assert figures["reference"]["pictures"] >= 3 * 4
    assert figures["race"]["pictures"] < figures["exact"]["pictures"]
    assert figures["exact"]["pictures"] <= figures["reference"]["pictures"]
    for run in ("exact", "race"):
        assert figures[run]["times_as_fast"] == pytest.approx(
            figures["reference"]["seconds"] / figures[run]["seconds"]
        )


def test_a_question_goes_out_alone() -> None:
    asked: list[int] = []

    class Model:
        def reply(self, requests):
            asked.append(len(requests))
            return [f"reply {request}" for request in requests]

    assert reference.OneByOne(Model()).reply([1, 2, 3]) == ["reply 1", "reply 2", "reply 3"]
    assert asked == [1, 1, 1]
