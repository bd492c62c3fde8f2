"""Packs: what goes in comes out, and a pack that is not whole is refused."""

from __future__ import annotations

import json
from pathlib import Path

import msgspec
import pyarrow.parquet
import pytest

from dnd_local.core.errors import DamagedFile, Refused, UserError
from dnd_local.evaluate import packs
from dnd_local.evaluate.comparisons import recall, remember
from dnd_local.evaluate.describers import open_describer, table_of_run
from dnd_local.evaluate.pack_card import public_settings
from dnd_local.evaluate.packs import read_pack, write_pack
from dnd_local.evaluate.tables import read_table
from dnd_local.evaluate.verdicts import Judged, Verdict, write_verdicts
from dnd_local.pipeline.reading import StoredRun, open_run
from tests.bench import Bench
from tests.fakes import LAYER

TABLES = ("labels", "candidates")


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> StoredRun:
    bench = Bench(tmp_path / "work", monkeypatch)
    bench.run("0-3", name="mine")
    return open_run("mine", bench.workspace)


@pytest.fixture
def pack(run: StoredRun, tmp_path: Path) -> Path:
    write_pack(run, tmp_path / "pack")
    return tmp_path / "pack"


def test_a_pack_is_the_describer_that_the_run_is(run: StoredRun, pack: Path) -> None:
    assert read_pack(pack).table == table_of_run(run)
    assert open_describer(str(pack), LAYER).table == table_of_run(run)
    assert open_describer(str(pack)).format == "pack of schema 1"
    # Each labels table can be read by itself too; CSV has no more digits to lose.
    assert read_table(pack / "labels.csv").table == table_of_run(run)


def test_a_report_remembers_a_pack_by_its_full_path(
    run: StoredRun, pack: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    remember(run, ["pack"])
    monkeypatch.chdir("/")
    assert recall(run).others[0].table == table_of_run(run)


def test_the_three_forms_hold_the_same(pack: Path) -> None:
    for name in TABLES:
        lines = [json.loads(line) for line in (pack / f"{name}.jsonl").read_text().splitlines()]
        table = pyarrow.parquet.read_table(pack / f"{name}.parquet")
        assert table.to_pylist() == lines
        assert table.schema.metadata[b"dnd_local_schema"] == b"1"
        assert table.column_names == (pack / f"{name}.csv").read_text().splitlines()[0].split(",")
    assert (
        str(pyarrow.parquet.read_schema(pack / "labels.parquet").field("support").type) == "double"
    )


def test_the_index_says_where_labels_come_from_and_no_path(pack: Path, tmp_path: Path) -> None:
    found = json.loads((pack / "pack.json").read_text())
    assert (found["format"], found["schema"], found["describer"]) == ("dnd-local pack", 1, "mine")
    assert found["counts"] == {"dead": 1, "described": 3, "neurons": 4}
    assert set(found["files"]) == {
        "README.md", *(f"{name}.{end}" for name in TABLES for end in ("csv", "jsonl", "parquet"))
    }  # fmt: skip
    assert {"settings", "ledger", "keys", "models", "prompts"} <= set(found["provenance"])
    assert all(str(tmp_path) not in path.read_text(errors="replace") for path in pack.iterdir())
    card = (pack / "README.md").read_text()
    assert "Labels of 3 of 4 neurons" in card
    assert "were not judged" in card


def test_paths_of_folders_and_factories_stay_at_home(run: StoredRun) -> None:
    config = run.record.config
    config = msgspec.structs.replace(
        config,
        network=msgspec.structs.replace(config.network, name="/home/me/net.py:make"),
        probe=msgspec.structs.replace(config.probe, sets=("/data/mine", "broden")),
    )
    public = public_settings(config)
    assert public["network"]["name"] == "net.py:make"
    assert public["probe"]["sets"] == ["mine", "broden"]


def test_verdicts_go_along(run: StoredRun, tmp_path: Path) -> None:
    first = run.descriptions()[0].labels[0].text
    judged = Judged("auc", 0.9, 0.8, 1.0, 0.5, 0.6, 0.5, 1.0)
    verdict = Verdict(LAYER, 0, first, "no better than the null", 0.5, (judged,))
    write_verdicts(run.folder, [verdict])
    written = write_pack(run, tmp_path / "pack")
    assert written.counts["verdict abstained"] == 1
    line = json.loads((tmp_path / "pack" / "labels.jsonl").read_text().splitlines()[0])
    assert (line["verdict"], line["support"]) == ("abstained", 0.5)
    assert (tmp_path / "pack" / "verdicts.parquet").exists()
    assert "do not rely on it" in (tmp_path / "pack" / "README.md").read_text()
    # Written anew without verdicts, it has none left over.
    (run.folder.folder / "verdicts.csv").unlink()
    write_pack(run, tmp_path / "pack")
    assert not (tmp_path / "pack" / "verdicts.parquet").exists()


def test_the_same_run_makes_the_same_bytes(run: StoredRun, pack: Path, tmp_path: Path) -> None:
    write_pack(run, tmp_path / "again")
    for path in pack.iterdir():
        assert path.read_bytes() == (tmp_path / "again" / path.name).read_bytes()


def test_a_pack_that_was_stopped_is_none(
    run: StoredRun, pack: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def stop(path: Path, data: bytes) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(packs, "write_atomic", stop)
        with pytest.raises(KeyboardInterrupt):
            write_pack(run, pack)
    assert not packs.is_pack(pack)
    with pytest.raises(UserError, match=r"is no pack: pack\.json cannot be read"):
        read_pack(pack)
    write_pack(run, pack)
    assert read_pack(pack).table.rows


def test_a_folder_of_other_things_is_left_alone(run: StoredRun, tmp_path: Path) -> None:
    (tmp_path / "thesis").mkdir()
    (tmp_path / "thesis" / "chapter.tex").write_text("mine")
    with pytest.raises(Refused, match=r"holds chapter\.tex, which is of no pack"):
        write_pack(run, tmp_path / "thesis")
    with pytest.raises(Refused, match="is a file"):
        write_pack(run, tmp_path / "thesis" / "chapter.tex")


def test_what_is_not_whole_is_refused(pack: Path) -> None:
    with pytest.raises(UserError, match="has no neuron of layer 'fc'; it has colours"):
        read_pack(pack, "fc")
    index = pack / "pack.json"
    whole = index.read_text()
    for changed, error, message in (
        (
            whole.replace('"schema": 1', '"schema": 2'),
            Refused,
            "has schema 2; this version reads 1",
        ),
        (whole.replace("labels.csv", "../labels.csv"), DamagedFile, "outside of the pack"),
        (whole.replace("labels.csv", "labelz.csv"), DamagedFile, "labelz.csv cannot be read"),
        ("{", DamagedFile, "is no pack's"),
        ('{"format": "other"}', DamagedFile, "is no pack's"),
    ):
        index.write_text(changed)
        with pytest.raises(error, match=message):
            read_pack(pack)
    index.write_text(whole)
    labels = pack / "labels.jsonl"
    labels.write_text(labels.read_text().replace("red", "dog"))
    with pytest.raises(DamagedFile, match=r"labels\.jsonl is not what pack\.json promises"):
        read_pack(pack)


def test_lines_that_cannot_be_read_are_refused_whatever_their_hash(pack: Path) -> None:
    (pack / "labels.jsonl").write_text("{}\n")
    index = json.loads((pack / "pack.json").read_text())
    index["files"]["labels.jsonl"] = packs.sha256(b"{}\n")
    (pack / "pack.json").write_text(json.dumps(index))
    with pytest.raises(DamagedFile, match=r"labels\.jsonl cannot be read"):
        read_pack(pack)


def test_a_run_without_labels_is_not_packed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bench = Bench(tmp_path / "work", monkeypatch)
    bench.run("3", name="dead")
    with pytest.raises(UserError, match="no label to pack: none of its neurons is finished"):
        write_pack(open_run("dead", bench.workspace), tmp_path / "pack")
    assert not (tmp_path / "pack").exists()
