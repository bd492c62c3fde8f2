"""No byte of a model is trusted: what was altered or slipped in stops a run before it begins."""

from __future__ import annotations

import builtins
import io
import pickle
import random
import shutil
from pathlib import Path
from typing import Any

import pytest

from dnd_local.core.errors import DamagedFile, Refused
from dnd_local.engines import language_models, registry
from dnd_local.pipeline.smoke import trial_models
from dnd_local.store import weights as store
from dnd_local.store.weights import Weights
from tests.cli.conftest import Command, Said
from tests.pocket_pack import FILES, PocketPack, flip

EACH_FILE = [(folder, path) for folder, files in FILES.items() for path in files]
PICKLES = ("pytorch_model.bin", "model.pt", "weights.PTH", "data.pkl", "last.ckpt", "a.joblib")
OPENERS = {
    "target": registry,
    "language_model": language_models,
    "built_in": registry,
    "factory": registry,
}


@pytest.fixture
def pack(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> PocketPack:
    """A pack that commands take for what ships, whose models must never be built."""
    made = PocketPack.made(tmp_path / "pack")
    monkeypatch.setattr(store, "_shipped_models", lambda: made.models)
    for name, module in OPENERS.items():
        monkeypatch.setattr(
            module, f"open_{name}", lambda *_, name=name: pytest.fail(f"{name} was built")
        )
    return made


def dissect(command: Command, pack: PocketPack, *options: str) -> Said:
    words = ["dissect", "pocket", "layer4", "--ids", "1", "--manifest", pack.manifest]
    return command(*words, *options)


def test_an_unaltered_pack_goes_as_far_as_its_first_model(
    command: Command, pack: PocketPack
) -> None:
    """The control: nothing but a change to a file stops the runs below."""
    with pytest.raises(pytest.fail.Exception, match="target was built"):
        dissect(command, pack)


@pytest.mark.parametrize(("folder", "path"), EACH_FILE)
def test_a_bit_flipped_in_any_file_stops_the_run_by_name(
    command: Command, pack: PocketPack, tmp_path: Path, folder: str, path: str
) -> None:
    altered = pack.models / folder / path
    for bit in (0, random.Random(path).randrange(10_000), -1):
        whole = altered.read_bytes()
        flip(altered, bit)
        said = dissect(command, pack, "--workers", "2" if bit else "1")
        assert said.code == 2
        assert said.err.startswith(f"dnd-local: 'pocket-{folder}': {altered} is altered: ")
        assert "install dnd-local again" in said.err
        assert len(said.err.splitlines()) == 1
        altered.write_bytes(whole)
    assert not (tmp_path / "workspace").exists()


@pytest.mark.parametrize("data", [b"", b"{", b"{} "], ids=["empty", "shorter", "longer"])
def test_another_length_stops_it_too(command: Command, pack: PocketPack, data: bytes) -> None:
    (pack.models / "llm" / "config.json").write_bytes(data)
    said = dissect(command, pack)
    assert (said.code, f"is {len(data)} bytes long, not 2" in said.err) == (2, True)


class Canary:
    """Leaves a mark if it is ever unpickled."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.touch, (self.mark,)


@pytest.fixture
def opened(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The names of files that are opened from now on."""
    names: list[str] = []
    real = io.open

    def spy(file: Any, *given: Any, **named: Any) -> Any:
        names.append(str(file))
        return real(file, *given, **named)

    monkeypatch.setattr(io, "open", spy)
    monkeypatch.setattr(builtins, "open", spy)
    return names


@pytest.mark.parametrize("pickled", PICKLES)
@pytest.mark.parametrize("folder", [*FILES, "painter/unet"])
def test_a_pickle_in_any_model_folder_is_never_opened(
    command: Command, pack: PocketPack, tmp_path: Path, opened: list[str], folder: str, pickled: str
) -> None:
    mark, slipped_in = tmp_path / "mark", pack.models / folder / pickled
    slipped_in.write_bytes(pickle.dumps(Canary(mark)))
    opened.clear()
    said = dissect(command, pack)
    assert said.code == 2
    assert f"{slipped_in} can run code when it is loaded" in said.err
    assert any(name.endswith("manifest.json") for name in opened), "the spy sees nothing"
    assert str(slipped_in) not in opened
    assert not mark.exists()


def test_the_canary_sings_if_it_is_unpickled(tmp_path: Path) -> None:
    """The control of the test above."""
    pickle.loads(pickle.dumps(Canary(tmp_path / "mark")))
    assert (tmp_path / "mark").exists()


# ---- the models that ship ----------------------------------------------------------------------

SHIPPED = tuple(entry.id for entry in Weights.open().manifest.select(["pocket"]))


@pytest.fixture(params=SHIPPED)
def real(request: pytest.FixtureRequest, tmp_path: Path) -> tuple[str, Path]:
    """A model's id and the folder of a copy of it."""
    here = Weights.open()
    if here.missing([request.param]):
        pytest.skip(f"this copy has no weights of {request.param}")
    entry = here.manifest.entry(request.param)
    copy = tmp_path / here.place(entry).name
    return request.param, Path(shutil.copytree(here.place(entry), copy))


def opening(name: str, folder: Path) -> Path:
    here = Weights.open()
    return Weights(here.root, here.manifest, here.pins, folder.parent).folder(name)


def test_all_that_runs_is_among_what_ships() -> None:
    assert set(trial_models().values()) <= set(SHIPPED)


def test_a_bit_flipped_in_a_model_that_ships_is_found(real: tuple[str, Path]) -> None:
    name, folder = real
    assert opening(name, folder) == folder
    for path in sorted(path for path in folder.rglob("*") if path.is_file()):
        for bit in (0, random.Random(path.name).randrange(1 << 40), -1):
            flip(path, bit)
            with pytest.raises(DamagedFile, match=rf"{path.name} is altered"):
                opening(name, folder)
            flip(path, bit)
    assert opening(name, folder) == folder


def test_a_pickle_beside_a_model_that_ships_is_refused(real: tuple[str, Path]) -> None:
    name, folder = real
    mark = folder.parent / "mark"
    for place in (folder, *(path for path in folder.iterdir() if path.is_dir())):
        for pickled in PICKLES:
            (place / pickled).write_bytes(pickle.dumps(Canary(mark)))
            with pytest.raises(Refused, match=f"{pickled} can run code"):
                opening(name, folder)
            (place / pickled).unlink()
    assert not mark.exists()
