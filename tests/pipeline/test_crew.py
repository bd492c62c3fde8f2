"""Handing out work: orders, idle workers, failures and errors that cross, an interrupt."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

import msgspec
import pytest

from dnd_local.core.errors import (
    BadConfig,
    DamagedFile,
    DndError,
    EngineError,
    MissingWeights,
    NoReply,
    OutOfMemory,
    Refused,
    UnknownName,
    UserError,
)
from dnd_local.core.records import Captions
from dnd_local.pipeline.crew import (
    MOST_BATCHES,
    Crew,
    Hand,
    HandLost,
    Order,
    Outcome,
    orders_of,
    outcome_of,
    spread,
)
from dnd_local.pipeline.lab import Lab
from dnd_local.pipeline.making import Failure, Made
from dnd_local.pipeline.plan import CAPTIONS, PHRASES, PLAN, TRIAGE
from dnd_local.pipeline.stage import Asked, Item, Stage
from tests.bench import Bench
from tests.fakes import LAYER

ITEMS = [Item(f"layer-{i:05d}", "layer", i) for i in range(40)]


@dataclass(slots=True)
class Idle:
    """A worker of the test's own: each order is answered by `answer`."""

    answer: Callable[[Order], Outcome] = lambda order: Outcome(parts=sum(map(len, order.batches)))
    orders: list[Order] = field(default_factory=list)
    closed: int = 0

    def make(self, order: Order, advance: Callable[[int], None]) -> Outcome:
        self.orders.append(order)
        outcome = self.answer(order)
        if outcome.parts:
            advance(outcome.parts)
        return outcome

    def close(self) -> None:
        self.closed += 1


SINGLY = replace(CAPTIONS, batches=lambda config, items: [[item] for item in items])


def lab_of(bench: Bench, *devices: str, **settings: object) -> Lab:
    execution = msgspec.structs.replace(bench.execution(workers=2), devices=devices or ("cpu",))
    return Lab(bench.config(**settings), execution)


def made(
    bench: Bench, *hands: Hand, stage: Stage = SINGLY, items: Sequence[Item] = ITEMS
) -> tuple[Made, list[int]]:
    advanced: list[int] = []
    crew = Crew(lab_of(bench), lambda: hands)
    return crew.make(stage, items, advanced.append), advanced


def failing(*names: str) -> Callable[[Order], Outcome]:
    def answer(order: Order) -> Outcome:
        items = [item for batch in order.batches for item in batch]
        bad = [Failure(order.stage, item.name, "x") for item in items if item.name in names]
        return Outcome(parts=len(items) - len(bad), failures=tuple(bad))

    return answer


def test_every_batch_is_handed_out_once(bench: Bench) -> None:
    hands = Idle(), Idle()
    every, advanced = made(bench, *hands)
    assert every == Made(40)
    assert sum(advanced) == 40
    given = [batch for hand in hands for order in hand.orders for batch in order.batches]
    assert sorted(item.index for (item,) in given) == list(range(40))
    assert not any(hand.closed for hand in hands), "they stay for the next stage"


def test_nobody_waits_for_the_slowest(bench: Bench) -> None:
    rest = threading.Event()

    def slowly(order: Order) -> Outcome:
        assert rest.wait(20)
        return Outcome(parts=sum(map(len, order.batches)))

    def quickly(order: Order) -> Outcome:
        if order.batches[-1][0].index == 39:
            rest.set()
        return Outcome(parts=sum(map(len, order.batches)))

    slow, quick = Idle(slowly), Idle(quickly)
    assert made(bench, slow, quick)[0] == Made(40)
    assert len(slow.orders) == 1
    assert len(quick.orders) == 7


def test_workers_stay_from_stage_to_stage(bench: Bench) -> None:
    hired: list[Idle] = []

    def hire() -> list[Idle]:
        hired.extend([Idle(), Idle()])
        return hired

    crew = Crew(lab_of(bench), hire)
    assert not hired, "nobody is needed before there is work"
    for stage in (SINGLY, replace(SINGLY, name="scores")):
        assert crew.make(stage, ITEMS, lambda done: None) == Made(40)
    assert len(hired) == 2
    crew.close()
    crew.close()
    assert [hand.closed for hand in hired] == [1, 1]


def test_failures_of_all_workers_come_together(bench: Bench) -> None:
    answer = failing(ITEMS[0].name, ITEMS[39].name)
    every, _ = made(bench, Idle(answer), Idle(answer))
    assert every.parts == 38
    assert sorted(one.item for one in every.failures) == [ITEMS[0].name, ITEMS[39].name]


def test_an_engine_that_fails_on_every_item_is_given_up(bench: Bench) -> None:
    hand = Idle(failing(*(item.name for item in ITEMS)))
    with pytest.raises(EngineError, match="captions fails on every item; the first says: x"):
        made(bench, hand)
    assert len(hand.orders) == 2
    assert hand.closed


@pytest.mark.parametrize(
    ("error", "arrives"),
    [
        (UserError("x"), UserError),
        (BadConfig("x"), BadConfig),
        (MissingWeights("x"), MissingWeights),
        (DamagedFile("x"), DamagedFile),
        (Refused("x"), Refused),
        (EngineError("x"), EngineError),
        (NoReply("x"), NoReply),
        (OutOfMemory("x"), EngineError),
        (UnknownName("layer", "x", []), UserError),
    ],
)
def test_an_error_crosses_with_its_type_and_words(
    bench: Bench, error: DndError, arrives: type[DndError]
) -> None:
    good, bad = Idle(), Idle(lambda order: outcome_of(error))
    with pytest.raises(arrives) as caught:
        made(bench, bad, good)
    assert type(caught.value) is arrives
    assert str(caught.value) == str(error)
    assert good.closed
    assert bad.closed


def test_the_work_of_a_lost_worker_goes_to_another(bench: Bench) -> None:
    gone = threading.Event()

    def lose(order: Order) -> Outcome:
        gone.set()
        raise HandLost("its node is gone")

    def late(order: Order) -> Outcome:
        assert gone.wait(20)
        return Outcome(parts=sum(map(len, order.batches)))

    bad, good = Idle(lose), Idle(late)
    crew = Crew(lab_of(bench), lambda: [bad, good])
    assert crew.make(SINGLY, ITEMS, lambda done: None) == Made(40)
    (order,) = bad.orders
    assert msgspec.structs.replace(order, again=True) in good.orders
    assert sum(one.again for one in good.orders) == 1
    assert crew.make(SINGLY, ITEMS, lambda done: None) == Made(40)
    assert len(bad.orders) == 1, "a lost worker gets no more"


def test_an_order_that_is_lost_last_is_handed_out_again(bench: Bench) -> None:
    done = threading.Event()

    def lose(order: Order) -> Outcome:
        assert done.wait(20)
        raise HandLost("its node is gone")

    def make(order: Order) -> Outcome:
        if not order.again and len(good.orders) == 7:
            done.set()
        return Outcome(parts=sum(map(len, order.batches)))

    good = Idle(make)
    assert made(bench, Idle(lose), good)[0] == Made(40)
    assert good.orders[-1].again


def test_when_every_worker_is_lost_the_run_stops(bench: Bench) -> None:
    def lose(order: Order) -> Outcome:
        raise HandLost("its node is gone")

    with pytest.raises(EngineError, match="every worker was lost; what they made is kept"):
        made(bench, Idle(lose), Idle(lose))


def test_being_interrupted_ends_the_workers(bench: Bench) -> None:
    hand = Idle()

    def stop(done: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        Crew(lab_of(bench), lambda: [hand]).make(SINGLY, ITEMS, stop)
    assert hand.closed


def test_a_stage_without_an_engine_is_made_here(bench: Bench) -> None:
    assert not TRIAGE.roles
    hand = Idle()
    bench.run("0")
    crew = Crew(lab_of(bench), lambda: [hand])
    again = TRIAGE.items(crew.lab, Asked((LAYER,)))
    assert crew.free(TRIAGE, again) == again
    assert crew.make(TRIAGE, again, lambda done: None).parts == 1
    assert not hand.orders


def test_one_language_model_server_serves_all_and_has_the_devices_to_itself(bench: Bench) -> None:
    hand, asked = Idle(), list[int]()

    def run(lab: Lab, items: Sequence[Item]) -> list[Captions]:
        asked.append(hand.closed)
        raise NoReply("nobody here")

    crew = Crew(lab_of(bench, llm={"engine": "vllm"}), lambda: [hand])
    crew.make(SINGLY, ITEMS, lambda done: None)
    with pytest.raises(NoReply):
        crew.make(replace(PHRASES, run=run), ITEMS, lambda done: None)
    assert asked[0] == 1, "the worker had ended before"
    here = Idle()
    assert made(bench, here, stage=replace(SINGLY, roles=PHRASES.roles))[0] == Made(40)
    assert here.orders, "a model in the process is the workers' own"


def test_what_was_opened_here_is_closed_before_workers_start(bench: Bench) -> None:
    lab = lab_of(bench)
    assert lab.target
    Crew(lab, lambda: [Idle()]).make(SINGLY, ITEMS, lambda done: None)
    assert lab.target
    assert bench.calls.opened["target"] == 2


def test_large_groups_are_spread_over_devices_but_not_over_a_cpu(bench: Bench) -> None:
    together = replace(CAPTIONS, batches=lambda config, items: [list(items)])
    for devices, sizes in ((("0", "1"), [20, 20]), (("cpu",), [40])):
        hands = Idle(), Idle()
        crew = Crew(lab_of(bench, *devices), lambda hands=hands: hands)
        crew.make(together, ITEMS, lambda done: None)
        given = [batch for hand in hands for order in hand.orders for batch in order.batches]
        assert [len(batch) for batch in given] == sizes


def test_spreading_loses_nothing() -> None:
    three = [ITEMS[:3]]
    assert spread(three, 8) == [ITEMS[:1], ITEMS[1:2], ITEMS[2:3]]
    assert spread([ITEMS[:5], ITEMS[5:7]], 3) == [ITEMS[:3], ITEMS[3:5], ITEMS[5:7]]
    assert spread(three, 1) == three
    assert spread([], 4) == []


@pytest.mark.parametrize(
    ("batches", "workers", "sizes"),
    [(3, 8, [1, 1, 1]), (40, 2, [5] * 8), (1000, 2, [MOST_BATCHES] * 125), (9, 1, [2, 2, 2, 2, 1])],
)
def test_orders_are_small_at_first_sight_and_never_large(
    batches: int, workers: int, sizes: list[int]
) -> None:
    orders = orders_of("captions", [[item] for item in (ITEMS * 25)[:batches]], workers)
    assert [len(order.batches) for order in orders] == sizes
    assert sum(sizes) == batches


@pytest.mark.parametrize("stage", PLAN, ids=lambda stage: stage.name)
def test_every_stage_can_be_named_to_a_worker(stage: Stage) -> None:
    assert [other for other in PLAN if other.name == stage.name] == [stage]
