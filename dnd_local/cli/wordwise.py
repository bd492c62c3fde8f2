"""Rows for a terminal of any width, in which no word is broken.

Where the columns do not fit side by side, they wrap between words; where even the longest words
do not, each row becomes a block of lines.
"""

from __future__ import annotations

from collections.abc import Sequence

from rich.console import Console
from rich.table import Table
from rich.text import Text

GAP = 2
"""Blank columns between two columns."""


def print_rows(
    out: Console,
    names: Sequence[str],
    rows: Sequence[Sequence[str | Text]],
    *,
    right: Sequence[str] = (),
    head: int = 1,
) -> None:
    """Print rows under the names of their columns; a `Text` with its style, a string as it is.

    Args:
        out: where to.
        names: a name for each column.
        rows: a cell for each column.
        right: names of columns that are flush right.
        head: how many cells the first line of a block holds.
    """
    texts = [[Text(cell) if isinstance(cell, str) else cell for cell in row] for row in rows]
    widths = column_widths(names, texts, out.width)
    if widths is None:
        for row in texts:
            out.print(Text("  ").join(cell for cell in row[:head] if cell))
            for name, cell in zip(names[head:], row[head:], strict=True):
                if cell:
                    out.print(Text.assemble((f"  {name}: ", "dim"), cell))
        return
    table = Table(box=None, pad_edge=False, header_style="bold")
    for name, width in zip(names, widths, strict=True):
        table.add_column(name, width=width, justify="right" if name in right else "left")
    for row in texts:
        table.add_row(*row)
    out.print(table)


def column_widths(
    names: Sequence[str], rows: Sequence[Sequence[Text]], room: int
) -> list[int] | None:
    """Return a width for each column, at least that of its longest word.

    None where those do not fit into `room` columns of characters.
    """
    columns = [[Text(name), *(row[i] for row in rows)] for i, name in enumerate(names)]
    whole = [max(cell.cell_len for cell in column) for column in columns]
    least = [
        max((Text(word).cell_len for cell in column for word in cell.plain.split()), default=0)
        for column in columns
    ]
    spare = room - GAP * (len(names) - 1) - sum(least)
    if spare < 0:
        return None
    wished = [most - some for most, some in zip(whole, least, strict=True)]
    share = min(spare / (sum(wished) or 1), 1.0)
    return [some + int(more * share) for some, more in zip(least, wished, strict=True)]
