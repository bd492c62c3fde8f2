"""A second describer of a run's neurons by files of questions and answers, to its own run."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import pytest

from dnd_local.core.conversations import Request
from dnd_local.core.errors import DamagedFile, Refused, UnknownName, UserError
from dnd_local.engines.language_model_replay import RepliesMissing
from dnd_local.pipeline import opening
from dnd_local.pipeline.describers import describe_with, import_replies, next_round
from dnd_local.pipeline.plan import CONCEPTS, PHRASES
from dnd_local.pipeline.reading import StoredRun, open_run
from dnd_local.pipeline.replies import book_path, read_book, replies_of
from dnd_local.pipeline.stage import Item
from dnd_local.store.openai_batch import chat_messages, request_id
from tests.bench import Bench
from tests.fakes import Calls, FakeLanguageModel

real_open_engine = opening.open_engine


@pytest.fixture
def bench(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Bench:
    """A workspace with fake engines, but with the real one where replies are repeated."""
    bench = Bench(tmp_path / "work", monkeypatch)
    fake = opening.open_engine

    def open_engine(role: Any, config: Any, *rest: Any) -> AbstractContextManager[Any]:
        replayed = role == "language-model" and config.llm.engine.startswith("replay:")
        return (real_open_engine if replayed else fake)(role, config, *rest)

    monkeypatch.setattr(opening, "open_engine", open_engine)
    return bench


@pytest.fixture
def run(bench: Bench) -> StoredRun:
    result = bench.run("0-4", name="first")
    return open_run(result.record.name, bench.workspace)


def answer(requests: tuple[Request, ...], path: Path, engine: Any = None) -> Path:
    """Write what a model answers to `requests`, in the batch service's form, last one first."""
    replies = (engine or FakeLanguageModel(Calls())).reply(requests)
    lines = [
        {
            "custom_id": request_id(request),
            "response": {
                "status_code": 200,
                "body": {"choices": [{"message": {"content": reply.text}}]},
            },
        }
        for request, reply in zip(requests, replies, strict=True)
    ]
    path.write_text("".join(json.dumps(line) + "\n" for line in reversed(lines)))
    return path


def rounds(run: StoredRun, tmp_path: Path, engine: Any = None) -> Iterator[tuple[Request, ...]]:
    """Play all rounds of "other", yielding what each asked."""
    while requests := next_round(run, "other").requests:
        yield requests
        found = import_replies(run, "other", answer(requests, tmp_path / "replies", engine))
        assert (found.entered, found.problems) == (len(requests), ())


def purposes(requests: tuple[Request, ...]) -> set[str]:
    named = set()
    for request in requests:
        asked = request.messages[-1].text
        simplify = asked.startswith("there is a")
        named.add("simplify" if simplify else "summarise" if "\n" in asked else "merge")
    return named


def lists_things(request: Request) -> str | None:
    """Answer a question about several phrases with a list, so that it has to be merged."""
    return "red squares, green squares" if "\n" in request.messages[-1].text else None


def test_three_rounds_open_one_another(run: StoredRun, tmp_path: Path) -> None:
    lister = FakeLanguageModel(Calls(), lists_things)
    asked = [purposes(r) for r in rounds(run, tmp_path, lister)]
    assert asked[:3] == [{"simplify"}, {"summarise"}, {"merge"}]
    left = next_round(run, "other")
    assert (left.requests, left.neurons) == ((), 3)
    assert left.answered == len(read_book(run.lab.execution.workspace, "first", "other"))


def test_the_questions_are_those_that_the_local_model_got(run: StoredRun, tmp_path: Path) -> None:
    items = [Item.of_neuron(neuron) for neuron in run.record.wanted()[:3]]
    local = {
        request_id(exchange.request)
        for stage in (PHRASES, CONCEPTS)
        for part in stage.read(run.lab, items)
        for exchange in part.exchanges
    }
    found: set[str] = set()
    for requests in rounds(run, tmp_path):
        sent = [json.loads(line) for line in next_round(run, "other").files("gpt-4o")[0]]
        assert [line["body"]["messages"] for line in sent] == [chat_messages(r) for r in requests]
        found |= {line["custom_id"] for line in sent}
    assert found == local


def test_a_complete_book_makes_a_run_of_its_own(
    run: StoredRun, bench: Bench, tmp_path: Path
) -> None:
    def other_words(request: Request) -> str | None:
        return "crimson tiles" if "\n" in request.messages[-1].text else None

    for _ in rounds(run, tmp_path, FakeLanguageModel(Calls(), other_words)):
        pass
    bench.calls.opened.clear()
    result = describe_with(run, "other", ("cpu",))
    assert result.record.name == "first-other"
    assert result.record.config.llm.engine == "replay:first/other"
    described = [d for d in result.descriptions if d.status == "described"]
    assert {d.labels[0].text for d in described} == {"crimson tiles"}
    assert len(described) == 3
    assert "captioner" not in bench.calls.opened, "captions are shared with the first run"
    assert "language-model" not in bench.calls.opened, "nothing but the book was asked"
    assert describe_with(run, "other", ("cpu",)).made == 0


def test_an_incomplete_book_makes_no_run(run: StoredRun, bench: Bench) -> None:
    with pytest.raises(RepliesMissing):
        describe_with(run, "other", ("cpu",))
    assert not (bench.workspace / "runs" / "first-other").exists()


def test_the_whole_run_can_be_replayed_too(run: StoredRun, bench: Bench) -> None:
    bench.calls.opened.clear()
    again = bench.run("0-4", name="again", llm={"engine": "replay:first"})
    assert "language-model" not in bench.calls.opened
    first = bench.run("0-4", name="first")
    assert [d.labels for d in again.descriptions] == [d.labels for d in first.descriptions]
    assert replies_of("first", bench.workspace)


def test_what_is_wrong_with_a_file_is_told_and_asked_again(run: StoredRun, tmp_path: Path) -> None:
    requests = next_round(run, "other").requests
    path = answer(requests, tmp_path / "replies")
    lines = path.read_text().splitlines()
    path.write_text("\n".join([lines[0], "{", *lines[2:]]))
    found = import_replies(run, "other", path)
    assert found.entered == len(requests) - 1
    assert [problem[:17] for problem in found.problems] == ["line 2: malformed"]
    assert [request_id(r) for r in found.left.requests] == [json.loads(lines[1])["custom_id"]]
    assert import_replies(run, "other", path).entered == 0, "the same file again changes nothing"


def test_an_answer_to_an_earlier_round_is_no_mistake(run: StoredRun, tmp_path: Path) -> None:
    first = next_round(run, "other").requests
    path = answer(first, tmp_path / "first")
    import_replies(run, "other", path)
    assert import_replies(run, "other", path).problems == ()


def test_describers_do_not_mix(run: StoredRun, tmp_path: Path) -> None:
    requests = next_round(run, "other").requests
    import_replies(run, "other", answer(requests, tmp_path / "replies"))
    assert next_round(run, "third").requests == requests


@pytest.mark.parametrize("name", ["../x", "", "a/b", ".hidden", "x" * 62])
def test_a_describers_name_is_a_files_name(run: StoredRun, name: str) -> None:
    with pytest.raises(Refused, match="describer"):
        next_round(run, name)


def test_a_damaged_book_is_named(run: StoredRun, bench: Bench) -> None:
    path = book_path(bench.workspace, "first", "other")
    path.parent.mkdir()
    path.write_text("{")
    with pytest.raises(DamagedFile, match=r"other.json is damaged"):
        next_round(run, "other")


def test_a_run_without_captions_has_nothing_to_ask(bench: Bench) -> None:
    bench.run("3", name="dead")
    with pytest.raises(UserError, match="no captions yet"):
        next_round(open_run("dead", bench.workspace), "other")


def test_an_unknown_run_is_named(bench: Bench) -> None:
    with pytest.raises(UnknownName, match="nowhere"):
        replies_of("nowhere/other", bench.workspace)
