"""Settings: the paper's numbers by default, checked at the edge, merged key by key."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated, Any

import msgspec
import pytest

from dnd_local.core.config import Config, Execution
from dnd_local.core.config_reading import (
    check_setting,
    flat,
    merge,
    read_config,
    read_toml,
    takes,
)
from dnd_local.core.errors import BadConfig
from dnd_local.core.ledger import OURS, RELEASED


@pytest.mark.parametrize(
    ("path", "text"),
    [
        ("pictures.steps", "a whole number from 1 to 1000"),
        ("pictures.size", "a multiple of 8 from 8 to 4096"),
        ("probe.holdout", "a number from 0 to 0.9"),
        ("triage.duplicate_above", "a number above 0 to 1"),
        ("network.pool", "avg or max"),
        ("llm.engine", "vllm, transformers, replay:RUN, or file.py:factory"),
    ],
)
def test_what_a_setting_takes(path: str, text: str) -> None:
    section, _, name = path.partition(".")
    sections = {own.name: own.type for own in msgspec.structs.fields(Config)}
    kinds = {own.name: own.type for own in msgspec.structs.fields(sections[section])}
    assert takes(kinds[name]) == text
    assert takes(str) == "text"


def test_one_value_is_checked_by_the_name_that_the_user_gave_it() -> None:
    kind = Annotated[int, msgspec.Meta(ge=1, le=3)]
    check_setting("--some", 2, kind)
    with pytest.raises(BadConfig, match=r"^--some 9: it takes a whole number from 1 to 3$"):
        check_setting("--some", 9, kind)


def test_a_value_that_will_not_do_is_named_with_what_the_setting_takes() -> None:
    with pytest.raises(BadConfig, match=r"^mine: pictures.steps is -3; it takes a whole number"):
        read_config({"pictures": {"steps": -3}}, "mine")
    with pytest.raises(BadConfig, match=r"^mine: Expected `str`, got `int`: `probe.sets.0.`$"):
        read_config({"probe": {"sets": [3]}}, "mine")
    with pytest.raises(BadConfig, match=r"^mine: Expected `object`, got `int`: `pictures`$"):
        read_config({"pictures": 3}, "mine")


def test_the_defaults_are_the_papers_numbers() -> None:
    config = Config()
    assert config.seed == 0
    assert config.compat == "default"
    assert config.network.pool == "avg"
    assert config.probe.sets == ("imagenet-val", "broden")
    assert config.probe.holdout == 0
    exemplars = config.exemplars
    assert (exemplars.images, exemplars.count, exemplars.crops) == (10, 10, 4)
    assert (exemplars.crop_iou, exemplars.whole_iou) == (0.5, 0.8)
    captions = config.captions
    assert (captions.model, captions.min_tokens, captions.max_tokens) == ("blip-base", 4, 32)
    assert config.llm.temperature == 0.3
    assert (config.concepts.count, config.concepts.max_words) == (5, 5)
    pictures = config.pictures
    assert (pictures.count, pictures.steps, pictures.guidance, pictures.size, pictures.dtype) == (
        10, 50, 7.5, 512, "float16",
    )  # fmt: skip
    assert config.clip.model == "clip-vit-b-16"
    assert (config.scores.rule, config.scores.beta) == ("topk-compare", 5)


def test_every_setting_explains_itself() -> None:
    for section in msgspec.structs.fields(Config):
        if isinstance(section.type, type) and issubclass(section.type, msgspec.Struct):
            for field in msgspec.structs.fields(section.type):
                metas = getattr(field.type, "__metadata__", ())
                assert any(meta.description for meta in metas), f"{section.name}.{field.name}"


def test_nothing_given_is_the_defaults() -> None:
    assert read_config({}) == Config()


def test_values_go_over_the_defaults_key_by_key() -> None:
    config = read_config({"pictures": {"steps": 20}, "probe": {"sets": ["pocket"]}})
    assert (config.pictures.steps, config.pictures.guidance) == (20, 7.5)
    assert config.probe.sets == ("pocket",)


def test_settings_come_back_from_json() -> None:
    config = read_config({"pictures": {"steps": 20}, "seed": 4})
    assert read_config(msgspec.to_builtins(config)) == config
    assert msgspec.json.decode(msgspec.json.encode(config), type=Config) == config


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"sede": 1}, "settings: unknown key 'sede'; the nearest is 'seed'"),
        (
            {"pictures": {"step": 20}},
            "settings, [pictures]: unknown key 'step'; the nearest is 'steps'",
        ),
        ({"pictures": {"xyz": 1}}, "settings, [pictures]: unknown key 'xyz'; the nearest is '"),
        ({"": 1}, "settings: unknown key ''; the nearest is '"),
    ],
)
def test_an_unknown_key_is_refused_with_the_nearest(values: dict[str, Any], message: str) -> None:
    with pytest.raises(BadConfig) as caught:
        read_config(values)
    assert str(caught.value).startswith(message)


@pytest.mark.parametrize(
    ("values", "where"),
    [
        ({"pictures": {"steps": 0}}, "pictures.steps"),
        ({"pictures": {"steps": 2.5}}, "pictures.steps"),
        ({"pictures": {"steps": "20"}}, "pictures.steps"),
        ({"pictures": {"size": 500}}, "pictures.size"),
        ({"pictures": {"guidance": -1}}, "pictures.guidance"),
        ({"pictures": {"guidance": float("nan")}}, "pictures.guidance"),
        ({"pictures": 7}, "pictures"),
        ({"llm": {"temperature": 2.1}}, "llm.temperature"),
        ({"probe": {"sets": []}}, "probe.sets"),
        ({"probe": {"sets": "pocket"}}, "probe.sets"),
        ({"probe": {"holdout": 0.95}}, "probe.holdout"),
        ({"scores": {"rule": "best"}}, "scores.rule"),
        ({"exemplars": {"crop_iou": 1.1}}, "exemplars.crop_iou"),
        ({"triage": {"duplicate_above": 0}}, "triage.duplicate_above"),
        ({"seed": -1}, "seed"),
        ({"compat": "old"}, "compat"),
    ],
)
def test_a_value_out_of_range_names_its_place(values: dict[str, Any], where: str) -> None:
    with pytest.raises(BadConfig) as caught:
        read_config(values, "mine.toml")
    message = str(caught.value)
    assert message.startswith("mine.toml: ")
    assert where in message
    assert "$" not in message


def test_settings_that_contradict_each_other_are_refused() -> None:
    with pytest.raises(
        BadConfig, match=r"concepts.max_draws is 3, fewer than concepts.count \(5\)"
    ):
        read_config({"concepts": {"max_draws": 3}})
    with pytest.raises(BadConfig, match=r"captions.max_tokens is 3, fewer than captions.min"):
        read_config({"captions": {"max_tokens": 3}})


def test_compat_picks_the_side_of_every_row_and_nothing_else() -> None:
    official = read_config({"compat": "official"})
    assert (Config().ledger, official.ledger) == (OURS, RELEASED)
    assert official.scores.rule == "topk-compare"
    assert msgspec.structs.replace(official, compat="default") == Config()


def test_merge_goes_key_by_key_and_later_wins() -> None:
    first = {"pictures": {"steps": 50, "size": 512}, "seed": 1, "llm": 3}
    second = {"pictures": {"steps": 20}, "seed": 2, "llm": {"engine": "vllm"}}
    assert merge(first, second) == {
        "pictures": {"steps": 20, "size": 512}, "seed": 2, "llm": {"engine": "vllm"},
    }  # fmt: skip
    assert merge(second, {"pictures": 5})["pictures"] == 5
    assert merge() == {}


def test_merge_leaves_its_arguments_alone() -> None:
    first = {"pictures": {"steps": 50}}
    merged = merge(first, {"pictures": {"size": 64}})
    merged["pictures"]["steps"] = 1
    assert first == {"pictures": {"steps": 50}}
    alone = merge(first)
    alone["pictures"]["steps"] = 1
    assert first == {"pictures": {"steps": 50}}


def test_flat_settings_have_dotted_names() -> None:
    values = {"seed": 0, "probe": {"sets": ["a", "b"], "deep": {"er": 1}}, "none": {}}
    assert flat(values) == {"seed": 0, "probe.sets": ["a", "b"], "probe.deep.er": 1}


def test_a_toml_file_is_read_as_nested_settings(tmp_path: Path) -> None:
    path = tmp_path / "mine.toml"
    path.write_text('seed = 3\n[probe]\nsets = ["a", "b"]\n', encoding="utf-8")
    assert read_toml(path) == {"seed": 3, "probe": {"sets": ["a", "b"]}}
    assert read_config(read_toml(path)).probe.sets == ("a", "b")


@pytest.mark.parametrize(
    "text", [b"seed = ", b"= 3", b"[a\n", b'x = "\xff"', b"seed = 1\nseed = 2"]
)
def test_what_is_no_toml_is_named(tmp_path: Path, text: bytes) -> None:
    path = tmp_path / "mine.toml"
    path.write_bytes(text)
    with pytest.raises(BadConfig, match=r"mine.toml is not valid TOML"):
        read_toml(path)


def test_a_missing_settings_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(BadConfig, match=r"cannot read settings file .*none.toml: No such file"):
        read_toml(tmp_path / "none.toml")
    with pytest.raises(BadConfig, match="Is a directory"):
        read_toml(tmp_path)


def test_nothing_of_execution_is_a_setting() -> None:
    config = {field.name for field in msgspec.structs.fields(Config)}
    execution = {field.name for field in msgspec.structs.fields(Execution)}
    assert not config & execution


@pytest.mark.parametrize(
    ("section", "name", "value"),
    [
        ("pictures", "guidance", float("inf")),
        ("pictures", "guidance", float("nan")),
        ("pictures", "guidance", 1e30),
        ("pictures", "count", 1e23),
        ("pictures", "count", 10**23),
        ("pictures", "size", 10**9),
        ("pictures", "steps", 10**6),
        ("network", "batch", 1_000_000),
        ("captions", "batch", 10**9),
        ("probe", "chunk", 10**9),
        ("concepts", "count", 10**9),
        ("exemplars", "images", 10**9),
        ("triage", "dead_below", float("nan")),
        ("llm", "temperature", float("nan")),
    ],
)
def test_numbers_without_sense_are_refused_by_name(section: str, name: str, value: object) -> None:
    with pytest.raises(BadConfig, match=name) as caught:
        read_config({section: {name: value}})
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("seed", [10**25, 2**63, 2**64, -1])
def test_a_seed_that_no_file_could_keep_is_refused(seed: int) -> None:
    with pytest.raises(BadConfig, match="seed"):
        read_config({"seed": seed})
    assert read_config({"seed": 2**63 - 1}).seed == 2**63 - 1


def test_a_settings_file_that_is_a_pipe_or_nested_beyond_reason(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.toml")
    with pytest.raises(BadConfig, match=r"cannot read settings file .*pipe\.toml: not a regular"):
        read_toml(tmp_path / "pipe.toml")
    deep = tmp_path / "deep.toml"
    deep.write_text("a = " + "[" * 100_000)
    with pytest.raises(BadConfig, match=r"deep\.toml"):
        read_toml(deep)
