"""The command line as a whole: fast to start, one line for a mistake, exit codes."""

from __future__ import annotations

import errno
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from typer.main import get_command

from dnd_local import __version__
from dnd_local.cli import dissect as dissecting
from dnd_local.cli import main
from dnd_local.cli.stopping import AFTER
from dnd_local.core.errors import EngineError
from dnd_local.pipeline.dissection import Dissection
from tests.bench import Bench
from tests.cli.conftest import Command
from tests.fakes import LAYER
from tests.signals import STOPPING, hearing

HEAVY = ("torch", "torchvision", "transformers", "diffusers", "accelerate", "open_clip", "timm",
         "sentence_transformers", "vllm", "pandas", "matplotlib")  # fmt: skip

LIGHT = f"""
import sys
from dnd_local.cli.main import run

for words in (["--help"], ["dissect", "--help"], ["triage", "--help"], ["runs"],
              ["dissect", "resnet50", "layer4", "--ids", "1,2,3"]):
    sys.argv = ["dnd-local", *words]
    try:
        run()
    except SystemExit as exit_:
        print("exit", words[0], exit_.code, file=sys.stderr)
    loaded = [name for name in {HEAVY!r} if name in sys.modules]
    assert not loaded, (words, loaded)
"""


def environment(home: Path) -> dict[str, str]:
    names = ("WORKSPACE", "DATA", "WEIGHTS")
    return {**os.environ, **{f"DND_LOCAL_{name}": str(home / name.lower()) for name in names}}


def test_what_needs_no_model_loads_no_model_library(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", LIGHT], env=environment(tmp_path), cwd=tmp_path,
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "exit dissect 2" in done.stderr
    assert "Describe neurons of a network" in done.stdout
    assert "No runs here yet." in done.stdout
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("words", [["--help"], ["dissect", "--help"], ["targets"]])
def test_a_locale_that_lacks_a_character_ends_nothing(tmp_path: Path, words: list[str]) -> None:
    done = subprocess.run(
        [sys.executable, "-c", "from dnd_local.cli.main import run; run()", *words],
        env=environment(tmp_path) | {"PYTHONIOENCODING": "latin-1", "PYTHONUTF8": "0"},
        capture_output=True, check=False,
    )  # fmt: skip
    assert (done.returncode, done.stderr) == (0, b"")
    assert done.stdout


def test_missing_weights_are_named_with_size_and_command(command: Command, tmp_path: Path) -> None:
    said = command("dissect", "resnet50", "layer4", "--ids", "1,2,3")
    assert (said.code, said.out) == (2, "")
    lines = said.err.strip().splitlines()
    assert 1 <= len(lines) <= 3
    for name in ("resnet50", "blip-base", "qwen3-4b-instruct", "sd15", "clip-vit-b-16"):
        assert name in lines[0]
    assert "GB" in lines[0]
    assert "dnd-local weights pull resnet50" in said.err
    assert "Traceback" not in said.err
    assert list(tmp_path.iterdir()) == []


def test_the_version(command: Command) -> None:
    assert command("--version") == (0, f"dnd-local {__version__}\n", "")


def test_no_words_give_the_help(command: Command) -> None:
    said = command()
    assert "dissect" in said.out + said.err


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["pocket", "layer4", "--ids", "x"], "ids 'x': cannot read 'x'; write 1,2,3"),
        (["pocket", "layer4", "--ids", "5-2"], "the range '5-2' runs backwards"),
        (["pocket", ",", "--ids", "1"], "has an empty name"),
        (["pocket", "layer4", "--preset", "papers"], "unknown preset 'papers'"),
        (["pocket", "layer4", "--devices", "gpu"], "devices 'gpu' cannot be read"),
        (["pocket", "layer4", "--config", "none.toml"], "cannot read settings file none.toml"),
        (
            ["pocket", "layer4", "--pictures-steps", "0"],
            "--pictures-steps 0: it takes a whole number from 1 to 1000",
        ),
        (["pocket", "layer4", "--rule", "best"], "--rule best: it takes mean, topk-sq-mean"),
        (["resnet51", "layer4", "--ids", "1"], "'resnet51'"),
        (["pocket", "layer4", "--run", "a/b"], "run name 'a/b' will not do"),
        (["pocket", "layer4", "--prompts", "none"], "cannot read prompt"),
    ],
)
def test_a_mistake_is_one_line_and_exit_code_2(
    command: Command, tmp_path: Path, words: list[str], message: str
) -> None:
    said = command("dissect", *words)
    assert said.code == 2
    assert said.err.startswith("dnd-local: ")
    assert message in said.err
    assert len(said.err.strip().splitlines()) <= 3
    assert not (tmp_path / "workspace").exists()


def test_an_unknown_option_is_typers(command: Command) -> None:
    said = command("dissect", "pocket", "layer4", "--picture-steps", "3")
    assert said.code == 2
    assert "--pictures-steps" in said.err


def test_our_own_fault_has_exit_code_1(command: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object) -> None:
        raise EngineError("it broke")

    monkeypatch.setattr(Dissection, "run_now", broken)
    assert command("dissect", "pocket", "layer4") == (1, "", "dnd-local: it broke\n")


def test_a_library_that_is_not_installed_is_one_line(
    command: Command, bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    command("dissect", "pocket", LAYER, "--ids", "0,1", "--run", "mine")
    asked = dict(bench.calls.asked)
    monkeypatch.setitem(sys.modules, "sklearn.metrics", None)
    said = command("evaluate", "mine")
    line = "dnd-local: the Python library 'sklearn' is not installed; run: pip install dnd-local\n"
    assert (said.code, said.err) == (2, line)
    assert bench.calls.asked == asked, "it was said before anything was computed"
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    said = command("report", "mine", "--figures", "drawn")
    assert (said.code, "'matplotlib' is not installed" in said.err) == (2, True)
    assert not (bench.workspace / "runs" / "mine" / "report").exists()
    monkeypatch.setitem(sys.modules, "jinja2", None)
    said = command("dissect", "pocket", LAYER, "--ids", "0-3", "--run", "mine", "--report")
    assert (said.code, "'jinja2' is not installed" in said.err) == (2, True)
    assert bench.calls.asked == asked
    monkeypatch.setitem(sys.modules, "pyarrow.parquet", None)
    words = ("baseline", "clip-dissect", "pocket", LAYER, "--concepts", "w")
    said = command(*words, "--out", "t.parquet")
    assert (said.code, "'pyarrow' is not installed" in said.err) == (2, True)
    monkeypatch.setattr(main, "app", lambda **_: __import__("no_such_prop"))
    assert "'no_such_prop' is not installed" in command("runs").err


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EIO, errno.EROFS, errno.EMFILE, errno.EACCES])
def test_a_disk_that_refuses_is_one_line_and_the_next_run_works(
    command: Command, bench: Bench, monkeypatch: pytest.MonkeyPatch, code: int
) -> None:
    def refuse(_: int) -> None:
        raise OSError(code, os.strerror(code))

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", refuse)
        said = command("dissect", "pocket", LAYER, "--ids", "0", "--run", "mine")
    assert said.code == 2
    assert said.err.count("\n") == 1
    assert os.strerror(code) in said.err
    assert str(bench.workspace) in said.err
    assert command("dissect", "pocket", LAYER, "--ids", "0", "--run", "mine").code == 0


def test_output_that_cannot_be_written_is_one_line(tmp_path: Path) -> None:
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(
            [sys.executable, "-c", "from dnd_local.cli.main import run; run()", "runs",
             "--workspace", str(tmp_path)],
            stdout=full, stderr=subprocess.PIPE, text=True, check=False,
        )  # fmt: skip
    assert done.returncode == 2
    assert done.stderr.count("\n") == 1
    assert "No space left on device" in done.stderr


def test_an_error_of_the_system_that_is_our_fault_is_told_whole(
    command: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise OSError(errno.EINVAL, "Invalid argument")

    monkeypatch.setattr(main, "app", refuse)
    with pytest.raises(OSError, match="Invalid argument"):
        command("runs")


@pytest.mark.parametrize("words", [["dissect", "pocket", "layer4"], ["triage", "pocket", "layer4"]])
def test_ctrl_c_says_that_nothing_is_lost(
    command: Command, words: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(Dissection, "run_now", interrupted)
    monkeypatch.setattr("dnd_local.pipeline.runner.triage_layers", interrupted)
    said = command(*words)
    assert said.code == 130
    assert said.err == (
        "dnd-local: interrupted; what was done is kept, and the same command goes on from there\n"
    )


@pytest.mark.parametrize(
    ("words", "target", "line"),
    [
        (["runs"], "dnd_local.pipeline.reading.list_runs", "interrupted; nothing was changed"),
        (["evaluate", "mine"], "dnd_local.pipeline.reading.open_run", "painted are kept"),
        (["weights", "list"], "dnd_local.cli.weights.go_offline", "nothing was changed"),
        (["pocket", "bench"], "dnd_local.evaluate.pocket_bench.run_bench", "goes on from there"),
    ],
)
def test_every_command_says_what_it_leaves_when_it_is_stopped(
    command: Command, monkeypatch: pytest.MonkeyPatch, words: list[str], target: str, line: str
) -> None:
    def interrupted(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(target, interrupted)
    said = command(*words)
    assert (said.code, said.out) == (130, "")
    assert line in said.err
    assert len(said.err.strip().splitlines()) == 1


def test_no_command_is_without_such_a_line() -> None:
    def words(group: Any, above: str = "") -> set[str]:
        found: set[str] = set()
        for name, own in group.commands.items():
            if not hasattr(own, "commands") or own.invoke_without_command:
                found.add(above + name)
            if hasattr(own, "commands"):
                found |= words(own, f"{above}{name} ")
        return found

    assert words(get_command(main.app)) == set(AFTER)


WAITING = """
import sys, time
from dnd_local.cli.main import run
from dnd_local.pipeline.dissection import Dissection

def run_now(*_):
    print("ready", flush=True)
    time.sleep(60)

Dissection.run_now = run_now
sys.argv = ["dnd-local", "dissect", "pocket", "layer4"]
run()
"""


def stopped(home: Path, *numbers: signal.Signals, ignored: tuple[signal.Signals, ...] = ()) -> str:
    """Send `numbers` to a waiting `dissect`, which ends with exit code 130; return what it says."""
    with subprocess.Popen(
        [sys.executable, "-c", WAITING], env=environment(home), text=True,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, preexec_fn=hearing(*ignored),
    ) as process:  # fmt: skip
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        for number in numbers:
            assert process.poll() is None
            process.send_signal(number)
            time.sleep(0.3)
        _, err = process.communicate()
    assert process.returncode == 130
    return err


@pytest.mark.parametrize("number", STOPPING)
def test_every_way_to_be_stopped_ends_alike(tmp_path: Path, number: signal.Signals) -> None:
    assert "interrupted; what was done is kept" in stopped(tmp_path, number)


@pytest.mark.parametrize("ignored", [signal.SIGINT, signal.SIGHUP])
def test_an_ignored_signal_stays_ignored_and_kill_is_heard(
    tmp_path: Path, ignored: signal.Signals
) -> None:
    # A background job of a script ignores SIGINT, a program under nohup SIGHUP.
    err = stopped(tmp_path, ignored, signal.SIGTERM, ignored=(ignored,))
    assert "interrupted; what was done is kept" in err


def test_a_signal_does_again_what_it_did_before(
    command: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = [signal.getsignal(number) for number in STOPPING]
    monkeypatch.setattr(Dissection, "run_now", lambda *_: os.kill(os.getpid(), signal.SIGTERM))
    assert command("dissect", "pocket", "layer4").code == 130
    assert [signal.getsignal(number) for number in STOPPING] == before


def test_only_commands_that_may_leave_the_machine_are_left_open(
    command: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    closed: list[object] = []
    monkeypatch.setattr("dnd_local.cli.main.go_offline", lambda: closed.append("main"))
    monkeypatch.setattr(dissecting, "go_offline", lambda allow: closed.append(allow))
    monkeypatch.setattr(Dissection, "forecast", lambda self: None)
    monkeypatch.setattr("dnd_local.cli.tables.show_forecast", lambda *_: None)
    command("runs")
    assert closed == ["main"]
    words = ["dissect", "pocket", "layer4", "--dry-run", "--llm-url", "https://llm.example.org"]
    command(*words)
    command(*words, "--allow-remote-llm")
    assert closed == ["main", (), ("llm.example.org",)]


def test_the_package_runs_as_a_module(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "dnd_local", "runz"], env=environment(tmp_path), cwd=tmp_path,
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == (
        "dnd-local: No such command 'runz'. Did you mean 'runs'? See dnd-local --help\n"
    )
