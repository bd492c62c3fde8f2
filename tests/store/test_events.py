"""Events: lines that are whole or left out, and what they add up to."""

from __future__ import annotations

from pathlib import Path

from dnd_local.store.events import EventLog


def kinds(log: EventLog) -> list[str]:
    return [event["event"] for event in log.lines()]


def test_events_come_back_in_order(tmp_path: Path) -> None:
    log = EventLog(tmp_path / "new" / "events.jsonl")
    assert kinds(log) == []
    log.add("start", stage="scores", items=4)
    log.add("finish", stage="scores", items=4, failed=1, seconds=2.0)
    assert kinds(log) == ["start", "finish"]
    assert next(log.lines())["items"] == 4


def test_a_line_that_a_crash_cut_off_is_left_out_and_takes_no_other_with_it(tmp_path: Path) -> None:
    log = EventLog(tmp_path / "events.jsonl")
    log.add("one")
    whole = log.path.read_bytes()
    for end in range(len(whole)):
        log.path.write_bytes(whole + whole[:end])
        log.add("two")
        assert kinds(log) == ["one", "two"] or end == len(whole) - 1


def test_any_changed_byte_leaves_out_its_line_alone(tmp_path: Path) -> None:
    log = EventLog(tmp_path / "events.jsonl")
    log.add("one", stage="scores", seconds=1.5)
    first = len(log.path.read_bytes())
    log.add("two")
    whole = log.path.read_bytes()
    for i in range(first - 1):
        for change in (0x01, 0x08, 0x80):
            spoilt = bytearray(whole)
            spoilt[i] ^= change
            log.path.write_bytes(bytes(spoilt))
            assert kinds(log) == ["two"]
    log.path.write_bytes(b'17\n{"event": "x"}\n' + b"[" * 100_000 + b"\n" + whole)
    assert kinds(log) == ["one", "two"]


def test_what_was_measured_is_added_up(tmp_path: Path) -> None:
    log = EventLog(tmp_path / "events.jsonl")
    for items, failed, seconds in ((4, 1, 2.0), (2, 0, 1.5)):
        log.add("start", stage="scores", items=items, of=9)
        log.add("finish", stage="scores", items=items, failed=failed, seconds=seconds)
    log.add("finish", stage="captions", items=1, failed=0, seconds=0.5)
    assert log.measured() == {"scores": (3.5, 5), "captions": (0.5, 1)}
