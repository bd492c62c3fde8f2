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
    figures = reference.compare(config, execution, 3)
    assert figures["neurons"] == figures["same_first_label"] == 3
    assert figures["pictures_of_the_reference"] >= 3 * 4
    assert 2 * figures["blocks_of_two_painted"] <= figures["pictures_of_the_reference"]
    assert figures["times_as_fast"] == pytest.approx(
        figures["seconds"]["reference"] / figures["seconds"]["run"]
    )


def test_a_question_goes_out_alone() -> None:
    asked: list[int] = []

    class Model:
        def reply(self, requests):
            asked.append(len(requests))
            return [f"reply {request}" for request in requests]

    assert reference.OneByOne(Model()).reply([1, 2, 3]) == ["reply 1", "reply 2", "reply 3"]
    assert asked == [1, 1, 1]
