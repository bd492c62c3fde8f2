"""Rewrite the pocket entries of the weights manifest from the folder of shipped models.

Run it whenever a file below ``dnd_local/pocket/models`` changes::

    python scripts/pocket/manifest.py

Each entry keeps its id, role and terms; its files get the sizes and hashes they have now. A model
whose folder is not there has no files.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

from dnd_local.core.digest import file_sha256
from dnd_local.store.manifest import parse_manifest

HOME = Path(__file__).resolve().parents[2]


def files_of(folder: Path) -> list[dict[str, Any]]:
    """Return the manifest's lines for every file below a folder, sorted; none if it is absent."""
    paths = sorted(path for path in folder.rglob("*") if path.is_file())
    return [
        {
            "path": path.relative_to(folder).as_posix(),
            "size": path.stat().st_size,
            "sha256": file_sha256(path),
        }
        for path in paths
    ]


def rewritten(manifest: dict[str, Any], models: Path) -> bytes:
    """Return the manifest's bytes with every shipped entry brought up to date.

    Raises:
        BadConfig: a shipped model holds a file that a manifest may not name, such as a pickle.
    """
    for entry in manifest["entries"]:
        if entry["source"]["kind"] == "shipped":
            entry["files"] = files_of(models / entry["source"]["folder"])
    data = json.dumps(manifest, indent=2, ensure_ascii=False).encode() + b"\n"
    parse_manifest(data, "the manifest as rewritten")
    return data


def main() -> None:
    """Rewrite the manifest in place."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--manifest", type=Path, default=HOME / "weights_manifest.json")
    parser.add_argument("--models", type=Path, default=HOME / "dnd_local" / "pocket" / "models")
    arguments = parser.parse_args()
    manifest = json.loads(arguments.manifest.read_bytes())
    arguments.manifest.write_bytes(rewritten(manifest, arguments.models))
    print(f"{arguments.manifest} names what lies in {arguments.models}")


if __name__ == "__main__":
    main()
