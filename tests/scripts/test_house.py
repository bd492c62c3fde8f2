"""The promises of the house: each check is seen to fail on a fault planted for it."""

from __future__ import annotations

import importlib.util
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).parents[2]


def load() -> ModuleType:
    spec = importlib.util.spec_from_file_location("house", ROOT / "scripts" / "house.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


house = load()
Plant = Callable[..., list[str]]


@pytest.fixture
def plant(tmp_path: Path) -> Plant:
    """Writes files and exceptions into a repository of nothing else; returns the breaches."""

    def breaches(
        files: dict[str, str], circles: tuple[str, ...] = (), sizes: tuple[str, ...] = ()
    ) -> list[str]:
        for folder in ("dnd_local", "scripts"):
            (tmp_path / folder).mkdir()
        for name, text in files.items():
            path = tmp_path / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, "utf-8")
        table = f"[tool.house]\ncircles = {list(circles)}\nsizes = {list(sizes)}\n"
        (tmp_path / "pyproject.toml").write_text(table, "utf-8")
        said: list[str] = house.breaches(tmp_path)
        return said

    return breaches


LAZY = "def late():\n    from dnd_local.a import x\n"
TYPING = "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from .a import x\n"
RING = ["dnd_local: import circle: dnd_local.a -> dnd_local.b -> dnd_local.a"]


@pytest.mark.parametrize(
    "back",
    ["import dnd_local.a\n", "from dnd_local import a\n", "from . import a\n", LAZY, TYPING],
    ids=["plain", "from the package", "relative", "in a function", "for type checkers"],
)
def test_a_circle_is_found_wherever_the_import_stands(plant: Plant, back: str) -> None:
    (said,) = plant({"dnd_local/a.py": "import dnd_local.b\n", "dnd_local/b.py": back})
    assert said in (RING[0], "dnd_local: import circle: dnd_local.b -> dnd_local.a -> dnd_local.b")


def test_a_package_may_import_its_modules(plant: Plant) -> None:
    files = {"dnd_local/__init__.py": "from dnd_local.a import x\nv = 1\n"}
    assert not plant(files | {"dnd_local/a.py": "x = 1\n"})


def test_but_then_they_do_not_import_it_back(plant: Plant) -> None:
    files = {"dnd_local/__init__.py": "def f():\n    from dnd_local.a import x\nv = 1\n"}
    (said,) = plant(files | {"dnd_local/a.py": "from dnd_local import v\nx = v\n"})
    assert "import circle" in said


def test_scripts_import_each_other_by_their_bare_names(plant: Plant) -> None:
    files = {"scripts/one/a.py": "from b import x\n", "scripts/one/b.py": "def f():\n import a\n"}
    (said,) = plant(files)
    assert said.startswith("scripts: import circle: ")


def test_every_circle_is_said(plant: Plant) -> None:
    files = {f"dnd_local/{a}.py": f"import dnd_local.{b}\n" for a, b in ("ab", "ba", "cd", "dc")}
    assert len(plant(files)) == 2


def test_a_line_without_a_ring_is_no_circle(plant: Plant) -> None:
    files = {"dnd_local/a.py": "import dnd_local.b\nimport torch\n", "dnd_local/b.py": ""}
    assert plant(files) == []


def test_an_excepted_circle_passes_until_it_is_gone(plant: Plant) -> None:
    edge = "dnd_local.b -> dnd_local.a"
    files = {"dnd_local/a.py": "import dnd_local.b\n", "dnd_local/b.py": LAZY}
    assert plant(files, circles=(edge,)) == []


def test_a_circle_excepted_for_nothing_is_a_breach(plant: Plant) -> None:
    edge = "dnd_local.b -> dnd_local.a"
    (said,) = plant({"dnd_local/a.py": "", "dnd_local/b.py": LAZY}, circles=(edge,))
    assert f"'{edge}' closes no circle any more" in said


@pytest.mark.parametrize(("lines", "breaches"), [(300, 0), (301, 1)])
def test_a_module_has_300_lines(plant: Plant, lines: int, breaches: int) -> None:
    said = plant({"dnd_local/long.py": "x = 1\n" * lines})
    assert said == ["dnd_local/long.py has 301 lines; the limit is 300"][:breaches]


@pytest.mark.parametrize(("lines", "breaches"), [(60, 0), (61, 1)])
def test_a_function_has_60_lines(plant: Plant, lines: int, breaches: int) -> None:
    text = "class C:\n    async def method(self):\n" + "        x = 1\n" * (lines - 1)
    said = plant({"scripts/pocket/long.py": text})
    assert said == ["scripts/pocket/long.py:method has 61 lines; the limit is 60"][:breaches]


def test_an_excepted_size_passes_until_it_is_kept_to(plant: Plant) -> None:
    files = {"dnd_local/long.py": "x = 1\n" * 301, "dnd_local/short.py": "x = 1\n"}
    (said,) = plant(files, sizes=("dnd_local/long.py", "dnd_local/short.py"))
    assert "'dnd_local/short.py' keeps to the limit now, take it off the list" in said


def test_the_program_says_so_and_exits_with_1(plant: Plant, tmp_path: Path) -> None:
    command = [sys.executable, str(ROOT / "scripts" / "house.py"), str(tmp_path)]
    plant({"dnd_local/long.py": "x = 1\n" * 301})
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout.count("\n")) == (1, 1)
    (tmp_path / "dnd_local" / "long.py").unlink()
    assert subprocess.run(command, capture_output=True, check=False).returncode == 0


@pytest.mark.parametrize("body", ["own = 1", "return [found for found in x]", "y = lambda made: 1"])
def test_a_variable_that_says_nothing_is_a_breach(plant: Plant, body: str) -> None:
    (said,) = plant({"scripts/a.py": f"def f(x):\n    {body}\nclass Told:\n    found = 1\n"})
    assert said.startswith("scripts/a.py:f has a variable '")


def test_this_house_keeps_its_promises() -> None:
    assert house.breaches(ROOT) == []


FAULTS = {
    "core/digest.py": "import torch\n",
    "stages/scores.py": "def late():\n    import transformers.models\n",
    "stages/asking.py": "import typing\nif typing.TYPE_CHECKING:\n    import diffusers\n",
}


@pytest.mark.parametrize("fault", ["", *FAULTS])
def test_a_model_library_in_core_or_a_stage_is_refused(fault: str, tmp_path: Path) -> None:
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    ignored = shutil.ignore_patterns("__pycache__", "models")
    package = shutil.copytree(ROOT / "dnd_local", tmp_path / "dnd_local", ignore=ignored)
    if fault:
        with (package / fault).open("a") as file:
            file.write(FAULTS[fault])
    lint = "from importlinter.cli import lint_imports_command; lint_imports_command()"
    done = subprocess.run(
        [sys.executable, "-c", lint, "--no-cache"],
        cwd=tmp_path, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == (1 if fault else 0), done.stdout
    broken = "Values and the method know no model library " + ("BROKEN" if fault else "KEPT")
    assert broken in done.stdout
