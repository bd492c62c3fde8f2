"""A run made again from the replies that another one keeps, without any language model."""

from __future__ import annotations

import pytest

from dnd_local.core.errors import DamagedFile, EngineError, Refused, UnknownName
from dnd_local.engines.language_model_replay import ReplayLanguageModel
from dnd_local.pipeline.replies import book_path, exchanges_of, read_book, replies_of
from tests.bench import Bench
from tests.fakes import Broken


@pytest.fixture
def bench(tmp_path, monkeypatch) -> Bench:
    return Bench(tmp_path / "work", monkeypatch)


def test_a_replayed_run_has_the_same_labels(bench: Bench) -> None:
    first = bench.run(name="first")
    book = replies_of("first", bench.workspace)
    bench.replaced["language-model"] = ReplayLanguageModel(book)
    again = bench.run(name="again", llm={"engine": "replay:first"})
    assert [d.labels for d in again.descriptions] == [d.labels for d in first.descriptions]


def test_neurons_that_are_not_finished_have_no_replies_yet(bench: Bench) -> None:
    bench.run("0", name="mine")
    whole = exchanges_of("mine", bench.workspace)
    bench.replaced["language-model"] = Broken()
    assert bench.run("1", name="mine").failures
    assert exchanges_of("mine", bench.workspace) == whole


def test_a_run_that_was_never_finished_cannot_be_replayed(bench: Bench) -> None:
    bench.replaced["captioner"] = Broken()
    with pytest.raises(EngineError, match="it broke"):
        bench.run("0", name="mine")
    with pytest.raises(Refused, match="never finished"):
        replies_of("mine", bench.workspace)


def test_a_describer_has_a_book_of_its_own(bench: Bench) -> None:
    bench.run("0", name="mine")
    assert replies_of("mine/gpt-4o", bench.workspace) == {}
    path = book_path(bench.workspace, "mine", "gpt-4o")
    path.parent.mkdir(parents=True)
    path.write_text("no book")
    with pytest.raises(DamagedFile, match="delete it and import again"):
        read_book(bench.workspace, "mine", "gpt-4o")
    with pytest.raises(Refused, match="will not do as a name"):
        replies_of("mine/../up", bench.workspace)
    with pytest.raises(UnknownName, match="unknown run 'yours'"):
        replies_of("yours/gpt-4o", bench.workspace)


def test_replies_beside_a_key_that_cannot_be_read_are_not_replayed(bench: Bench) -> None:
    run = bench.run("0").record.name
    (folder,) = (bench.workspace / "artefacts").glob("phrases-*")
    (folder / "key.json").write_text("{}")
    with pytest.raises(DamagedFile, match=r"phrases-\w+/key.json cannot be read"):
        exchanges_of(run, bench.workspace)


def test_a_run_of_dead_neurons_has_no_replies(bench: Bench) -> None:
    assert exchanges_of(bench.run("3").record.name, bench.workspace) == ()
