"""A line of words for every command, in an order that works, and the files that they read."""

from __future__ import annotations

import json
import shutil
import zipfile
from pathlib import Path

from dnd_local.pocket.world import picture
from dnd_local.store.resources import shipped
from tests.cli.option_world import FILES
from tests.cli.test_prompts import reply_to
from tests.fakes import LAYER as FAKE_LAYER
from tests.store.test_release_prompts import MAIN, MODELS

IMAGES, LAYER = 60, "layer4"
_QUICK = "--config in/quick.toml --probe in/images"
LINES = {
    "dissect": f"dissect pocket {LAYER} --ids 1,2 {_QUICK} --run mine --report",
    "dissect, two workers": f"dissect pocket {LAYER} --ids 3-5 {_QUICK} --run two --workers 2",
    "triage": f"triage pocket {LAYER} {_QUICK}",
    "status": "status mine",
    "show": "show mine 1",
    "runs": "runs",
    "targets": "targets",
    "targets check": "targets check in/net.py:make",
    "layers": "layers pocket",
    "report": "report mine --single-file out/page.html --figures out/figures",
    "evaluate": "evaluate mine",
    "compare": "compare mine in/labels.csv --metric token-f1 --metric clip=in/clip",
    "truth": "truth mine in/truth.json",
    "baseline": f"baseline clip-dissect pocket {LAYER} --ids 1,2 {_QUICK} "
    "--concepts in/concepts.txt --out out/baseline.csv",
    "ablate": f"ablate pocket {LAYER} --match 'red|green' --data in/by-class "
    "--labels in/labels.csv --classifier forest --controls 2 --out out/ablated",
    "search": "search mine red",
    "bench": "bench mine --out out/times.json",
    "group": "group mine",
    "export": "export mine --pack out/pack",
    "doctor": "doctor",
    "verify": "verify --repair",
    "gc": "gc --yes",
    "reproduce last-layer": "reproduce last-layer in/classes.txt in/bare.csv --metric token-f1 "
    "--out out/last",
    "reproduce milannotations": "reproduce milannotations in/people.csv milan=in/labels.csv "
    "--all-neurons --metric token-f1",
    "reproduce captioner-swap": "reproduce captioner-swap in/bare.csv --against in/other.csv "
    "--metric token-f1",
    "reproduce scoring-rules": "reproduce scoring-rules in/ratings.csv",
    "weights add": "weights add own in/clip --role embedder",
    "weights pull": "weights pull pocket",
    "weights pack": "weights pack own --output out/bundle.tar --no-wheels",
    "weights remove": "weights remove own",
    "weights unpack": "weights unpack out/bundle.tar",
    "weights verify": "weights verify --deep",
    "weights list": "weights list",
    "probe prepare": "probe prepare broden in/broden.zip",
    "probe info": "probe info in/images",
    "pocket bench": "pocket bench --hard --each 1 --out out/bench.json",
    "prompts export": "prompts export mine --out out/round.jsonl",
    "prompts import": "prompts import mine in/replies.jsonl",
    "prompts import-release": "prompts import-release in/release --out out/prompts",
}
"""Each command's words, by its name, which a comma ends; a test knows whether one is missing."""

SAMPLE = ("dissect", "show", "status", "runs")
"""What `scripts/check` tries each time: the first reaches most of what any command does."""

OWN = ("workspace", "weights", "data", "out", "tmp")
"""Folders of the world that a command may change; what is in `in` it may only read."""

_TABLES = ("concepts.txt", "classes.txt", "bare.csv", "other.csv", "ratings.csv", "people.csv")
_SETTINGS = """\
[probe]
holdout = 0.5
[pictures]
count = 2
steps = 1
[concepts]
count = 2
max_draws = 3
[exemplars]
images = 4
"""


def make_world(root: Path) -> None:
    """Write what the lines read into `root/in`, and make the folders that commands change."""
    inputs = root / "in"
    for name in (*OWN, "home", "in/images"):
        (root / name).mkdir(parents=True)
    for index in range(IMAGES):
        picture(5, index)[0].save(inputs / "images" / f"{index:02d}.png")
    for number, name in enumerate(("red", "green", "sky")):
        (inputs / "by-class" / name).mkdir(parents=True)
        for index in range(4):
            picture(6 + number, index)[0].save(inputs / "by-class" / name / f"{index}.png")
    with zipfile.ZipFile(inputs / "broden.zip", "w") as archive:
        for path in sorted((inputs / "images").iterdir()):
            archive.write(path, path.name)
    texts = {
        **{name: FILES[name].replace(FAKE_LAYER, LAYER) for name in _TABLES},
        "quick.toml": _SETTINGS,
        "net.py": "from tests.pipeline.tiny_net import make\n",
        "labels.csv": f"layer,unit,description\n{LAYER},1,green tree\n{LAYER},2,red sky\n",
        "truth.json": json.dumps(
            {
                "concepts": {name: {"kind": "colour"} for name in ("red", "green", "white")},
                "neurons": {LAYER: {"1": "green", "2": "white"}},
            }
        ),
        "release/DnD_models.py": MODELS,
        "release/describe_neurons.py": MAIN,
    }  # fmt: skip
    for name, text in texts.items():
        (inputs / name).parent.mkdir(exist_ok=True)
        (inputs / name).write_text(text, "utf-8")
    shutil.copytree(shipped("pocket/models/embedder"), inputs / "clip")


def prepare(command: str, root: Path) -> None:
    """Make what a command reads and an earlier one left the half of."""
    if command == "prompts import":
        reply_to(root / "out/round.jsonl", root / "in/replies.jsonl")
