"""Dissect two neurons with the paper's stack at its real size, on the CPU, and measure each stage.

ResNet-50, Stable Diffusion 1.5, BLIP base, CLIP ViT-B/16 and a Llama of 135 million weights are
drawn at random from their configurations, laid out as real ones are and registered with
``weights add``. An untrained model's replies are no labels, so the second half of the run takes
them from a file, through ``prompts export`` and ``prompts import``::

    python scripts/bench/real_size.py --folder SCRATCH

A line of JSON for each stage: seconds, and the most memory that the command held meanwhile.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import psutil

sys.path.insert(0, str(Path(__file__).parent))

from random_models import MAKERS, REAL, TINY, Sizes

RUN: Final = "size"
DESCRIBER: Final = "file"
REPLY: Final = "dog with a ball"
"""The one reply in the file; the concept that is painted comes of it."""

_NETWORKS: Final = {True: "resnet50", False: "resnet18"}


def register(folder: Path, sizes: Sizes) -> None:
    """Make the models of every role and add them to the weights of a folder."""
    for role, make in MAKERS.items():
        make(folder / "made" / role, sizes)
        words = ["weights", "add", f"real-{role}", str(folder / "made" / role), "--role", role]
        if role == "target":
            words += ["--source", f"torchvision:{_NETWORKS[sizes is REAL]}@IMAGENET1K_V1"]
        command(folder, [*words, "--weights", str(folder / "weights")])


def asked(folder: Path, sizes: Sizes) -> list[str]:
    """Return the words of the dissection: one concept, two pictures of two steps."""
    settings = {
        "run": RUN, "ids": "0-1", "probe": "pocket", "probe-sample": 12, "llm": "transformers",
        "captions-model": "real-captioner", "llm-model": "real-language-model",
        "pictures-model": "real-painter", "clip-model": "real-embedder", "concepts-count": 1,
        "concepts-max-draws": 1, "pictures-count": 2, "pictures-steps": 2,
        "pictures-size": sizes.picture, "workspace": folder / "workspace",
        "weights": folder / "weights", "network-batch": 4, "clip-batch": 4, "pictures-batch": 2,
    }  # fmt: skip
    settings |= {f"{one}-dtype": "float32" for one in ("captions", "llm", "pictures")}
    words = ["dissect", "real-target", "layer4"]
    return words + [word for name, value in settings.items() for word in (f"--{name}", str(value))]


def command(
    folder: Path, words: Sequence[str], most: list[tuple[float, float]] | None = None
) -> int:
    """Run a command of dnd-local to its end and return its exit code.

    Args:
        folder: where it is run, and where its output goes.
        words: the command.
        most: gets pairs of a time and the memory held then, in bytes, all processes together.

    Raises:
        SystemExit: it was refused, or broke.
    """
    with (folder / "output.txt").open("a") as output:
        child = psutil.Popen(
            [sys.executable, "-m", "dnd_local", *words], cwd=folder, stdout=output,
            stderr=subprocess.STDOUT,
        )  # fmt: skip
        while child.poll() is None:
            if most is not None:
                most.append((time.time(), float(_held(child))))
            time.sleep(0.1)
    if child.returncode not in (0, 3):
        said = (folder / "output.txt").read_text()[-2000:]
        raise SystemExit(f"{' '.join(words)} ended with {child.returncode}: {said}")
    return int(child.returncode)


def _held(process: psutil.Process) -> int:
    held = 0
    for one in [process, *_children(process)]:
        try:
            held += one.memory_info().rss
        except psutil.Error:
            continue
    return held


def _children(process: psutil.Process) -> list[psutil.Process]:
    try:
        children: list[psutil.Process] = process.children(recursive=True)
    except psutil.Error:
        return []
    return children


def answer(questions: Path, replies: Path) -> None:
    """Write the same reply to every question of a round, as a batch service would."""
    body = {
        "choices": [{"message": {"role": "assistant", "content": REPLY}, "finish_reason": "stop"}]
    }
    with replies.open("w", encoding="utf-8") as out:
        for line in questions.read_text(encoding="utf-8").splitlines():
            reply = {
                "custom_id": json.loads(line)["custom_id"], "error": None,
                "response": {"status_code": 200, "body": body},
            }  # fmt: skip
            out.write(json.dumps(reply) + "\n")


def measure(folder: Path, sizes: Sizes) -> list[dict[str, Any]]:
    """Return each stage's seconds and peak memory in MiB, in the order they ran.

    The run is ``workspace/runs/size-file`` of the folder.
    """
    folder.mkdir(parents=True, exist_ok=True)
    register(folder, sizes)
    where = ["--workspace", str(folder / "workspace"), "--weights", str(folder / "weights")]
    most: list[tuple[float, float]] = []
    command(folder, asked(folder, sizes), most)
    questions, replies = folder / "round.jsonl", folder / "replies.jsonl"
    for _ in range(5):
        command(
            folder,
            ["prompts", "export", RUN, "--describer", DESCRIBER, "--out", str(questions), *where],
        )
        answer(questions, replies)
        code = command(
            folder,
            ["prompts", "import", RUN, str(replies), "--describer", DESCRIBER, *where], most,
        )  # fmt: skip
        finished = folder / "workspace" / "runs" / f"{RUN}-{DESCRIBER}" / "descriptions.jsonl"
        if code == 0 and finished.exists():
            break
    return [
        figure
        for run in (RUN, f"{RUN}-{DESCRIBER}")
        for figure in _stages(folder / "workspace" / "runs" / run / "events.jsonl", run, most)
    ]


def _stages(events: Path, run: str, most: Sequence[tuple[float, float]]) -> list[dict[str, Any]]:
    """Return what a run's events say of its stages, with the memory held during each."""
    figures = []
    for line in events.read_text(encoding="utf-8").splitlines():
        event = json.loads(line)
        if event.get("event") != "finish" or not event["items"]:
            continue
        first = event["time"] - event["seconds"]
        held = [size for at, size in most if first <= at <= event["time"]]
        figures.append({
            "run": run, "stage": event["stage"], "items": event["items"],
            "failed": event["failed"], "seconds": round(event["seconds"], 1),
            "peak_mib": round(max(held, default=0) / 2**20),
        })  # fmt: skip
    return figures


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--folder", type=Path, help="keep models and run here (6 GB)")
    parser.add_argument("--tiny", action="store_true", help="tiny likenesses, to try the script")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        for figure in measure(given.folder or Path(scratch), TINY if given.tiny else REAL):
            print(json.dumps(figure))


if __name__ == "__main__":
    main()
