"""The contract against a real vLLM, in an environment of its own (scripts/vllm-cpu)."""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import replace
from itertools import product
from pathlib import Path

import msgspec
import pytest

from dnd_local.core.config import Execution, LlmConfig
from dnd_local.core.conversations import Message, Request
from dnd_local.engines.language_model_vllm import open_vllm
from dnd_local.engines.llm_body import chat_body
from dnd_local.engines.vllm_options import ALLOWED
from dnd_local.stages.asking import Question
from dnd_local.stages.asking import ask as stage_ask
from dnd_local.store.openai_batch import ENDPOINT
from tests.engines.contracts import LanguageModelContract
from tests.engines.tiny_llama import make_tiny_llama
from tests.real_vllm import MARKS, PYTHON, ROOT

POCKET = ROOT / "dnd_local/pocket/models/llm"
CONFIG = LlmConfig(engine="vllm", dtype="float32", max_tokens=40)

pytestmark = [*MARKS, pytest.mark.timeout(600)]


THINKS = "{% if add_generation_prompt and enable_thinking %}<think>{% endif %}"
"""At the end of a chat template: the switch, where the template itself opens the thought."""


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    folder = tmp_path_factory.mktemp("model") / "llm"
    if POCKET.exists():
        shutil.copytree(POCKET, folder)
    else:
        make_tiny_llama(folder)
    template = folder / "chat_template.jinja"
    template.write_text(template.read_text().rstrip() + THINKS)
    return folder


@pytest.fixture(scope="module")
def execution(tmp_path_factory):
    base = tmp_path_factory.mktemp("run")
    return Execution(workspace=base, weights=base, data=base, vllm_python=str(PYTHON))


@pytest.fixture(scope="module")
def served(model, execution):
    with open_vllm(CONFIG, model, execution) as engine:
        yield engine


EXAMPLES = tuple(
    turn
    for thing in ("horse", "cat", "ball", "tree", "car", "dog")
    for turn in (
        Message("user", f"the {thing} stands on a wide green field under a bright blue sky"),
        Message("assistant", f"{thing} on a field"),
    )
)


def ask(text, **changes):
    asked = {"temperature": 0.0, "seed": 0, "max_tokens": 40} | changes
    return Request((Message("system", "Shorten."), Message("user", text)), **asked)


class TestVllm(LanguageModelContract):
    @pytest.fixture(scope="class")
    @classmethod
    def language_model(cls, served):
        return served

    def test_says_what_it_is(self, served):
        assert served.facts.model == "local"
        assert served.facts.version.startswith("0.")
        assert not served.address.remote

    def test_the_server_keeps_the_form(self, served):
        asked = [ask(f"a horse {s}", temperature=2.0, seed=s, max_characters=9) for s in range(32)]
        for reply in served.reply(asked):
            assert 1 <= len(reply.text) <= 9
            assert reply.text.strip()
            assert len(reply.text.splitlines()) == 1
            assert not re.search(r"[\x00-\x1f\x7f-\x9f]", reply.text)

    def test_a_prompt_that_is_too_long_is_a_reply_and_the_others_are_answered(self, served):
        replies = served.reply([ask("horse"), ask("horse " * 5000), ask("cat")])
        assert [r.finish.startswith("error: status 400") for r in replies] == [False, True, False]

    def test_64_seeded_prompts_in_flight_at_the_default_temperature(self, served):
        things = ["horse", "cat", "ball", "tree", "car", "dog", "red cup", "boat"]
        places = ["a table", "the grass", "a road", "snow", "the sea", "a shelf", "sand", "a hill"]
        asked = [
            ask(f"a {thing} on {place}", temperature=LlmConfig().temperature, seed=seed)
            for seed, (thing, place) in enumerate(product(things, places))
        ]
        # As long as the questions of a run, whose worked examples fill a hundred tokens and more.
        long = [replace(one, messages=(*EXAMPLES, *one.messages)) for one in asked]
        replies = served.reply(long)
        assert len(replies) == 64
        assert [reply.finish for reply in replies if reply.finish.startswith("error")] == []
        assert served.reply(long) == replies, "a seed decides the reply"

    def test_the_switch_of_thinking_reaches_the_template(self, served):
        def tokens(request):
            with served.address.client(served._key, timeout_s=120) as client:
                answer = client.post(ENDPOINT, json=chat_body(request, served.facts))
            return answer.json()["usage"]

        off, on = tokens(ask("horse", max_tokens=3)), tokens(ask("horse", max_tokens=3, thinking=2))
        assert on["prompt_tokens"] > off["prompt_tokens"]
        assert on["completion_tokens"] <= 5, "the budget and the reply's own limit"

    def test_a_thought_that_is_cut_off_is_a_thought(self, served):
        short = msgspec.structs.replace(CONFIG, max_tokens=1, thinking=1)
        messages = (Message("user", "a horse on a wide green field"),)
        ((first, second),) = stage_ask([Question("simplify", messages, ("x",))], served, short, 0)
        for exchange in (first, second):
            assert exchange.reply.finish == "length"
            assert (exchange.text, exchange.problem) == ("", "never stopped thinking")

    @pytest.mark.skipif(not POCKET.exists(), reason="a random model's gibberish is no label")
    def test_says_what_the_engine_without_a_server_says(self, served, model):
        from dnd_local.engines.language_model_transformers import TransformersLanguageModel

        asked = [
            ask(f"a {word} on a table") for word in ["horse", "cat", "ball", "tree", "car", "dog"]
        ]
        other = TransformersLanguageModel(model, CONFIG)
        same = [a == b for a, b in zip(served.reply(asked), other.reply(asked), strict=True)]
        assert sum(same) >= 5


NAMES = """
import json, sys
from vllm.entrypoints.launchers.cli_args import make_arg_parser
from vllm.utils.argparse_utils import FlexibleArgumentParser
parser = make_arg_parser(FlexibleArgumentParser())
known = {name: action.nargs for action in parser._actions for name in action.option_strings}
print(json.dumps(sorted(known)))
"""


def test_vllm_knows_every_option_that_is_passed_on():
    # From this vLLM's own parser, so that an option it renames is noticed here.
    told = subprocess.run(
        [PYTHON, "-c", NAMES], capture_output=True, text=True, check=True, timeout=300
    ).stdout
    assert set(ALLOWED) <= set(json.loads(told.splitlines()[-1]))


OWNER = """
import sys, time
from pathlib import Path
from dnd_local.core.config import Execution, LlmConfig
from dnd_local.engines.language_model_vllm import open_vllm
model, base, python = map(Path, sys.argv[1:])
execution = Execution(workspace=base, weights=base, data=base, vllm_python=str(python))
with open_vllm(LlmConfig(dtype="float32"), model, execution) as engine:
    Path(base / "ready.tmp").write_text(str(Path(engine.address.socket).parent))
    Path(base / "ready.tmp").rename(base / "ready")
    while True:
        engine._check()
        time.sleep(0.2)
"""


@pytest.fixture
def owner(model, tmp_path):
    """Return a process that holds a real server, and the server's private folder."""
    process = subprocess.Popen(
        [sys.executable, "-c", OWNER, str(model), str(tmp_path), str(PYTHON)],
        cwd=ROOT, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    ready = tmp_path / "ready"
    while not ready.exists():
        assert process.poll() is None
        time.sleep(0.2)
    yield process, ready.read_text()
    process.kill()
    process.wait()
    process.stderr.close()


@pytest.mark.parametrize("victim", ["owner", "_server_guard", "api_server", "EngineCore"])
def test_kill_9_of_any_part_leaves_nothing_behind(owner, victim):
    process, folder = owner
    parts = {part: commands(folder, part) for part in ("_server_guard", "api_server", "EngineCore")}
    assert all(parts.values()), parts
    shared = shared_memory()
    os.kill(process.pid if victim == "owner" else parts[victim][0], signal.SIGKILL)
    if victim != "owner":
        # Whoever asks learns of it: the owner's check fails and its block ends.
        assert process.wait(timeout=30) == 1
        assert "NoReply: the vLLM server ended with exit code" in process.stderr.read()
    deadline = time.monotonic() + 15
    while (commands(folder) or Path(folder).exists()) and time.monotonic() < deadline:
        time.sleep(0.1)
    assert commands(folder) == []
    assert not Path(folder).exists()
    assert shared_memory() <= shared


def commands(folder, part=""):
    """Return the processes that run in a server's private folder, by a word of their command."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            command = (process / "cmdline").read_bytes().decode(errors="replace")
            if str((process / "cwd").readlink()).startswith(folder) and part in command:
                found.append(int(process.name))
        except OSError:
            continue
    return found


def shared_memory():
    return {path.name for path in Path("/dev/shm").iterdir()}
