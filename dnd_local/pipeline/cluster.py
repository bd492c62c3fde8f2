"""Workers on a Ray cluster: actors, one a GPU, as a `Crew` sees them.

The one exception to what else holds of networks and of pickle: Ray's processes talk to each other
over sockets of their own, which no guard of ours sees, and pickle what they say. So it is refused
unless it is asked for by name; ours is told without a dashboard and without reports of usage, and a
cluster that is started here listens on loopback alone. docs/airgap.md has what Ray tries besides.

Data stays in parts on a workspace that every node sees; an actor gets orders and says counts.
"""

from __future__ import annotations

import math
import os
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, Final
from urllib.parse import urlsplit

import msgspec

from dnd_local.core.errors import BadConfig, EngineError, Refused, UserError
from dnd_local.core.libraries import check_libraries
from dnd_local.pipeline.crew import HandLost, Order, Outcome
from dnd_local.pipeline.hands import worker_environment
from dnd_local.pipeline.lab import Lab
from dnd_local.pipeline.worker import Post, Worker, decoded, encoded
from dnd_local.store.guard import go_offline, is_local

LOCAL: Final = "local"
"""The cluster that is started here and ends with the run."""
START_S: Final = 300.0
"""How long actors may take to begin; a node may have to read its libraries from a slow disk."""
OBJECT_STORE_BYTES: Final = 100 << 20
"""Ray's smallest, near enough: nothing of ours goes through it but orders."""
_SWITCHES: Final = {
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
}
_LOOPBACK: Final = {"RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0"}
"""Ray's own switch for "one machine": every socket of its processes is bound to 127.0.0.1."""


def cluster_hosts(address: str) -> tuple[str, ...]:
    """Return the machine that a cluster's address names, for the guard to let through."""
    host = urlsplit(f"//{address}").hostname if address and address != LOCAL else None
    return () if host is None or is_local(host) else (host,)


class RayWorker:
    """What an actor is: a worker whose messages are lines, as those of a process are."""

    def __init__(self, post: bytes, environment: dict[str, str], allow: Sequence[str]) -> None:
        os.environ.update(environment)
        go_offline(allow)
        self._worker = Worker(decoded(post, Post))

    def ready(self) -> bool:
        """Return once the actor runs."""
        return True

    def make(self, order: bytes) -> bytes:
        """Return what came of an order."""
        return encoded(self._worker.make(decoded(order, Order), lambda parts: None))


class RayHand:
    """A Ray actor; where it is lost, with its node or alone, its order goes to another one."""

    def __init__(self, actor: Any) -> None:
        self.actor = actor

    def make(self, order: Order, advance: Callable[[int], None]) -> Outcome:
        """See `Hand`."""
        import ray

        try:
            answer = ray.get(self.actor.make.remote(encoded(order)))
        except ray.exceptions.RayActorError as error:
            raise HandLost(f"a worker of the cluster was lost: {_first_line(error)}") from None
        except ray.exceptions.RayError as error:
            raise EngineError(f"the cluster gave up: {_first_line(error)}") from None
        outcome: Outcome = decoded(answer, Outcome)
        if outcome.parts:
            advance(outcome.parts)
        return outcome

    def close(self) -> None:
        """See `Hand`."""
        import ray

        ray.kill(self.actor)


@contextmanager
def joined(address: str) -> Iterator[None]:
    """Be part of the cluster at `address`, or of one that is started here for as long as this.

    Raises:
        UserError: Ray is not installed, or no cluster answers there.
        Refused: one that was started here does not keep to loopback.
    """
    check_libraries(["ray"])
    os.environ.update(_SWITCHES | (_LOOPBACK if address == LOCAL else {}))
    import ray

    with tempfile.TemporaryDirectory(prefix="dnd-ray-", ignore_cleanup_errors=True) as scratch:
        ours: dict[str, Any] = {
            "include_dashboard": False, "_temp_dir": scratch, "num_cpus": os.cpu_count(),
            "object_store_memory": OBJECT_STORE_BYTES,
        } if address == LOCAL else {}  # fmt: skip
        try:
            ray.init(
                address, namespace="dnd-local", log_to_driver=False, logging_level="ERROR", **ours
            )
        except Exception as error:  # noqa: BLE001  Ray has no kind of its own for these
            raise UserError(
                f"no Ray cluster of this kind answers at '{address}': {_first_line(error)}"
            ) from None
        try:
            if address == LOCAL:
                _check_loopback(ray.nodes())
            yield
        finally:
            ray.shutdown()


def _check_loopback(nodes: Sequence[Mapping[str, Any]]) -> None:
    """Check that the cluster that was started here can be reached from here alone.

    Raises:
        Refused: Ray had been imported before, and read its switches then.
    """
    for node in nodes:
        if not is_local(node["NodeManagerAddress"]):
            raise Refused(
                f"Ray listens at {node['NodeManagerAddress']}, not on loopback alone, since it was "
                "imported before; set RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER=0 before that"
            )


def hire_on(lab: Lab) -> list[RayHand]:
    """Return an actor for each GPU of the cluster, or as many as there are to be workers.

    On the CPU one a node. Where there are more workers than GPUs, several share one.

    Raises:
        BadConfig: the cluster has no GPU, or not as many processors.
        EngineError: an actor did not begin in time.
    """
    import ray

    execution = lab.execution
    has, on_cpu = ray.cluster_resources(), execution.devices == ("cpu",)
    usual = sum(node["Alive"] for node in ray.nodes()) if on_cpu else int(has.get("GPU", 0))
    number = execution.workers or usual
    needs = _needs(has, number, on_cpu=on_cpu)
    alone = msgspec.structs.replace(execution, workers=1, cluster="")
    post = encoded(Post(config=lab.config, execution=alone, device=execution.devices[0]))
    environment, allow = worker_environment(execution), cluster_hosts(execution.cluster)
    kind: Any = ray.remote(RayWorker)
    actors = [
        kind.options(scheduling_strategy="SPREAD", **needs).remote(post, environment, list(allow))
        for _ in range(number)
    ]
    begun, waiting = ray.wait(
        [actor.ready.remote() for actor in actors], num_returns=number, timeout=START_S
    )
    try:
        ray.get(begun)
    except ray.exceptions.RayError as error:
        raise EngineError(f"a worker of the cluster did not begin: {_first_line(error)}") from None
    if waiting:
        raise EngineError(
            f"{len(waiting)} of {number} workers of the cluster did not begin in {START_S:.0f} s; "
            "is it busy with other work?"
        )
    return [RayHand(actor) for actor in actors]


def _needs(has: dict[str, float], number: int, *, on_cpu: bool) -> dict[str, float]:
    """Return what of the cluster one of `number` actors takes."""
    if on_cpu:
        if number > has.get("CPU", 0):
            raise BadConfig(
                f"--workers {number}: the cluster has {has.get('CPU', 0):.0f} processors"
            )
        return {"num_cpus": 1}
    if not (gpus := int(has.get("GPU", 0))):
        raise BadConfig("the cluster has no GPU; give --devices cpu")
    return {"num_cpus": 0, "num_gpus": 1 / math.ceil(number / gpus)}


def _first_line(error: BaseException) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0]
