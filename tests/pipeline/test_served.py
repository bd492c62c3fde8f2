"""Who answers a run: settled when it begins, kept in its record, checked before any work."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import msgspec
import pytest

from dnd_local.core.config import Config, Execution, LlmConfig
from dnd_local.core.errors import BadConfig, Refused, UnknownName, UserError
from dnd_local.engines.llm_survey import KEY_VARIABLE
from dnd_local.pipeline import engine_digests
from dnd_local.pipeline.dissection import Dissection
from dnd_local.pipeline.forecast import forecast
from dnd_local.pipeline.selection import read_selection
from dnd_local.pipeline.served import check_language_model, choose_server, settle
from dnd_local.pipeline.settings import make_config
from dnd_local.store.runs import RunFolder
from dnd_local.store.weights import Weights
from tests.bench import Bench
from tests.engines.fake_llm_server import BROKEN, SILENCE, FakeServer, response, said
from tests.engines.test_vllm_server import make_model, make_python
from tests.fakes import LAYER

ASK = {"engine": "server", "model": ""}


def listing(*models: dict[str, Any]) -> dict[str, bytes]:
    return {"/v1/models": response(json.dumps({"data": list(models)}).encode())}


QWEN = {"id": "qwen", "root": "/models/qwen3"}


@contextmanager
def server(*models: dict[str, Any], answer: Any = None) -> Iterator[FakeServer]:
    reply = answer or (lambda text, attempt: said("yes"))
    with FakeServer(reply, routes=listing(*(models or (QWEN,)))) as fake:
        yield fake


def run(bench: Bench, fake: FakeServer, ids: str = "0", **llm: Any) -> Any:
    bench.llm_url = f"unix:{fake.path}"
    return bench.run(ids, name="mine", llm={**ASK, **llm})


class TestWhoAnswered:
    def test_name_root_and_server_are_in_the_record(self, bench: Bench) -> None:
        with server() as fake:
            record = run(bench, fake, revision="v2").record
        assert record.config.llm.engine == "server"
        assert (record.config.llm.model, record.config.llm.root) == ("qwen", "/models/qwen3")
        assert record.config.llm.revision == "v2"
        assert record.llm_server == "vLLM 0.32.0"
        assert RunFolder(bench.workspace, "mine").read() == record

    def test_work_that_is_done_asks_no_server_on_or_off(self, bench: Bench) -> None:
        with server() as fake:
            first = run(bench, fake)
            asked = len(fake.headers)
            assert asked > 0
            assert run(bench, fake).made == 0
            assert len(fake.headers) == asked
        again = run(bench, fake)  # the server is off
        assert (again.made, again.record) == (0, first.record)
        with pytest.raises(UserError, match="no language model server answers"):
            run(bench, fake, "0,1")

    @pytest.mark.parametrize(
        "now", [{"id": "llama", "root": "/models/llama"}, {"id": "qwen", "root": "/models/other"}]
    )
    def test_missing_work_under_another_model_is_refused(
        self, bench: Bench, now: dict[str, Any]
    ) -> None:
        with server() as fake:
            run(bench, fake)
        with server(now) as fake:
            assert run(bench, fake).made == 0
            bench.calls.opened.clear()
            with pytest.raises(
                Refused, match=rf"answered by 'qwen' \(root '/models/qwen3'\).*'{now['id']}'.*--run"
            ):
                run(bench, fake, "0,1")
            assert not bench.calls.opened

    def test_another_revision_is_another_run(self, bench: Bench) -> None:
        with server() as fake:
            run(bench, fake, revision="v1")
            with pytest.raises(Refused, match=r"llm\.revision was v1, is v2"):
                run(bench, fake, revision="v2")

    def test_another_model_of_the_same_server_is_another_run(self, bench: Bench) -> None:
        with server(QWEN, {"id": "llama"}) as fake:
            run(bench, fake, model="qwen")
            with pytest.raises(Refused, match=r"llm\.model was qwen, is llama"):
                run(bench, fake, model="llama")

    def test_name_root_and_revision_are_in_the_key(self, tmp_path: Path) -> None:
        execution = Execution(workspace=tmp_path, weights=tmp_path, data=tmp_path)
        keys = {
            engine_digests.weights_digest(
                "language-model",
                Config(llm=LlmConfig(engine="server", model=m, root=r, revision=v)),
                execution,
                Weights.open(tmp_path),
            )
            for m, r, v in [("a", "", ""), ("b", "", ""), ("a", "x", ""), ("a", "", "x")]
        }
        assert len(keys) == 4

    def test_a_damaged_record_asks_the_server_again(self, bench: Bench) -> None:
        with server() as fake:
            run(bench, fake)
            (bench.workspace / "runs/mine/run.json").write_text("{")
            assert run(bench, fake).record.config.llm.root == "/models/qwen3"

    def test_a_run_with_another_engine_does_not_answer_for_a_server(self, bench: Bench) -> None:
        bench.run("0", name="mine")
        with server() as fake, pytest.raises(Refused, match=r"llm\.engine was transformers"):
            run(bench, fake)

    def test_a_replay_has_the_model_that_answered_then(self, bench: Bench) -> None:
        with server() as fake:
            run(bench, fake, revision="v2")
        again = bench.run("0", name="again", llm={"engine": "replay:mine"}).record.config.llm
        assert (again.model, again.root, again.revision) == ("qwen", "/models/qwen3", "v2")
        other = settle(
            bench.config(llm={"engine": "replay:mine/gpt-4o"}), bench.execution(), "x"
        ).llm
        assert (other.model, other.root, other.revision) == ("gpt-4o", "", "")


class TestBeforeWork:
    @pytest.mark.parametrize(
        ("answer", "message"),
        [
            (lambda text, attempt: BROKEN, r"status 500: engine on fire\); mend it"),
            (lambda text, attempt: response(b"<html>"), "not a chat completion"),
            (lambda text, attempt: SILENCE, "no answer within 0.2 s"),
        ],
    )
    def test_a_server_that_cannot_answer_ends_a_run_in_its_first_seconds(
        self, bench: Bench, answer: Any, message: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        slow = msgspec.structs.replace(bench.execution(), llm_timeout=0.2)
        with server(answer=answer) as fake:
            execution = msgspec.structs.replace(slow, llm_url=f"unix:{fake.path}")
            monkeypatch.setattr(bench, "execution", lambda: execution)
            with pytest.raises(UserError, match=message):
                bench.run("0", name="mine", llm=ASK)
            with pytest.raises(UserError, match=message):
                forecast(bench.config(llm=ASK), execution, read_selection(LAYER, "0"), "mine")
        assert not (bench.workspace / "artefacts").exists()

    def test_a_dry_run_of_what_is_done_asks_nothing(self, bench: Bench) -> None:
        with server() as fake:
            run(bench, fake)
        told = forecast(
            bench.config(llm=ASK), bench.execution(), read_selection(LAYER, "0"), "mine"
        )
        assert all(stage.done == stage.items for stage in told.stages if stage.stage == "concepts")

    def test_the_servers_key_comes_from_the_environment(
        self, bench: Bench, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv(KEY_VARIABLE, "secret")
        with server() as fake:
            run(bench, fake)
        assert {one["authorization"] for one in fake.headers} == {"bearer secret"}

    def test_a_vllm_of_our_own_is_looked_at(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        model = make_model(tmp_path / "model")
        weights = Weights.open(tmp_path)
        monkeypatch.setattr(Weights, "folder", lambda self, name: model)
        python = str(make_python(tmp_path / "env"))
        execution = Execution(
            workspace=tmp_path, weights=tmp_path, data=tmp_path, vllm_python=python
        )
        config = Config(llm=LlmConfig(engine="vllm", model="x"))
        assert check_language_model(config, execution, weights) == "vLLM 0.32.0"
        four = Config(llm=LlmConfig(engine="vllm", model="x", quantisation="int4"))
        with pytest.raises(UserError, match=r"has no vllm-bnb-plugin.*'fp8'"):
            check_language_model(four, execution, weights)
        eight = Config(llm=LlmConfig(engine="vllm", model="x", quantisation="int8"))
        with pytest.raises(UserError, match=r"8 bits as it loads only with fp8"):
            check_language_model(eight, execution, weights)
        small = "#!/bin/sh\necho '1024, 81920'\n"
        (tmp_path / "nvidia-smi").write_text(small)
        (tmp_path / "nvidia-smi").chmod(0o755)
        monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
        crowded = msgspec.structs.replace(execution, devices=("0",))
        with pytest.raises(UserError, match=r"needs about .* on each GPU and 1\.\d GB are free"):
            check_language_model(config, crowded, weights)
        none = msgspec.structs.replace(execution, vllm_python=str(tmp_path / "none"))
        with pytest.raises(UserError, match="not a Python that can be run"):
            check_language_model(config, none, weights)

    def test_a_replay_of_nothing_is_told(self, bench: Bench) -> None:
        with pytest.raises(UnknownName, match="unknown run 'gone'"):
            bench.run("0", llm={"engine": "replay:gone"})


class TestChooseServer:
    def chosen(self, url: str, given: dict[str, Any]) -> LlmConfig:
        config = make_config("pocket", options={"llm": given})
        return choose_server(config, url, given).llm

    def test_the_model_is_the_servers_unless_it_was_named(self) -> None:
        llm = self.chosen("unix:/s", {"engine": "vllm"})
        assert (llm.engine, llm.model, llm.root) == ("server", "", "")
        assert (llm.dtype, llm.batch) == (LlmConfig().dtype, LlmConfig().batch)
        assert self.chosen("unix:/s", {"engine": "vllm", "model": "qwen"}).model == "qwen"

    def test_without_an_address_nothing_changes(self) -> None:
        assert (
            self.chosen("", {"engine": "vllm"})
            == make_config("pocket", options={"llm": {"engine": "vllm"}}).llm
        )

    @pytest.mark.parametrize(
        ("url", "given", "message"),
        [
            ("unix:/s", {}, "--llm-url unix:/s has no effect where labels come from transformers"),
            ("unix:/s", {"engine": "replay:x"}, "has no effect where labels come from replay:x"),
            ("unix:/s", {"engine": "vllm", "dtype": "float16"}, "--llm-dtype has no effect"),
            ("unix:/s", {"engine": "vllm", "quantisation": "int4"}, "--llm-quantisation has no"),
            ("", {"engine": "server"}, "--llm server needs the server's address"),
            ("", {"revision": "v2"}, "--llm-revision v2 is for a model behind --llm-url"),
            ("", {"engine": "replay:x", "model": "m"}, "--llm-model m has no effect"),
        ],
    )
    def test_settings_without_effect_are_refused(
        self, url: str, given: dict[str, Any], message: str
    ) -> None:
        with pytest.raises(BadConfig, match=message):
            self.chosen(url, given)

    def test_an_unknown_engine_is_named(self) -> None:
        with pytest.raises(UnknownName, match=r"unknown LLM engine 'vlm'. Did you mean vllm"):
            self.chosen("", {"engine": "vlm"})


class TestRequest:
    def test_a_settings_file_may_name_the_model(self, tmp_path: Path) -> None:
        path = tmp_path / "settings.toml"
        path.write_text('[llm]\nengine = "vllm"\nmodel = "qwen"\n')
        llm = (
            Dissection(model="pocket", layer="a", config=path, llm_url="unix:/s").make_config().llm
        )
        assert (llm.engine, llm.model) == ("server", "qwen")

    @pytest.mark.parametrize(
        ("words", "message"),
        [
            ({"vllm_python": "/p"}, "--vllm-python is for a vLLM server that is started"),
            ({"llm_timeout": 7.0}, "--llm-timeout is for a server"),
            ({"llm_concurrency": 7}, "--llm-concurrency is for a server"),
            ({"allow_remote_llm": True}, "--allow-remote-llm is for --llm-url"),
        ],
    )
    def test_an_option_without_effect_is_refused(self, words: dict[str, Any], message: str) -> None:
        with pytest.raises(BadConfig, match=message):
            Dissection(model="pocket", layer="a", **words).make_config()

    def test_a_python_beside_a_named_server_is_refused(self) -> None:
        served: dict[str, Any] = {"settings": {"llm": {"engine": "vllm"}}, "llm_url": "unix:/s"}
        request = Dissection(model="pocket", layer="a", vllm_python="/p", **served)
        with pytest.raises(BadConfig, match=r"--vllm-python.*from unix:/s; .*leave --llm-url out"):
            request.make_config()
        fine = Dissection(model="pocket", layer="a", llm_timeout=7.0, llm_concurrency=9, **served)
        assert fine.make_config().llm.engine == "server"

    @pytest.mark.parametrize(
        ("url", "error"),
        [
            ("unix:run/s", BadConfig),
            ("http://llm.example:1", Refused),
            ("localhost:8000", BadConfig),
        ],
    )
    def test_an_address_is_checked_with_the_rest(self, url: str, error: type[UserError]) -> None:
        with pytest.raises(error):
            Dissection(model="pocket", layer="a", llm_url=url).execution()
