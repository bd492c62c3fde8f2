"""The recipes of containers and the citation, as far as they can be held to the tree unbuilt."""

from __future__ import annotations

import re
import subprocess
import tomllib
from pathlib import Path

import pytest
import yaml

from dnd_local import __version__

ROOT = Path(__file__).parents[1]
RECIPES = ROOT / "docs" / "container"
DOCKERFILE = (RECIPES / "Dockerfile").read_text(encoding="utf-8")
APPTAINER = (RECIPES / "apptainer.def").read_text(encoding="utf-8")


def copied() -> set[str]:
    """What the Dockerfile copies from the tree."""
    lines = re.findall(r"^COPY (.+)$", DOCKERFILE, re.MULTILINE)
    return {source for line in lines for source in line.split()[:-1]}


def sections() -> dict[str, str]:
    """The sections of the Apptainer recipe by name."""
    parts = re.split(r"^%(\w+)\n", APPTAINER, flags=re.MULTILINE)
    return dict(zip(parts[1::2], parts[2::2], strict=True))


def test_both_recipes_copy_what_a_wheel_is_built_from() -> None:
    files = {line.split()[0] for line in sections()["files"].strip().splitlines()}
    assert files == copied()
    assert all((ROOT / name).exists() for name in files)
    wheel = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))
    needed = wheel["tool"]["hatch"]["build"]["targets"]["wheel"]
    licences = [name for name in wheel["project"]["license-files"] if "/" not in name]
    assert files >= {"pyproject.toml", wheel["project"]["readme"], *licences, *needed["packages"],
                     *needed["force-include"]}  # fmt: skip
    ignored = (RECIPES / "Dockerfile.dockerignore").read_text("utf-8").splitlines()
    assert {line[1:] for line in ignored if line.startswith("!")} == files


def test_both_start_from_one_image_that_the_package_runs_on() -> None:
    (docker,) = re.findall(r"^FROM (\S+)$", DOCKERFILE, re.MULTILINE)
    (apptainer,) = re.findall(r"^From: (\S+)$", APPTAINER, re.MULTILINE)
    assert docker == apptainer
    assert re.fullmatch(r"python:3\.1[1-4]-slim-\w+", docker)


def test_every_instruction_of_the_dockerfile_is_one() -> None:
    joined = re.sub(r"\\\n", " ", DOCKERFILE)
    lines = [line for line in joined.splitlines() if line and not line.startswith("#")]
    known = {"FROM", "ARG", "WORKDIR", "COPY", "RUN", "USER", "ENV", "ENTRYPOINT", "CMD"}
    assert {line.split()[0] for line in lines} <= known


@pytest.mark.parametrize("name", ["post", "environment", "runscript", "test"])
def test_the_scripts_of_the_recipes_are_shell(name: str) -> None:
    done = subprocess.run(["sh", "-n"], input=sections()[name], text=True, check=False)
    assert done.returncode == 0


def test_the_steps_of_the_dockerfile_are_shell() -> None:
    for step in re.findall(r"^RUN (.+)$", DOCKERFILE, re.MULTILINE):
        assert subprocess.run(["sh", "-n"], input=step, text=True, check=False).returncode == 0


def test_the_citation_names_this_version_and_licence() -> None:
    cited = yaml.safe_load((ROOT / "CITATION.cff").read_text("utf-8"))
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    assert (cited["version"], cited["license"]) == (__version__, project["license"])
    assert cited["preferred-citation"]["url"] == project["urls"]["Paper"]
    page = (ROOT / "docs" / "first-run.md").read_text("utf-8")
    assert cited["preferred-citation"]["title"] in page
