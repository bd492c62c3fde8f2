"""From an id to verified files: what is handed out, what is refused, and how each is said."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from dnd_local.core.errors import DamagedFile, MissingWeights, Refused, UnknownName
from dnd_local.store import weights as module
from dnd_local.store.manifest import Manifest
from dnd_local.store.pins import PINS_NAME, Pin
from dnd_local.store.weights import Weights, default_root
from tests.store.hub import REPOSITORY, REVISION, entry, put, sha256, weights

FILES = {"config.json": b"{}", "unet/model.safetensors": bytes(1000)}
SHIPPED = {"kind": "shipped", "folder": "toy"}


@pytest.fixture
def root(tmp_path: Path) -> Path:
    put(tmp_path / "root" / "model", FILES)
    return tmp_path / "root"


def test_a_verified_folder_is_handed_out_and_known_again_without_hashing(root, monkeypatch):
    assert weights(root, entry(files=FILES)).folder("model") == root / "model"
    monkeypatch.setattr(module, "file_sha256", lambda _: pytest.fail("hashed again"))
    again = weights(root, entry(files=FILES))
    assert again.folder("model") == again.folder("model") == root / "model"


def test_a_file_touched_since_is_hashed_again_even_with_its_old_time(root):
    weights(root, entry(files=FILES)).folder("model")
    path = root / "model/unet/model.safetensors"
    before = path.stat()
    path.write_bytes(b"\1" + bytes(999))
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    with pytest.raises(DamagedFile, match=r"'model': .*unet/model.safetensors is altered.*pull mo"):
        weights(root, entry(files=FILES)).folder("model")


def test_another_manifest_does_not_go_by_the_stamps_of_the_old_one(root):
    weights(root, entry(files=FILES)).folder("model")
    with pytest.raises(DamagedFile, match=r"config.json is altered"):
        weights(root, entry(files={**FILES, "config.json": b"[]"})).folder("model")


@pytest.mark.parametrize("bit", [0, 3999, 7999])
def test_any_flipped_bit_is_found_by_name(root, bit):
    path = root / "model/unet/model.safetensors"
    data = bytearray(path.read_bytes())
    data[bit // 8] ^= 1 << bit % 8
    path.write_bytes(data)
    with pytest.raises(DamagedFile, match=r"unet/model.safetensors is altered"):
        weights(root, entry(files=FILES)).folder("model")


def test_another_length_is_told_without_hashing(root, monkeypatch):
    monkeypatch.setattr(module, "file_sha256", lambda _: pytest.fail("hashed"))
    (root / "model/config.json").write_bytes(b"{ }")
    with pytest.raises(DamagedFile, match="3 bytes long, not 2"):
        weights(root, entry(files=FILES)).folder("model")


def test_what_is_missing_is_told_with_size_and_command(root):
    (root / "model/config.json").unlink()
    with pytest.raises(MissingWeights) as caught:
        weights(root, entry(files=FILES)).folder("model")
    text = str(caught.value)
    assert "weights 'model' (captioner, 1.0 kB) are not in" in text
    assert "(1 of 2 files)" in text
    assert text.endswith("dnd-local weights pull model")


def test_the_terms_of_a_users_own_archive_are_named(tmp_path):
    archive = entry(files={"a.tar": b"x"}, source={"kind": "user", "page": "https://e.org/a"})
    with pytest.raises(MissingWeights, match=r"leaves? the download to you: https://e.org/a"):
        weights(tmp_path, archive).folder("model")


def test_an_unknown_id_offers_its_neighbours(tmp_path):
    with pytest.raises(UnknownName, match="Did you mean model"):
        weights(tmp_path, entry(files=FILES)).folder("modell")


def test_a_file_of_unknown_hash_is_not_handed_out_until_it_is_pinned(root):
    there = weights(root, entry(files=FILES, known=False))
    with pytest.raises(MissingWeights, match=r"no hash of .*config.json is known"):
        there.folder("model")
    with pytest.raises(MissingWeights, match="of unknown size"):
        there.digest("model")
    assert there.missing(["model"]) == ("model",)
    assert there.report("model").state == "unpinned"
    pin(there)
    assert there.folder("model") == root / "model"
    assert there.missing(["model"]) == ()
    assert there.digest("model") == weights(root, entry(files=FILES)).digest("model")


def pin(there: Weights) -> None:
    source = f"{REPOSITORY}@{REVISION}"
    there.pins.add(
        Pin(id="model", path=path, source=source, size=len(data), sha256=sha256(data))
        for path, data in FILES.items()
    )


def test_the_digest_needs_no_file_and_changes_with_any_hash(tmp_path):
    one = weights(tmp_path, entry(files=FILES)).digest("model")
    assert one == weights(tmp_path, entry(files=dict(reversed(FILES.items())))).digest("model")
    other = {**FILES, "config.json": b"[]"}
    assert one != weights(tmp_path, entry(files=other)).digest("model")


def test_the_digest_tells_two_networks_of_the_same_file_apart(tmp_path):
    names = ("", "torchvision:resnet50@IMAGENET1K_V1", "torchvision:resnet50@IMAGENET1K_V2")
    lines = [entry(files=FILES) | {"network": name} for name in names]
    assert len({weights(tmp_path, line).digest("model") for line in lines}) == 3


def test_the_digest_of_a_converted_file_is_that_of_its_pickle(tmp_path):
    def line(sha: str | None, made: str) -> dict:
        origin = {"path": "w.pth", "size": 1, "sha256": sha}
        file = {"path": "w.safetensors", "size": 1, "sha256": made, "converted_from": origin}
        return entry(files={}) | {"files": [file]}

    digests = [
        weights(tmp_path, line("a" * 64, made)).digest("model") for made in ("b" * 64, "c" * 64)
    ]
    assert digests[0] == digests[1]
    unknown = weights(tmp_path, line(None, "b" * 64))
    with pytest.raises(MissingWeights):
        unknown.digest("model")
    source = f"{REPOSITORY}@{REVISION}"
    made = Pin(
        id="model", path="w.safetensors", source=source, size=1, sha256="b" * 64, origin="a" * 64
    )
    unknown.pins.add([made])
    assert unknown.digest("model") == digests[0]


def test_shipped_models_are_hashed_by_every_process(tmp_path):
    put(tmp_path / "models/toy", FILES)
    line = entry(files=FILES, source=SHIPPED)
    there = weights(tmp_path / "root", line, models=tmp_path / "models")
    assert there.folder("model") == tmp_path / "models/toy"
    assert not (tmp_path / "root").exists()
    assert there.digest("model")
    (tmp_path / "models/toy/config.json").write_bytes(b"[]")
    again = weights(tmp_path / "root", line, models=tmp_path / "models")
    with pytest.raises(DamagedFile, match="install dnd-local again"):
        again.folder("model")


def test_a_shipped_model_that_is_not_there_is_told(tmp_path):
    line = entry(files={}, source=SHIPPED)
    there = weights(tmp_path, line)
    assert there.place(there.manifest.entry("model")).parts[-3:] == ("pocket", "models", "toy")
    with pytest.raises(MissingWeights, match="they ship with dnd-local"):
        there.folder("model")
    with pytest.raises(MissingWeights):
        there.digest("model")


def test_a_canary_pickle_beside_a_model_is_never_opened(root):
    canary = root / "canary"
    evil = b"cposix\nsystem\n(S'touch " + str(canary).encode() + b"'\ntR."
    for name in ("pytorch_model.bin", "unet/extra.PT", "data.pkl", "code.py"):
        put(root / "model", {name: evil})
        with pytest.raises(Refused, match=f"{name} can run code"):
            weights(root, entry(files=FILES)).folder("model")
        (root / "model" / name).unlink()
    assert not canary.exists()


def test_a_file_that_a_library_might_prefer_is_refused(root):
    put(root / "model", {"model.safetensors": b"", "other.txt": b""})
    with pytest.raises(Refused, match=r"model.safetensors is not in the manifest \(nor are 1 oth"):
        weights(root, entry(files=FILES)).folder("model")
    assert weights(root, entry(files=FILES)).report("model").extras == (
        "model.safetensors",
        "other.txt",
    )


def test_code_that_a_model_brings_is_refused(root):
    config = json.dumps({"auto_map": {"AutoModel": "modeling.Model"}}).encode()
    files = {**FILES, "config.json": config}
    put(root / "model", files)
    with pytest.raises(Refused, match=r"config.json has 'auto_map'"):
        weights(root, entry(files=files)).folder("model")


def test_missing_weights_are_named_together_before_anything_slow(root):
    there = weights(root, entry(files=FILES), entry("b", FILES), entry("c", FILES))
    there.require(["model"])
    with pytest.raises(MissingWeights, match="weights 'b'"):
        there.require(["model", "b"])
    with pytest.raises(MissingWeights, match=r"weights b, c \(2\.0 kB or more\).*pull b c$"):
        there.require(["b", "c"])


def test_what_ships_and_what_is_pulled_are_missed_in_a_line_each(root):
    toys = [entry(name, {}, source=SHIPPED) for name in ("x", "y")]
    there = weights(root, *toys, entry("b", FILES))
    with pytest.raises(MissingWeights) as missing:
        there.require(["x", "y", "b"])
    first, second = str(missing.value).splitlines()
    assert first.startswith("weights x, y are not here; they ship with dnd-local")
    assert "pull" not in first
    assert second.endswith("dnd-local weights pull b")


def test_a_report_tells_each_file_and_raises_nothing(root):
    put(root / "model", {"config.json": b"[]"})
    steps: list[int] = []
    files = {**FILES, "absent.txt": b"x"}
    report = weights(root, entry(files=files)).report("model", progress=steps.append)
    assert dict(report.files) == {
        "config.json": "damaged",
        "unet/model.safetensors": "have",
        "absent.txt": "missing",
    }
    assert (report.state, report.size, steps) == ("damaged", 1002, [2, 1000, 0])
    assert weights(root, entry(files=FILES)).report("model").entry.id == "model"


def test_a_deep_report_hashes_in_spite_of_stamps(root, monkeypatch):
    weights(root, entry(files=FILES)).folder("model")
    hashed = []
    real = module.file_sha256
    monkeypatch.setattr(module, "file_sha256", lambda path: hashed.append(path) or real(path))
    there = weights(root, entry(files=FILES))
    assert there.report("model").state == "have"
    assert hashed == []
    assert there.report("model", deep=True).state == "have"
    assert len(hashed) == 2


def test_an_unreadable_file_is_damage(root, monkeypatch):
    def broken(_: Path) -> str:
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(module, "file_sha256", broken)
    with pytest.raises(DamagedFile, match=r"not readable \(Input/output error\)"):
        weights(root, entry(files=FILES)).folder("model")


def test_a_weights_folder_that_cannot_be_written_is_read_all_the_same(root):
    (root / ".verified").write_bytes(b"a file where a folder should be")
    assert weights(root, entry(files=FILES)).folder("model") == root / "model"


def test_stamps_that_are_not_ours_are_ignored(root):
    there = weights(root, entry(files=FILES))
    there.folder("model")
    (root / ".verified/model.json").write_bytes(b"nonsense")
    assert weights(root, entry(files=FILES)).folder("model") == root / "model"


def test_the_default_folder_follows_the_system_and_the_variable():
    home = Path("/home/someone")
    assert default_root({}, "linux", home) == home / ".local/share/dnd-local/weights"
    assert default_root({"XDG_DATA_HOME": "/d"}, "linux", home) == Path("/d/dnd-local/weights")
    assert default_root({}, "win32", home) == home / "AppData/Local/dnd-local/weights"
    assert default_root({"DND_LOCAL_WEIGHTS": "/w"}, "linux", home) == Path("/w")


def test_opening_reads_the_shipped_manifest_and_the_folders_lock(tmp_path, monkeypatch):
    monkeypatch.setenv("DND_LOCAL_WEIGHTS", str(tmp_path))
    there = Weights.open()
    assert there.root == tmp_path
    assert there.manifest == Manifest.read()
    pin(there)
    assert (tmp_path / PINS_NAME).is_file()
    assert len(Weights.open(tmp_path).pins.every()) == 2
