"""Requirements with hashes that pip takes, and an SBOM that names what is there."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import msgspec
import pytest

from dnd_local.core.errors import UserError
from dnd_local.store.manifest import Entry
from dnd_local.store.supply import Package, locked, package_of, sbom
from tests.store.hub import entry, sha256

TORCH = Package("torch", "2.14.1+cu", ("a" * 64,))


def test_a_wheels_name_says_its_package() -> None:
    assert package_of("Foo_Bar-1.0-1-py3-none-any.whl", "b" * 64) == Package(
        "foo-bar", "1.0", ("b" * 64,)
    )
    with pytest.raises(UserError, match=r"x\.whl is not named as a wheel is"):
        package_of("x.whl", "")


def test_requirements_have_a_line_a_package_with_every_hash() -> None:
    both = Package("a", "1", ("c" * 64, "d" * 64))
    assert locked([TORCH, both]) == (
        f"a==1 --hash=sha256:{'c' * 64} --hash=sha256:{'d' * 64}\n"
        f"torch==2.14.1+cu --hash=sha256:{'a' * 64}\n"
    )


@pytest.mark.parametrize("right", [True, False])
def test_pip_installs_by_them_and_refuses_another_file(tmp_path: Path, right: bool) -> None:
    import zipfile

    wheel = tmp_path / "tiny_thing-1.0-py3-none-any.whl"
    about = "tiny_thing-1.0.dist-info"
    with zipfile.ZipFile(wheel, "w") as archive:
        archive.writestr("tiny_thing.py", "")
        archive.writestr(
            f"{about}/METADATA", "Metadata-Version: 2.1\nName: tiny-thing\nVersion: 1.0\n"
        )
        archive.writestr(f"{about}/WHEEL", "Wheel-Version: 1.0\nTag: py3-none-any\n")
        archive.writestr(f"{about}/RECORD", "")
    promised = sha256(wheel.read_bytes()) if right else "0" * 64
    (tmp_path / "requirements.txt").write_text(locked([package_of(wheel.name, promised)]))
    done = subprocess.run(
        [sys.executable, "-m", "pip", "install", "--no-index", "--find-links", str(tmp_path),
         "--no-deps", "--require-hashes", "--target", str(tmp_path / "site"),
         "--requirement", str(tmp_path / "requirements.txt")],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert (done.returncode == 0) is right, done.stderr
    assert (tmp_path / "site" / "tiny_thing.py").exists() is right
    assert right or "DO NOT MATCH THE HASHES" in done.stderr


def test_an_sbom_names_every_package_and_model_with_its_hashes() -> None:
    models = [
        msgspec.convert(entry(files={"a.txt": b"a"}), Entry),
        msgspec.convert(
            entry("plain", {"b.txt": b"b"}, source={"kind": "url", "base": "https://x.invalid/"}),
            Entry,
        ),
        msgspec.convert(
            entry("toy", {"c.txt": b"c"}, source={"kind": "shipped", "folder": "toy"}), Entry
        ),
    ]
    data = sbom("dnd-local", "0.1", [TORCH], models)
    assert data == sbom("dnd-local", "0.1", [TORCH], models)
    assert data != sbom("dnd-local", "0.2", [TORCH], models)
    bill = json.loads(data)
    assert (bill["bomFormat"], bill["specVersion"], bill["version"]) == ("CycloneDX", "1.6", 1)
    library, hub, plain, toy = bill["components"]
    assert library["purl"] == "pkg:pypi/torch@2.14.1+cu"
    assert library["hashes"] == [{"alg": "SHA-256", "content": "a" * 64}]
    assert hub["type"] == "machine-learning-model"
    assert hub["purl"].startswith("pkg:huggingface/")
    assert hub["components"][0]["hashes"][0]["content"] == sha256(b"a")
    assert plain["externalReferences"][0]["url"] == "https://x.invalid/"
    assert "purl" not in toy
    other = json.loads(sbom("dnd-local", "0.1", [], models[:1], lambda *_: "e" * 64))
    assert other["components"][0]["components"][0]["hashes"][0]["content"] == "e" * 64
    none = json.loads(sbom("dnd-local", "0.1", [], models[:1], lambda *_: None))
    assert none["components"][0]["components"][0]["hashes"] == []
    references = [one["bom-ref"] for one in bill["components"]]
    assert len(set(references)) == len(references)
