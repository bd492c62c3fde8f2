"""Which side of the method's ledger is taken, and that docs/method.md says the same."""

from __future__ import annotations

import re
from dataclasses import fields
from pathlib import Path

from dnd_local.core.ledger import OURS, RELEASED, Ledger
from dnd_local.core.ledger_rows import ROWS, sides

ROOT = Path(__file__).parents[2]


# There is no row 7: the released code and this project rank alike.
NUMBERS = [*range(1, 7), *range(8, 23)]


def test_rows_are_numbered_and_leave_a_choice_or_say_why_not() -> None:
    assert [row.number for row in ROWS] == NUMBERS
    assert all(bool(row.choice) != bool(row.never) for row in ROWS)
    assert all(row.never.isalpha() for row in ROWS if not row.choice)
    # Two rows may be one choice: 9 and 18 are both about the wording of replies.
    choices = dict.fromkeys(row.choice for row in ROWS if row.choice)
    assert list(choices) == [own.name for own in fields(Ledger)]


def test_the_default_takes_our_side_throughout() -> None:
    assert Ledger() == OURS
    assert set(sides(OURS).values()) == {"ours"}


def test_official_takes_the_released_side_of_what_leaves_a_choice() -> None:
    found = sides(RELEASED)
    assert list(found) == [f"{n:02d}" for n in NUMBERS]
    released = {int(n) for n, side in found.items() if side == "released"}
    assert released == {1, 2, 4, 5, 6, 9, 10, 11, 17, 18, 19}


def documented() -> list[list[str]]:
    """Return the cells of every row of the ledger in docs/method.md."""
    text = (ROOT / "docs" / "method.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| (\d+) \|(.*)\|$", text, re.MULTILINE)
    return [[number, *(cell.strip() for cell in rest.split(" | "))] for number, rest in rows]


def test_the_document_has_every_row_with_the_side_that_official_takes() -> None:
    assert [(cells[0], cells[3]) for cells in documented()] == [
        (str(row.number), "released" if row.choice else f"ours: {row.never}") for row in ROWS
    ]


def test_every_test_that_a_row_names_is_there() -> None:
    paths = {path.name: path for path in (ROOT / "tests").rglob("test_*.py")}
    defined = {
        name
        for path in paths.values()
        for name in re.findall(r"^ *def (test_\w+)", path.read_text(encoding="utf-8"), re.MULTILINE)
    }
    for row in ROWS:
        assert row.tests, row.number
        assert set(row.tests) <= defined | set(paths), row.number
        assert row.checked, row.number
