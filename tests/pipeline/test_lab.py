"""Keys: everything that can change a part, and nothing else. Engines: opened once, let go."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from dataclasses import fields, replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import msgspec
import pytest

from dnd_local.core import config as config_module
from dnd_local.core.config import Config, Execution
from dnd_local.core.errors import DamagedFile, MissingWeights, UserError
from dnd_local.core.ledger import OURS, Ledger
from dnd_local.pipeline import engine_digests, opening
from dnd_local.pipeline.lab import Lab
from dnd_local.pipeline.plan import (
    CAPTIONS,
    CONCEPTS,
    PICTURES,
    PLAN,
    RACE,
    RESPONSES,
    SCORES,
    TRIAGE,
    plan_of,
)
from dnd_local.pipeline.stage import require, roles_of
from dnd_local.store.resources import shipped
from tests.bench import Bench
from tests.fakes import ColourProbe

NOTHING: set[str] = set()
FROM_CONCEPTS = {"concepts", "scores"}
FROM_PHRASES = FROM_CONCEPTS | {"phrases"}
FROM_CAPTIONS = FROM_PHRASES | {"captions"}
FROM_EXEMPLARS = FROM_CAPTIONS | {"exemplars"}
FROM_RESPONSES = FROM_EXEMPLARS | {"responses", "triage"}
FROM_PICTURES = {"pictures", "scores"}

SETTINGS: dict[str, tuple[Any, set[str]]] = {
    "compat": ("official", FROM_EXEMPLARS | {"triage"}),
    "seed": (3, FROM_PHRASES | FROM_PICTURES),
    "network.name": ("resnet50", FROM_RESPONSES),
    "network.batch": (5, FROM_RESPONSES),
    "network.dtype": ("bfloat16", FROM_RESPONSES),
    "network.pool": ("max", FROM_RESPONSES),
    "network.tokens": ("cls", FROM_RESPONSES),
    "network.layout": ("tokens:1+14x14", FROM_RESPONSES),
    "network.latents": ("sae", FROM_RESPONSES),
    "probe.chunk": (5, FROM_RESPONSES),
    "probe.holdout": (0.25, FROM_EXEMPLARS),
    "probe.keep": ("*1", FROM_RESPONSES),
    "probe.sample": (5, FROM_RESPONSES),
    "triage.dead_below": (0.5, {"triage"}),
    "triage.constant_below": (0.5, {"triage"}),
    "triage.duplicate_above": (0.5, {"triage"}),
    "exemplars.images": (3, FROM_EXEMPLARS),
    "exemplars.count": (3, FROM_EXEMPLARS),
    "exemplars.crops": (1, FROM_EXEMPLARS),
    "exemplars.crop_iou": (0.25, FROM_EXEMPLARS),
    "exemplars.whole_iou": (0.25, FROM_EXEMPLARS),
    "exemplars.whole": ("seen", FROM_EXEMPLARS),
    "exemplars.min_side": (16, FROM_EXEMPLARS),
    "exemplars.views": (1, FROM_EXEMPLARS),
    "captions.model": ("blip-large", FROM_CAPTIONS),
    "captions.batch": (3, FROM_CAPTIONS),
    "captions.dtype": ("bfloat16", FROM_CAPTIONS),
    "captions.quantisation": ("int8", FROM_CAPTIONS),
    "captions.min_tokens": (3, FROM_CAPTIONS),
    "captions.max_tokens": (11, FROM_CAPTIONS),
    "llm.engine": ("vllm", FROM_PHRASES),
    "llm.model": ("another", FROM_PHRASES),
    "llm.root": ("another", FROM_PHRASES),
    "llm.revision": ("another", FROM_PHRASES),
    "llm.thinking": (64, FROM_PHRASES),
    "llm.batch": (3, FROM_PHRASES),
    "llm.dtype": ("float16", FROM_PHRASES),
    "llm.quantisation": ("int8", FROM_PHRASES),
    "llm.temperature": (0.75, FROM_PHRASES),
    "llm.max_tokens": (11, FROM_PHRASES),
    "concepts.count": (2, FROM_CONCEPTS),
    "concepts.max_draws": (11, FROM_CONCEPTS),
    "concepts.max_words": (2, FROM_CONCEPTS),
    "concepts.rounds": (2, {"scores"}),
    "concepts.contrast": (3, {"scores"}),
    "concepts.meanings": (2, {"scores"}),
    "pictures.model": ("another", FROM_PICTURES),
    "pictures.count": (7, {"scores"}),
    "pictures.steps": (7, FROM_PICTURES),
    "pictures.guidance": (1.5, FROM_PICTURES),
    "pictures.size": (16, FROM_PICTURES),
    "pictures.batch": (7, FROM_PICTURES),
    "pictures.dtype": ("bfloat16", FROM_PICTURES),
    "pictures.decoder": ("small", FROM_PICTURES),
    "pictures.sampler": ("lcm", FROM_PICTURES),
    "pictures.lora": ("another", FROM_PICTURES),
    "pictures.quality": (90, FROM_PICTURES),
    "clip.model": ("another", {"scores"}),
    "clip.batch": (7, {"scores"}),
    "clip.dtype": ("bfloat16", {"scores"}),
    "scores.beta": (2, {"scores"}),
    "scores.rule": ("mean", NOTHING),
    "scores.alike_above": (0.25, NOTHING),
    "scores.race": (2, {"scores"}),
}
"""Each setting, another value of it, and the stages whose parts that can change."""

ELSEWHERE = {
    "probe.sets",  # enters by the probe set's digest
}


def changed(config: Config, path: str, value: Any) -> Config:
    section, dot, name = path.partition(".")
    if not dot:
        return msgspec.structs.replace(config, **{section: value})
    own = msgspec.structs.replace(getattr(config, section), **{name: value})
    return msgspec.structs.replace(config, **{section: own})


def keys(config: Config, execution: Execution) -> dict[str, str]:
    lab = Lab(config, execution)
    return {stage.name: stage.key(lab) for stage in plan_of(config)}


def differing(one: Mapping[str, str], other: Mapping[str, str]) -> set[str]:
    return {name for name in one if one[name] != other[name]}


def all_settings() -> set[str]:
    found = set()
    for name, value in msgspec.to_builtins(Config()).items():
        found |= {f"{name}.{inner}" for inner in value} if isinstance(value, dict) else {name}
    return found


def test_the_table_has_every_setting() -> None:
    assert set(SETTINGS) | ELSEWHERE == all_settings()


@pytest.mark.parametrize("path", SETTINGS)
def test_a_setting_changes_the_keys_of_the_stages_that_depend_on_it(
    bench: Bench, path: str
) -> None:
    value, wanted = SETTINGS[path]
    config = bench.config(pictures={"count": 6, "size": 8})
    other = changed(config, path, value)
    assert other != config
    before, after = keys(config, bench.execution()), keys(other, bench.execution())
    assert differing(before, after) == wanted


LEDGER: dict[str, set[str]] = {
    "map_values": FROM_EXEMPLARS,
    "map_place": FROM_EXEMPLARS,
    "crop_shape": FROM_EXEMPLARS,
    "picture_size": {"scores"},
    "cosine_over": {"scores"},
    "wording": FROM_PHRASES,
    "top_up": FROM_CONCEPTS,
    "triage": {"triage"},
    "map_resize": FROM_EXEMPLARS,
    "draws": FROM_PHRASES,
}
"""Each row of the ledger that leaves a choice, and the stages whose parts it can change."""


def test_the_table_has_every_row_that_leaves_a_choice() -> None:
    assert list(LEDGER) == [own.name for own in fields(Ledger)]


@pytest.mark.parametrize("row", LEDGER)
def test_the_side_of_a_row_changes_the_keys_of_the_stages_that_depend_on_it(
    bench: Bench, row: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    one = Ledger(**{row: "released"})  # type: ignore[arg-type]
    monkeypatch.setattr(config_module, "_LEDGERS", {"default": OURS, "official": one})
    ours, released = bench.config(), bench.config(compat="official")
    execution = bench.execution()
    assert differing(keys(ours, execution), keys(released, execution)) == LEDGER[row]


def test_the_seed_draws_the_holdout_too(bench: Bench) -> None:
    one = bench.config(probe={"holdout": 0.25})
    other = changed(one, "seed", 3)
    found = differing(keys(one, bench.execution()), keys(other, bench.execution()))
    assert found == FROM_EXEMPLARS | FROM_PICTURES


@pytest.mark.parametrize(
    ("role", "wanted"),
    [
        ("target", FROM_RESPONSES),
        ("captioner", FROM_CAPTIONS),
        ("language-model", FROM_PHRASES),
        ("painter", FROM_PICTURES),
        ("embedder", {"scores"}),
    ],
)
def test_other_weights_change_the_stages_that_use_them(
    bench: Bench, role: str, wanted: set[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    before = keys(bench.config(), bench.execution())
    monkeypatch.setattr(
        engine_digests, "weights_digest", lambda r, *_: f"weights of {r}{'!' * (r == role)}"
    )
    assert differing(before, keys(bench.config(), bench.execution())) == wanted


@pytest.mark.parametrize(
    ("prompt", "wanted"),
    [
        ("simplify", FROM_PHRASES),
        ("summarise", FROM_CONCEPTS),
        ("merge", FROM_CONCEPTS),
        ("picture", FROM_PICTURES),
    ],
)
def test_another_prompt_changes_its_stage_and_those_after_it(
    bench: Bench, prompt: str, wanted: set[str], tmp_path: Path
) -> None:
    folder = Path(shutil.copytree(shipped("prompts"), tmp_path / "prompts"))
    execution = msgspec.structs.replace(bench.execution(), prompts=folder)
    before = keys(bench.config(), execution)
    assert before == keys(bench.config(), bench.execution())
    with (folder / f"{prompt}.txt").open("a") as file:
        file.write(" ")
    assert differing(before, keys(bench.config(), execution)) == wanted


def test_another_probe_set_changes_all_but_the_pictures(bench: Bench) -> None:
    before = keys(bench.config(), bench.execution())
    bench.probe = ColourProbe()
    bench.probe.digest = "2" * 64
    assert differing(before, keys(bench.config(), bench.execution())) == FROM_RESPONSES


EXECUTION: dict[str, Any] = {
    "workspace": Path("elsewhere"),
    "weights": Path("elsewhere"),
    "data": Path("elsewhere"),
    "manifest": shipped("weights_manifest.json"),
    "prompts": shipped("prompts"),
    "devices": ("0", "1"),
    "workers": 4,
    "shared": True,
    "cluster": "local",
    "llm_url": "unix:/run/llm",
    "allow_remote_llm": True,
    "llm_timeout": 7.0,
    "llm_concurrency": 5,
    "vllm_python": "/opt/python",
    "vllm_options": ("--x",),
}


def test_the_execution_table_has_every_field(bench: Bench) -> None:
    assert set(EXECUTION) == set(Execution.__struct_fields__)


@pytest.mark.parametrize("name", EXECUTION)
def test_where_it_is_computed_changes_no_key(bench: Bench, name: str) -> None:
    execution = bench.execution()
    other = msgspec.structs.replace(execution, **{name: EXECUTION[name]})
    assert other != execution
    assert keys(bench.config(), other) == keys(bench.config(), execution)


def test_a_race_is_run_by_the_rule_that_decides(bench: Bench) -> None:
    racing = bench.config(pictures={"count": 6, "size": 8}, scores={"race": 2})
    before = keys(racing, bench.execution())
    exact = keys(changed(racing, "scores.race", 0), bench.execution())
    assert differing(exact, before) == {"scores"}
    assert set(before) == {*exact, "race"}
    for path in ("scores.rule", "scores.race", "scores.beta"):
        value = 4 if path == "scores.race" else SETTINGS[path][0]
        after = keys(changed(racing, path, value), bench.execution())
        assert differing(before, after) == {"race", "scores"}
    assert RACE.meaning(bench.lab())["needs"]["pictures"] == before["pictures"]


def test_a_new_version_of_a_stage_has_new_parts(bench: Bench) -> None:
    assert replace(TRIAGE, version=2).key(bench.lab()) != TRIAGE.key(bench.lab())


def test_keys_are_those_of_their_meaning_in_every_process(bench: Bench) -> None:
    lab = bench.lab()
    assert len({stage.key(lab) for stage in PLAN}) == len(PLAN)
    assert all(len(stage.key(lab)) == 64 for stage in PLAN)
    meaning = SCORES.meaning(lab)
    assert meaning["needs"]["pictures"] == PICTURES.key(lab)
    assert meaning["probe"] is None
    assert RESPONSES.meaning(lab)["probe"] == bench.probe.digest
    assert set(CONCEPTS.meaning(lab)["prompts"]) == {"summarise", "merge"}


def test_an_engine_is_opened_once_and_let_go(bench: Bench) -> None:
    lab = bench.lab()
    assert lab.captioner is lab.captioner
    assert lab.painter is not lab.captioner
    assert dict(bench.calls.opened) == {"captioner": 1, "painter": 1}
    lab.close()
    assert lab.captioner
    assert bench.calls.opened["captioner"] == 2


def test_chunks_cover_the_probe_set(bench: Bench) -> None:
    for chunk, chunks in ((7, 5), (30, 1), (31, 1), (10, 3)):
        assert bench.lab(probe={"chunk": chunk}).chunks == chunks


class Shelf:
    """Weights of which some are missing, or not what they were."""

    manifest = SimpleNamespace(entries=[SimpleNamespace(id=name, role="") for name in "tc"])

    def __init__(self, *absent: str, altered: str = "") -> None:
        self.absent, self.altered = absent, (altered,)

    def require(self, names: list[str]) -> None:
        if found := [name for name in names if name in self.absent]:
            raise MissingWeights(f"no {' '.join(found)}")

    def folder(self, name: str) -> Path:
        if name in self.altered:
            raise DamagedFile(f"{name} is altered")
        return Path(name)


def test_everything_that_is_missing_is_said_at_once(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        opening, "model_ids", lambda config: {"target": ("t",), "captioner": ("c",)}
    )
    lab = bench.lab()
    monkeypatch.setattr(lab, "weights", Shelf("t", "c"))
    with pytest.raises(MissingWeights, match=r"^no c$"):
        require(lab, [CAPTIONS])
    require(lab, [TRIAGE])
    monkeypatch.setattr(lab, "weights", Shelf(altered="c"))
    with pytest.raises(DamagedFile, match=r"^c is altered$"):
        require(lab, [RESPONSES, CAPTIONS])
    require(lab, [RESPONSES])

    def gone(*_: Any) -> None:
        raise UserError("no probe set")

    monkeypatch.setattr(opening, "open_probe_set", gone)
    lab = bench.lab()
    monkeypatch.setattr(lab, "weights", Shelf("t"))
    with pytest.raises(UserError, match=r"^no t\nno probe set$"):
        require(lab, [RESPONSES])
    monkeypatch.setattr(lab, "weights", Shelf())
    with pytest.raises(UserError, match=r"^no probe set$"):
        require(lab, [RESPONSES])


def test_an_engine_of_ones_own_is_examined_before_any_work(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    examined: list[str] = []
    monkeypatch.setattr(engine_digests, "examine", lambda role, *_: examined.append(role))
    lab = bench.lab(captions={"model": "mine.py:captioner"})
    lab.require(("captioner", "painter"), probe=False)
    assert examined == ["captioner"]


def test_the_largest_model_decides_how_much_memory_is_needed(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    lab = bench.lab()
    entries = {entry.id: entry.memory or 0 for entry in lab.weights.manifest.entries}
    assert lab.largest_memory(roles_of(PLAN)) == 0
    largest = max(entries, key=lambda name: entries[name])
    monkeypatch.setattr(
        opening, "model_ids", lambda config: {"captioner": tuple(entries), "target": ()}
    )
    assert lab.largest_memory(roles_of([CAPTIONS])) == entries[largest] > 0
    assert set(lab.missing_weights(roles_of([CAPTIONS]))) <= set(entries)
