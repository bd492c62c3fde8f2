"""Runs as they lie on disk."""

from __future__ import annotations

import shutil
from pathlib import Path

import msgspec
import pytest

from dnd_local.core.errors import BadConfig, DamagedFile, UnknownName, UserError
from dnd_local.core.records import Neuron
from dnd_local.pipeline.plan import CONCEPTS, PICTURES, SCORES, TRIAGE
from dnd_local.pipeline.reading import OUTDATED, StoredRun, list_runs, open_run
from dnd_local.pipeline.runner import dissect_neurons
from dnd_local.pipeline.selection import read_selection
from dnd_local.store.resources import shipped
from dnd_local.store.runs import RunFolder
from tests.bench import EXACT, Bench
from tests.fakes import LAYER, Broken


def opened(bench: Bench, name: str = "mine") -> StoredRun:
    return open_run(name, bench.workspace)


def test_all_the_evidence_for_a_neuron(bench: Bench) -> None:
    result = bench.run("0-3", name="mine")
    bench.calls.opened.clear()
    run = opened(bench)
    assert run.descriptions() == result.descriptions
    found = run.evidence("1")
    assert found.neuron == Neuron("pocket", LAYER, 1)
    assert found.triage.verdict == "live"
    assert found.description == result.descriptions[1]
    assert None not in (found.exemplars, found.captions, found.phrases, found.scores)
    assert found.concepts is not None
    texts = [candidate.text for candidate in found.concepts.candidates]
    assert [own.concept for own in found.pictures] == texts
    assert run.evidence(f"{LAYER}:1") == found
    assert not bench.calls.opened


def test_a_neuron_that_is_not_alive_has_a_verdict_only(bench: Bench) -> None:
    bench.run("3", name="mine")
    found = opened(bench).evidence("3")
    assert (found.triage.verdict, found.description.status) == ("dead", "dead")
    assert (found.exemplars, found.concepts, found.scores, found.pictures) == (None, None, None, ())


@pytest.mark.parametrize("text", ["", "x", "1.5", "-1", f"{LAYER}:", f"{LAYER}:x"])
def test_a_neuron_that_cannot_be_read(bench: Bench, text: str) -> None:
    bench.run("0", name="mine")
    with pytest.raises(BadConfig, match=f"write an index, or LAYER:INDEX with a layer of {LAYER}"):
        opened(bench).neuron(text)


@pytest.mark.parametrize("text", ["2", f"{LAYER}:2", "other:0"])
def test_a_neuron_that_the_run_has_not(bench: Bench, text: str) -> None:
    bench.run("0", name="mine")
    layer, _, index = text.rpartition(":")
    command = f"dissect pocket {layer or LAYER} --ids {index} --run mine"
    with pytest.raises(UserError, match=command):
        opened(bench).neuron(text)


def test_where_a_run_has_several_layers_the_layer_is_needed(bench: Bench) -> None:
    bench.run("0", name="mine")
    RunFolder(bench.workspace, "mine").extend(bench.config(), {"other": [1]})
    with pytest.raises(BadConfig, match=f"a layer of {LAYER}, other"):
        opened(bench).neuron("0")
    assert opened(bench).neuron("other:1").layer == "other"


def test_a_run_that_was_stopped_is_read_as_far_as_it_is(bench: Bench) -> None:
    bench.replaced["embedder"] = Broken()
    with pytest.raises(Exception, match="it broke"):
        bench.run("0-3", name="mine")
    run = opened(bench)
    status = {own.stage: (own.done, own.of) for own in run.status()}
    assert list(status) == [stage.name for stage in EXACT]
    assert status["concepts"] == (3, 3)
    assert status["scores"] == (0, 3)
    assert status["pictures"][0] == status["pictures"][1] > 0
    assert [d.reason for d in run.descriptions()][:3] == ["not finished yet"] * 3
    assert run.evidence("0").concepts is not None


def test_a_run_whose_weights_changed_says_so(bench: Bench) -> None:
    bench.run("0,3", name="mine")
    assert not opened(bench).outdated()
    folder = opened(bench).folder
    folder.write_json("stages.json", {**folder.places(), "scores": "scores-0123456789abcdef"})
    for parts in (bench.workspace / "artefacts").glob("scores-*"):
        shutil.rmtree(parts)
    assert opened(bench).outdated()
    live, dead = opened(bench).descriptions()
    assert live.reason == opened(bench).evidence("0").description.reason == OUTDATED
    assert dead.reason == "responds to no image"


def test_a_run_without_triage_says_so(bench: Bench) -> None:
    bench.run("0", name="mine")
    shutil.rmtree(TRIAGE.parts(bench.lab()).folder)
    for look in (
        lambda run: run.status(),
        lambda run: run.descriptions(),
        lambda run: run.evidence("0"),
    ):
        with pytest.raises(UserError, match=f"'mine' has no triage of layer {LAYER} yet") as caught:
            look(opened(bench))
        assert not isinstance(caught.value, DamagedFile)


def test_missing_parts_are_none_and_no_others_hidden(bench: Bench) -> None:
    bench.run("0", name="mine")
    lab = bench.lab()
    shutil.rmtree(PICTURES.parts(lab).folder)
    assert opened(bench).evidence("0").pictures == ()
    shutil.rmtree(CONCEPTS.parts(lab).folder)
    found = opened(bench).evidence("0")
    assert found.concepts is None
    assert found.scores is not None
    SCORES.parts(lab).path(f"{LAYER}-00000").write_bytes(b"{}")
    with pytest.raises(DamagedFile):
        opened(bench).evidence("0")


def test_seconds_are_those_of_all_sessions(bench: Bench) -> None:
    bench.run("0", name="mine")
    RunFolder(bench.workspace, "mine").update({"captions": 2.5})
    status = {own.stage: own.seconds for own in opened(bench).status()}
    assert status["captions"] == pytest.approx(2.5, abs=0.2)


def test_runs_are_listed_by_name(bench: Bench) -> None:
    assert list_runs(bench.workspace) == ()
    bench.run("0-2", name="b")
    bench.run("1", name="a")
    found = list_runs(bench.workspace)
    assert [(own.name, own.neurons, own.layers) for own in found] == [
        ("a", 1, (LAYER,)), ("b", 3, (LAYER,)),
    ]  # fmt: skip
    assert (found[0].target, found[0].captioner) == ("pocket", "pocket-captioner")
    assert found[0].llm == "pocket-llm (transformers)"


def test_a_damaged_run_is_listed_with_its_fault(bench: Bench) -> None:
    bench.run("0", name="a")
    bench.run("1", name="b")
    path = bench.workspace / "runs" / "a" / "run.json"
    path.write_bytes(path.read_bytes()[:-9])
    one, two = list_runs(bench.workspace)
    assert (one.name, one.neurons) == ("a", 0)
    assert f"{path} is damaged" in one.fault
    assert (two.name, two.neurons, two.fault) == ("b", 1, "")


def test_the_usual_workspace_is_looked_at(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DND_LOCAL_WORKSPACE", str(bench.workspace))
    bench.run("0", name="mine")
    assert open_run("mine").record.name == "mine"
    assert [own.name for own in list_runs()] == ["mine"]
    with pytest.raises(UnknownName, match="Did you mean mine"):
        open_run("mime")


def test_a_run_remembers_its_weights_folder_while_it_is_there(
    bench: Bench, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DND_LOCAL_WEIGHTS", str(tmp_path / "usual"))
    own = tmp_path / "own"
    own.mkdir()
    execution = msgspec.structs.replace(bench.execution(), weights=own)
    dissect_neurons(bench.config(), execution, read_selection(LAYER, "0"), "mine")
    assert opened(bench).lab.execution.weights == own
    other = open_run("mine", bench.workspace, weights=tmp_path / "other")
    assert other.lab.execution.weights == tmp_path / "other"
    own.rmdir()
    assert opened(bench).lab.execution.weights == tmp_path / "usual"


def test_a_run_remembers_the_prompts_and_the_manifest_it_was_made_with(
    bench: Bench, tmp_path: Path
) -> None:
    own = Path(shutil.copytree(shipped("prompts"), tmp_path / "own"))
    text = (own / "summarise.txt").read_text()
    (own / "summarise.txt").write_text(text.replace("--- user", "Be brief.\n\n--- user", 1))
    manifest = Path(shutil.copy(shipped("weights_manifest.json"), tmp_path / "own.json"))
    execution = msgspec.structs.replace(bench.execution(), prompts=own, manifest=manifest)
    result = dissect_neurons(bench.config(), execution, read_selection(LAYER, "0,1"), "mine")
    assert (result.record.prompts, result.record.manifest) == (str(own), str(manifest))
    assert opened(bench).descriptions() == result.descriptions
    shutil.rmtree(own)
    with pytest.raises(BadConfig, match=f"{own}"):
        opened(bench)
