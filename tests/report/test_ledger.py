"""Which side of the method's ledger a run took."""

from __future__ import annotations

from dnd_local.report.ledger import ledger


def test_the_default_takes_our_side_throughout() -> None:
    rows = ledger("default")
    assert [row.number for row in rows] == list(range(1, 17))
    assert {row.taken for row in rows} == {"ours"}


def test_official_takes_the_released_side_of_what_it_switches() -> None:
    taken = {row.number for row in ledger("official") if row.taken == "released"}
    assert taken == {1, 2, 4}
