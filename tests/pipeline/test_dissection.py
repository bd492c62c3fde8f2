"""What a user asks for, in their words."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from dnd_local.core.config import Execution
from dnd_local.core.errors import BadConfig, Refused, UserError
from dnd_local.pipeline.dissection import Dissection, allowed_hosts, read_devices
from dnd_local.pipeline.python import dissect
from tests.bench import Bench
from tests.fakes import LAYER


def test_probe_seed_and_settings_reach_the_config() -> None:
    config = Dissection(
        model="pocket", layer="a", probe="imagenet-val + photos/", seed=4,
        settings={"probe": {"holdout": 0.5}, "pictures": {"steps": 3}},
    ).make_config()  # fmt: skip
    assert config.probe.sets == ("imagenet-val", "photos/")
    assert (config.probe.holdout, config.seed, config.pictures.steps) == (0.5, 4, 3)


def test_images_can_be_held_out_unless_it_is_said_that_none_is(tmp_path: Path) -> None:
    def holdout(**words: Any) -> float:
        asked = Dissection(model="pocket", layer="a", **words).holding_out(0.2)
        return asked.make_config().probe.holdout

    assert holdout(settings={"probe": {"sample": 5}}) == 0.2
    assert holdout(settings={"probe": {"holdout": 0.5}}) == 0.5
    with pytest.raises(BadConfig, match="is 0; give --probe-holdout"):
        holdout(settings={"probe": {"holdout": 0}})
    file = tmp_path / "none.toml"
    file.write_text("[probe]\nholdout = 0\n")
    with pytest.raises(BadConfig, match="leave one of the two out"):
        holdout(config=file)


def test_what_is_left_empty_takes_its_default(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DND_LOCAL_WORKSPACE", "/w")
    monkeypatch.setenv("DND_LOCAL_DATA", "/d")
    monkeypatch.setenv("DND_LOCAL_WEIGHTS", "/m")
    request = Dissection(model="pocket", layer="a")
    execution = request.execution()
    assert (execution.workspace, execution.data, execution.weights) == (
        Path("/w"), Path("/d"), Path("/m"),
    )  # fmt: skip
    assert (execution.devices, execution.workers) == (("cpu",), 1)
    assert request.make_config().probe.sets == ("pocket",)
    assert request.selection().ids is None


def test_where_it_is_done_is_as_asked() -> None:
    execution = Dissection(
        model="pocket", layer="a", workspace=Path("/w"), weights=Path("/m"), data=Path("/d"),
        devices="0,1", prompts=Path("/p"), llm_url="unix:/s", allow_remote_llm=True,
        vllm_python="/v", manifest=Path("/f"), llm_timeout=7.0, llm_concurrency=5,
        vllm_options="--max-model-len 8192 --max-num-seqs='64'",
    ).execution()  # fmt: skip
    assert (execution.devices, execution.workers) == (("0", "1"), 2)
    assert execution.workspace == Path("/w")
    assert (execution.prompts, execution.manifest) == (Path("/p"), Path("/f"))
    assert (execution.llm_url, execution.allow_remote_llm) == ("unix:/s", True)
    assert execution.vllm_python == "/v"
    assert (execution.llm_timeout, execution.llm_concurrency) == (7.0, 5)
    assert execution.vllm_options == ("--max-model-len", "8192", "--max-num-seqs=64")
    assert Dissection(model="pocket", layer="a", workers=3).execution().workers == 3


def test_options_of_a_server_are_checked_before_anything_runs() -> None:
    def asked_for(options: str, **words: Any) -> Dissection:
        return Dissection(model="pocket", layer="a", vllm_options=options, **words)

    with pytest.raises(BadConfig, match="cannot be read: No closing quotation"):
        asked_for("--x 'a").execution()
    with pytest.raises(Refused, match="'--host' is not passed on"):
        asked_for("--host 0.0.0.0").execution()
    with pytest.raises(BadConfig, match="--max-num-seqs: 'all' is not a value"):
        asked_for("--max-num-seqs all").execution()
    with pytest.raises(Refused, match="on the CPU a chunked prefill ends the server"):
        asked_for("--enable-chunked-prefill").execution()
    on_gpu = asked_for("--enable-chunked-prefill", devices="0").execution()
    assert on_gpu.vllm_options == ("--enable-chunked-prefill",)
    served: dict[str, Any] = {"settings": {"llm": {"engine": "vllm"}}}
    assert asked_for("--max-model-len 9", **served).make_config().llm.engine == "vllm"
    with pytest.raises(BadConfig, match="labels come from transformers; leave it out"):
        asked_for("--max-model-len 9").make_config()
    with pytest.raises(BadConfig, match="labels come from unix:/s; leave it out"):
        asked_for("--max-model-len 9", llm_url="unix:/s", **served).make_config()


@pytest.mark.parametrize(
    ("text", "devices"), [("cpu", ("cpu",)), ("0", ("0",)), ("3, 1", ("3", "1"))]
)
def test_devices(text: str, devices: tuple[str, ...]) -> None:
    assert read_devices(text) == devices


@pytest.mark.parametrize("text", ["", "gpu", "cuda:0", "0,cpu", "-1", "0,"])
def test_devices_that_cannot_be_read(text: str) -> None:
    with pytest.raises(BadConfig, match="write cpu, or CUDA indices"):
        read_devices(text)


def test_a_device_named_twice() -> None:
    with pytest.raises(BadConfig, match="'0,0' names one twice"):
        read_devices("0,0")


@pytest.mark.parametrize(
    ("url", "allow", "hosts"),
    [
        ("https://llm.example.org:8000/v1", True, ("llm.example.org",)),
        ("https://llm.example.org:8000/v1", False, ()),
        ("unix:/run/llm", True, ()),
        ("", True, ()),
    ],
)
def test_hosts_that_may_be_reached(url: str, allow: bool, hosts: tuple[str, ...]) -> None:
    assert allowed_hosts(url, allow) == hosts


def test_a_request_is_carried_out(bench: Bench) -> None:
    small = {"probe": {"chunk": 7}, "pictures": {"count": 2, "size": 8}}
    words = {"workspace": bench.workspace, "settings": small, "run": "mine"}
    result = dissect("pocket", LAYER, "0", **words)
    assert [d.status for d in result.descriptions] == ["described"]
    assert result.record.name == "mine"
    forecast = Dissection(model="pocket", layer=LAYER, ids="0-1", **words).forecast()
    assert {s.stage: (s.done, s.items) for s in forecast.stages}["captions"] == (1, 2)


def test_mistakes_come_before_anything_is_opened(bench: Bench) -> None:
    with pytest.raises(UserError, match="cannot read 'x'"):
        dissect("pocket", LAYER, "x", workspace=bench.workspace)
    assert not bench.calls.opened
    assert not bench.workspace.exists()


def test_a_named_generator_paints_as_it_is_meant_to_unless_told_otherwise() -> None:
    def pictures(**settings: Any) -> tuple[int, float, int, str]:
        asked = Dissection(
            model="pocket", layer="a", preset="draft", settings={"pictures": settings}
        )
        config = asked.make_config().pictures
        return config.steps, config.guidance, config.size, config.sampler

    assert pictures() == pictures(model="sd15") == (8, 7.5, 512, "auto")
    assert pictures(model="sdxl-turbo") == (4, 0.0, 512, "own")
    assert pictures(model="sdxl-turbo", steps=1) == (1, 0.0, 512, "own")
    assert pictures(lora="lcm-lora-sdv1-5") == (4, 1.0, 512, "lcm")


def test_a_clusters_head_may_be_reached() -> None:
    assert allowed_hosts("", allow_remote=False, cluster="10.0.0.1:6379") == ("10.0.0.1",)


def test_what_a_cluster_has_no_use_for_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BadConfig, match="--cluster and --shared are two ways"):
        asked(tmp_path, shared=True)
    with pytest.raises(BadConfig, match="--devices 0,1: a cluster deals out its GPUs itself"):
        asked(tmp_path, devices="0,1")
    here = asked(tmp_path, devices="0")
    assert (here.cluster, here.workers, here.devices) == ("local", 0, ("0",))
    assert asked(tmp_path, workers=3).workers == 3


def asked(tmp_path: Path, **words: Any) -> Execution:
    return Dissection(
        model="pocket", layer="fc", cluster="local", workspace=tmp_path, **words
    ).execution()
