"""The table of costs in docs/first-run.md is what its command says."""

from __future__ import annotations

import re
from pathlib import Path

from tests.cli.conftest import Command

PAGE = Path(__file__).parents[2] / "docs/first-run.md"
ROW = re.compile(r"^\| `(0-\d+)` \| `(\w+)` \| ([\d,]+) \| (.+) \| (.+) \|$", re.MULTILINE)


def test_the_table_of_costs_is_what_a_dry_run_says(command: Command) -> None:
    rows = ROW.findall(PAGE.read_text("utf-8"))
    assert len(rows) == 4
    for ids, preset, pictures, time, disk in rows:
        words = ("--ids", ids, "--preset", preset, "--devices", "0", "--dry-run")
        said = command("dissect", "resnet50", "layer4", *words).out
        assert f"Pictures to paint: {pictures} at most" in said
        assert f"Time on one device: about {time} (published: 38.8 s a neuron" in said
        assert f"Disk: about {disk}," in said
