"""docs/dependencies.md gives a reason for every floor of pyproject.toml, and for nothing else."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

from packaging.requirements import Requirement

ROOT = Path(__file__).parents[1]


def test_every_floor_has_its_reason() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    wanted = [Requirement(line) for line in project["dependencies"]]
    extras = project["optional-dependencies"].values()
    wanted += [Requirement(line) for lines in extras for line in lines]
    floors = {
        one.name: next(bound.version for bound in one.specifier if bound.operator == ">=")
        for one in wanted
    }
    rows = re.findall(
        r"^\| (\S+) \| ([\d.]+)(?:, below \d+)? \| (.+) \|$",
        (ROOT / "docs" / "dependencies.md").read_text("utf-8"), re.MULTILINE,
    )  # fmt: skip
    assert {name: floor for name, floor, _ in rows} == floors
    assert all(reason.strip() for *_, reason in rows)
