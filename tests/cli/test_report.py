"""``report`` from the user's side."""

from __future__ import annotations

import json
import webbrowser
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner, Result

from dnd_local.cli.report import report
from dnd_local.core.errors import BadConfig, Refused, UnknownName, UserError
from tests.bench import Bench

app = typer.Typer()
app.command("report")(report)


@pytest.fixture
def bench(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Bench:
    made = Bench(tmp_path / "work", monkeypatch)
    monkeypatch.setenv("DND_LOCAL_WORKSPACE", str(made.workspace))
    monkeypatch.setenv("DND_LOCAL_WEIGHTS", str(tmp_path / "weights"))
    made.run("0,3", name="mine")
    return made


def run(*arguments: object) -> Result:
    return CliRunner().invoke(app, [str(one) for one in arguments])


def test_a_report_lies_in_the_runs_folder_and_is_opened_if_asked(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened: list[str] = []
    monkeypatch.setattr(webbrowser, "open", opened.append)
    result = run("mine")
    assert result.exit_code == 0, result.output
    index = bench.workspace.absolute() / "runs" / "mine" / "report" / "index.html"
    assert f"Report of 2 neurons: {index}" in result.output
    assert index.is_file()
    assert opened == []
    assert run("mine", "--open").exit_code == 0
    assert opened == [index.as_uri()]


def test_figures_another_folder_and_a_comparison(bench: Bench, tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    other = tmp_path / "milan.csv"
    other.write_text("layer,unit,description\ncolours,0,red things\n")
    result = run(
        "mine", "--out", tmp_path / "site", "--compare", other, "--figures", tmp_path / "figures",
        "--json",
    )  # fmt: skip
    assert result.exit_code == 0, result.output
    found = json.loads(result.output)
    assert found["index"] == str(tmp_path / "site" / "index.html")
    assert found["missing"] == 0
    assert [Path(p).name for p in found["figures"]] == ["colours-00000.pdf", "colours-00000.png"]
    assert found["left_out"] == []
    assert "milan" in (tmp_path / "site" / "compare.html").read_text()


def test_lost_pictures_are_said(bench: Bench, tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    for path in (bench.workspace / "blobs").rglob("*.png"):
        path.unlink()
    result = run("mine", "--figures", tmp_path / "figures")
    assert "left out, not on disk any more" in result.output
    assert f"1 figure in {tmp_path / 'figures'}" in result.output


def test_a_comparison_stays_after_a_plain_report(bench: Bench, tmp_path: Path) -> None:
    other = tmp_path / "milan.csv"
    other.write_text("layer,unit,description\ncolours,0,red things\n")
    page = bench.workspace / "runs" / "mine" / "report" / "compare.html"
    run("mine", "--compare", other)
    assert "red things" in page.read_text()
    assert run("mine").exit_code == 0
    assert "red things" in page.read_text()
    other.unlink()
    result = run("mine")
    assert result.exit_code == 0
    assert f"{other} is left out of the comparison" in result.output
    assert not page.exists()


def test_chosen_neurons_on_one_page_in_one_file(
    bench: Bench, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened: list[str] = []
    monkeypatch.setattr(webbrowser, "open", opened.append)
    page = tmp_path / "page.html"
    result = run("mine", "--single-file", page, "--neurons", "3, colours:0", "--open")
    assert result.exit_code == 0, result.output
    assert f"Report of 2 neurons: {page}, " in result.output
    assert page.read_text().count("<article") == 2
    assert opened == [page.as_uri()]
    assert not (bench.workspace / "runs" / "mine" / "report").exists()
    found = json.loads(run("mine", "--single-file", page, "--neurons", "0", "--json").output)
    assert found["neurons"] == 1
    assert found["bytes"] == page.stat().st_size


def test_options_that_would_do_nothing_are_refused(bench: Bench, tmp_path: Path) -> None:
    page = tmp_path / "page.html"
    for given in (
        ("--neurons", "0"),
        ("--single-file", page, "--out", tmp_path / "site"),
        ("--single-file", page, "--compare", "mine"),
    ):
        error = run("mine", *given).exception
        assert isinstance(error, BadConfig)
    assert isinstance(run("mine", "--single-file", page, "--neurons", "1,9").exception, UserError)
    assert not page.exists()


def test_what_cannot_be_done_is_refused(bench: Bench, tmp_path: Path) -> None:
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "a.txt").write_text("mine")
    assert isinstance(run("mine", "--out", tmp_path / "full").exception, Refused)
    assert isinstance(run("mime").exception, UnknownName)
    assert isinstance(run("mine", "--compare", tmp_path / "no.csv").exception, UserError)
