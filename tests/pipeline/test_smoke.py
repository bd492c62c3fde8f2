"""The doctor's trial of the embedded models: each one answered for, whatever breaks."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest

from dnd_local.core.conversations import Reply
from dnd_local.pipeline import smoke
from dnd_local.pipeline.doctor import Finding
from dnd_local.pipeline.smoke import smoke_run, trial_config, trial_models, try_models
from dnd_local.store.weights import Weights
from tests.bench import Bench
from tests.fakes import Broken
from tests.pocket_pack import PocketPack, flip

NAMES = ("pocket-target", "pocket-captioner", "pocket-llm", "pocket-painter", "pocket-embedder")
ROLES = tuple(trial_models())


def tried(bench: Bench) -> dict[str, Finding]:
    return {one.name: one for one in try_models(bench.lab(), ROLES)}


def test_a_trial_is_of_the_embedded_models_and_small() -> None:
    config = trial_config()
    assert tuple(trial_models().values()) == NAMES
    assert (config.pictures.steps, config.pictures.size) == (2, 64)
    sections = (config.network, config.captions, config.llm, config.pictures, config.clip)
    assert {own.batch for own in sections} == {1}


def test_one_picture_goes_through_every_model(bench: Bench) -> None:
    found = tried(bench)
    assert tuple(found) == NAMES
    assert {one.state for one in found.values()} == {"ok"}
    assert {one.cure for one in found.values()} == {""}
    texts = [one.found.rpartition(", in ")[0] for one in found.values()]
    assert texts[:2] == ["responses of 6 neurons of colours", "says 'there is a red square'"]
    assert texts[2].startswith("answers '")
    assert texts[3:] == ["paints 8 x 8 px in 20 steps", "cosine 0.73 of picture and 'a red dog'"]
    assert set(bench.calls.asked.values()) == {1}
    assert set(bench.calls.opened) == set(ROLES)


def test_a_model_that_breaks_leaves_the_others_to_be_tried(bench: Bench) -> None:
    bench.replaced["captioner"] = Broken()
    found = tried(bench)
    assert [name for name, one in found.items() if one.state == "problem"] == ["pocket-captioner"]
    assert found["pocket-captioner"].found == "it broke"
    assert "install dnd-local again" in found["pocket-captioner"].cure


class Silly:
    """Answers everything, with nothing."""

    bands = 0

    def layers(self) -> tuple[Any, ...]:
        return (type("Layer", (), {"path": "fc"}),)

    def responses(self, *_: object) -> dict[str, Any]:
        return {"fc": np.full((1, 3), np.nan, dtype=np.float32)}

    def caption(self, _: object) -> list[str]:
        return [" "]

    def reply(self, _: object) -> list[Reply]:
        return [Reply("")]

    def paint(self, *_: object) -> list[Any]:
        return [np.zeros((4, 4, 3), dtype=np.uint8)]

    def embed_pictures(self, _: object) -> Any:
        return np.full((1, 3), np.nan, dtype=np.float32)

    embed_texts = embed_pictures


def test_an_answer_without_content_is_a_problem(bench: Bench) -> None:
    bench.replaced = dict.fromkeys(ROLES, Silly())
    found = tried(bench)
    assert {one.state for one in found.values()} == {"problem"}
    assert [one.found for one in found.values()] == [
        "its responses are no finite numbers",
        "it says nothing about a picture",
        "it answers nothing",
        "it paints one flat colour",
        "its vectors are no finite numbers",
    ]


# ---- the process that asks ---------------------------------------------------------------------


@pytest.fixture
def pack(tmp_path: Path) -> PocketPack:
    return PocketPack.made(tmp_path)


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What the other process is asked to try; it answers for all but the last model."""
    words: list[str] = []

    def run(given: Sequence[str]) -> str:
        words.extend(given[2:])
        fine = [Finding("smoke run", role, "ok", "fine") for role in given[2:-1]]
        Path(given[0]).write_bytes(b"\n".join(map(msgspec.json.encode, fine)))
        return "exit status -9, it said nothing"

    monkeypatch.setattr(smoke, "_run", run)
    return words


def test_where_the_process_ends_is_told(pack: PocketPack, asked: list[str]) -> None:
    *fine, last = smoke_run(pack.weights())
    assert asked == list(ROLES)
    assert [one.name for one in fine] == list(ROLES[:-1])
    assert (last.name, last.state) == ("pocket-embedder", "problem")
    assert last.found == (
        "the trial ended here, and 0 more were not tried: exit status -9, it said nothing"
    )
    assert last.cure


def test_a_process_that_answers_for_all_is_believed(
    pack: PocketPack, monkeypatch: pytest.MonkeyPatch
) -> None:
    def run(given: Sequence[str]) -> str:
        lines = [msgspec.json.encode(Finding("smoke run", r, "ok", "fine")) for r in given[2:]]
        Path(given[0]).write_bytes(b"\n".join(lines))
        return "exit status 0, a warning"

    monkeypatch.setattr(smoke, "_run", run)
    assert [one.name for one in smoke_run(pack.weights())] == list(ROLES)


def test_a_process_that_never_answers(pack: PocketPack, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(smoke, "_run", lambda _: "no answer in 9 s")
    (only,) = smoke_run(pack.weights())
    assert only.name == "pocket-target"
    assert only.found.endswith("4 more were not tried: no answer in 9 s")


def test_models_that_do_not_verify_are_not_tried(pack: PocketPack, asked: list[str]) -> None:
    flip(pack.models / "llm" / "model.safetensors", 77)
    (pack.models / "painter" / "unet" / "extra.pt").write_bytes(b"")
    (pack.models / "target" / "config.json").unlink()
    found = {one.name: one for one in smoke_run(pack.weights())}
    assert asked == ["captioner", "embedder"]
    assert found["models"].state == "note"
    assert found["models"].found.startswith("not tried: weights 'pocket-target'")
    assert "they ship with dnd-local" in found["models"].cure
    assert found["pocket-llm"].state == found["pocket-painter"].state == "problem"
    assert "model.safetensors is altered" in found["pocket-llm"].found
    assert found["pocket-llm"].cure == "install dnd-local again"
    assert "extra.pt can run code" in found["pocket-painter"].found
    assert found["pocket-painter"].cure == "move it away"


def test_no_process_is_started_for_nothing(pack: PocketPack, asked: list[str]) -> None:
    for folder in pack.models.iterdir():
        for path in [path for path in folder.rglob("*") if path.is_file()]:
            path.unlink()
    (only,) = smoke_run(pack.weights())
    assert only.found.startswith("not tried: weights pocket-target, pocket-captioner,")
    assert not asked


@pytest.mark.parametrize("reason", ["no right", ""])
def test_the_process_starts_like_a_worker(monkeypatch: pytest.MonkeyPatch, reason: str) -> None:
    note = "import sys; print(*sys.argv, file=sys.stderr); sys.exit(3)"
    monkeypatch.setattr(smoke, "why_no_loopback", lambda: reason)
    monkeypatch.setattr(
        smoke, "isolated_with_loopback",
        lambda command: (sys.executable, "-c", note, "closed", *command[-3:]),
    )  # fmt: skip
    end = smoke._run(())
    assert end == (
        "exit status 1, IndexError: list index out of range"
        if reason
        else "exit status 3, -c closed -P -m dnd_local.pipeline.smoke"
    )


def test_a_process_that_hangs_or_is_silent(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(smoke, "why_no_loopback", lambda: "")
    monkeypatch.setattr(smoke, "isolated_with_loopback", lambda _: ("sleep", "9"))
    monkeypatch.setattr(smoke, "LIMIT_SECONDS", 0.05)
    assert smoke._run(()) == "no answer in 0.05 s"
    monkeypatch.setattr(smoke, "LIMIT_SECONDS", 9)
    monkeypatch.setattr(smoke, "isolated_with_loopback", lambda _: ("sh", "-c", "kill -9 $$"))
    assert smoke._run(()) == "exit status -9, it said nothing"


def test_answers_are_written_as_they_come(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    answers, closed = tmp_path / "answers.jsonl", list[str]()

    def answering(lab: Any, roles: Sequence[str]) -> Any:
        assert lab.weights.root == tmp_path / "w"
        for role in roles:
            yield Finding("smoke run", role, "ok", "fine")
            assert role in answers.read_text()

    monkeypatch.setattr(smoke, "go_offline", lambda: closed.append("closed"))
    monkeypatch.setattr(smoke, "try_models", answering)
    smoke.main(answers, tmp_path / "w", ["target", "painter"])
    lines = answers.read_bytes().splitlines()
    assert [msgspec.json.decode(line, type=Finding).name for line in lines] == ["target", "painter"]
    assert closed == ["closed"]


@pytest.mark.slow
@pytest.mark.timeout(400)
def test_the_models_that_ship_pass_it() -> None:
    if absent := Weights.open().missing(NAMES):
        pytest.skip(f"this copy has no weights of {', '.join(absent)}")
    found = tuple(smoke_run(Weights.open()))
    assert tuple(one.name for one in found) == NAMES
    assert {one.state for one in found} == {"ok"}, found
