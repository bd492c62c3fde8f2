"""What the headers of safetensors files say."""

from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save_file

from dnd_local.core.errors import DamagedFile
from dnd_local.store.tensor_files import check_index, read_tensors
from tests.store import own


def test_size_and_precision_of_all_files_together(tmp_path):
    halves = [own.tensors(tmp_path / name, dtype=np.float16) for name in ("a", "b")]
    assert read_tensors(halves).precision == "float16"
    assert read_tensors(halves).size == sum(path.stat().st_size for path in halves)
    assert read_tensors([own.tensors(tmp_path / "c"), *halves]).precision == "mixed"


def test_packed_weights_are_of_mixed_precision_and_a_counter_changes_nothing(tmp_path):
    packed = {"w": np.zeros(400, np.int32), "scale": np.zeros(1, np.float16)}
    save_file(packed, tmp_path / "awq")
    assert read_tensors([tmp_path / "awq"]).precision == "mixed"
    save_file({"w": np.zeros(400, np.float32), "n": np.zeros(1, np.int64)}, tmp_path / "net")
    assert read_tensors([tmp_path / "net"]).precision == "float32"


def test_no_tensors_have_no_precision(tmp_path):
    save_file({}, tmp_path / "empty")
    assert read_tensors([tmp_path / "empty"]).precision is None


def test_a_file_cut_short_is_named(tmp_path):
    path = own.tensors(tmp_path / "w")
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(DamagedFile, match="w is not a whole safetensors file"):
        read_tensors([path])


def test_parts_hold_what_the_index_says(tmp_path):
    index = own.sharded(tmp_path) / "model.safetensors.index.json"
    check_index(index)
    own.tensors(tmp_path / "model-00002-of-00002.safetensors", "other")
    with pytest.raises(DamagedFile, match=r"'b' lies in model-00002-of-00002\.safetensors, which"):
        check_index(index)


@pytest.mark.parametrize("text", [b"{", b"\xff", b'{"weight_map": 3}', b"[" * 100_000])
def test_an_index_that_is_none_or_names_what_cannot_be_read(tmp_path: Path, text: bytes) -> None:
    index = tmp_path / "model.safetensors.index.json"
    index.write_bytes(text)
    with pytest.raises(DamagedFile, match="is no index of a model's parts"):
        check_index(index)
    for part in ("absent.safetensors", "cut.safetensors"):
        (tmp_path / "cut.safetensors").write_bytes(b"cut")
        index.write_text(f'{{"weight_map": {{"a": "{part}"}}}}')
        with pytest.raises(DamagedFile, match=f"names {part}, which cannot be read"):
            check_index(index)
