"""Taking weights off the disk."""

from __future__ import annotations

import pytest

from dnd_local.core.errors import Refused, UnknownName
from dnd_local.store.remove import remove
from tests.store.hub import entry, put, weights
from tests.store.test_weights import FILES, pin


def test_folder_pins_stamps_and_partial_files_go(tmp_path):
    put(tmp_path / "model", FILES)
    put(tmp_path / ".partial/model", {"part": b"123"})
    put(tmp_path / "other", {"x": b""})
    there = weights(tmp_path, entry(files=FILES, known=False))
    pin(there)
    there.folder("model")
    assert remove(there, "model") == sum(map(len, FILES.values())) + 3
    left = sorted(path.relative_to(tmp_path).as_posix() for path in tmp_path.rglob("*"))
    assert left == [".partial", ".verified", "other", "other/x", "weights.lock.json"]
    assert there.pins.every() == ()
    assert remove(there, "model") == 0


def test_what_ships_and_what_is_a_link_stays(tmp_path):
    put(tmp_path / "elsewhere", FILES)
    (tmp_path / "model").symlink_to(tmp_path / "elsewhere")
    there = weights(
        tmp_path,
        entry(files=FILES),
        entry("toy", FILES, source={"kind": "shipped", "folder": "toy"}),
    )
    with pytest.raises(Refused, match="is a link"):
        remove(there, "model")
    with pytest.raises(Refused, match="ships with dnd-local"):
        remove(there, "toy")
    with pytest.raises(UnknownName):
        remove(there, "absent")
    assert (tmp_path / "elsewhere/config.json").exists()
