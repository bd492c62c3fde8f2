"""The whole pipeline over a world of flat colours: what is made, how often, and what comes out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest
from numpy.typing import NDArray

from dnd_local.core.errors import EngineError, OutOfMemory, Refused, UnknownName, UserError
from dnd_local.core.records import LayerInfo, Pixels
from dnd_local.pipeline.making import Failure
from dnd_local.pipeline.plan import RESPONSES
from dnd_local.pipeline.reading import open_run
from dnd_local.pipeline.runner import dissect_neurons, triage_layers
from dnd_local.pipeline.selection import read_selection
from dnd_local.pipeline.session import Quiet
from tests.bench import EXACT, Bench
from tests.fakes import (
    LAYER,
    Broken,
    ColourProbe,
    FakeCaptioner,
    FakeLanguageModel,
    FakePainter,
    FakeTarget,
)


def test_each_neuron_gets_its_colour(bench: Bench) -> None:
    result = bench.run()
    assert [d.labels[0].text.split()[0] for d in result.descriptions] == ["red", "green", "blue"]
    assert {d.status for d in result.descriptions} == {"described"}
    assert not result.failures


def test_what_is_not_alive_is_named_and_costs_nothing(bench: Bench) -> None:
    result = bench.run("3-5")
    assert [d.status for d in result.descriptions] == ["dead", "constant", "duplicate"]
    assert result.descriptions[2].reason == "repeats neuron 0"
    assert set(bench.calls.opened) == {"target"}


def test_a_result_shows_its_neurons_in_a_notebook(bench: Bench) -> None:
    result = bench.run("0,3")
    shown = result.plain_html()
    assert f"<b>{result.descriptions[0].labels[0].text}</b>" in shown
    assert "<b>dead</b>" in shown
    assert result.descriptions[1].reason in shown
    assert result.record.name in shown
    hostile = Failure("pictures", "x", "<script>no</script>")
    broken = replace(result, failures=(hostile,)).plain_html()
    assert "failed: pictures x: &lt;script&gt;no" in broken
    assert "<script" not in broken


def test_the_same_again_opens_nothing(bench: Bench) -> None:
    first = bench.run()
    bench.calls.opened.clear()
    again = bench.run()
    assert again.made == 0 < first.made
    assert not bench.calls.opened
    assert bench.jsonl(again) == bench.jsonl(first)


def test_more_neurons_cost_only_the_new_ones(bench: Bench) -> None:
    bench.run("0")
    painted, captioned = (bench.calls.asked[role] for role in ("painter", "captioner"))
    both = bench.run("1")
    assert [d.neuron.index for d in both.descriptions] == [0, 1]
    assert bench.calls.asked["captioner"] <= 2 * captioned
    assert bench.calls.asked["painter"] <= 2 * painted


def test_one_load_a_stage_whatever_the_number_of_neurons(bench: Bench) -> None:
    bench.run("0-2")
    once = dict(bench.calls.opened)
    # The target serves responses and exemplars, and again scores; one model is open at a time.
    assert once == {"target": 2, "captioner": 1, "language-model": 1, "painter": 1, "embedder": 1}


class WideTarget(FakeTarget):
    """64 neurons, each its own mixture of the three colours."""

    count: ClassVar = 64

    def layers(self) -> tuple[LayerInfo, ...]:
        return (LayerInfo(LAYER, "Colours", (self.count, 8, 8), self.count, True),)

    def responses(
        self, pictures: Sequence[Pixels], layers: Sequence[str]
    ) -> dict[str, NDArray[np.float32]]:
        colours = super().responses(pictures, layers)[LAYER][:, :3]
        mixtures = np.random.default_rng(0).uniform(0.1, 1, (3, self.count))
        return {LAYER: (colours @ mixtures).astype(np.float32)}


def test_64_neurons_load_no_more_than_3(bench: Bench) -> None:
    bench.replaced["target"] = WideTarget(bench.calls)
    bench.run("0-2", name="few")
    few = dict(bench.calls.opened)
    bench.calls.opened.clear()
    many = bench.run("0-63", name="many")
    assert len(many.descriptions) == 64
    assert sum(d.status == "described" for d in many.descriptions) > 50
    assert all(times <= few[role] for role, times in bench.calls.opened.items())
    run = open_run("many", bench.workspace)
    found = [run.evidence(str(i)).concepts for i in range(64)]
    texts = {c.text for own in found if own for c in own.candidates}
    assert bench.calls.asked["painter"] == 2 * len(texts)


def test_no_picture_is_drawn_twice(bench: Bench) -> None:
    result = bench.run("0-2")
    run = open_run(result.record.name, bench.workspace)
    found = [run.evidence(str(i)).concepts for i in range(3)]
    texts = {c.text for own in found if own for c in own.candidates}
    assert bench.calls.asked["painter"] == 2 * len(texts)
    bench.run("0-2", name="another")
    assert bench.calls.asked["painter"] == 2 * len(texts)


def test_order_company_and_resuming_change_nothing(
    bench: Bench, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = bench.jsonl(bench.run("0-5", name="one"))
    other = Bench(tmp_path / "other", monkeypatch)
    for ids in ("5,2", "4", "1-3", "0"):
        last = other.run(ids, name="one")
    assert other.jsonl(last) == whole


@pytest.mark.parametrize("role", ["captioner", "language-model", "painter", "embedder"])
def test_a_run_goes_on_where_it_broke(
    bench: Bench, role: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bench.replaced[role] = Broken()
    with pytest.raises(EngineError, match="it broke"):
        bench.run(name="one")
    assert not list(bench.workspace.rglob("*.tmp"))
    bench.replaced.clear()
    whole = Bench(tmp_path / "other", monkeypatch).run(name="one")
    healed = Bench(bench.workspace, monkeypatch).run(name="one")
    assert bench.jsonl(healed) == bench.jsonl(whole)


def test_a_changed_scoring_setting_redoes_scoring_only(bench: Bench) -> None:
    bench.run()
    bench.calls.opened.clear()
    bench.run(scores={"beta": 1})
    assert dict(bench.calls.opened) == {"target": 1, "embedder": 1}


def test_another_rule_needs_no_new_scores(bench: Bench) -> None:
    bench.run()
    bench.calls.opened.clear()
    result = bench.run(scores={"rule": "mean"})
    assert not bench.calls.opened
    assert {d.rule for d in result.descriptions} == {"mean"}


def test_a_run_keeps_its_settings(bench: Bench) -> None:
    bench.run(name="mine")
    with pytest.raises(Refused, match=r"\(scores\.beta was 5, is 2\); give another --run"):
        bench.run(name="mine", scores={"beta": 2})


def test_a_neuron_or_layer_that_is_not_there(bench: Bench) -> None:
    with pytest.raises(UserError, match=r"6 neurons \(0 to 5\), so none has the id 6"):
        bench.run("6")
    with pytest.raises(UnknownName, match="Did you mean colours"):
        dissect_neurons(bench.config(), bench.execution(), read_selection("colour", "1"))
    assert not (bench.workspace / "artefacts").exists()


def test_broken_images_are_listed_and_stop_nothing(bench: Bench) -> None:
    bench.probe = ColourProbe(broken=(0, 8))
    result = bench.run("0")
    run = open_run(result.record.name, bench.workspace)
    assert run.evidence("0").triage.verdict == "live"
    (triage,) = triage_layers(bench.config(), bench.execution(), (LAYER,))
    assert (triage.n_images, triage.n_skipped) == (28, 2)


def test_a_probe_set_of_nothing_but_broken_images(bench: Bench) -> None:
    bench.probe = ColourProbe(3, broken=(0, 1, 2))
    with pytest.raises(UserError, match=r"no image of the probe set could be read .*\(3 skipped\)"):
        bench.run("0")


def test_useless_replies_fail_the_neuron_and_say_why(bench: Bench) -> None:
    bench.replaced["language-model"] = FakeLanguageModel(bench.calls, lambda request: "")
    result = bench.run("0")
    (description,) = result.descriptions
    assert description.status == "failed"
    assert description.reason == "no reply of the language model was usable"
    assert result.barren
    assert result.rejected == (("empty", 10),)
    run = open_run(result.record.name, bench.workspace)
    concepts = run.evidence("0").concepts
    assert concepts is not None
    assert {reject.reason for reject in concepts.rejects} == {"empty"}
    assert len(concepts.rejects) == bench.config().concepts.max_draws


def test_results_are_what_others_read(bench: Bench) -> None:
    result = bench.run("0,3")
    lines = (result.folder / "descriptions.csv").read_text().splitlines()
    assert lines[0] == "Neuron ID,Label 1,Label 2,Label 3"
    assert lines[1].startswith("0,red ")
    assert lines[2] == "3,,,"
    candidates = (result.folder / "candidates.csv").read_text().splitlines()
    assert candidates[0] == (
        "Layer,Neuron ID,Candidate,mean,topk-sq-mean,topk-compare,image-products"
    )


def test_status_counts_parts(bench: Bench) -> None:
    result = bench.run("0-5")
    status = {
        s.stage: (s.done, s.of) for s in open_run(result.record.name, bench.workspace).status()
    }
    assert status["responses"] == (5, 5)
    assert status["triage"] == (1, 1)
    assert status["scores"] == (3, 3)


class TwoLayers(FakeTarget):
    """The same colours in two layers."""

    def layers(self) -> tuple[LayerInfo, ...]:
        (only,) = super().layers()
        return (only, replace(only, path="deeper"))

    def responses(
        self, pictures: Sequence[Pixels], layers: Sequence[str]
    ) -> dict[str, NDArray[np.float32]]:
        values = super().responses(pictures, [LAYER])[LAYER]
        return {layer: values[:, ::-1] if layer == "deeper" else values for layer in layers}


def test_a_run_may_grow_by_a_layer(bench: Bench) -> None:
    bench.replaced["target"] = TwoLayers(bench.calls)
    bench.run("0", name="mine")
    deeper = read_selection("deeper", "0")
    both = dissect_neurons(bench.config(), bench.execution(), deeper, "mine")
    assert [str(d.neuron) for d in both.descriptions] == ["pocket colours 0", "pocket deeper 0"]
    assert {d.status for d in both.descriptions} == {"described"}
    assert not (both.folder / "descriptions.csv").exists()
    status = {s.stage: (s.done, s.of) for s in open_run("mine", bench.workspace).status()}
    assert status["triage"] == (2, 2)
    assert status["scores"] == (2, 2)


def test_a_picture_that_cannot_be_painted_fails_its_neurons_and_no_other(bench: Bench) -> None:
    class NoGreen(FakePainter):
        def paint(self, prompts: Sequence[str], seeds: Sequence[int]) -> list[Pixels]:
            if any("green" in prompt for prompt in prompts):
                raise OutOfMemory("CUDA out of memory")
            return super().paint(prompts, seeds)

    bench.replaced["painter"] = NoGreen(bench.calls)
    result = bench.run("0-2")
    assert [d.status for d in result.descriptions] == ["described", "failed", "described"]
    assert result.descriptions[1].reason.startswith("pictures: 'green ")
    assert result.descriptions[1].reason.endswith("could not be made")
    assert any("out of memory, even alone" in failure.reason for failure in result.failures)
    healed = Bench.over(bench)
    again = healed.run("0-2")
    assert [d.status for d in again.descriptions] == ["described"] * 3
    assert not again.failures


def test_a_neuron_that_fails_alone_is_named_and_the_rest_goes_on(bench: Bench) -> None:
    class NoBlue(FakeCaptioner):
        def caption(self, pictures: Sequence[Pixels]) -> list[str]:
            texts = super().caption(pictures)
            if any("blue" in text for text in texts):
                raise EngineError("no word for it")
            return texts

    bench.replaced["captioner"] = NoBlue(bench.calls)
    result = bench.run("0-2")
    assert [d.status for d in result.descriptions] == ["described", "described", "failed"]
    assert result.descriptions[2].reason == "captions: no word for it"
    assert result.failures == (Failure("captions", "colours-00002", "no word for it"),)
    evidence = open_run(result.record.name, bench.workspace).evidence("2")
    assert evidence.exemplars is not None
    assert (evidence.captions, evidence.scores) == (None, None)
    assert evidence.description.reason == "not finished yet"


def test_other_settings_are_refused_before_anything_is_made(bench: Bench) -> None:
    bench.run(name="mine")
    bench.calls.opened.clear()
    with pytest.raises(Refused, match=r"network\.pool was avg, is max"):
        bench.run(name="mine", network={"pool": "max"})
    assert not bench.calls.opened


def test_a_record_says_where_it_was_made(bench: Bench) -> None:
    record = bench.run("0").record
    assert record.software["python"].startswith("3.")
    assert "torch" in record.software
    assert (record.devices, record.remote_llm) == (("cpu",), "")
    assert record.isolation.startswith("this process ")
    assert set(record.seconds) == {stage.name for stage in EXACT}
    assert bench.run("0").record == record


def test_a_remote_language_model_is_never_forgotten(bench: Bench) -> None:
    bench.llm_url = "https://llm.example.org/v1"
    assert bench.run("0", name="mine").record.remote_llm == "llm.example.org"
    bench.llm_url = ""
    assert bench.run("1", name="mine").record.remote_llm == "llm.example.org"


def test_all_neurons_of_a_layer(bench: Bench) -> None:
    assert [d.neuron.index for d in bench.run("all").descriptions] == [0, 1, 2, 3, 4, 5]


def test_held_out_images_never_become_exemplars(bench: Bench) -> None:
    result = bench.run("0", probe={"chunk": 7, "holdout": 0.5})
    lab = bench.lab(probe={"chunk": 7, "holdout": 0.5})
    evidence = open_run(result.record.name, bench.workspace).evidence("0")
    assert evidence.exemplars is not None
    images = {exemplar.image for exemplar in evidence.exemplars.exemplars}
    assert images
    assert lab.eligible[sorted(images)].all()
    assert 0 < lab.eligible.sum() < 30


def test_progress_is_told_of_every_stage(bench: Bench) -> None:
    class Told(Quiet):
        lines: ClassVar[list[tuple[str, str, int]]] = []

        def start(self, stage: str, total: int, missing: int) -> None:
            self.lines.append(("start", stage, missing))

        def advance(self, stage: str, done: int) -> None:
            self.lines.append(("advance", stage, done))

        def finish(self, stage: str, seconds: float) -> None:
            self.lines.append(("finish", stage, 0))

    told = Told()
    selection = read_selection(LAYER, "0")
    dissect_neurons(bench.config(), bench.execution(), selection, progress=told)
    assert [line[1] for line in told.lines if line[0] == "finish"] == [s.name for s in EXACT]
    for stage in EXACT:
        missing = sum(n for kind, name, n in told.lines if (kind, name) == ("start", stage.name))
        done = sum(n for kind, name, n in told.lines if (kind, name) == ("advance", stage.name))
        assert missing == done > 0


def test_a_chunk_that_was_deleted_is_made_again_only_when_a_stage_reads_it(bench: Bench) -> None:
    bench.run("0")
    chunk = RESPONSES.parts(bench.lab()).path(f"{LAYER}-00001")
    chunk.unlink()
    again = bench.run("0")
    assert (again.made, chunk.exists()) == (0, False), "nobody reads it"
    more = bench.run("0,1")
    assert [d.status for d in more.descriptions] == ["described"] * 2
    assert chunk.exists(), "the exemplars of neuron 1 read it"


def test_a_network_that_fails_on_part_of_the_probe_set_leaves_no_triage(bench: Bench) -> None:
    class Limping(FakeTarget):
        seen = 0

        def responses(self, pictures: Sequence[Pixels], layers: Sequence[str]) -> Any:
            Limping.seen += len(pictures)
            if Limping.seen > 12:
                raise EngineError("it fell over")
            return super().responses(pictures, layers)

    bench.replaced["target"] = Limping(bench.calls)
    with pytest.raises(EngineError, match="triage is not possible: it fell over"):
        bench.run("0")
