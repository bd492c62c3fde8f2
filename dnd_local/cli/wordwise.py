"""Lines and rows for a terminal of any width, in which no word is broken.

Where the columns do not fit side by side, they wrap between words; where even the longest words
do not, each row becomes a block of lines.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

from rich.cells import cell_len
from rich.console import Console, ConsoleOptions, RenderableType
from rich.segment import Segment
from rich.table import Table
from rich.text import Text

from dnd_local.core.harmless import harmless

GAP = 2
"""Blank columns between two columns."""

LONGEST = 10_000
"""Columns of one cell or line: more is no label or message, and is cut."""


class _HarmlessConsole(Console):
    """Prints no character of a text that a terminal would obey instead of show."""

    def render(
        self, renderable: RenderableType, options: ConsoleOptions | None = None
    ) -> Iterable[Segment]:
        for segment in super().render(renderable, options):
            yield segment if segment.control else Segment(harmless(segment.text), segment.style)


def console(*, err: bool = False) -> Console:
    """Return the console of the output, or of the error stream."""
    return _HarmlessConsole(stderr=err, highlight=False, emoji=False)


def print_line(out: Console, line: str | Text) -> None:
    """Print a line, a string as markup, a `Text` as it is.

    A terminal gets it wrapped between words; a path or command wider than it stays in one piece,
    to be copied. A file or another program gets it as one line.
    """
    whole = Text.from_markup(line, emoji=False) if isinstance(line, str) else line
    whole.truncate(LONGEST, overflow="ellipsis")
    for text in whole.split("\n", allow_blank=True) if whole else [whole]:
        for piece in text.divide(_breaks(text.plain, out.width) if out.is_terminal else ()):
            piece.rstrip()
            out.print(piece, soft_wrap=True)


def _breaks(line: str, room: int) -> list[int]:
    """Return the offsets of the words that start a new line where a line has `room` columns."""
    starts = [0]
    for word in re.finditer(r"\S+", line):
        before = line[starts[-1] : word.start()]
        if before.strip() and cell_len(line[starts[-1] : word.end()]) > room:
            starts.append(word.start())
    return starts[1:]


def say(*lines: str, err: bool = False, style: str = "") -> None:
    """Print lines of plain text."""
    out = console(err=err)
    for line in lines:
        print_line(out, Text(line, style))


def print_rows(
    out: Console,
    names: Sequence[str],
    rows: Sequence[Sequence[str | Text]],
    *,
    right: Sequence[str] = (),
    whole: Sequence[str] = (),
    head: int = 1,
) -> None:
    """Print rows under the names of their columns; a `Text` with its style, a string as it is.

    Args:
        out: where to.
        names: a name for each column.
        rows: a cell for each column.
        right: names of columns that are flush right.
        whole: names of columns whose cells are never wrapped.
        head: how many cells the first line of a block holds.
    """
    texts = [[Text(cell) if isinstance(cell, str) else cell for cell in row] for row in rows]
    for cell in (cell for row in texts for cell in row):
        cell.truncate(LONGEST, overflow="ellipsis")
    widths = column_widths(names, texts, out.width, whole)
    if widths is None:
        for row in texts:
            print_line(out, Text("  ").join(cell for cell in row[:head] if cell))
            for name, cell in zip(names[head:], row[head:], strict=True):
                if cell:
                    print_line(out, Text.assemble((f"  {name}: " if name else "  ", "dim"), cell))
        return
    table = Table(box=None, pad_edge=False, header_style="bold")
    for name, width in zip(names, widths, strict=True):
        table.add_column(name, width=width, justify="right" if name in right else "left")
    for row in texts:
        table.add_row(*row)
    out.print(table)


def column_widths(
    names: Sequence[str], rows: Sequence[Sequence[Text]], room: int, whole: Sequence[str] = ()
) -> list[int] | None:
    """Return a width for each column, at least that of its longest word, or cell if it is `whole`.

    None where those do not fit into `room` columns of characters.
    """
    columns = [[Text(name), *(row[i] for row in rows)] for i, name in enumerate(names)]
    widest = [max(cell.cell_len for cell in column) for column in columns]
    least = [
        most
        if name in whole
        else max((Text(word).cell_len for cell in column for word in cell.plain.split()), default=0)
        for name, most, column in zip(names, widest, columns, strict=True)
    ]
    spare = room - GAP * (len(names) - 1) - sum(least)
    if spare < 0:
        return None
    wished = [most - some for most, some in zip(widest, least, strict=True)]
    share = min(spare / (sum(wished) or 1), 1.0)
    return [some + int(more * share) for some, more in zip(least, wished, strict=True)]
