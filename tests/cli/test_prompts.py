"""`dnd-local prompts`, from the user's side."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from dnd_local.cli import prompts
from dnd_local.core.errors import BadConfig
from dnd_local.store.prompts import PromptFolder
from tests.bench import Bench
from tests.fakes import Calls, FakeLanguageModel
from tests.pipeline.test_describers import bench
from tests.store.test_release_prompts import checkout

__all__ = ["bench", "checkout"]


@pytest.fixture
def ready(bench: Bench, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Bench:
    """A workspace with a finished run called "first", and an empty current folder."""
    bench.run("0-2", name="first")
    monkeypatch.setenv("DND_LOCAL_WORKSPACE", str(bench.workspace))
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    return bench


def run(*arguments: object) -> Result:
    return CliRunner().invoke(prompts.app, [str(one) for one in arguments])


def reply_to(exported: Path, path: Path) -> Path:
    """Answer an exported file as a script on a connected machine would: from its lines alone."""
    from dnd_local.core.conversations import Message, Request

    lines = []
    for line in map(json.loads, exported.read_text().splitlines()):
        body = line["body"]
        turns = tuple(Message(m["role"], m["content"]) for m in body["messages"])
        asked = Request(turns, body["temperature"], body["seed"], body["max_completion_tokens"])
        (said,) = FakeLanguageModel(Calls()).reply([asked])
        choice = {"message": {"role": "assistant", "content": said.text}, "finish_reason": "stop"}
        response = {"status_code": 200, "body": {"choices": [choice]}}
        lines.append(json.dumps({"custom_id": line["custom_id"], "response": response}))
    path.write_text("\n".join(lines))
    return path


def test_round_by_round_to_a_second_describer(ready: Bench, tmp_path: Path) -> None:
    for number in range(1, 9):
        done = run("export", "first", "--format", "openai-batch", "--describer", "gpt-4o")
        assert done.exit_code == 0, done.output
        assert f"first-gpt-4o.jsonl: {3 if number == 1 else ''}" in done.output
        replies = reply_to(Path("first-gpt-4o.jsonl"), tmp_path / "replies")
        done = run("import", "first", replies, "--describer", "gpt-4o")
        assert done.exit_code == 0, done.output
        if "left" not in done.output:
            break
        assert "dnd-local prompts export first --describer gpt-4o" in done.output
    assert number > 1
    assert "Run first-gpt-4o" in done.output
    assert (ready.workspace / "runs" / "first-gpt-4o" / "descriptions.csv").exists()
    done = run("export", "first", "--describer", "gpt-4o")
    assert "gpt-4o has answered everything about 3 neurons" in done.output


def test_the_file_names_the_model_and_can_lie_elsewhere(ready: Bench, tmp_path: Path) -> None:
    out = tmp_path / "round.jsonl"
    done = run("export", "first", "--model", "gpt-4o-2024-08-06", "--out", out, "--json")
    told = json.loads(done.output)
    lines = [json.loads(line) for line in out.read_text().splitlines()]
    assert told["questions"] == len(lines) > 0
    assert (told["answered"], told["neurons"], told["file"]) == (0, 3, str(out))
    assert {line["body"]["model"] for line in lines} == {"gpt-4o-2024-08-06"}


def test_a_round_too_large_for_one_file_is_several(
    ready: Bench, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("dnd_local.store.openai_batch.MOST_LINES", 2)
    out = tmp_path / "round.jsonl"
    words = ("--family", "reasoning", "--out", out, "--json")
    told = json.loads(run("export", "first", *words).output)
    assert len(told["files"]) > 1
    assert told["files"][0] == told["file"] == str(tmp_path / "round-1.jsonl")
    lines = [line for file in told["files"] for line in Path(file).read_text().splitlines()]
    assert len(lines) == told["questions"]
    assert not any("temperature" in json.loads(line)["body"] for line in lines)


def test_a_damaged_file_is_told_line_by_line_and_ends_with_3(ready: Bench, tmp_path: Path) -> None:
    run("export", "first")
    replies = reply_to(Path("first-gpt-4o.jsonl"), tmp_path / "replies")
    replies.write_text("{\n" + replies.read_text())
    done = run("import", "first", replies)
    assert done.exit_code == 3
    assert "line 1: malformed" in done.output
    done = run("import", "first", replies, "--json")
    told = json.loads(done.output)
    assert (done.exit_code, told["entered"], len(told["problems"])) == (3, 0, 1)


def test_json_at_the_end_is_that_of_the_run(ready: Bench, tmp_path: Path) -> None:
    while True:
        done = run("export", "first", "--json")
        if json.loads(done.output)["file"] is None:
            break
        replies = reply_to(Path("first-gpt-4o.jsonl"), tmp_path / "replies")
        last = run("import", "first", replies, "--json")
        assert last.exit_code == 0, last.output
    assert json.loads(last.output)["run"] == "first-gpt-4o"


def test_the_release_becomes_a_prompt_set(checkout: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    done = run("import-release", checkout, "--out", out)
    assert done.exit_code == 0, done.output
    assert f"{out}/simplify.txt: 3 turns, DnD_models.py line" in done.output.replace("\n", "")
    assert "describe_neurons.py" in done.output
    told = [line.strip() for line in done.output.splitlines() if line.startswith("  (")]
    assert [line.split(",")[0] for line in told] == [
        "(--compat official joins the phrases by '", "(--compat official splits the list at '",
    ]  # fmt: skip
    assert f"--compat official --prompts {out}" in done.output
    PromptFolder(out)


def test_the_release_as_json(checkout: Path, tmp_path: Path) -> None:
    done = run("import-release", checkout, "--out", tmp_path / "out", "--json")
    assert {p["name"] for p in json.loads(done.output)["prompts"]} == {
        "simplify", "summarise", "merge", "picture",
    }  # fmt: skip


def test_another_repository_is_refused(tmp_path: Path) -> None:
    done = run("import-release", tmp_path, "--out", tmp_path / "out")
    assert isinstance(done.exception, BadConfig)
