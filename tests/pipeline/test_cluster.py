"""Ray: what is asked of it, what is refused, and a cluster of two nodes of which one is lost."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from threading import Thread
from types import SimpleNamespace
from typing import Any

import msgspec
import pytest

from dnd_local.core.config import Execution
from dnd_local.core.errors import BadConfig, EngineError, Refused, UserError
from dnd_local.pipeline import cluster
from dnd_local.pipeline.cluster import RayHand, RayWorker, cluster_hosts, hire_on, joined
from dnd_local.pipeline.crew import HandLost, Order, Outcome
from dnd_local.pipeline.lab import Lab
from dnd_local.pipeline.plan import RESPONSES
from dnd_local.pipeline.runner import triage_layers
from dnd_local.pipeline.stage import Item
from dnd_local.pipeline.worker import Post, decoded, encoded
from tests.bench import Bench
from tests.fakes import LAYER
from tests.pipeline.test_worker import parts_below, photos, settings

ORDER = Order(stage="responses", batches=((Item.of_chunk(LAYER, 0),),))


class RayError(Exception):
    pass


class RayActorError(RayError):
    pass


class Pretended:
    """A `ray` of the test's own: what is asked of it is written down."""

    def __init__(self, resources: dict[str, float], nodes: int = 1) -> None:
        self.resources, self.alive = resources, nodes
        self.exceptions = SimpleNamespace(RayError=RayError, RayActorError=RayActorError)
        self.asked: dict[str, Any] = {"actors": [], "killed": []}
        self.slow = 0
        self.at = "127.0.0.1"
        self.fails: Exception | None = None

    def init(self, address: str, **words: Any) -> None:
        self.asked["init"] = (address, words)
        if self.fails:
            raise self.fails

    def shutdown(self) -> None:
        self.asked["shutdown"] = True

    def cluster_resources(self) -> dict[str, float]:
        return self.resources

    def nodes(self) -> list[dict[str, Any]]:
        alive = {"Alive": True, "NodeManagerAddress": self.at}
        return [alive] * self.alive + [{**alive, "Alive": False}]

    def remote(self, kind: type) -> Any:
        assert kind is RayWorker

        def options(**words: Any) -> Any:
            def build(*given: Any) -> Any:
                self.asked["actors"].append((words, given))
                return SimpleNamespace(ready=SimpleNamespace(remote=lambda: True))

            return SimpleNamespace(remote=build)

        return SimpleNamespace(options=options)

    def wait(self, asked: list[Any], num_returns: int, timeout: float) -> tuple[Any, Any]:
        assert num_returns == len(asked)
        return asked[self.slow :], asked[: self.slow]

    def get(self, what: Any) -> Any:
        if self.fails:
            raise self.fails
        return what

    def kill(self, actor: Any) -> None:
        self.asked["killed"].append(actor)


@pytest.fixture
def pretend(monkeypatch: pytest.MonkeyPatch) -> Callable[..., Pretended]:
    monkeypatch.setattr(cluster, "check_libraries", lambda names: None)
    monkeypatch.setattr(os, "environ", dict(os.environ))

    def make(**given: Any) -> Pretended:
        ray = Pretended(**given)
        monkeypatch.setitem(sys.modules, "ray", ray)  # type: ignore[arg-type]
        return ray

    return make


def lab_of(bench: Bench, workers: int, *devices: str) -> Lab:
    execution = msgspec.structs.replace(
        bench.execution(), workers=workers, devices=devices or ("cpu",), cluster="there:6379"
    )
    return Lab(bench.config(), execution)


@pytest.mark.parametrize(
    ("has", "workers", "devices", "number", "needs"),
    [
        ({"CPU": 8.0}, 0, ("cpu",), 3, {"num_cpus": 1}),
        ({"CPU": 8.0}, 5, ("cpu",), 5, {"num_cpus": 1}),
        ({"GPU": 4.0}, 0, ("0",), 4, {"num_cpus": 0, "num_gpus": 1.0}),
        ({"GPU": 4.0}, 2, ("0",), 2, {"num_cpus": 0, "num_gpus": 1.0}),
        ({"GPU": 4.0}, 8, ("0",), 8, {"num_cpus": 0, "num_gpus": 0.5}),
        ({"GPU": 2.0}, 5, ("0",), 5, {"num_cpus": 0, "num_gpus": 1 / 3}),
    ],
)
def test_one_actor_a_gpu_or_as_many_as_asked_for(
    bench: Bench, pretend: Callable[..., Pretended], has: dict[str, float], workers: int,
    devices: tuple[str, ...], number: int, needs: dict[str, float],
) -> None:  # fmt: skip
    ray = pretend(resources=has, nodes=3)
    hands = hire_on(lab_of(bench, workers, *devices))
    assert len(hands) == number
    for words, (post, environment, allow) in ray.asked["actors"]:
        assert words == {"scheduling_strategy": "SPREAD", **needs}
        sent = decoded(post, Post)
        assert (sent.device, sent.execution.workers, sent.execution.cluster) == (devices[0], 1, "")
        assert environment["OMP_WAIT_POLICY"] == "passive"
        assert allow == ["there"]
    hands[0].close()
    assert ray.asked["killed"] == [hands[0].actor]


def test_what_the_cluster_has_not_is_refused(
    bench: Bench, pretend: Callable[..., Pretended]
) -> None:
    pretend(resources={"CPU": 2.0})
    with pytest.raises(BadConfig, match="--workers 3: the cluster has 2 processors"):
        hire_on(lab_of(bench, 3))
    with pytest.raises(BadConfig, match="the cluster has no GPU; give --devices cpu"):
        hire_on(lab_of(bench, 0, "0"))


def test_actors_that_do_not_begin(bench: Bench, pretend: Callable[..., Pretended]) -> None:
    ray = pretend(resources={"CPU": 2.0})
    ray.slow = 1
    with pytest.raises(EngineError, match="1 of 2 workers of the cluster did not begin in 300 s"):
        hire_on(lab_of(bench, 2))
    ray.fails = RayError("no such module\nmore")
    with pytest.raises(EngineError, match=r"worker of the cluster did not begin: no such module$"):
        hire_on(lab_of(bench, 2))


def test_an_order_is_answered_or_its_worker_is_lost(pretend: Callable[..., Pretended]) -> None:
    ray = pretend(resources={})
    for outcome, heard in ((Outcome(parts=3), [3]), (Outcome(error="UserError"), [])):
        line = encoded(outcome)
        actor = SimpleNamespace(make=SimpleNamespace(remote=lambda order, line=line: line))
        advanced: list[int] = []
        assert RayHand(actor).make(ORDER, advanced.append) == outcome
        assert advanced == heard
    ray.fails = RayActorError("gone\nmore")
    with pytest.raises(HandLost, match=r"a worker of the cluster was lost: gone$"):
        RayHand(actor).make(ORDER, lambda done: None)
    ray.fails = RayError("")
    with pytest.raises(EngineError, match=r"the cluster gave up: RayError$"):
        RayHand(actor).make(ORDER, lambda done: None)


@pytest.mark.parametrize("address", ["local", "10.0.0.1:6379"])
def test_a_cluster_is_joined_quietly_and_left(
    pretend: Callable[..., Pretended], address: str
) -> None:
    ray = pretend(resources={})
    with joined(address):
        where, words = ray.asked["init"]
        assert where == address
        assert os.environ["RAY_USAGE_STATS_ENABLED"] == "0"
        assert ("include_dashboard" in words) == (address == "local")
        assert not words.get("include_dashboard", False)
        on_loopback = os.environ.get("RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER") == "0"
        assert on_loopback == (address == "local")
        assert "shutdown" not in ray.asked
    assert ray.asked["shutdown"]


def test_a_cluster_that_does_not_keep_to_loopback_is_ended(
    pretend: Callable[..., Pretended],
) -> None:
    ray = pretend(resources={})
    ray.at = "192.0.2.2"
    with joined("10.0.0.1:6379"):
        pass
    with pytest.raises(Refused, match=r"Ray listens at 192\.0\.2\.2, not on"), joined("local"):
        pass
    assert ray.asked["shutdown"]


def test_where_no_cluster_answers(pretend: Callable[..., Pretended]) -> None:
    ray = pretend(resources={})
    ray.fails = ConnectionError("could not find any\nmore")
    with (
        pytest.raises(UserError, match="no Ray cluster of this kind answers at 'x:1': could not"),
        joined("x:1"),
    ):
        pass


@pytest.mark.parametrize(
    ("address", "hosts"),
    [
        ("", ()), ("local", ()), ("127.0.0.1:6379", ()), ("localhost:6379", ()),
        ("10.0.0.1:6379", ("10.0.0.1",)), ("head.lab:6379", ("head.lab",)),
    ],
)  # fmt: skip
def test_the_guard_lets_the_named_machine_through(address: str, hosts: tuple[str, ...]) -> None:
    assert cluster_hosts(address) == hosts


def test_an_actor_makes_only_what_a_lost_one_left(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    said: list[Any] = []
    monkeypatch.setattr(cluster, "go_offline", said.append)
    monkeypatch.delenv("A_SWITCH", raising=False)
    post = encoded(Post(config=bench.config(), execution=bench.execution(), device="cpu"))
    worker = RayWorker(post, {"A_SWITCH": "on"}, ["there"])
    assert worker.ready()
    assert os.environ.pop("A_SWITCH") == "on"
    assert said == [["there"]]
    items = [Item.of_chunk(LAYER, index) for index in range(3)]
    first = Order(stage="responses", batches=(tuple(items[:2]),))
    assert decoded(worker.make(encoded(first)), Outcome) == Outcome(parts=2)
    rest = Order(stage="responses", batches=(tuple(items[:2]), tuple(items[1:])), again=True)
    assert decoded(worker.make(encoded(rest)), Outcome) == Outcome(parts=1)
    assert not RESPONSES.parts(bench.lab()).missing([item.name for item in items])


# ---- a real one --------------------------------------------------------------------------------

SLOW = """
import pathlib, os, sys, time

sys.path.insert(0, {home!r})
from tests.pipeline import tiny_net

def make():
    module, transform = tiny_net.make()
    note = pathlib.Path({notes!r}, str(os.getpid()))
    note.write_text("")
    module.register_forward_pre_hook(lambda *given: time.sleep(0.2))
    return module, transform
"""


@pytest.fixture
def two_nodes(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """A cluster of two nodes on this machine's loopback, one processor each."""
    pytest.importorskip("ray")
    from ray.cluster_utils import Cluster

    for name, value in (cluster._SWITCHES | cluster._LOOPBACK).items():
        monkeypatch.setenv(name, value)
    words = {"num_cpus": 1, "num_gpus": 0, "object_store_memory": cluster.OBJECT_STORE_BYTES}
    nodes = Cluster(initialize_head=True, head_node_args={**words, "include_dashboard": False})
    nodes.add_node(**words)
    yield nodes
    nodes.shutdown()


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_a_node_is_lost_and_the_rest_completes(two_nodes: Any, tmp_path: Path) -> None:
    (tmp_path / "notes").mkdir()
    home = str(Path(__file__).parents[2])
    source = SLOW.format(home=home, notes=str(tmp_path / "notes"))
    (tmp_path / "slow.py").write_text(source)
    config = settings(photos(tmp_path / "photos", 150), f"{tmp_path / 'slow.py'}:make")
    alone = Execution(
        workspace=tmp_path / "one", weights=tmp_path / "weights", data=tmp_path / "data"
    )
    together = msgspec.structs.replace(
        alone, workspace=tmp_path / "two", cluster=two_nodes.address, workers=2
    )
    lost: list[int] = []

    def lose_a_node() -> None:
        while len(list((tmp_path / "two").glob("artefacts/responses-*/*.safetensors"))) < 4:
            time.sleep(0.05)
        two_nodes.remove_node(next(iter(two_nodes.worker_nodes)), allow_graceful=False)
        lost.append(len(list((tmp_path / "two").glob("artefacts/responses-*/*.safetensors"))))

    killer = Thread(target=lose_a_node)
    killer.start()
    result = triage_layers(config, together, ("0",))
    killer.join()
    assert lost[0] < 38, "it was lost midway"
    assert triage_layers(config, alone, ("0",)) == result
    assert parts_below(tmp_path / "one") == parts_below(tmp_path / "two")
