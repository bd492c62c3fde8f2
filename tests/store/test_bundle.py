"""Bundles over the air gap: the round trip, and everything a hostile one may try."""

from __future__ import annotations

import io
import json
import os
import subprocess
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from dnd_local.core.errors import DamagedFile, DndError, MissingWeights, Refused, UserError
from dnd_local.store import bundle as bundles
from dnd_local.store import unpack as unpacking
from dnd_local.store.bundle import opened, read_inventory
from dnd_local.store.pack import Packed, pack
from dnd_local.store.pins import PINS_NAME, Pin
from dnd_local.store.unpack import unpack
from tests.store.hub import REPOSITORY, REVISION, Watcher, entry, put, sha256, weights

FILES = {"config.json": b"{}", "unet/model.safetensors": bytes(range(256)) * 100}
UNKNOWN = {"vocab.txt": b"a\nb\n"}


def entries() -> list[dict[str, Any]]:
    return [
        entry(files=FILES),
        entry("pinned", UNKNOWN, known=False),
        entry("archive", {"a.tar": b"x"}, source={"kind": "user", "page": "https://e.org/a"}),
        entry("toy", {}, source={"kind": "shipped", "folder": "toy"}),
    ]


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """A weights folder as a pull leaves it."""
    root = tmp_path / "home"
    put(root / "model", FILES)
    put(root / "pinned", UNKNOWN)
    source = f"{REPOSITORY}@{REVISION}"
    weights(root, *entries()).pins.add(
        Pin(id="pinned", path=path, source=source, size=len(data), sha256=sha256(data))
        for path, data in UNKNOWN.items()
    )
    return root


def packed(home: Path, output: Path, names=("paper",), **options: Any) -> Packed:
    there = weights(home, *entries())
    return pack(there, names, output, Watcher(), made_by="dnd-local 9", **options)


@pytest.mark.parametrize("name", ["bundle", "bundle.tar"])
def test_what_is_packed_moves_and_verifies_elsewhere(home, tmp_path, name):
    watcher = Watcher()
    there = weights(home, *entries())
    done = pack(there, ["paper"], tmp_path / name, watcher, made_by="dnd-local 9")
    assert done.ids == ("model", "pinned")
    assert [one.id for one in done.by_hand] == ["archive"]
    assert watcher.bytes == watcher.expected == done.size
    moved = (tmp_path / name).rename(tmp_path / ("moved" + Path(name).suffix))
    watcher = Watcher()
    away = tmp_path / "away"
    result = unpack(weights(away, *entries()), moved, watcher)
    assert result.landed == ("model", "pinned")
    assert watcher.bytes == watcher.expected
    again = weights(away, *entries())
    assert (again.folder("model") / "unet/model.safetensors").read_bytes() == FILES[
        "unet/model.safetensors"
    ]
    assert again.folder("pinned")
    assert sorted(path.name for path in away.iterdir()) == [
        ".verified",
        "model",
        "pinned",
        PINS_NAME,
    ]
    assert unpack(again, moved, Watcher()).kept == ("model", "pinned")


def test_a_tar_bundle_has_the_same_bytes_each_time(home, tmp_path):
    packed(home, tmp_path / "one.tar")
    os.utime(home / "model/config.json", (1, 1))
    packed(home, tmp_path / "two.tar")
    assert (tmp_path / "one.tar").read_bytes() == (tmp_path / "two.tar").read_bytes()


def test_nothing_is_packed_over_what_is_there(home, tmp_path):
    put(tmp_path / "full", {"x": b""})
    with pytest.raises(UserError, match="is there already"):
        packed(home, tmp_path / "full")
    (tmp_path / "empty").mkdir()
    assert packed(home, tmp_path / "empty").path.is_dir()


def test_missing_or_damaged_weights_are_not_packed(home, tmp_path):
    (home / "model/config.json").write_bytes(b"[]")
    with pytest.raises(DamagedFile, match=r"config.json is altered"):
        packed(home, tmp_path / "b.tar")
    (home / "model/config.json").unlink()
    with pytest.raises(MissingWeights):
        packed(home, tmp_path / "b.tar")
    assert not (tmp_path / "b.tar").exists()
    assert not list(tmp_path.glob(".pack-*"))


@pytest.mark.parametrize("name", ["bundle", "bundle.tar"])
def test_a_file_that_changes_while_it_is_packed_is_named(home, tmp_path, name, monkeypatch):
    there = weights(home, *entries())
    there.folder("model")  # verified once, in this process
    (home / "model/config.json").write_bytes(b"[]")
    with pytest.raises(DamagedFile, match=r"config.json (is damaged|changed while)"):
        pack(there, ["model"], tmp_path / name, Watcher(), made_by="x")
    assert not (tmp_path / name).exists()


def wheels_of(*names: str) -> Callable[[Path], None]:
    return lambda folder: put(folder, {name: name.encode() for name in names}) and None


def test_wheels_come_with_sums_and_a_script_that_installs_them(home, tmp_path):
    gather = wheels_of("main/a-1+cu-py3-none-any.whl", "vllm/v-1-py3-none-any.whl", "main/x.txt")
    packed(home, tmp_path / "b", wheels=gather)
    folder = tmp_path / "b"
    assert not (folder / "wheels/main/x.txt").exists()
    subprocess.run(["sha256sum", "--check", "--quiet", "SHA256SUMS"], cwd=folder, check=True)
    script = (folder / "install.sh").read_text()
    assert os.access(folder / "install.sh", os.X_OK)
    for name in ("main/a-1+cu-py3-none-any.whl", "vllm/v-1-py3-none-any.whl"):
        part, _, wheel = name.partition("/")
        promised = f"{wheel[0]}=={wheel.split('-')[1]} --hash=sha256:{sha256(name.encode())}\n"
        assert (folder / f"wheels/{part}/requirements.txt").read_text() == promised
        assert f'--require-hashes --requirement "$here/wheels/{part}/requirements.txt"' in script
    bill = msgspec.json.decode((folder / "sbom.cdx.json").read_bytes())
    named = [one["name"] for one in bill["components"]]
    assert named == ["a", "v", "model", "pinned"]
    assert "weights verify model pinned" in script
    subprocess.run(["sh", "-n", "install.sh"], cwd=folder, check=True)
    unpack(weights(tmp_path / "away", *entries()), folder, Watcher())
    assert not (tmp_path / "away/wheels").exists()


def test_the_script_of_a_bundle_without_wheels_wants_dnd_local_there(home, tmp_path):
    packed(home, tmp_path / "b")
    folder = tmp_path / "b"
    subprocess.run(["sh", "-n", "install.sh"], cwd=folder, check=True)
    done = subprocess.run(
        ["/bin/sh", "install.sh"],
        cwd=folder,
        env={"PATH": "/usr/bin:/bin", "HOME": str(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 2
    assert "install dnd-local first" in done.stderr
    put(tmp_path / "bin", {"dnd-local": b'#!/bin/sh\necho "$@" >> "$HOME/calls"\n'})
    (tmp_path / "bin/dnd-local").chmod(0o755)
    subprocess.run(
        ["/bin/sh", str(folder / "install.sh")],
        env={"PATH": f"{tmp_path}/bin:/usr/bin:/bin", "HOME": str(tmp_path)},
        check=True,
    )
    calls = (tmp_path / "calls").read_text().splitlines()
    assert calls == [f"weights unpack {folder}", "weights verify model pinned", "doctor"]


# What a hostile bundle may try. Each case changes a good tar file's members.

Members = list[tuple[tarfile.TarInfo, bytes]]


def members_of(path: Path) -> Members:
    with tarfile.open(path) as tar:
        return [(one, tar.extractfile(one).read()) for one in tar]  # type: ignore[union-attr]


def write(path: Path, members: Members) -> Path:
    with tarfile.open(path, "w") as tar:
        for member, data in members:
            member.size = len(data) if member.isreg() else 0
            tar.addfile(member, io.BytesIO(data))
    return path


def info(name: str, kind: bytes = tarfile.REGTYPE, link: str = "") -> tarfile.TarInfo:
    made = tarfile.TarInfo(name)
    made.type, made.linkname = kind, link
    return made


EXTRA: dict[str, tuple[tarfile.TarInfo, str]] = {
    "a name that climbs": (info("../evil"), "not a plain relative path"),
    "a name that climbs midway": (info("weights/../../evil"), "not a plain relative path"),
    "an absolute name": (info("/tmp/evil"), "not a plain relative path"),
    "a drive": (info("C:/evil"), "characters"),
    "a backslash": (info("..\\evil"), "characters"),
    "a folder that climbs": (info("../evil", tarfile.DIRTYPE), "not a plain relative path"),
    "a link": (info("weights/x", tarfile.SYMTYPE, "/etc/passwd"), "link or device"),
    "a hard link": (info("weights/x", tarfile.LNKTYPE, "../../evil"), "link or device"),
    "a device": (info("weights/x", tarfile.CHRTYPE), "link or device"),
    "a pipe": (info("weights/x", tarfile.FIFOTYPE), "link or device"),
    "a case collision": (info("weights/model/CONFIG.json"), "there twice"),
    "a repetition": (info("weights/model/config.json"), "there twice"),
    "a folder of another case": (info("Weights/model/x"), "there twice"),
    "a file where a folder is": (info("weights/model"), "there twice"),
    "a folder where a file is": (info("weights/model/config.json/x"), "there twice"),
    "an extra file": (info("weights/model/pytorch_model.bin"), "inventory does not list"),
    "an extra file on top": (info("evil.sh"), "inventory does not list"),
}


@pytest.mark.parametrize(("member", "message"), EXTRA.values(), ids=EXTRA.keys())
def test_a_member_that_should_not_be_there_is_refused_and_nothing_written(
    home, tmp_path, member, message
):
    packed(home, tmp_path / "b.tar")
    members = [*members_of(tmp_path / "b.tar"), (member, b"evil")]
    refused_with_nothing_written(tmp_path, write(tmp_path / "evil.tar", members), message)


def refused_with_nothing_written(tmp_path: Path, source: Path, message: str) -> None:
    before = sorted(tmp_path.rglob("*"))
    with pytest.raises((Refused, DamagedFile), match=message):
        unpack(weights(tmp_path / "away", *entries()), source, Watcher())
    after = [path for path in sorted(tmp_path.rglob("*")) if path != tmp_path / "away"]
    assert after == before
    assert not list((tmp_path / "away").glob("*"))


def test_folders_with_good_names_are_no_harm(home, tmp_path):
    packed(home, tmp_path / "b.tar")
    folders = [(info("./", tarfile.DIRTYPE), b""), (info("./weights/", tarfile.DIRTYPE), b"")]
    source = write(tmp_path / "c.tar", [*folders, *members_of(tmp_path / "b.tar")])
    assert unpack(weights(tmp_path / "away", *entries()), source, Watcher()).landed


def relisted(members: Members, **changes: Any) -> Members:
    """Return the members with an inventory that agrees with them (a careful attacker's)."""
    old = json.loads(members[0][1])
    lines = [
        {"path": one.name, "size": len(data), "sha256": sha256(data)} for one, data in members[1:]
    ]
    data = json.dumps({**old, "files": lines, **changes}).encode()
    return [(info("bundle.json"), data), *members[1:]]


def altered(members: Members, name: str, data: bytes | None) -> Members:
    kept = [(one, old) for one, old in members if one.name != name]
    return kept if data is None else [*kept, (info(name), data)]


def test_weights_are_held_to_the_local_manifest_not_to_the_bundles_own_list(home, tmp_path):
    packed(home, tmp_path / "b.tar")
    evil = altered(members_of(tmp_path / "b.tar"), "weights/model/config.json", b"[]")
    source = write(tmp_path / "evil.tar", relisted(evil))
    away = weights(tmp_path / "away", *entries())
    with pytest.raises(DamagedFile, match=r"'weights/model/config.json' is damaged"):
        unpack(away, source, Watcher())
    assert [path.name for path in (tmp_path / "away").iterdir()] == []


def test_a_pickle_beside_the_weights_is_refused_even_if_listed(home, tmp_path):
    packed(home, tmp_path / "b.tar")
    evil = altered(members_of(tmp_path / "b.tar"), "weights/model/pytorch_model.bin", b"evil")
    source = write(tmp_path / "evil.tar", relisted(evil))
    refused_with_nothing_written(tmp_path, source, "which no id of it names")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda m: altered(m, "weights/model/config.json", None), "lacks 'weights/model/config"),
        (lambda m: altered(m, "weights/model/config.json", b"longer"), "6 bytes long, not 2"),
        (lambda m: m[1:], r"has no bundle\.json"),
        (lambda m: altered(m, "bundle.json", b"{"), "bundle.json: "),
        (lambda m: relisted(altered(m, "weights/model/config.json", None)), "lacks 'weights/mod"),
        (lambda m: relisted(m, ids=["model", "stranger"]), "does not know; install .*dnd-local 9"),
        (lambda m: relisted(altered(m, f"weights/{PINS_NAME}", b"x")), "lock.json: "),
    ],
)
def test_a_bundle_that_does_not_agree_with_itself_is_refused(home, tmp_path, change, message):
    packed(home, tmp_path / "b.tar")
    source = write(tmp_path / "evil.tar", change(members_of(tmp_path / "b.tar")))
    with pytest.raises(DndError, match=message):
        unpack(weights(tmp_path / "away", *entries()), source, Watcher())
    assert not list((tmp_path / "away").glob("*"))


def test_a_file_without_any_known_hash_is_not_taken(home, tmp_path):
    packed(home, tmp_path / "b.tar")
    members = relisted(altered(members_of(tmp_path / "b.tar"), f"weights/{PINS_NAME}", None))
    source = write(tmp_path / "c.tar", members)
    with pytest.raises(Refused, match=r"no hash of 'weights/pinned/vocab.txt' is known"):
        unpack(weights(tmp_path / "away", *entries()), source, Watcher())


def test_a_link_in_a_folder_bundle_is_refused(home, tmp_path):
    packed(home, tmp_path / "b")
    (tmp_path / "b/link").symlink_to("/etc")
    with pytest.raises(Refused, match="'link' is a link or device"):
        unpack(weights(tmp_path / "away", *entries()), tmp_path / "b", Watcher())


@pytest.mark.parametrize("share", [0.3, 0.8, 0.97])
def test_a_tar_cut_short_is_refused(home, tmp_path, share):
    packed(home, tmp_path / "b.tar")
    data = (tmp_path / "b.tar").read_bytes()
    (tmp_path / "b.tar").write_bytes(data[: int(len(data.rstrip(b"\0")) * share)])
    with pytest.raises(DamagedFile):
        unpack(weights(tmp_path / "away", *entries()), tmp_path / "b.tar", Watcher())


def test_no_bundle_at_all_is_one_line(tmp_path):
    there = weights(tmp_path, *entries())
    with pytest.raises(UserError, match="there is no bundle"):
        unpack(there, tmp_path / "absent.tar", Watcher())
    put(tmp_path, {"b.tar": b"not a tar file"})
    with pytest.raises(DamagedFile, match="not a whole tar file"):
        unpack(there, tmp_path / "b.tar", Watcher())


def test_a_full_disk_is_told_before_anything_lands(home, tmp_path):
    packed(home, tmp_path / "b.tar")
    away = weights(tmp_path / "away", *entries())
    with pytest.raises(UserError, match=r"has 10 B free, and .* needs 26 kB"):
        unpack(away, tmp_path / "b.tar", Watcher(), free=lambda _: 10)
    assert list((tmp_path / "away").iterdir()) == []


def test_a_disk_that_fails_midway_is_one_line(home, tmp_path, monkeypatch):
    packed(home, tmp_path / "b.tar")

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device", "x")

    monkeypatch.setattr(unpacking, "copy_checked", full)
    with pytest.raises(UserError, match="No space left on device"):
        unpack(weights(tmp_path / "away", *entries()), tmp_path / "b.tar", Watcher())


def test_a_pin_of_the_bundle_does_not_replace_one_that_is_here(home, tmp_path):
    packed(home, tmp_path / "b.tar")
    away = weights(tmp_path / "away", *entries())
    source = f"{REPOSITORY}@{REVISION}"
    away.pins.add([Pin(id="pinned", path="vocab.txt", source=source, size=1, sha256="c" * 64)])
    with pytest.raises(DamagedFile, match=r"'weights/pinned/vocab.txt' is damaged"):
        unpack(away, tmp_path / "b.tar", Watcher())


def test_an_inventory_too_large_to_read_is_refused(home, tmp_path, monkeypatch):
    packed(home, tmp_path / "b.tar")
    monkeypatch.setattr(bundles, "_LARGEST_INVENTORY", 10)
    with (
        opened(tmp_path / "b.tar") as bundle,
        pytest.raises(DamagedFile, match=r"has no bundle\.json"),
    ):
        read_inventory(tmp_path / "b.tar", bundle)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=60)
@given(names=st.lists(st.text(min_size=1, max_size=12), max_size=4), data=st.binary(max_size=40))
def test_no_names_and_bytes_write_outside(tmp_path, names, data):
    try:
        members = [(info(name), data) for name in ["bundle.json", *names]]
        source = write(tmp_path / "fuzz.tar", members)
    except (UnicodeError, ValueError):
        return
    there = weights(tmp_path / "away", *entries())
    with pytest.raises(DndError):
        unpack(there, source, Watcher())
    assert {path.name for path in tmp_path.iterdir()} <= {"fuzz.tar", "away"}


def test_the_inventory_lists_every_other_file(home, tmp_path):
    packed(home, tmp_path / "b")
    inventory = msgspec.json.decode((tmp_path / "b/bundle.json").read_bytes())
    on_disk = {
        path.relative_to(tmp_path / "b").as_posix()
        for path in (tmp_path / "b").rglob("*")
        if path.is_file()
    }
    assert {line["path"] for line in inventory["files"]} == on_disk - {"bundle.json"}
