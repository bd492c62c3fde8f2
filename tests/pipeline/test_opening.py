"""From names in the settings to opened engines, each from its own verified folder."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from dnd_local.core.config import Config, Execution, ProbeConfig
from dnd_local.core.config_reading import read_config
from dnd_local.core.conversations import Message, Reply, Request
from dnd_local.core.errors import BadConfig, UnknownName, UserError
from dnd_local.core.protocols import EngineRole, LanguageModel
from dnd_local.engines import language_models, registry
from dnd_local.pipeline import engine_digests, opening
from dnd_local.store.manifest import Manifest
from dnd_local.store.openai_batch import request_id

ROLES: tuple[EngineRole, ...] = ("target", "captioner", "language-model", "painter", "embedder")


class Shelf:
    """Weights whose folders and digests tell their ids, and the manifest that ships."""

    manifest = Manifest.read()

    def folder(self, name: str) -> Path:
        return Path("/models") / name

    def digest(self, name: str) -> str:
        return f"digest of {name}"


def execution(home: Path, workers: int = 1, devices: Sequence[str] = ("0", "1")) -> Execution:
    return Execution(
        workspace=home, weights=home, data=home, workers=workers, devices=tuple(devices)
    )


@pytest.mark.parametrize(
    ("name", "is_one"),
    [("a/net.py:make", True), ("net.py:make", True), ("resnet50", False), ("net.py", False),
     ("net.py:", False), ("net.txt:make", False), ("net.py:not a name", False)],
)  # fmt: skip
def test_what_a_factory_is(name: str, is_one: bool) -> None:
    assert opening.is_factory(name) == is_one


def config(**sections: Any) -> Config:
    return read_config(sections)


def test_which_models_stand_behind_a_role() -> None:
    ids = opening.model_ids(config(network={"name": "resnet50"}))
    assert ids == {
        "target": ("resnet50",), "captioner": ("blip-base",),
        "language-model": ("qwen3-4b-instruct",), "painter": ("sd15",),
        "embedder": ("clip-vit-b-16",),
    }  # fmt: skip
    ids = opening.model_ids(
        config(network={"name": "n.py:make"}, llm={"engine": "replay:mine"},
               pictures={"decoder": "small"})
    )  # fmt: skip
    assert (ids["target"], ids["language-model"], ids["painter"]) == ((), (), ("sd15", "small"))
    assert opening.model_ids(config())["target"] == ("pocket-target",)


def test_a_name_that_the_manifest_has_not_is_offered_one_of_its_kind() -> None:
    manifest = Manifest.read()
    roles = ("target", "captioner")
    opening.check_names(roles, config(), manifest)
    opening.check_names(roles, config(network={"name": "n.py:make"}), manifest)
    with pytest.raises(UnknownName, match=r"unknown network 'pokcet'\. Did you mean pocket, pocke"):
        opening.check_names(roles, config(network={"name": "pokcet"}), manifest)
    with pytest.raises(UnknownName, match=r"unknown captioner 'blip'\. Did you mean blip-base"):
        opening.check_names(roles, config(captions={"model": "blip"}), manifest)


def test_which_engines_this_process_loads() -> None:
    roles = ("target", "captioner", "language-model")
    mine = config(network={"name": "n.py:make"}, llm={"engine": "vllm"})
    assert opening.in_process(roles, mine) == ("captioner",)
    assert opening.in_process(roles, config(llm={"engine": "transformers"})) == roles


class Opened:
    """Records what each door of the engines was given."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.given: dict[str, tuple[Any, ...]] = {}
        self.closed: list[str] = []
        for name in ("target", "factory", "built_in"):
            monkeypatch.setattr(registry, f"open_{name}", self._opener(name))
        name = "language_model"
        monkeypatch.setattr(language_models, f"open_{name}", self._opener(name))

    def _opener(self, name: str) -> Any:
        @contextmanager
        def opener(*given: Any) -> Iterator[str]:
            self.given[name] = given
            yield f"the {name}"
            self.closed.append(name)

        return opener


@pytest.fixture
def opened(monkeypatch: pytest.MonkeyPatch) -> Opened:
    return Opened(monkeypatch)


@pytest.mark.parametrize("role", ROLES)
@pytest.mark.parametrize(("workers", "devices"), [(1, ("0", "1")), (2, ("1",))])
def test_an_engine_gets_its_settings_folder_and_devices(
    opened: Opened, tmp_path: Path, role: EngineRole, workers: int, devices: tuple[str, ...]
) -> None:
    settings = config(pictures={"decoder": "small"})
    where = execution(tmp_path, workers)
    with opening.open_engine(role, settings, where, Shelf(), "1") as engine:  # type: ignore[arg-type]
        assert str(engine).startswith("the ")
        assert not opened.closed
    (name,) = opened.closed
    models = Path("/models")
    assert (
        opened.given[name]
        == {
            "target": (settings.network, models / "pocket-target", devices, "", "", None),
            "captioner": ("captioner", settings.captions, [models / "blip-base"], devices),
            "language-model": (settings.llm, [models / "qwen3-4b-instruct"], where, ("0", "1")),
            "painter": (
                "painter", settings.pictures, [models / "sd15", models / "small"], devices,
            ),
            "embedder": ("embedder", settings.clip, [models / "clip-vit-b-16"], devices),
        }[role]
    )  # fmt: skip


def test_a_language_model_in_a_worker_is_on_the_workers_device(
    opened: Opened, tmp_path: Path
) -> None:
    settings, where = config(llm={"engine": "transformers"}), execution(tmp_path, 2)
    with opening.open_engine("language-model", settings, where, Shelf(), "1"):  # type: ignore[arg-type]
        assert opened.given["language_model"][3] == ("1",)


def test_a_network_by_name_gets_what_the_manifest_says_of_it(
    opened: Opened, tmp_path: Path
) -> None:
    settings = config(network={"name": "resnet50"})
    with opening.open_engine("target", settings, execution(tmp_path), Shelf(), "0"):  # type: ignore[arg-type]
        assert opened.given["target"][3:] == (
            "torchvision:resnet50@IMAGENET1K_V1", "resnet50-0676ba61.pth", None,
        )  # fmt: skip


def test_a_users_own_network_needs_no_weights(opened: Opened, tmp_path: Path) -> None:
    settings = config(network={"name": "net.py:make"})
    with opening.open_engine("target", settings, execution(tmp_path), Shelf(), "0") as engine:  # type: ignore[arg-type]
        assert engine == "the factory"
    assert opened.given["factory"] == ("target", "net.py:make", settings.network, ("0", "1"), None)


CAPTIONER = """
class Loud:
    identity = "loud 1"

    def __init__(self, settings, device):
        self.settings, self.device = settings, device

    def caption(self, pictures):
        return [f"{self.device} {self.settings.max_tokens}"] * len(pictures)
"""


def test_a_users_own_captioner_stands_in_for_the_built_in_one(tmp_path: Path) -> None:
    path = tmp_path / "loud.py"
    path.write_text(CAPTIONER)
    settings = config(captions={"model": f"{path}:Loud", "max_tokens": 9})
    assert opening.model_ids(settings)["captioner"] == ()
    one = digest("captioner", settings, tmp_path)
    where = execution(tmp_path, workers=2)
    with opening.open_engine("captioner", settings, where, Shelf(), "cpu") as engine:  # type: ignore[arg-type]
        assert engine.caption([None, None]) == ["cpu 9"] * 2
    path.write_text(CAPTIONER.replace("loud 1", "loud 2"))
    assert digest("captioner", settings, tmp_path) != one


def test_what_is_no_captioner_is_refused_before_any_work(tmp_path: Path) -> None:
    (tmp_path / "mute.py").write_text("def make(settings, device):\n    return settings\n")
    settings = config(captions={"model": f"{tmp_path / 'mute.py'}:make"})
    with pytest.raises(UserError, match=r"must return a captioner, an object with caption; it"):
        digest("captioner", settings, tmp_path)


def test_a_small_decoder_is_no_part_of_a_users_own_painter() -> None:
    with pytest.raises(BadConfig, match=r"pictures.decoder 'small' is for a painter of the"):
        opening.model_ids(config(pictures={"model": "my.py:make", "decoder": "small"}))


def digest(role: EngineRole, settings: Config, home: Path) -> str:
    return engine_digests.weights_digest(role, settings, execution(home), Shelf())  # type: ignore[arg-type]


def test_a_key_has_the_digests_of_a_roles_models(tmp_path: Path) -> None:
    own, small = config(), config(pictures={"decoder": "small"})
    assert len({digest(role, own, tmp_path) for role in ROLES}) == len(ROLES)
    assert digest("painter", own, tmp_path) != digest("painter", small, tmp_path)
    assert digest("captioner", own, tmp_path) == digest("captioner", small, tmp_path)


def test_a_users_own_network_counts_by_source_and_state(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    state = ["one"]
    monkeypatch.setattr(registry, "factory_state_digest", lambda *_: state[0])
    path = tmp_path / "net.py"
    settings = config(network={"name": f"{path}:make"})
    with pytest.raises(UserError, match=f"no file {path} for"):
        digest("target", settings, tmp_path)
    path.write_text("x = 1")
    found = {digest("target", settings, tmp_path)}
    path.write_text("x = 2")
    found.add(digest("target", settings, tmp_path))
    state[0] = "other"
    assert digest("target", settings, tmp_path) in found, "it is kept for whoever only reads"
    found.add(engine_digests.examine("target", settings, execution(tmp_path)))
    assert len(found) == 3
    assert digest("target", settings, tmp_path) in found


def test_files_beside_a_factory_count_as_well(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    built: list[str] = []
    monkeypatch.setattr(registry, "factory_state_digest", lambda *_: str(built.append("") or ""))
    path, beside = tmp_path / "net.py", tmp_path / "parts_of_net.py"
    for file in (path, beside):
        file.write_text("x = 1")
    settings = config(network={"name": f"{path}:make"})
    monkeypatch.setitem(sys.modules, "parts_of_net", SimpleNamespace(__file__=str(beside)))
    first = digest("target", settings, tmp_path)
    assert digest("target", settings, tmp_path) == first
    assert len(built) == 1
    beside.write_text("x = 2")
    digest("target", settings, tmp_path)
    assert len(built) == 2


def test_a_replay_answers_from_what_a_run_keeps(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    request = Request((Message("user", "?"),), 0.3, 1, 40)
    book = {request_id(request): Reply("red")}
    asked: list[tuple[str, Path]] = []

    def replies_of(name: str, workspace: Path) -> dict[str, Reply]:
        asked.append((name, workspace))
        return book

    monkeypatch.setattr(opening, "replies_of", replies_of)
    settings = config(llm={"engine": "replay:mine"})
    before = digest("language-model", settings, tmp_path)
    with opening.open_engine(
        "language-model", settings, execution(tmp_path), Shelf(), "0"
    ) as engine:  # type: ignore[arg-type]
        assert isinstance(engine, LanguageModel)
        assert engine.reply([request]) == [Reply("red")]
    assert set(asked) == {("mine", tmp_path)}
    book[request_id(request)] = Reply("green")
    assert digest("language-model", settings, tmp_path) != before


def test_the_embedded_probe_set_is_drawn_when_it_is_read(tmp_path: Path) -> None:
    probe = opening.open_probe_set(ProbeConfig(sets=("pocket",)), execution(tmp_path))
    assert probe is opening.pocket_probe()
    assert len(probe) > 1000
    assert len(probe.digest) == 64
    assert probe.name(3) == "pocket-00003"
    picture = probe.pixels(3)
    assert (picture.dtype, picture.shape[2]) == (np.uint8, 3)
    assert np.array_equal(picture, probe.pixels(3))
    assert not np.array_equal(picture, probe.pixels(4))


def test_the_embedded_probe_set_is_the_one_that_earlier_runs_read() -> None:
    # The digest covers world.py to the byte: a change of it, however slight, makes all runs anew.
    digest = "7cb09dd648e7302e2b873a30b8a2e92cf5e708b4586cae40bf714fc8efdba859"
    assert opening.pocket_probe().digest == digest


def test_images_are_decoded_by_a_few_threads() -> None:
    assert 1 <= opening.decoding_threads() <= 8
