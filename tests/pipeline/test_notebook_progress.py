"""Progress in the cell of a notebook."""

from __future__ import annotations

import sys
from types import ModuleType
from typing import Any

import pytest

from dnd_local.pipeline.notebook_progress import NOTEBOOK_SHELL, notebook_progress


class Cell:
    """What IPython's `display` returns: a place that is drawn anew."""

    def __init__(self) -> None:
        self.drawn: list[str] = []

    def display(self, shown: str, display_id: bool) -> Cell:
        assert display_id
        self.drawn.append(shown)
        return self

    def update(self, shown: str) -> None:
        self.drawn.append(shown)


def pretend(monkeypatch: pytest.MonkeyPatch, shell: str, cell: Cell) -> None:
    modules: dict[str, Any] = {"IPython": ModuleType("IPython"), "IPython.display": ModuleType("d")}
    modules["IPython"].get_ipython = lambda: type(shell, (), {})()
    modules["IPython.display"].display = cell.display
    modules["IPython.display"].HTML = str
    for name, module in modules.items():
        monkeypatch.setitem(sys.modules, name, module)


def test_a_notebooks_cell_shows_every_stage(monkeypatch: pytest.MonkeyPatch) -> None:
    cell = Cell()
    pretend(monkeypatch, NOTEBOOK_SHELL, cell)
    progress = notebook_progress()
    assert progress is not None
    progress.start("captions", 1200, 200)
    progress.advance("captions", 150)
    progress.finish("captions", 3.0)
    progress.start("no <stage>", 0, 0)
    assert "value='1000'" in cell.drawn[0]
    assert "1,150 of 1,200" in cell.drawn[1]
    assert "3.0 s" in cell.drawn[2]
    assert "no &lt;stage&gt;" in cell.drawn[3]
    assert "1,150 of 1,200" in cell.drawn[3]


def test_elsewhere_nobody_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "IPython", raising=False)
    assert notebook_progress() is None
    pretend(monkeypatch, "TerminalInteractiveShell", Cell())
    assert notebook_progress() is None
