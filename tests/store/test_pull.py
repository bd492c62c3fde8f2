"""Pulling from a hub that is on this machine: what lands, what is resumed, what is refused."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from dnd_local.core.errors import (
    DamagedFile,
    Interrupted,
    MissingWeights,
    Refused,
    UnknownName,
    UserError,
)
from dnd_local.store import fetch as fetching
from dnd_local.store import pull as pulling
from dnd_local.store.pull import Hosts, Pulled, pull
from tests.store.hub import (
    REPOSITORY,
    REVISION,
    FakeHub,
    Watcher,
    entry,
    manifest,
    put,
    serving,
    sha256,
    weights,
)

SMALL = b'{"model_type": "toy"}'
LARGE = bytes(range(256)) * 512  # 128 KiB, behind a redirect
FILES = {"config.json": SMALL, "unet/model.safetensors": LARGE}


@pytest.fixture
def hub() -> Iterator[FakeHub]:
    with serving(FakeHub(dict(FILES))) as server:
        yield server


@pytest.fixture(autouse=True)
def no_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fetching, "FIRST_WAIT_SECONDS", 0.0)


def run(hub: FakeHub, root: Path, *entries: dict, names=("model",), token="", **options) -> Pulled:
    lines = entries or (entry(files=FILES),)
    with httpx.Client(timeout=10) as client:
        return pull(
            weights(root, *lines),
            names,
            client,
            options.pop("watcher", Watcher()),
            hosts=Hosts(hub.address, token),
            **options,
        )


def test_a_pull_lands_verified_files_and_a_second_asks_for_nothing(hub, tmp_path):
    watcher = Watcher()
    done = run(hub, tmp_path, watcher=watcher)
    assert set(done.landed) == {"model/config.json", "model/unet/model.safetensors"}
    assert (watcher.expected, watcher.bytes) == (len(SMALL) + len(LARGE),) * 2
    folder = weights(tmp_path, entry(files=FILES)).folder("model")
    assert (folder / "unet/model.safetensors").read_bytes() == LARGE
    assert not (tmp_path / ".partial").exists()
    hub.asked.clear()
    assert run(hub, tmp_path).kept == ("model",)
    assert hub.asked == []


def test_a_profile_pulls_its_entries_and_names_those_left_to_the_user(hub, tmp_path):
    archive = entry(
        "archive",
        {"val.tar": b"x"},
        source={"kind": "user", "page": "https://example.org/apply"},
    )
    done = run(hub, tmp_path, entry(files=FILES), archive, names=("paper",))
    assert len(done.landed) == 2
    assert [one.id for one in done.by_hand] == ["archive"]


def test_a_name_that_is_neither_id_nor_profile_is_refused(hub, tmp_path):
    with pytest.raises(UnknownName, match="Did you mean model"):
        run(hub, tmp_path, names=("modle",))


def test_the_token_goes_to_the_hub_and_not_to_where_it_redirects(hub, tmp_path):
    hub.token = "right"
    run(hub, tmp_path, token="right")
    on_hub = [one for one in hub.asked if one.host.startswith("127.")]
    elsewhere = [one for one in hub.asked if one.host.startswith("localhost")]
    assert elsewhere
    assert {one.authorization for one in on_hub} == {"Bearer right"}
    assert {one.authorization for one in elsewhere} == {None}


def test_a_gated_model_without_a_token_is_explained(hub, tmp_path):
    hub.token = "right"
    gated = entry(files=FILES, gated=True)
    with pytest.raises(
        Refused, match=r"gated.*accept the terms at https://example.org/terms.*HF_T"
    ):
        run(hub, tmp_path, gated)
    with pytest.raises(Refused, match="the token in HF_TOKEN has no right to it"):
        run(hub, tmp_path, gated, token="wrong")
    assert not (tmp_path / "model").exists()


def test_a_file_that_the_hub_has_not_is_named(hub, tmp_path):
    with pytest.raises(MissingWeights, match=r"model/absent.txt is not at .*EntryNotFound"):
        run(hub, tmp_path, entry(files={"absent.txt": b"x"}))


def test_a_full_disk_is_explained_before_anything_lands(hub, tmp_path):
    with pytest.raises(UserError, match=r"has 1\.0 kB free, and what is to land needs 67 MB"):
        run(hub, tmp_path, free=lambda _: 1000)
    assert hub.gets("") == []


def test_the_disk_check_counts_sizes_that_only_the_server_knows(hub, tmp_path):
    enough = pulling.MARGIN_BYTES + len(LARGE) // 2
    with pytest.raises(UserError, match="free"):
        run(hub, tmp_path, entry(files=FILES, known=False), free=lambda _: enough)


def test_other_bytes_on_offer_are_refused_by_name_before_they_are_fetched(hub, tmp_path):
    wrong = entry(files=FILES)
    wrong["files"][1]["sha256"] = "0" * 64
    with pytest.raises(DamagedFile, match=r"model/unet/model.safetensors has the sha256"):
        run(hub, tmp_path, wrong)
    wrong = entry(files=FILES)
    wrong["files"][1]["size"] = 7
    with pytest.raises(DamagedFile, match=r"is 131072 bytes long there, not 7"):
        run(hub, tmp_path, wrong)
    assert hub.gets("") == []


def test_altered_bytes_are_refused_by_name_and_not_kept(hub, tmp_path):
    hub.alter.add("unet/model.safetensors")
    with pytest.raises(DamagedFile, match=r"model/unet/model.safetensors arrived altered"):
        run(hub, tmp_path)
    assert not (tmp_path / "model/unet/model.safetensors").exists()
    hub.alter.clear()
    assert "model/unet/model.safetensors" in run(hub, tmp_path).landed


def test_a_file_cut_short_by_a_server_that_hides_it_is_refused_by_name(hub, tmp_path):
    hub.truncate["config.json"] = -1
    with pytest.raises(DamagedFile, match=r"model/config.json arrived with 0 bytes, not 21"):
        run(hub, tmp_path)


def test_more_bytes_than_promised_are_refused(hub, tmp_path):
    hub.heads = False
    short = entry(files={"unet/model.safetensors": LARGE})
    short["files"][0]["size"] = 5
    with pytest.raises(DamagedFile, match=r"arrived with \d+ bytes, not 5"):
        run(hub, tmp_path, short)


def test_a_connection_that_breaks_is_taken_up_where_it_broke(hub, tmp_path, monkeypatch):
    hub.truncate["unet/model.safetensors"] = 40_000
    with pytest.raises(UserError, match="cannot be had"):
        run(hub, tmp_path)
    hub.truncate.clear()
    hub.asked.clear()
    hub.sent.clear()
    run(hub, tmp_path)
    assert [one.range for one in hub.gets("/lfs/")] == ["bytes=40000-"]
    assert hub.sent["unet/model.safetensors"] == len(LARGE) - 40_000


def test_a_server_without_ranges_sends_the_whole_again(hub, tmp_path):
    hub.truncate["unet/model.safetensors"] = 40_000
    with pytest.raises(UserError):
        run(hub, tmp_path)
    hub.truncate.clear()
    hub.ranges = False
    watcher = Watcher()
    run(hub, tmp_path, watcher=watcher)
    assert watcher.bytes == watcher.expected


def test_a_partial_file_that_is_whole_already_is_only_checked(hub, tmp_path):
    hub.truncate["config.json"] = 3  # breaks off, so the other file's partial stays or lands
    one = entry(files={"config.json": SMALL})
    with pytest.raises(UserError):
        run(hub, tmp_path, one)
    (partial,) = (tmp_path / ".partial/model").iterdir()
    partial.write_bytes(SMALL)
    hub.asked.clear()
    run(hub, tmp_path, one)
    assert hub.gets("") == []


def test_a_whole_partial_file_of_unknown_size_is_taken_when_the_server_has_no_more(hub, tmp_path):
    hub.heads = False
    one = entry(files={"config.json": SMALL})
    one["files"][0]["size"] = None
    hub.truncate["config.json"] = 3
    with pytest.raises(UserError):
        run(hub, tmp_path, one)
    hub.truncate.clear()
    (partial,) = (tmp_path / ".partial/model").iterdir()
    partial.write_bytes(SMALL)
    hub.sent.clear()
    assert run(hub, tmp_path, one).landed == ("model/config.json",)
    assert hub.sent == {}


def test_the_stand_in_has_the_layout_that_the_hubs_own_client_expects(hub, tmp_path, monkeypatch):
    client = pytest.importorskip("huggingface_hub")
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", False)
    for name, data in FILES.items():
        path = client.hf_hub_download(
            REPOSITORY, name, revision=REVISION, cache_dir=tmp_path, endpoint=hub.address
        )
        assert Path(path).read_bytes() == data
    hub.token = "right"
    with pytest.raises(client.errors.GatedRepoError):
        client.hf_hub_download(
            REPOSITORY,
            "config.json",
            revision=REVISION,
            cache_dir=tmp_path / "other",
            endpoint=hub.address,
        )


def test_a_busy_server_is_tried_again(hub, tmp_path):
    hub.fail_first["config.json"] = 3
    assert "model/config.json" in run(hub, tmp_path).landed


def test_a_server_that_stays_busy_is_given_up(hub, tmp_path):
    hub.fail_first["config.json"] = 99
    with pytest.raises(UserError, match=r"cannot be had \(status 503\)"):
        run(hub, tmp_path)


def test_no_server_is_explained(tmp_path):
    with pytest.raises(UserError, match="check the connection"):
        run(FakeHub({}, port=9), tmp_path)


def test_a_server_that_forbids_a_head_is_asked_for_the_file_all_the_same(hub, tmp_path):
    hub.heads = False
    hub.head_status = 403
    assert len(run(hub, tmp_path).landed) == 2


def test_an_odd_status_is_reported(hub, tmp_path):
    hub.statuses["config.json"] = 418
    with pytest.raises(UserError, match="answered with status 418"):
        run(hub, tmp_path)


def test_a_file_of_unknown_hash_is_pinned_once_and_then_held_to_it(hub, tmp_path):
    watcher = Watcher()
    unknown = entry(files=FILES, known=False)
    done = run(hub, tmp_path, unknown, watcher=watcher)
    assert {pin.sha256 for pin in done.pinned} == {sha256(SMALL), sha256(LARGE)}
    assert any("no hash was known; pinned" in line for line in watcher.lines)
    lock = json.loads((tmp_path / "weights.lock.json").read_text())
    assert {pin["source"] for pin in lock["pins"]} == {f"{REPOSITORY}@{REVISION}"}
    weights(tmp_path, unknown).folder("model")
    (tmp_path / "model/config.json").unlink()
    hub.files["config.json"] = b"another"
    with pytest.raises(DamagedFile, match=r"model/config.json arrived altered"):
        run(hub, tmp_path, unknown)


def test_a_small_file_of_unknown_hash_is_never_resumed(hub, tmp_path):
    unknown = entry(files={"config.json": SMALL}, known=False)
    hub.truncate["config.json"] = 5
    with pytest.raises(UserError):
        run(hub, tmp_path, unknown)
    hub.truncate.clear()
    hub.asked.clear()
    run(hub, tmp_path, unknown)
    assert [one.range for one in hub.gets("config")] == [None]


def pickled(hub: FakeHub, **origin) -> dict:
    lines = {"path": "model.safetensors", "size": None, "sha256": None}
    origin = {"path": "weights.pth", "size": None, "sha256": None, **origin}
    return entry(
        source={"kind": "url", "base": f"{hub.address}/plain/"},
        files={},
    ) | {"files": [{**lines, "converted_from": origin}]}


def test_a_pickle_of_unknown_hash_is_refused_before_anything_is_asked(hub, tmp_path):
    with pytest.raises(Refused, match=r"model/weights.pth: a pickle whose hash .*--trust weights"):
        run(hub, tmp_path, pickled(hub))
    assert hub.asked == []


def test_a_pickle_is_checked_then_converted_and_removed(hub, tmp_path, monkeypatch):
    hub.files["weights.pth"] = b"pickle bytes"
    seen: list[bytes] = []

    def convert(source: Path, target: Path) -> None:
        seen.append(source.read_bytes())
        target.write_bytes(b"tensors")

    monkeypatch.setattr(pulling, "convert", convert)
    line = pickled(hub)
    done = run(hub, tmp_path, line, trusted={"weights.pth": sha256(b"pickle bytes").upper()})
    assert seen == [b"pickle bytes"]
    assert done.pinned[0].origin == sha256(b"pickle bytes")
    assert not (tmp_path / ".partial").exists()
    there = weights(tmp_path, line)
    assert (there.folder("model") / "model.safetensors").read_bytes() == b"tensors"
    assert len(there.digest("model")) == 64


def test_a_pickle_known_by_a_prefix_is_read_after_a_yes_and_pinned_whole(hub, tmp_path):
    import torch
    from safetensors.torch import load_file

    torch.save({"a": torch.ones(3)}, tmp_path / "w.pth")
    data = (tmp_path / "w.pth").read_bytes()
    hub.files["weights.pth"] = data
    root = tmp_path / "root"
    line = pickled(hub, sha256_prefix=sha256(data)[:8], size_about=len(data))
    with pytest.raises(Refused, match=r"model/weights.pth: .* after you agree: add --yes, or"):
        run(hub, root, line)
    assert hub.asked == []
    asked: list[str] = []
    done = run(hub, root, line, consent=lambda files: not asked.extend(f.label for f in files))
    assert asked == ["model/weights.pth"]
    (pin,) = done.pinned
    made = root / "model/model.safetensors"
    assert (pin.origin, pin.sha256) == (sha256(data), sha256(made.read_bytes()))
    assert load_file(made)["a"].tolist() == [1, 1, 1]
    there = weights(root, line)
    assert there.folder("model") == root / "model"
    assert len(there.digest("model")) == 64


def test_a_whole_hash_from_the_user_needs_no_yes(hub, tmp_path, monkeypatch):
    hub.files["weights.pth"] = b"pickle bytes"
    monkeypatch.setattr(pulling, "convert", lambda _, target: target.write_bytes(b"tensors"))
    line = pickled(hub, sha256_prefix=sha256(b"pickle bytes")[:8])
    run(hub, tmp_path, line, trusted={"weights.pth": sha256(b"pickle bytes")})


def test_a_pickle_of_another_prefix_never_reaches_the_converter(hub, tmp_path, monkeypatch):
    hub.files["weights.pth"] = b"pickle bytes"
    monkeypatch.setattr(pulling, "convert", lambda *_: pytest.fail("converted"))
    line = pickled(hub, sha256_prefix="0" * 8)
    with pytest.raises(
        DamagedFile, match=r"arrived altered: its sha256 is \w{64}, not 00000000\.\.\."
    ):
        run(hub, tmp_path, line, consent=lambda _: True)


def test_a_broken_off_pickle_known_by_a_prefix_is_resumed(hub, tmp_path, monkeypatch):
    monkeypatch.setattr(pulling, "convert", lambda _, target: target.write_bytes(b"tensors"))
    data = bytes(1000)
    hub.files["weights.pth"] = data
    hub.truncate["weights.pth"] = 600
    line = pickled(hub, sha256_prefix=sha256(data)[:8])
    with pytest.raises(UserError):
        run(hub, tmp_path, line, consent=lambda _: True)
    hub.truncate.clear()
    hub.asked.clear()
    run(hub, tmp_path, line, consent=lambda _: True)
    assert hub.gets("weights")[0].range is not None


def test_an_altered_pickle_never_reaches_the_converter(hub, tmp_path, monkeypatch):
    hub.files["weights.pth"] = b"pickle bytes"
    monkeypatch.setattr(pulling, "convert", lambda *_: pytest.fail("it was opened"))
    with pytest.raises(DamagedFile, match=r"weights.pth arrived altered"):
        run(hub, tmp_path, pickled(hub, sha256="0" * 64))


def test_an_md5_is_checked_where_that_is_all_there_is(hub, tmp_path):
    line = entry(files={"config.json": SMALL}, known=False)
    line["files"][0]["md5"] = "0" * 32
    with pytest.raises(DamagedFile, match="its md5 is"):
        run(hub, tmp_path, line)


def test_a_file_with_its_own_address_comes_from_there_without_the_token(hub, tmp_path):
    line = entry(files={"config.json": SMALL})
    line["files"][0]["url"] = f"{hub.address}/plain/config.json?dl=1"
    run(hub, tmp_path, line, token="secret")
    assert {one.authorization for one in hub.asked} == {None}


def test_a_file_may_have_another_name_at_its_source(hub, tmp_path):
    line = entry(files={"unet/model.safetensors": LARGE})
    hub.files["unet/model.fp16.safetensors"] = hub.files.pop("unet/model.safetensors")
    line["files"][0]["source_path"] = "unet/model.fp16.safetensors"
    assert run(hub, tmp_path, line).landed == ("model/unet/model.fp16.safetensors",)
    there = weights(tmp_path, line).folder("model")
    assert (there / "unet/model.safetensors").read_bytes() == LARGE


def test_a_disk_that_fills_up_is_one_line(hub, tmp_path, monkeypatch):
    def full(*_):
        raise OSError(28, "No space left on device", "x")

    monkeypatch.setattr(pulling, "fetch", full)
    with pytest.raises(UserError, match="No space left on device"):
        run(hub, tmp_path)


def test_the_partial_file_of_another_pull_stays(hub, tmp_path):
    other = put(tmp_path / ".partial/other", {"part": b"half"}) / "part"
    run(hub, tmp_path)
    assert other.exists()


def test_two_pulls_do_not_share_a_folder(hub, tmp_path):
    with pulling._only_one(tmp_path), pytest.raises(UserError, match="another pull is at work"):
        run(hub, tmp_path)


def test_ctrl_c_says_that_what_landed_is_kept(hub, tmp_path, monkeypatch):
    def pressed(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr(pulling, "wait", pressed)
    with pytest.raises(Interrupted, match="goes on from there"):
        run(hub, tmp_path)


def test_a_failure_stops_the_files_that_are_on_their_way(hub, tmp_path):
    big = {"big.safetensors": bytes(3_000_000)}
    hub.files |= big
    hub.per_second = 200_000
    hub.truncate["config.json"] = -1
    began = time.monotonic()
    with pytest.raises(DamagedFile, match=r"config.json"):
        run(hub, tmp_path, entry(files={**FILES, **big}))
    assert time.monotonic() - began < 10


PULL = """
import sys, httpx, msgspec
from pathlib import Path
from dnd_local.store.pins import Pins
from dnd_local.store.manifest import Manifest
from dnd_local.store.pull import Hosts, pull
from dnd_local.store.weights import Weights
from tests.store.hub import Watcher
root, manifest, address = sys.argv[1:]
there = Weights(Path(root), Manifest.read(Path(manifest)), Pins.read(Path(root) / "l"))
with httpx.Client() as client:
    pull(there, ["model"], client, Watcher(), hosts=Hosts(address))
"""


def test_a_pull_killed_midway_resumes_without_fetching_again(hub, tmp_path):
    big = bytes(range(256)) * 4096  # 1 MiB
    hub.files["big.safetensors"] = big
    files = {**FILES, "big.safetensors": big}
    root, described = tmp_path / "root", tmp_path / "manifest.json"
    described.write_bytes(pulling_manifest(files))
    hub.per_second = 400_000
    child = subprocess.Popen(
        [sys.executable, "-c", PULL, str(root), str(described), hub.address],
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])},
    )
    deadline = time.monotonic() + 60
    while hub.sent.get("big.safetensors", 0) < 300_000 or not (root / "model/config.json").exists():
        assert time.monotonic() < deadline
        time.sleep(0.02)
    child.send_signal(signal.SIGKILL)
    child.wait()
    have = sum(path.stat().st_size for path in (root / ".partial/model").iterdir())
    assert 0 < have < len(big) + len(LARGE)
    time.sleep(0.2)  # the server notices that nobody listens
    hub.asked.clear()
    hub.sent.clear()
    hub.per_second = 0
    run(hub, root, entry(files=files))
    assert sum(hub.sent.values()) == len(big) + len(LARGE) + len(SMALL) - have - done_before(
        hub, files
    )
    assert hub.gets("config.json") == []
    weights(root, entry(files=files)).folder("model")


def done_before(hub: FakeHub, files: dict[str, bytes]) -> int:
    """Bytes of the files that were whole when the pull was killed: those not asked for again."""
    again = {name for name in files if name in hub.sent}
    return sum(len(data) for name, data in files.items() if name not in again)


def pulling_manifest(files: dict[str, bytes]) -> bytes:
    import msgspec

    return msgspec.json.encode(manifest(entry(files=files)))


def test_the_environment_names_the_hub_and_the_token():
    assert Hosts.of({}) == Hosts("https://huggingface.co", "")
    named = {"HF_ENDPOINT": "https://mirror.example/", "HF_TOKEN": "t"}
    assert Hosts.of(named) == Hosts("https://mirror.example", "t")
