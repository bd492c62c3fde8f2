"""Leases: one holder at a time, dead ones taken over once, whoever's clock says what."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NoReturn

import pytest

from dnd_local.core.errors import UserError
from dnd_local.store import leases as module
from dnd_local.store.files import sweep
from dnd_local.store.guard import child_environment
from dnd_local.store.leases import SHARED, Leases

ITEM = "layer4-00001"

HOLDER = """
import sys, time
from pathlib import Path
from dnd_local.store.leases import Leases
with Leases(Path(sys.argv[1])) as leases:
    print(leases.claim(Path(sys.argv[1]) / "parts", sys.argv[2]), flush=True)
    time.sleep(600)
"""


@pytest.fixture
def one(tmp_path: Path) -> Iterator[Leases]:
    with Leases(tmp_path) as leases:
        yield leases


@pytest.fixture
def other(tmp_path: Path) -> Iterator[Leases]:
    with Leases(tmp_path) as leases:
        yield leases


@pytest.fixture
def parts(tmp_path: Path) -> Path:
    return tmp_path / "parts"


def left(parts: Path) -> list[str]:
    return sorted(path.name for path in parts.iterdir())


def test_one_holds_an_item_until_it_gives_it_back(one: Leases, other: Leases, parts: Path) -> None:
    assert other.held_elsewhere(parts, [ITEM]) == set()
    assert one.claim(parts, ITEM)
    assert not other.claim(parts, ITEM)
    assert other.claim(parts, "another")
    assert other.held_elsewhere(parts, [ITEM, "another", "third"]) == {ITEM}
    one.release(parts, ITEM)
    assert other.held_elsewhere(parts, [ITEM]) == set()
    assert other.claim(parts, ITEM)
    other.release(parts, ITEM)
    other.release(parts, "another")
    assert left(parts) == []


def test_a_lost_answer_of_the_server_is_no_refusal(
    one: Leases, parts: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    link = os.link

    def twice(source: Path, target: Path) -> None:
        link(source, target)
        link(source, target)

    monkeypatch.setattr(module.os, "link", twice)
    assert one.claim(parts, ITEM)


def hold(workspace: Path, item: str = ITEM) -> subprocess.Popen[str]:
    holder = subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(workspace), item],
        env=child_environment(), stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert holder.stdout is not None
    assert holder.stdout.readline() == "True\n"
    return holder


def test_the_lease_of_a_killed_process_of_this_machine_is_free_at_once(
    one: Leases, parts: Path, tmp_path: Path
) -> None:
    with hold(tmp_path) as holder:
        assert not one.claim(parts, ITEM)
        holder.kill()
    assert one.held_elsewhere(parts, [ITEM]) == set()
    assert one.claim(parts, ITEM)
    one.release(parts, ITEM)
    assert left(parts) == []


def test_elsewhere_only_time_tells_who_is_dead(
    parts: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # A process of another machine, to which this one's numbers of processes say nothing.
    monkeypatch.setattr(module, "_machine", lambda: "far away")
    with Leases(tmp_path, dead_after=1.0) as far, hold(tmp_path) as holder:
        assert not far.claim(parts, ITEM)
        holder.kill()
        holder.wait()
        assert not far.claim(parts, ITEM), "it may only be slow"
        file = next(path for path in (tmp_path / SHARED).iterdir() if str(holder.pid) in path.name)
        os.utime(file, (time.time() - 2, time.time() - 2))
        assert far.claim(parts, ITEM)


def test_a_clock_that_is_wrong_kills_nobody(one: Leases, other: Leases, parts: Path) -> None:
    monkey = pytest.MonkeyPatch()
    assert one.claim(parts, ITEM)
    with monkey.context() as patch:
        patch.setattr(time, "time", lambda: 4e9)
        assert not other.claim(parts, ITEM)


def test_a_process_that_lives_renews_its_leases(parts: Path, tmp_path: Path) -> None:
    with (
        Leases(tmp_path, dead_after=0.6, renewed_every=0.1) as living,
        Leases(tmp_path, dead_after=0.6) as other,
    ):
        other._machine = living._machine = "told apart by time"
        assert living.claim(parts, ITEM)
        end = time.monotonic() + 1.5
        while time.monotonic() < end:
            assert not other.claim(parts, ITEM)
            time.sleep(0.05)


def test_of_many_who_take_over_one_succeeds(parts: Path, tmp_path: Path) -> None:
    with hold(tmp_path) as holder:
        holder.kill()
    together = threading.Barrier(8)
    took: list[bool] = []

    def take() -> None:
        with Leases(tmp_path) as leases:
            together.wait()
            took.append(leases.claim(parts, ITEM))
            together.wait()

    threads = [threading.Thread(target=take) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(took) == [False] * 7 + [True]


def failing(code: int) -> Callable[..., NoReturn]:
    """A call of the system that fails so."""

    def fail(*_: object) -> NoReturn:
        raise OSError(code, os.strerror(code))

    return fail


def test_a_disk_without_hard_links_is_said_so(
    one: Leases, parts: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module.os, "link", failing(errno.EPERM))
    with pytest.raises(UserError, match=r"no hard links .* leave --shared out"):
        one.claim(parts, ITEM)


def test_other_errors_of_the_disk_stay_what_they_are(
    one: Leases, parts: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module.os, "link", failing(errno.ENOSPC))
    with pytest.raises(OSError, match="No space left"):
        one.claim(parts, ITEM)


def test_sweeping_takes_leases_that_nobody_has_renewed_for_an_hour(
    one: Leases, parts: Path, tmp_path: Path
) -> None:
    assert one.claim(parts, ITEM)
    assert sweep(tmp_path, older_than=0) == 0
    file = next((tmp_path / SHARED).iterdir())
    os.utime(file, (time.time() - 4000, time.time() - 4000))
    assert sweep(tmp_path, older_than=0) == 2


def test_a_system_that_tells_nothing_of_its_processes(
    parts: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module.os, "readlink", failing(errno.ENOENT))
    assert module._machine() == ""
    with Leases(tmp_path) as one, Leases(tmp_path) as other:
        assert one.claim(parts, ITEM)
        assert not other.claim(parts, ITEM)


def test_another_users_process_is_running(monkeypatch: pytest.MonkeyPatch) -> None:
    def forbidden(*_: object) -> None:
        raise PermissionError

    monkeypatch.setattr(module.os, "kill", forbidden)
    assert module._is_running("1")
    assert not module._is_running("no number")
