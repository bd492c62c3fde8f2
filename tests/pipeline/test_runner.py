"""The whole pipeline over a world of flat colours: what is made, how often, and what comes out."""

from __future__ import annotations

from pathlib import Path

import pytest

from dnd_local.core.errors import EngineError, Refused, UnknownName, UserError
from dnd_local.pipeline.reading import open_run
from dnd_local.pipeline.runner import dissect_neurons, triage_layers
from dnd_local.pipeline.selection import read_selection
from tests.bench import Bench
from tests.fakes import LAYER, Broken, ColourProbe, FakeSummariser


@pytest.fixture
def bench(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Bench:
    return Bench(tmp_path / "work", monkeypatch)


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
    # The target serves three stages: responses, exemplars and scores.
    assert once == {"target": 3, "captioner": 1, "summariser": 2, "painter": 1, "embedder": 1}


def test_no_picture_is_drawn_twice(bench: Bench) -> None:
    result = bench.run("0-2")
    run = open_run(result.record.name, bench.workspace)
    found = [run.evidence(str(i)).concepts for i in range(3)]
    texts = {c.text for own in found if own for c in own.candidates}
    assert bench.calls.asked["painter"] == 2 * len(texts)
    bench.run("0-2", name="another")
    assert bench.calls.asked["painter"] == 2 * len(texts)


def test_order_company_and_resuming_change_nothing(bench: Bench, tmp_path: Path,
                                                   monkeypatch: pytest.MonkeyPatch) -> None:  # fmt: skip
    whole = bench.jsonl(bench.run("0-5", name="one"))
    other = Bench(tmp_path / "other", monkeypatch)
    for ids in ("5,2", "4", "1-3", "0"):
        last = other.run(ids, name="one")
    assert other.jsonl(last) == whole


@pytest.mark.parametrize("role", ["captioner", "summariser", "painter", "embedder"])
def test_a_run_goes_on_where_it_broke(bench: Bench, role: str, tmp_path: Path,
                                      monkeypatch: pytest.MonkeyPatch) -> None:  # fmt: skip
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
    bench.replaced["summariser"] = FakeSummariser(bench.calls, lambda request: "")
    result = bench.run("0")
    (description,) = result.descriptions
    assert description.status == "failed"
    assert description.reason == "no reply of the language model was usable"
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
