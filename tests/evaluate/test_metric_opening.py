"""Which metrics run where, and what is said of those that cannot."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from dnd_local.core.errors import BadConfig, MissingWeights, UnknownName, UserError
from dnd_local.engines import registry
from dnd_local.evaluate.metric_opening import WEIGHTS, open_metrics, read_baseline


class Encoder:
    def embed_texts(self, texts: Sequence[str]) -> NDArray[np.float32]:
        return np.ones((len(texts), 1), dtype=np.float32)


class Scorer:
    def __init__(self, folder: Path, devices: Sequence[str]) -> None:
        self.folder = folder

    def score(self, predictions: Sequence[str], references: Sequence[str]) -> NDArray[np.float32]:
        return np.full(len(predictions), 0.9, dtype=np.float32)


class Adapter:
    BertScorer = Scorer


def nowhere(name: str) -> Path:
    raise MissingWeights(f"{name} is not here")


@pytest.fixture
def engines(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Replace the engines; the list says what is open."""
    held: list[str] = []

    @contextmanager
    def hold(*arguments: Any) -> Iterator[Encoder]:
        held.append("open")
        yield Encoder()
        held.pop()

    monkeypatch.setattr(registry, "open_built_in", hold)
    monkeypatch.setattr(registry, "open_text_encoder", hold)
    monkeypatch.setattr(registry, "adapter", lambda name: Adapter)
    return held


def test_without_weights_token_f1_runs_and_the_rest_say_what_they_need() -> None:
    with open_metrics((), nowhere) as opened:
        assert [metric.name for metric in opened.metrics] == ["token F1"]
        assert opened.left_out[0] == "clip left out: clip-vit-b-16 is not here"
        assert len(opened.left_out) == len(WEIGHTS) - 1


def test_with_weights_all_run_and_are_let_go(engines: list[str], tmp_path: Path) -> None:
    (tmp_path / "baseline.tsv").write_text("LAYER,P,R,F\n16,.1,.1,.1\n17,0.8,0.8,0.83\n")
    baseline = tmp_path / "baseline.tsv"
    with open_metrics((), lambda name: tmp_path, baseline=baseline) as opened:
        assert [metric.name for metric in opened.metrics] == [
            "token F1",
            "CLIP cosine",
            "mpnet cosine",
            "minilm cosine",
            "BERTScore",
            "BERTScore, rescaled",
        ]
        assert opened.metrics[5].matched(["a"], [["b"]])[0] == pytest.approx(0.07 / 0.17, abs=1e-6)
        assert opened.cosine("mpnet cosine") is opened.metrics[2]
        assert opened.cosine("token F1") is None
        assert len(engines) == 3
    assert engines == []


def test_a_folder_of_ones_own(engines: list[str], tmp_path: Path) -> None:
    with open_metrics([f"bertscore={tmp_path}", f"mpnet={tmp_path}"], nowhere) as opened:
        assert [metric.needs for metric in opened.metrics] == [tmp_path.name] * 2


def test_what_was_asked_for_by_name_must_run(tmp_path: Path) -> None:
    with pytest.raises(MissingWeights), open_metrics(["mpnet"], nowhere):
        pass
    with pytest.raises(UserError, match="no folder"), open_metrics(["clip=/none"], nowhere):
        pass
    with pytest.raises(UnknownName, match="token-f1"), open_metrics(["tokenf1"], nowhere):
        pass


@pytest.mark.parametrize("text", ["", "17,a,b,c\n", "LAYER,P,R,F\n1,.1,.1,.1\n"])
def test_a_baseline_without_the_layer_is_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / "b.tsv").write_text(text)
    with pytest.raises(BadConfig, match="no row"):
        read_baseline(tmp_path / "b.tsv")


def test_a_baseline_may_use_tabs_and_must_exist(tmp_path: Path) -> None:
    (tmp_path / "b.tsv").write_text("17\t0.1\t0.2\t0.3\n")
    assert read_baseline(tmp_path / "b.tsv") == 0.3
    with pytest.raises(BadConfig, match="cannot read baseline"):
        read_baseline(tmp_path / "none.tsv")
