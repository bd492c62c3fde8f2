"""`doctor`: everything that a run needs, looked at before one is started.

Each check returns findings and raises nothing; a finding that is a problem names its cure. Model
libraries are asked in child processes, so the doctor itself starts fast and survives what is
broken.
"""

from __future__ import annotations

import importlib.metadata as metadata
import json
import os
import platform
import shutil
import sys
import tomllib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal, TypeAlias

from packaging.requirements import Requirement

from dnd_local.core.amounts import size_text
from dnd_local.core.errors import UserError
from dnd_local.engines.vllm_python import find_vllm
from dnd_local.store import netns
from dnd_local.store.commands import Runner, output_of
from dnd_local.store.cures import repair
from dnd_local.store.guard import PROXIES, SWITCHES, child_environment, is_guarded
from dnd_local.store.manifest import PROFILES
from dnd_local.store.probe_sets import KNOWN_SETS
from dnd_local.store.resources import checkout
from dnd_local.store.weights import EntryReport, Weights

State: TypeAlias = Literal["ok", "note", "problem"]
OLDEST_PYTHON: Final = (3, 11)
LOW_DISK_BYTES: Final = 5_000_000_000
LIMIT_S: Final = 120
MIB: Final = 1 << 20

_ASK_TORCH: Final = """
import json, torch
cuda = torch.cuda.is_available()
print(json.dumps({"version": torch.__version__, "built_for": torch.version.cuda,
                  "devices": torch.cuda.device_count() if cuda else 0}))
"""
_ASK_GPUS: Final = (
    "nvidia-smi",
    "--query-gpu=index,name,memory.total,memory.free,driver_version",
    "--format=csv,noheader,nounits",
)
_NAMESPACES: Final = (
    "runs go on without; if you want it, install util-linux and have user namespaces allowed "
    "(sysctl kernel.unprivileged_userns_clone, kernel.apparmor_restrict_unprivileged_userns)"
)


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing looked at: its subject, what was found, and what to do about a problem."""

    subject: str
    name: str
    state: State
    found: str
    cure: str = ""


@dataclass(frozen=True, slots=True)
class Patient:
    """What is examined. `smoke` tries one picture in the embedded models, as `smoke.smoke_run`."""

    weights: Weights
    workspace: Path
    data: Path
    vllm_python: str = ""
    smoke: Callable[[], Iterable[Finding]] | None = None
    runner: Runner = lambda command: output_of(command, child_environment(), LIMIT_S)


def examine(patient: Patient) -> Iterator[Finding]:
    """Yield every finding, quick checks first."""
    yield python_found(sys.version_info[:3])
    yield from packages_found(requirements())
    yield from gpus_found(patient.runner, patient.weights)
    yield vllm_found(patient.vllm_python)
    yield from weights_found(patient.weights)
    yield from probe_sets_found(patient.data)
    yield from disks_found({"weights": patient.weights.root, "workspace": patient.workspace})
    yield from offline_found(os.environ)
    if patient.smoke is not None:
        yield from patient.smoke()


def python_found(version: tuple[int, int, int]) -> Finding:
    """Return whether this Python will do."""
    text = f"{'.'.join(map(str, version))} on {platform.system()} {platform.machine()}"
    if version[:2] < OLDEST_PYTHON:
        return Finding("python", "version", "problem", text, "use Python 3.11 or newer")
    return Finding("python", "version", "ok", text)


def requirements() -> tuple[Requirement, ...]:
    """Return what this package requires: from its installation, else from its source tree."""
    try:
        lines = metadata.requires("dnd-local") or []
    except metadata.PackageNotFoundError:
        home = checkout()
        assert home is not None, "a package that is not installed runs from its source tree"
        project = tomllib.loads((home / "pyproject.toml").read_text(encoding="utf-8"))["project"]
        lines = project["dependencies"]
    needed = [Requirement(line) for line in lines]
    return tuple(one for one in needed if one.marker is None or one.marker.evaluate({"extra": ""}))


def packages_found(needed: Iterable[Requirement]) -> Iterator[Finding]:
    """Yield one finding for all packages that fit, and one for each that does not."""
    fitting = 0
    for one in needed:
        cure = f'pip install "{one.name}{one.specifier}"'
        try:
            version = metadata.version(one.name)
        except metadata.PackageNotFoundError:
            yield Finding("packages", one.name, "problem", "not installed", cure)
            continue
        if one.specifier.contains(version, prereleases=True):
            fitting += 1
        else:
            fact = f"{version}, and {one.specifier} is needed"
            yield Finding("packages", one.name, "problem", fact, cure)
    yield Finding("packages", "required", "ok", f"{fitting} installed at versions that fit")


def gpus_found(runner: Runner, weights: Weights) -> Iterator[Finding]:
    """Yield each GPU with its memory, and whether torch can use them."""
    try:
        lines = runner(_ASK_GPUS).strip().splitlines()
    except UserError:
        lines = []
    needed = max((one.memory or 0 for one in weights.manifest.select(["paper"])), default=0)
    for line in lines:
        index, name, total, free, driver = (part.strip() for part in line.split(",", 4))
        size = int(total) * MIB
        fact = f"{name}, {size_text(size)}, {size_text(int(free) * MIB)} free, driver {driver}"
        short = needed > size
        cure = (
            f"the paper profile's largest model wants about {size_text(needed)}; a quantised one "
            "takes less: --llm-quantisation int4"
        )
        yield Finding("gpu", index, "note" if short else "ok", fact, cure if short else "")
    if not lines:
        yield Finding("gpu", "none", "note", "no NVIDIA GPU found: the CPU does the pocket models")
    yield _torch_found(runner, len(lines))


def _torch_found(runner: Runner, gpus: int) -> Finding:
    try:
        facts = json.loads(runner((sys.executable, "-c", _ASK_TORCH)))
    except (UserError, ValueError) as error:
        cure = "install torch and torchvision again, at versions that belong together"
        return Finding("gpu", "torch", "problem", f"torch does not start: {error}", cure)
    fact = f"torch {facts['version']} sees {facts['devices']} GPUs"
    if facts["devices"] < gpus:
        cure = f"it is built for CUDA {facts['built_for']}: install a torch that fits the driver"
        return Finding("gpu", "torch", "problem", f"{fact} of {gpus}", cure)
    return Finding("gpu", "torch", "ok", fact)


def vllm_found(option: str, environ: Mapping[str, str] = os.environ) -> Finding:
    """Return which vLLM would serve the language model."""
    try:
        server = find_vllm(option, environ)
    except UserError as error:
        text, _, cure = str(error).partition("; ")
        # The user named no vLLM, and the pocket models do not need it.
        state: State = "problem" if option else "note"
        return Finding("vllm", "server", state, text, cure)
    return Finding("vllm", "server", "ok", f"vLLM {server.version} in {server.path}")


def weights_found(weights: Weights) -> Iterator[Finding]:
    """Yield one finding a profile, and one for each damaged file; archives are left aside.

    Before them, what is wrong with models that the user registered.
    """
    registered = [weights.report(entry.id) for entry in weights.manifest.entries if entry.own]
    for report in registered:
        if report.state != "have":
            fact, cure = f"{report.state}, registered", repair(report.entry)
            yield Finding("weights", report.entry.id, "problem", fact, cure)
    if registered:
        yield Finding("weights", "your own", "ok", f"{len(registered)} registered")
    for profile in PROFILES:
        entries = [one for one in weights.manifest.select([profile]) if "archive" not in one.role]
        reports = [weights.report(entry.id) for entry in entries]
        for report in reports:
            for path, state in report.files:
                if state == "damaged":
                    cure = f"dnd-local weights pull {report.entry.id}"
                    yield Finding("weights", report.entry.id, "problem", f"{path} is damaged", cure)
        yield _profile_found(profile, reports)


def _profile_found(profile: str, reports: Sequence[EntryReport]) -> Finding:
    absent = [report.entry for report in reports if report.state != "have"]
    if not absent:
        return Finding("weights", profile, "ok", f"all {len(reports)} here")
    here = f"{len(reports) - len(absent)} of {len(reports)} here"
    if profile == "pocket":
        return Finding("weights", profile, "problem", here, "install dnd-local again")
    known = sum(entry.known_size for entry in absent)
    size = size_text(known) if known else "an unknown size"
    more = ", of sizes not all known" if known and not all(e.known_size for e in absent) else ""
    cure = f"dnd-local weights pull {profile}"
    return Finding("weights", profile, "note", f"{here}, {size} to come{more}", cure)


def probe_sets_found(data: Path) -> Iterator[Finding]:
    """Yield whether each known probe set is prepared."""
    for name, known in KNOWN_SETS.items():
        if (data / name).is_dir():
            yield Finding("probe set", name, "ok", f"in {data / name}")
        else:
            cure = f"dnd-local probe prepare {name} {known.archive}"
            yield Finding("probe set", name, "note", f"not in {data}", cure)


def disks_found(folders: Mapping[str, Path]) -> Iterator[Finding]:
    """Yield the free space where each folder is or would be."""
    for name, folder in folders.items():
        there = next(path for path in (folder, *folder.absolute().parents) if path.exists())
        free = shutil.disk_usage(there).free
        low = free < LOW_DISK_BYTES
        cure = "make room, or name a folder on a larger disk" if low else ""
        fact = f"{size_text(free)} free at {folder}"
        yield Finding("disk", name, "problem" if low else "ok", fact, cure)


def offline_found(environ: Mapping[str, str]) -> Iterator[Finding]:
    """Yield whether this process keeps to the machine, and by what means."""
    unset = [name for name, value in SWITCHES.items() if environ.get(name) != value]
    proxies = [name for name in environ if name.lower() in PROXIES]
    if unset or proxies or not is_guarded():
        fact = f"not closed: {', '.join([*unset, *proxies]) or 'no guard'}"
        cure = "start through `dnd-local`, which closes it, or call store.guard.go_offline first"
        yield Finding("air gap", "this process", "problem", fact, cure)
    else:
        yield Finding("air gap", "this process", "ok", "switches set, sockets guarded")
    if reason := netns.why_no_loopback():
        fact = f"none to be had: {reason}; worker processes have the guard alone"
        yield Finding("air gap", "namespace", "note", fact, _NAMESPACES)
    else:
        fact = "worker processes start where nothing but a loopback is"
        yield Finding("air gap", "namespace", "ok", fact)
