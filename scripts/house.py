"""Says where the code breaks a promise of its house; the exit code is 1 if it does.

    python scripts/house.py [FOLDER]      FOLDER is the top of a repository, this one by default

1. No import circle, in dnd_local and in scripts: imports inside functions and those for type
   checkers only count as any other.
2. No variable is called `own`, `found` or `made`: a name says what a thing is.
3. A module has at most 300 lines, a function at most 60, in dnd_local and in scripts.

Exceptions stand in pyproject.toml under [tool.house]. One that is not needed
any more is a breach too, so that the list only shrinks.
"""

from __future__ import annotations

import ast
import sys
import tomllib
from collections.abc import Iterator, Mapping
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

MODULE_LINES = 300
FUNCTION_LINES = 60
NO_NAMES = ("own", "found", "made")

Graph = dict[str, set[str]]
"""By module, the modules that it imports."""


def main(arguments: list[str]) -> int:
    """Print every breach below the folder; return the exit code."""
    root = Path(arguments[0]) if arguments else Path(__file__).parents[1]
    said = breaches(root)
    for line in said:
        print(line)
    return 1 if said else 0


def breaches(root: Path) -> list[str]:
    """Return a line for every breach that is no exception, and for every needless exception."""
    house = tomllib.loads((root / "pyproject.toml").read_text("utf-8"))["tool"]["house"]
    circles = {"dnd_local": package_imports(root / "dnd_local")}
    circles["scripts"] = folder_imports(root / "scripts")
    lines = _unless_excepted(house["sizes"], "sizes", dict(oversized(root)))
    lines += unnamed(root)
    edges = [tuple(edge.split(" -> ")) for edge in house["circles"]]
    for name, graph in circles.items():
        lines += [f"{name}: {ring}" for ring in _circles_without(edges, graph)]
    every = {k: v for graph in circles.values() for k, v in graph.items()}
    lines += [
        f"[tool.house] circles: '{here} -> {there}' closes no circle any more, take it off the list"
        for here, there in edges
        if not closes_circle(every, here, there)
    ]
    return lines


def package_imports(package: Path) -> Graph:
    """Return which modules of a package each of its modules imports, wherever in the file."""
    names = {_dotted(path, package.parent): path for path in sorted(package.rglob("*.py"))}
    return {name: _imported(path, name, names.keys()) - {name} for name, path in names.items()}


def folder_imports(folder: Path) -> Graph:
    """Return which of a folder's scripts each of them imports, by the bare names they use."""
    names = {path.stem: path for path in sorted(folder.rglob("*.py"))}
    return {name: _imported(path, name, names.keys()) - {name} for name, path in names.items()}


def circle(graph: Mapping[str, set[str]]) -> list[str]:
    """Return modules that import each other in a ring, the first again at the end, or nothing."""
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        return list(reversed(error.args[1]))
    return []


def closes_circle(graph: Mapping[str, set[str]], here: str, there: str) -> bool:
    """Return whether `here` imports `there`, from where imports lead back to `here`."""
    reached, ahead = set[str](), [there] if there in graph.get(here, ()) else []
    while ahead:
        name = ahead.pop()
        if name not in reached:
            reached.add(name)
            ahead += graph.get(name, ())
    return here in reached


def oversized(root: Path) -> Iterator[tuple[str, str]]:
    """Yield a name and a line for every module and function that is too long."""
    for name, text in _modules(root):
        if (lines := len(text.splitlines())) > MODULE_LINES:
            yield name, f"{name} has {lines} lines; the limit is {MODULE_LINES}"
        for node in ast.walk(ast.parse(text)):
            if not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                continue
            if (lines := (node.end_lineno or 0) - node.lineno + 1) > FUNCTION_LINES:
                where = f"{name}:{node.name}"
                yield where, f"{where} has {lines} lines; the limit is {FUNCTION_LINES}"


def unnamed(root: Path) -> Iterator[str]:
    """Yield a line for every function that calls a variable by a word that is no name."""
    for name, text in _modules(root):
        for node in ast.walk(ast.parse(text)):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                for word in sorted(_variables(node) & set(NO_NAMES)):
                    yield f"{name}:{node.name} has a variable '{word}': say what it holds"


def _variables(function: ast.AST) -> set[str]:
    """Return the names that a function's body and its arguments bind."""
    bound = set[str]()
    for node in ast.walk(function):
        if isinstance(node, ast.arg):
            bound.add(node.arg)
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            bound.add(node.id)
    return bound


def _modules(root: Path) -> Iterator[tuple[str, str]]:
    """Yield the name and the text of every module below a repository's top."""
    for path in sorted([*(root / "dnd_local").rglob("*.py"), *(root / "scripts").rglob("*.py")]):
        yield path.relative_to(root).as_posix(), path.read_text("utf-8")


def _circles_without(edges: list[tuple[str, ...]], graph: Graph) -> list[str]:
    """Return a line for each circle that is left without the excepted imports."""
    left = {name: set(to) for name, to in graph.items()}
    for here, there in edges:
        left.get(here, set()).discard(there)
    lines = []
    while ring := circle(left):
        lines.append("import circle: " + " -> ".join(ring))
        left[ring[0]].discard(ring[1])
    return lines


def _unless_excepted(excepted: list[str], table: str, breaches: Mapping[str, str]) -> list[str]:
    stale = [
        f"[tool.house] {table}: '{name}' keeps to the limit now, take it off the list"
        for name in excepted
        if name not in breaches
    ]
    return [line for name, line in breaches.items() if name not in excepted] + stale


def _imported(path: Path, module: str, names: Mapping[str, Path] | set[str]) -> set[str]:
    """Return those of `names` that a file imports; a package's part counts as the part itself."""
    package = module if path.name == "__init__.py" else module.rpartition(".")[0]
    imported = set[str]()
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.Import):
            imported |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            above = package.rsplit(".", node.level - 1)[0] if node.level else ""
            base = ".".join(part for part in (above, node.module) if part)
            parts = {f"{base}.{alias.name}" for alias in node.names}
            imported |= {name if name in names else base for name in parts}
    return {name for name in imported if name in names}


def _dotted(path: Path, above: Path) -> str:
    parts = path.relative_to(above).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
