"""Everything that reads bytes of strangers: it must take them or refuse them, and never break."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from dnd_local.core.config_reading import read_config, read_toml
from dnd_local.core.conversations import Reply
from dnd_local.core.errors import DndError
from dnd_local.core.protocols import UnreadableImage
from dnd_local.core.records import Captions, Responses
from dnd_local.evaluate.packs import read_pack
from dnd_local.evaluate.planted_truth import read_planted
from dnd_local.evaluate.ratings import scoring_rules
from dnd_local.evaluate.tables import read_table
from dnd_local.evaluate.verdicts import read_verdicts
from dnd_local.pipeline.selection import read_selection
from dnd_local.stages.asking import check, clean
from dnd_local.store.archives import prepare
from dnd_local.store.bundle import opened, read_inventory
from dnd_local.store.images import decode
from dnd_local.store.manifest import parse_manifest
from dnd_local.store.openai_batch import read_batch_file, read_completion
from dnd_local.store.own_models import parse_own
from dnd_local.store.parts import PartFolder
from dnd_local.store.pins import parse_pins
from dnd_local.store.probe_sets import open_probe
from dnd_local.store.prompts import read_prompt
from dnd_local.store.release_prompts import import_release
from dnd_local.store.runs import RunFolder
from dnd_local.store.tensor_files import check_index, read_tensors
from dnd_local.store.trust import refuse_code
from tests.store.test_release_prompts import MAIN

CORPUS = Path(__file__).parent / "corpus"
"""A folder for each parser: files to begin with, and those that once broke it."""


@dataclass(frozen=True)
class Parser:
    """Reads bytes, in a folder that is empty at first; `refusals` are its own, by its docstring."""

    read: Callable[[bytes, Path], object]
    refusals: tuple[type[Exception], ...] = field(default=())

    def try_on(self, data: bytes) -> bool:
        """Return whether the bytes were taken; anything but a refusal is raised."""
        with tempfile.TemporaryDirectory() as folder:
            try:
                self.read(data, Path(folder))
            except (DndError, *self.refusals):
                return False
        return True


def _file(data: bytes, folder: Path, name: str) -> Path:
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
    return path


def _text(data: bytes) -> str:
    return data.decode("utf-8", "surrogateescape")


def _archive(name: str) -> Callable[[bytes, Path], object]:
    return lambda data, folder: prepare(
        "broden", _file(data, folder, name), folder / "data", folder / "cache", lambda _: None
    )


def _probe(name: str) -> Callable[[bytes, Path], object]:
    """Return what opens a probe set of one file and reads its images."""

    def read(data: bytes, folder: Path) -> None:
        path = _file(data, folder, f"in/{name}")
        probe = open_probe((str(path),), folder / "data", folder / "cache", {})
        for index in range(min(len(probe), 3)):
            try:
                probe.pixels(index)
            except UnreadableImage:
                continue

    return read


def _run(data: bytes, folder: Path) -> None:
    run = RunFolder(folder, "mine")
    run.folder.mkdir(parents=True)
    (run.folder / "run.json").write_bytes(data)
    run.read().wanted()


def _events(data: bytes, folder: Path) -> None:
    run = RunFolder(folder, "mine")
    run.folder.mkdir(parents=True)
    (run.folder / "events.jsonl").write_bytes(data)
    list(run.events())
    run.measured()
    run.event("asked", neurons={})


def _part(record: type, name: str) -> Callable[[bytes, Path], object]:
    def read(data: bytes, folder: Path) -> None:
        parts = PartFolder(folder, "stage", "0" * 16, record)
        _file(data, folder, str(parts.path(name).relative_to(folder)))
        parts.read(name)

    return read


def _release(data: bytes, folder: Path) -> None:
    _file(data, folder, "release/DnD_models.py")
    _file(MAIN.encode(), folder, "release/describe_neurons.py")
    import_release(folder / "release", folder / "out")


def _code(data: bytes, folder: Path) -> None:
    _file(data, folder, "config.json")
    refuse_code("model", folder, ["config.json"])


def _reply(data: bytes, folder: Path) -> None:
    text, problem = check(Reply(_text(data)), 5, 200)
    assert problem or clean(text).isprintable()


def _verdicts(data: bytes, folder: Path) -> None:
    read_verdicts(_file(data, folder, "verdicts.csv").parent)


def _pack(data: bytes, folder: Path) -> None:
    _file(LABELS, folder, "labels.jsonl")
    read_pack(_file(data, folder, "pack.json").parent)


LABELS = b'{"layer":"fc","neuron":0,"status":"described","label_1":"a dog"}\n'


def _bundle(data: bytes, folder: Path) -> None:
    path = _file(data, folder, "bundle.tar")
    with opened(path) as bundle:
        read_inventory(path, bundle)


PARSERS = {
    "picture": Parser(lambda data, folder: decode(data), (UnreadableImage,)),
    "ids": Parser(lambda data, folder: read_selection("layer4", _text(data))),
    "layers": Parser(lambda data, folder: read_selection(_text(data), "1")),
    "ids-file": Parser(lambda data, folder: read_selection("a", f"@{_file(data, folder, 'ids')}")),
    "config": Parser(lambda data, folder: read_config(read_toml(_file(data, folder, "c.toml")))),
    "table": Parser(lambda data, folder: read_table(_file(data, folder, "milan.csv"), "fc")),
    "verdicts": Parser(_verdicts),
    "ratings": Parser(lambda data, folder: scoring_rules(_file(data, folder, "r.csv"))),
    "truth": Parser(lambda data, folder: read_planted(_file(data, folder, "truth.json"))),
    "pack": Parser(_pack),
    "prompt": Parser(lambda data, folder: read_prompt(_file(data, folder, "simplify.txt"))),
    "release": Parser(_release),
    "replies": Parser(lambda data, folder: read_batch_file(_file(data, folder, "r"), {"0" * 64})),
    "completion": Parser(lambda data, folder: read_completion(data), (ValueError,)),
    "reply": Parser(_reply),
    "manifest": Parser(lambda data, folder: parse_manifest(data)),
    "own-models": Parser(lambda data, folder: parse_own(data, "own")),
    "pins": Parser(lambda data, folder: parse_pins(data, "lock")),
    "bundle": Parser(_bundle),
    "zip": Parser(_archive("a.zip")),
    "tar": Parser(_archive("a.tar")),
    "shard": Parser(_probe("shard.tar")),
    "array": Parser(_probe("a.npy")),
    "parquet": Parser(_probe("a.parquet")),
    "tensors": Parser(lambda data, folder: read_tensors([_file(data, folder, "m.safetensors")])),
    "index": Parser(lambda data, folder: check_index(_file(data, folder, "m.index.json"))),
    "model-settings": Parser(_code),
    "run": Parser(_run),
    "events": Parser(_events),
    "part": Parser(_part(Captions, "fc-00001")),
    "responses": Parser(_part(Responses, "fc-00000")),
}  # fmt: skip
"""By the name of their folder of the corpus."""


def mutated(data: bytes, choose: Callable[[int], int]) -> bytes:
    """Return bytes with one to four changes; `choose(n)` gives a number below n."""
    changed = bytearray(data)
    for _ in range(1 + choose(4)):
        at = choose(len(changed) + 1)
        match choose(7):
            case 0 if at < len(changed):
                changed[at] ^= 1 << choose(8)
            case 1:
                del changed[at : at + 1 + choose(8)]
            case 2:
                changed[at:at] = bytes(choose(256) for _ in range(1 + choose(4)))
            case 3:
                changed[at:at] = TOKENS[choose(len(TOKENS))]
            case 4:
                changed[at : at + 8] = TOKENS[choose(len(TOKENS))]
            case 5:
                start = choose(len(changed) + 1)
                changed[at:at] = changed[start : start + choose(64)]
            case _:
                del changed[at:]
    return bytes(changed)


TOKENS = tuple(
    text.encode("utf-8", "surrogatepass")
    for text in (
        "", "0", "-1", "999999999999999999999", "1e400", "NaN", "null", "[]", "{}", '"', "'", "\\",
        "\n", "\r", "\x00", "..", "/", "../x", "C:\\x", "true", "{" * 40, "[" * 2000,
        '{"a":' * 500, "\ud800", "\u202e", "\ufeff", "=1+1", ",", ";", "\t", "--- user\n", "$x",
        "${", "%s", "<b>", "</think>", json.dumps("\ud800"), "\x7f\xff", "a" * 300, "9" * 5000,
    )
)  # fmt: skip
"""What readers stumble over."""
