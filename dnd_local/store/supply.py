"""What a bundle or a release is made of: requirements with their hashes, and an SBOM.

The SBOM is CycloneDX 1.6 in JSON (https://cyclonedx.org/docs/1.6/json/): wheels as libraries,
models as machine-learning models, each with the SHA-256 of what arrives. It holds no time and no
random number, so that the same contents give the same bytes.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import msgspec
from packaging.utils import InvalidWheelFilename, parse_wheel_filename

from dnd_local.core.digest import canonical, key
from dnd_local.core.errors import UserError
from dnd_local.store.manifest import Entry, File, Hub, Url


@dataclass(frozen=True, slots=True, order=True)
class Package:
    """A Python package as it is installed: one version, one file or more, each with its hash."""

    name: str
    version: str
    sha256: tuple[str, ...]


def package_of(wheel: str, sha256: str) -> Package:
    """Return the package in a wheel, by the file's name.

    Raises:
        UserError: it is no wheel's name.
    """
    try:
        name, version, _, _ = parse_wheel_filename(wheel)
    except InvalidWheelFilename as error:
        raise UserError(f"{wheel} is not named as a wheel is: {error}") from None
    return Package(name, str(version), (sha256,))


def locked(packages: Iterable[Package]) -> str:
    """Return requirements that pip installs with ``--require-hashes``, one package a line."""
    return "".join(
        f"{one.name}=={one.version}{''.join(f' --hash=sha256:{digest}' for digest in one.sha256)}\n"
        for one in sorted(packages)
    )


def sbom(
    name: str,
    version: str,
    packages: Iterable[Package],
    models: Iterable[Entry] = (),
    hash_of: Callable[[Entry, File], str | None] = lambda _, file: file.sha256,
) -> bytes:
    """Return the SBOM of what `name` consists of; `hash_of` knows the hashes of models' files."""
    components = [_library(one) for one in sorted(packages)]
    components += [_model(one, hash_of) for one in models]
    whole = {
        "$schema": "http://cyclonedx.org/schema/bom-1.6.schema.json",
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "version": 1,
        "serialNumber": f"urn:uuid:{uuid.UUID(key([name, version, components])[:32], version=4)}",
        "metadata": {"component": {"type": "application", "name": name, "version": version}},
        "components": components,
    }
    return msgspec.json.format(canonical(whole), indent=2) + b"\n"


def _library(one: Package) -> dict[str, Any]:
    address = f"pkg:pypi/{one.name}@{one.version}"
    return {
        "type": "library",
        "bom-ref": address,
        "name": one.name,
        "version": one.version,
        "purl": address,
        "hashes": [_hash(digest) for digest in one.sha256],
    }


def _model(entry: Entry, hash_of: Callable[[Entry, File], str | None]) -> dict[str, Any]:
    files = []
    for file in entry.files:
        known = hash_of(entry, file)
        files.append({"type": "file", "name": file.path, "hashes": [_hash(known)] if known else []})
    match entry.source:
        case Hub(repository=repository, revision=revision):
            where: dict[str, Any] = {"purl": f"pkg:huggingface/{repository}@{revision}"}
        case Url(base=base):
            where = {"externalReferences": [{"type": "distribution", "url": base}]}
        case _:
            where = {}
    licences = [{"license": {"name": entry.licence.spdx}}] if entry.licence.spdx else []
    return {
        "type": "machine-learning-model",
        "bom-ref": f"model:{entry.id}",
        "name": entry.id,
        **where,
        "licenses": licences,
        "components": files,
    }


def _hash(sha256: str) -> dict[str, str]:
    return {"alg": "SHA-256", "content": sha256}
