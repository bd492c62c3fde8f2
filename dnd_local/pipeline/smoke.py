"""The doctor's trial: one picture through every embedded model, in a process of its own.

That process sees nothing but a loopback where the system allows it, as a run's workers do, and
what breaks in it does not take the doctor along. Models whose files do not verify are not tried.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Final

import msgspec
import numpy as np

from dnd_local.core.amounts import count_text, duration_text
from dnd_local.core.config import Config, Execution
from dnd_local.core.conversations import Request
from dnd_local.core.errors import DndError, EngineError, MissingWeights, UserError
from dnd_local.core.protocols import EngineRole
from dnd_local.core.records import Pixels
from dnd_local.pipeline.doctor import Finding, State
from dnd_local.pipeline.lab import Lab
from dnd_local.pipeline.opening import model_ids
from dnd_local.pipeline.settings import make_config
from dnd_local.store.guard import child_environment, go_offline
from dnd_local.store.netns import isolated_with_loopback, why_no_loopback
from dnd_local.store.weights import Weights

SUBJECT: Final = "smoke run"
LIMIT_SECONDS: Final = 300
WORDS: Final = "a red dog"
"""What the models of language are given."""

TOKENS: Final = 40
"""The longest answer of the language model, where the run sets no limit."""

CURE: Final = "install dnd-local again, with what it requires; if that does not help, report this"


def smoke_run(weights: Weights) -> Iterator[Finding]:
    """Yield how one picture fared in each embedded model, and which were not tried."""
    names = trial_models()
    absent = weights.missing(names.values())
    if absent:
        try:
            weights.require(absent)
        except MissingWeights as error:
            yield _found("models", "note", f"not tried: {error}")
    sound: list[EngineRole] = []
    for role, name in names.items():
        try:
            if name not in absent:
                weights.folder(name)
                sound.append(role)
        except UserError as error:
            yield _found(name, "problem", f"not tried: {error}")
    if sound:
        yield from _apart(weights.root, {role: names[role] for role in sound})


def trial_config() -> Config:
    """Return the settings of a trial: those of pocket runs, one input at a time, two steps."""
    one = {"batch": 1}
    sections = dict.fromkeys(("network", "captions", "llm", "clip"), one)
    return make_config("pocket", options={**sections, "pictures": {"batch": 1, "steps": 2}})


def trial_models() -> dict[EngineRole, str]:
    """Return the manifest id of the model behind each role; the order is that of the trial."""
    return {role: ids[0] for role, ids in model_ids(trial_config()).items()}


def _apart(root: Path, models: Mapping[EngineRole, str]) -> Iterator[Finding]:
    """Yield what a process of its own found out about models whose files are right."""
    with tempfile.TemporaryDirectory(prefix="dnd-local-") as scratch:
        answers = Path(scratch) / "answers.jsonl"
        end = _run((str(answers), str(root), *models))
        lines = answers.read_bytes().splitlines() if answers.exists() else []
    findings = [msgspec.json.decode(line, type=Finding) for line in lines]
    yield from findings
    if untried := list(models.values())[len(findings) :]:
        text = f"the trial ended here, and {len(untried) - 1} more were not tried: {end}"
        yield Finding(SUBJECT, untried[0], "problem", text, CURE)


def _run(words: Sequence[str]) -> str:
    """Run this module with `words` in a process of its own; return how it ended, in one line."""
    command: Sequence[str] = (sys.executable, "-P", "-m", "dnd_local.pipeline.smoke", *words)
    if not why_no_loopback():
        command = isolated_with_loopback(command)
    try:
        child = subprocess.run(
            command, env=child_environment(), stdin=subprocess.DEVNULL, capture_output=True,
            text=True, errors="replace", timeout=LIMIT_SECONDS, check=False,
        )  # fmt: skip
    except subprocess.TimeoutExpired:
        return f"no answer in {LIMIT_SECONDS} s"
    lines = child.stderr.strip().splitlines() or ["it said nothing"]
    return f"exit status {child.returncode}, {lines[-1]}"


def try_models(lab: Lab, roles: Sequence[EngineRole]) -> Iterator[Finding]:
    """Yield how each model did with one picture; each is let go before the next one is opened."""
    picture = lab.probe.pixels(0)
    names = trial_models()
    for role in roles:
        started = time.monotonic()
        try:
            text = _try(role, lab, picture)
        except DndError as error:
            yield _found(names[role], "problem", str(error))
        else:
            took = time.monotonic() - started
            yield Finding(SUBJECT, names[role], "ok", f"{text}, in {duration_text(took)}")
        lab.close()


def _try(role: EngineRole, lab: Lab, picture: Pixels) -> str:
    """Return what a model made of the picture, or of `WORDS`.

    Raises:
        EngineError: nothing usable.
        UserError: the model cannot be opened.
    """
    match role:
        case "target":
            layer = lab.target.layers()[-1].path
            values = lab.target.responses([picture], [layer])[layer][0]
            _check(bool(np.isfinite(values).all()), "its responses are no finite numbers")
            return f"responses of {count_text(len(values), 'neuron')} of {layer}"
        case "captioner":
            (caption,) = lab.captioner.caption([picture])
            _check(bool(caption.strip()), "it says nothing about a picture")
            return f"says '{caption}'"
        case "language-model":
            messages = lab.prompts.messages("simplify", caption=WORDS)
            request = Request(messages, 0.0, 0, lab.config.llm.max_tokens or TOKENS)
            (reply,) = lab.language_model.reply([request])
            _check(bool(reply.text.strip()), "it answers nothing")
            return f"answers '{reply.text.strip().splitlines()[0]}'"
        case "painter":
            (painted,) = lab.painter.paint([WORDS], [0])
            _check(bool(np.ptp(painted)), "it paints one flat colour")
            height, width, _ = painted.shape
            return f"paints {width} x {height} px in {lab.config.pictures.steps} steps"
        case _:  # the embedder
            vectors = lab.embedder.embed_pictures([picture]), lab.embedder.embed_texts([WORDS])
            cosine = float(vectors[0][0] @ vectors[1][0])
            _check(bool(np.isfinite(cosine)), "its vectors are no finite numbers")
            return f"cosine {cosine:.2f} of picture and '{WORDS}'"


def _check(fine: bool, complaint: str) -> None:
    if not fine:
        raise EngineError(complaint)


def _found(name: str, state: State, text: str) -> Finding:
    """Return a finding from one of our errors, whose messages end in what to do."""
    what, _, cure = text.partition("; ")
    return Finding(SUBJECT, name, state, what, cure or CURE)


def main(answers: Path, root: Path, roles: Sequence[EngineRole]) -> None:
    """Try models in this process, which was started for it; each answer is written at once."""
    go_offline()
    scratch = answers.parent
    execution = Execution(workspace=scratch, weights=root, data=scratch)
    with answers.open("wb", buffering=0) as file:
        for finding in try_models(Lab(trial_config(), execution), roles):
            file.write(msgspec.json.encode(finding) + b"\n")


if __name__ == "__main__":  # pragma: no cover - the child
    main(Path(sys.argv[1]), Path(sys.argv[2]), msgspec.convert(sys.argv[3:], list[EngineRole]))
