"""Build a release: the wheel, twice to the same bytes, its locked requirements and its SBOM.

    python scripts/release.py [FOLDER]      default: dist

The folder gets the wheel, ``requirements.txt`` (all that it needs here, each at one version with
its hash from the index), ``sbom.cdx.json`` and ``SHA256SUMS``. Exit code 1 where the two wheels
differ. Needs an index, which is asked for the hashes; nothing is installed.
"""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from dnd_local import __version__
from dnd_local.store.manifest import Manifest, Shipped
from dnd_local.store.supply import Package, locked, sbom
from dnd_local.store.wheels import NAME

ROOT = Path(__file__).resolve().parents[1]


def main() -> int:
    """Return the exit code."""
    out = Path(sys.argv[1] if len(sys.argv) > 1 else "dist")
    out.mkdir(parents=True, exist_ok=True)
    wheel = build_twice(out)
    if wheel is None:
        return 1
    packages = needed(wheel)
    shipped = [one for one in Manifest.read().entries if isinstance(one.source, Shipped)]
    (out / "requirements.txt").write_text(locked(packages), "utf-8")
    (out / "sbom.cdx.json").write_bytes(sbom(NAME, __version__, packages, shipped))
    names = (wheel.name, "requirements.txt", "sbom.cdx.json")
    sums = "".join(f"{_sha256(out / name)}  {name}\n" for name in names)
    (out / "SHA256SUMS").write_text(sums, "ascii")
    print(sums, end="")
    return 0


def build_twice(out: Path) -> Path | None:
    """Build the wheel of the last commit in two places; return it, None where the two differ."""
    built = []
    with tempfile.TemporaryDirectory() as scratch:
        for number, name in enumerate(("one", "another/place")):
            source, folder = Path(scratch) / name, Path(scratch) / f"dist-{number}"
            subprocess.run(["git", "clone", "--quiet", str(ROOT), str(source)], check=True)
            subprocess.run(
                [sys.executable, "-m", "build", "--wheel", "--outdir", str(folder), str(source)],
                check=True, stdout=subprocess.DEVNULL, env={**os.environ, "TZ": f"UTC-{number}"},
            )  # fmt: skip
            (wheel,) = folder.glob("*.whl")
            built.append(wheel)
        hashes = [_sha256(wheel) for wheel in built]
        if hashes[0] != hashes[1]:
            print(f"two builds of {built[0].name} differ: {hashes}", file=sys.stderr)
            return None
        kept = out / built[0].name
        kept.write_bytes(built[0].read_bytes())
        return kept


def needed(wheel: Path) -> list[Package]:
    """Return the wheel and all that pip would install for it into an empty environment."""
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder) / "report.json"
        subprocess.run(
            [sys.executable, "-m", "pip", "install", "--quiet", "--dry-run", "--ignore-installed",
             "--only-binary", ":all:", "--report", str(report), str(wheel)],
            check=True,
        )  # fmt: skip
        return [_package(one) for one in json.loads(report.read_bytes())["install"]]


def _package(one: dict[str, Any]) -> Package:
    about, origin = one["metadata"], one["download_info"]["archive_info"]
    return Package(about["name"].lower(), about["version"], (origin["hashes"]["sha256"],))


def _sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


if __name__ == "__main__":
    sys.exit(main())
