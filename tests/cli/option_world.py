"""A world in which every command runs in a moment, and all that an option can change is seen.

A side of a comparison is one folder. Its `Outcome` has what the command said, the files that it
left (a part's folder is named after its key), and the devices and executors that it asked for.
"""

from __future__ import annotations

import hashlib
import json
import re
import shlex
import shutil
import sys
import zipfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from dnd_local.cli import main
from dnd_local.core.config import Config, Execution, ProbeConfig
from dnd_local.engines import language_model_vllm, language_models, registry
from dnd_local.evaluate import hard_bench, null_tests, pocket_bench
from dnd_local.evaluate.hard_bench import HardBench
from dnd_local.evaluate.hard_figures import Answer
from dnd_local.pipeline import doctor, opening, runner, session, smoke
from dnd_local.pipeline.describers import import_replies, next_round
from dnd_local.pipeline.doctor import Finding
from dnd_local.pipeline.executors import InProcess
from dnd_local.pipeline.reading import open_run
from dnd_local.pipeline.selection import Selection
from dnd_local.pipeline.sharing import Shared
from dnd_local.store import add, commands, pull
from dnd_local.store import weights as weights_store
from dnd_local.store.leases import Leases
from dnd_local.store.resources import shipped
from dnd_local.store.weights import Weights
from tests.bench import Bench
from tests.cli.test_prompts import reply_to
from tests.engines.fake_llm_server import FakeServer, said
from tests.evaluate.colours import ManyColours
from tests.fakes import LAYER, engines, flat
from tests.store.hub import FakeHub, entry, manifest, serving
from tests.store.own import settings, single, tensors
from tests.store.test_release_prompts import MAIN, MODELS

TEXT_FILES = (".csv", ".jsonl", ".html")
PEOPLE = "layer,unit,summary\n" + "".join(
    f"{LAYER},{unit},{text}\n"
    for unit, texts in enumerate((("red", "red things", "dog"), ("sky", "a car"), ("blue", "blue")))
    for text in texts
)
RATINGS = "Layer,Unit," + ",".join(
    f"{rule} {rater} Rating"
    for rater in ("E1", "E2")
    for rule in ("Mean Caption", "Topk-Sq", "Image-Products", "Topk-Compare")
)
PICKLE = b"pickle bytes"
SECTIONS = {
    "target": "network", "captioner": "captions", "language-model": "llm", "painter": "pictures",
    "embedder": "clip",
}  # fmt: skip
"""The settings that each engine is opened with."""


@dataclass(frozen=True)
class Outcome:
    """All that a command's options can change."""

    code: int
    out: str
    err: str
    files: tuple[tuple[str, str], ...]
    asked: tuple[str, ...]


class Probe(ManyColours):
    """Another probe set for each name, and for each folder of prepared sets that holds one."""

    def __init__(self, config: ProbeConfig, execution: Execution) -> None:
        super().__init__(60)
        prepared = (execution.data / "prepared").is_file()
        self.digest = hashlib.sha256(repr((config.sets, prepared)).encode()).hexdigest()


class WordEncoder:
    """An axis a word: texts that share words are alike."""

    def __enter__(self) -> WordEncoder:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def embed_texts(self, texts: Sequence[str]) -> NDArray[np.float32]:
        vectors = np.full((len(texts), 64), 0.01, dtype=np.float32)
        for row, text in zip(vectors, texts, strict=True):
            for word in text.split():
                row[int(hashlib.sha256(word.encode()).hexdigest(), 16) % 64] += 1
        return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


class PairScorer:
    """In place of BERTScore: the share of letters that two texts have in common."""

    def __init__(self, folder: Path, devices: Sequence[str]) -> None:
        pass

    def score(self, left: Sequence[str], right: Sequence[str]) -> NDArray[np.float32]:
        shares = [len(set(a) & set(b)) / len(set(a + b)) for a, b in zip(left, right, strict=True)]
        return np.array(shares, dtype=np.float32)


class OptionWorld:
    """Runs commands in a folder of their own, `root`, over fake engines."""

    def __init__(
        self, monkeypatch: pytest.MonkeyPatch, made: Path, root: Path, *, terminal: bool = False
    ) -> None:
        self.root, self.patch, self.terminal = root, monkeypatch, terminal
        self.asked: list[str] = []
        shutil.copytree(made, root)
        for name in ("WORKSPACE", "DATA", "WEIGHTS"):
            monkeypatch.setenv(f"DND_LOCAL_{name}", str(root / name.lower()))
        monkeypatch.setenv("COLUMNS", "300")
        monkeypatch.chdir(root)
        monkeypatch.setattr(null_tests, "RESAMPLES", 50)
        self.open_engine = opening.open_engine
        self.model_ids = opening.model_ids
        bench = Bench(root / "workspace", monkeypatch)
        monkeypatch.setattr(opening, "open_engine", self._open_engine(bench))
        monkeypatch.setattr(opening, "open_probe_set", Probe)
        monkeypatch.setattr(session, "Crew", self._crew)
        monkeypatch.setattr(session, "joined", self._joined)
        monkeypatch.setattr(session, "Shared", self._shared)
        self._fake_metrics()

    def run_line(self, line: str) -> Outcome:
        """Return what a line of words came to; {root} and {server} are filled in."""
        if "{server}" not in line:
            return self.run(shlex.split(line.format(root=self.root)))
        with self.server() as address:
            outcome = self.run(shlex.split(line.format(root=self.root, server=address)))
        return replace(outcome, asked=tuple(self.asked))

    def run(self, words: Sequence[str]) -> Outcome:
        """Return what a command came to."""
        out, err = SimpleNamespace(text=""), SimpleNamespace(text="")
        self.patch.setattr(sys, "argv", ["dnd-local", *words])
        streams = (_Stream(out, self.terminal), _Stream(err, False))
        self.patch.setattr(sys, "stdout", streams[0])
        self.patch.setattr(sys, "stderr", streams[1])
        try:
            main.run()
            code = 0
        except SystemExit as exit_:
            code = int(exit_.code or 0)
        return Outcome(
            code, self._plain(out.text), self._plain(err.text), tuple(self._files()),
            tuple(dict.fromkeys(self.asked)),
        )  # fmt: skip

    def _plain(self, text: str) -> str:
        return text.replace(str(self.root), "ROOT")

    def _files(self) -> Iterator[tuple[str, str]]:
        """Yield every file's path, with its content where no time of day is in it."""
        for path in sorted(self.root.rglob("*")):
            if path.is_file():
                name = path.relative_to(self.root).as_posix()
                # Named after the folder that was read, which each side has of its own.
                name = re.sub(r"(cache/.*)[0-9a-f]{16}", r"\1DIGEST", name)
                text = path.suffix in TEXT_FILES and "events" not in path.name
                content = self._plain(path.read_text("utf-8")) if text else ""
                yield name, hashlib.sha256(content.encode()).hexdigest() if text else ""

    def _open_engine(self, bench: Bench) -> Callable[..., Any]:
        @contextmanager
        def open_engine(
            role: str, config: Config, execution: Execution, _: object, device: str
        ) -> Iterator[Any]:
            if role == "language-model" and (execution.llm_url or execution.vllm_python):
                here = not execution.llm_url
                folders = [Weights.open().folder(config.llm.model)] if here else []
                with language_models.open_language_model(config.llm, folders, execution) as engine:
                    yield engine
                return
            settings = getattr(config, SECTIONS[role])
            self.asked.append(f"{role} on {device} of {','.join(execution.devices)}, {settings}")
            yield {**engines(bench.calls), **bench.replaced}[role]

        return open_engine

    def _crew(self, lab: Any, hire: Any) -> Any:
        self.asked.append(f"{lab.execution.workers} processes")
        here = InProcess(lab)
        return SimpleNamespace(free=here.free, make=here.make, close=lambda: None)

    def _joined(self, address: str) -> Any:
        self.asked.append(f"the cluster '{address}'")
        return nullcontext()

    def _shared(self, lab: Any, leases: Leases) -> Shared:
        self.asked.append("parts that nobody has in hand")
        return Shared(lab, leases)

    def _fake_metrics(self) -> None:
        def encoder(*given: Any) -> WordEncoder:
            self.asked.append(f"encoder on {','.join(given[-1])}")
            return WordEncoder()

        real = registry.adapter
        scorer = SimpleNamespace(BertScorer=PairScorer)
        self.patch.setattr(registry, "open_text_encoder", encoder)
        self.patch.setattr(registry, "open_built_in", encoder)
        self.patch.setattr(
            registry, "adapter", lambda name: scorer if name == "bertscore" else real(name)
        )

    # ---- what single commands need -------------------------------------------------------------

    @contextmanager
    def prepared_for(self, command: str) -> Iterator[None]:
        """Set up what a command needs besides."""
        if command == "report":
            self.patch.setattr("webbrowser.open", lambda address: self.asked.append("browser"))
        if command == "doctor":
            self.patch.setattr(doctor, "output_of", lambda *_: "")
            fine = Finding("smoke", "one picture", "ok", "went through")
            self.patch.setattr(smoke, "smoke_run", lambda *_: [fine])
        if command == "pocket bench":
            self._small_bench()
        if command == "prompts import":
            self._answer_all()
        if command == "probe info":
            self.run(["probe", "prepare", "broden", "broden.zip", "--data", "prepared-data"])
        if command == "weights add":
            self.patch.setattr(add, "convert", lambda _, target: tensors(target))
        if command == "weights pull":
            with self._hub():
                yield
            return
        if command.startswith("weights") and command != "weights add":
            self._models()
        if command == "weights unpack":
            self.run(["weights", "pack", "model", "--output", "bundle.tar", "--no-wheels"])
        if command == "weights verify":
            self.run(["weights", "verify", "model"])
            self._watch_hashing()
        self.asked.clear()
        yield

    @contextmanager
    def server(self) -> Iterator[str]:
        """Hand over the address of a server that takes its time; what it saw is kept."""

        def answer(text: str, attempt: int) -> bytes:
            return said("red things")

        patience = language_model_vllm._patience
        self.patch.setattr(
            language_model_vllm, "_patience",
            lambda *given: replace(patience(*given), backoff_s=0.01),
        )  # fmt: skip

        with FakeServer(answer, delay_s=0.15) as server:
            yield f"unix:{server.path}"
            self.asked.append(f"{server.most} requests at once")

    def _answer_all(self) -> None:
        """Fill the book of a describer, so that an import goes on to pictures and scores."""
        run = open_run("mine", self.root / "workspace")
        while (questions := next_round(run, "gpt-4o")).requests:
            path = self.root / "round.jsonl"
            (lines,) = questions.files("gpt-4o")
            path.write_text("\n".join(lines))
            import_replies(run, "gpt-4o", reply_to(path, self.root / "replies.jsonl"))

    def _watch_hashing(self) -> None:
        hashed = weights_store.file_sha256

        def watched(path: Path, *given: Any) -> str:
            self.asked.append(f"hash of {path.name}")
            return hashed(path, *given)

        self.patch.setattr(weights_store, "file_sha256", watched)

    def _small_bench(self) -> None:
        """The bench's captions of a few pictures, and a description of one neuron."""
        described = runner.dissect_neurons
        self.patch.setattr(pocket_bench, "CAPTIONED", 12)
        self.patch.setattr(
            pocket_bench, "dissect",
            lambda config, execution, _, name, progress: described(
                config, execution, Selection((LAYER,), (0,)), name, progress
            ),
        )  # fmt: skip
        for name in ("picture", "label", "truth", "selection", "planted"):
            self.patch.setattr(pocket_bench, f"{name}_figures", lambda *_: {})
        self.patch.setattr(
            hard_bench, "run_hard_bench",
            lambda execution, progress, **asked: HardBench(
                (Answer("-".join(map(str, asked.values())), 0, "single", "dog", "right", 1.0),),
                execution.workspace,
            ),
        )  # fmt: skip

    def _models(self) -> None:
        made = manifest(
            entry(files={"a.txt": b"a"}),
            entry("toy", {}, source={"kind": "shipped", "folder": "toy"}),
        )
        self.patch.setattr(weights_store.Manifest, "read", lambda _=None: made)
        self.patch.setattr(commands, "output_of", self._pip)

    def _pip(self, command: Sequence[str], *_: object, **__: object) -> str:
        self.asked.append(f"{command[0]} makes wheels")
        return json.dumps([{"name": "vllm", "version": "0.32.0"}])

    @contextmanager
    def _hub(self) -> Iterator[None]:
        """A hub with a plain file, and a pickle of which no hash is known."""
        with serving(FakeHub({"a.txt": b"a", "b.txt": b"b", "w.pth": PICKLE})) as hub:
            self.patch.setenv("HF_ENDPOINT", hub.address)
            prefix = hashlib.sha256(PICKLE).hexdigest()[:8]
            origin = {"path": "w.pth", "size": None, "sha256": None}
            file = {"path": "model.safetensors", "size": None, "sha256": None}
            source = {"kind": "url", "base": f"{hub.address}/plain/"}
            lines = [entry("model", {"a.txt": b"a", "b.txt": b"b"})]
            for name, known in (("unknown", {}), ("half", {"sha256_prefix": prefix})):
                line = entry(name, {}, source=source, profiles=[])
                lines.append(line | {"files": [file | {"converted_from": origin | known}]})
            lines[2] |= {"network": "torchvision:net@V1"}
            made = manifest(*lines)
            self.patch.setattr(weights_store.Manifest, "read", lambda _=None: made)
            self.patch.setattr(pull, "convert", lambda _, target: target.write_bytes(b"tensors"))
            pool = pull.ThreadPoolExecutor

            def counted(max_workers: int) -> Any:
                self.asked.append(f"{max_workers} files at once")
                return pool(max_workers)

            self.patch.setattr(pull, "ThreadPoolExecutor", counted)
            yield


class _Stream:
    """A text stream that says whether it is a terminal."""

    encoding = "utf-8"

    def __init__(self, kept: Any, terminal: bool) -> None:
        self.kept, self.terminal = kept, terminal

    def write(self, text: str) -> int:
        self.kept.text += text
        return len(text)

    def flush(self) -> None:
        pass

    def isatty(self) -> bool:
        return self.terminal


def make_world(root: Path) -> None:
    """Write the files that the commands read: a run of three neurons among them."""
    root.mkdir()
    with pytest.MonkeyPatch.context() as patch:
        bench = Bench(root / "workspace", patch)
        patch.setattr(opening, "open_probe_set", Probe)
        bench.run("0-2", name="mine", probe={"chunk": 7, "holdout": 0.5})
        bench.run("0-2", name="whole")
    _damage(shutil.copytree(root / "workspace", root / "damaged"))
    for place, text in FILES.items():
        path = root / place
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    for folder in ("clip", "encoder", "roberta"):
        (root / folder).mkdir()
    single(root / "blip")
    settings(root / "pickled/config.json", {"model_type": "blip"})
    (root / "pickled/pytorch_model.bin").write_bytes(PICKLE)
    shutil.copytree(shipped("prompts"), root / "prompts")
    for name in ("simplify", "picture"):
        prompt = root / "prompts" / f"{name}.txt"
        prompt.write_text(
            prompt.read_text().replace("realistic", "true").replace("phrase", "words")
        )
    for name, size in (("one", 4), ("two", 6)):
        for number in range(2):
            picture = root / "pictures" / f"{name}-{number}.png"
            picture.parent.mkdir(exist_ok=True)
            Image.new("RGB", (size, size), (10 * number, 0, 0)).save(picture)
    for name, colour in (("red", 0), ("green", 1), ("sky", 2)):
        for number in range(4):
            for top in ("by-class",) if name == "sky" else ("by-class", "two-classes"):
                picture = root / top / name / f"{number}.png"
                picture.parent.mkdir(parents=True, exist_ok=True)
                Image.fromarray(flat(colour, 150 + 30 * number)).save(picture)
    with zipfile.ZipFile(root / "broden.zip", "w") as archive:
        for picture in sorted((root / "pictures").iterdir()):
            archive.write(picture, picture.name)
    vllm = root / "vllm-python"
    vllm.write_text(VLLM)
    vllm.chmod(0o755)
    shutil.copy(vllm, root / "no-vllm")
    (root / "no-vllm").write_text('#!/bin/sh\necho \'{"version": "", "bitsandbytes": false}\'\n')


def _damage(workspace: Path) -> None:
    """Cut a part off, and leave work that no run refers to."""
    shutil.rmtree(workspace / "runs" / "mine")
    part = next(workspace.glob("artefacts/captions-*/*-00000.json"))
    part.write_bytes(part.read_bytes()[:-1])


VLLM = """#!/bin/sh
if [ "$1" = -c ]; then echo '{"version": "0.32.0", "bitsandbytes": false}'; exit; fi
echo "started with: $@" >&2
exit 1
"""
"""In place of a Python that has vLLM: says so, and how it was started."""

MANY = ("red", "dog", "on", "green", "grass", "blue", "sky")
FILES = {
    "broken/weights.lock.json": "{",
    "broken-manifest.json": "{",
    "data-there/prepared": "",
    "net.py": "from tests.pipeline.tiny_net import make\n",
    "settings.toml": "[network]\nbatch = 5\n",
    "concepts.txt": "blue\ngreen\nred\n",
    "other-concepts.txt": "blue\ngreen\ndog\n",
    "classes.txt": "red\ngreen\nsky\n",
    "swapped.txt": "green\nred\nsky\n",
    "people.csv": PEOPLE,
    "people-two.csv": PEOPLE + "second,0,dog\nsecond,0,dog\n",
    "labels.csv": f"layer,unit,description\n{LAYER},0,green\n{LAYER},1,blue\n{LAYER},2,red\n",
    "two.csv": f"layer,unit,description\n{LAYER},0,red dog\n{LAYER},1,green\n{LAYER},2,sky\n"
    "second,0,dog\nsecond,1,cat\nsecond,2,sea\n",
    "bare.csv": "Neuron ID,label\n0,red cat\n1,green sky\n2,grass\n",
    "other.csv": "Neuron ID,label\n0,red\n1,a sky\n2,grass\n",
    "truth.json": json.dumps(
        {
            "concepts": {name: {"kind": "colour"} for name in ("red", "green", "blue")},
            "neurons": {LAYER: {"0": "red", "1": "red", "2": "blue"}, "second": {"0": "red"}},
        }
    ),
    "baseline.tsv": "LAYER,P,R,F\n17,0.5,0.5,0.5\n",
    "ratings.csv": f"{RATINGS}\n"
    + "".join(
        f"1,{unit}," + ",".join(str(1 + (unit * (3 + k) + k) % 5) for k in range(8)) + "\n"
        for unit in range(40)
    ),
    "many.txt": "".join(f"{' '.join(MANY[: 1 + i % 7])}\n" for i in range(40)),
    "many.csv": "Neuron ID,label\n"
    + "".join(f"{i},{' '.join(MANY[i % 3 : 2 + i % 5])}\n" for i in range(40)),
    "more.csv": "Neuron ID,label\n"
    + "".join(f"{i},{' '.join(MANY[i % 4 : 3 + i % 6])}\n" for i in range(40)),
    "many-people.csv": "layer,unit,summary\n"
    + "".join(f",{i},{' '.join(MANY[: 1 + (i + k) % 7])}\n" for i in range(40) for k in range(2)),
    "release/DnD_models.py": MODELS,
    "release/describe_neurons.py": MAIN,
    "elsewhere/note": "",
    "weights/model/a.txt": "a",
}
