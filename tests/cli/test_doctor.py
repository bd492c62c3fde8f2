"""`dnd-local doctor` as typed."""

from __future__ import annotations

import json
import sys

import pytest
import typer
from typer.testing import CliRunner

from dnd_local.cli import doctor as cli
from dnd_local.core.errors import UserError
from dnd_local.pipeline import doctor, smoke
from dnd_local.pipeline.doctor import Finding, Patient
from dnd_local.store.weights import Weights

app = typer.Typer()
app.command()(cli.doctor)

FINE = Finding("python", "version", "ok", "3.11")
ILL = Finding("vllm", "server", "problem", "none", 'pip install "dnd-local[vllm]"')


def run(monkeypatch: pytest.MonkeyPatch, *findings: Finding, words: tuple[str, ...] = ()):
    seen: list[Patient] = []

    def examine(patient: Patient) -> tuple[Finding, ...]:
        seen.append(patient)
        return findings

    monkeypatch.setattr(doctor, "examine", examine)
    return CliRunner().invoke(app, words, catch_exceptions=False), seen[0]


def test_no_problem_is_status_0(monkeypatch):
    done, _ = run(monkeypatch, FINE)
    assert done.exit_code == 0
    assert "3.11" in done.output


def test_a_problem_is_status_2_with_its_cure_as_it_is(monkeypatch):
    done, _ = run(monkeypatch, FINE, ILL)
    assert done.exit_code == 2
    assert '-> pip install "dnd-local[vllm]"' in done.output


def test_json_for_programs(monkeypatch):
    done, _ = run(monkeypatch, ILL, words=("--json",))
    (finding,) = json.loads(done.stdout)["findings"]
    assert (finding["state"], finding["cure"]) == ("problem", 'pip install "dnd-local[vllm]"')


def test_the_smoke_run_is_of_the_weights_named_and_can_be_left_out(monkeypatch, tmp_path):
    tried: list[Weights] = []

    def smoke_run(weights: Weights) -> list[Finding]:
        tried.append(weights)
        return [ILL]

    monkeypatch.setattr(smoke, "smoke_run", smoke_run)
    _, patient = run(monkeypatch, FINE, words=("--weights", str(tmp_path)))
    assert patient.smoke is not None
    assert patient.smoke() == [ILL]
    assert tried == [patient.weights]
    assert patient.weights.root == tmp_path
    assert run(monkeypatch, FINE, words=("--no-smoke",))[1].smoke is None


def test_a_package_that_the_doctor_itself_needs_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "dnd_local.pipeline.doctor", None)
    with pytest.raises(UserError, match=r"the package 'dnd_local.pipeline.doctor' cannot be load"):
        CliRunner().invoke(app, [], catch_exceptions=False)
