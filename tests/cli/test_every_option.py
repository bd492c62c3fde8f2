"""No option is read and ignored: two values of it differ in what comes out, or it is refused.

The options are those of the commands themselves; an option without a case fails here.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from typer.main import get_command

from dnd_local.cli import main
from tests.cli.option_world import PICKLE, OptionWorld, Outcome, make_world
from tests.cli.test_options import NAMED
from tests.fakes import LAYER
from tests.pipeline.test_lab import SETTINGS
from tests.store.hub import sha256

pytest.importorskip("sklearn")

TYPERS = {"--help", "--install-completion", "--show-completion"}
"""Options that Typer adds to every program."""

SMALL = "--pictures-count 2 --pictures-size 8 --probe-chunk 7"
BASES = {
    "": "",
    "dissect": f"dissect pocket {LAYER} --ids 0-2 {SMALL}",
    "triage": f"triage pocket {LAYER} --probe-chunk 7",
    "status": "status mine",
    "show": "show mine",
    "runs": "runs",
    "targets": "targets",
    "targets check": "targets check net.py:make",
    "layers": "layers pocket",
    "report": "report mine",
    "compare": "compare mine two.csv --metric token-f1",
    "evaluate": "evaluate mine",
    "truth": "truth mine truth.json",
    "baseline": f"baseline clip-dissect pocket {LAYER} --probe-chunk 7",
    "ablate": f"ablate pocket {LAYER} --match red --data by-class --labels mine "
    "--classes classes.txt --controls 3",
    "search": "search mine red",
    "bench": "bench mine",
    "group": "group mine",
    "export": "export mine",
    "doctor": "doctor",
    "verify": "verify",
    "gc": "gc",
    "reproduce last-layer": "reproduce last-layer classes.txt bare.csv --metric token-f1",
    "reproduce milannotations": "reproduce milannotations people.csv milan=labels.csv "
    "--all-neurons --metric token-f1",
    "reproduce captioner-swap": "reproduce captioner-swap bare.csv --metric token-f1",
    "reproduce scoring-rules": "reproduce scoring-rules ratings.csv",
    "weights add": "weights add mine blip",
    "weights pull": "weights pull model",
    "weights pack": "weights pack model",
    "weights unpack": "weights unpack bundle.tar",
    "weights verify": "weights verify model",
    "weights list": "weights list model",
    "weights remove": "weights remove model",
    "probe prepare": "probe prepare broden broden.zip",
    "probe info": "probe info pictures",
    "pocket bench": "pocket bench",
    "prompts export": "prompts export mine",
    "prompts import": "prompts import mine replies.jsonl",
    "prompts import-release": "prompts import-release release",
}
"""Words that make each command do its work."""

REQUIRED = {
    "export": ("--pack", "pack"),
    "baseline": ("--concepts", "concepts.txt"),
    "reproduce captioner-swap": ("--against", "other.csv"),
    "weights pack": ("--output", "bundle.tar"),
    "weights add": ("--role", "captioner"),
}
"""An option that a command cannot do without; it joins the base unless it is the one tried."""


@dataclass(frozen=True)
class Case:
    """Two values of an option, as words; `base` stands for the command's own words.

    `refused` is a part of the reason where the second value is refused.
    """

    second: str
    first: str = ""
    base: str = ""
    refused: str = ""


COMMON = {
    "--json": Case("--json"),
    "--weights": Case("--weights broken", refused="broken/weights.lock.json"),
    "--workspace": Case("--workspace elsewhere"),
    "--out": Case("--out out"),
    "--devices": Case("--devices 0"),
    "--seed": Case("--seed 3"),
    "--config": Case("--config settings.toml"),
    "--preset": Case("--preset paper"),
    "--probe": Case("--probe other"),
    "--prompts": Case("--prompts prompts"),
}
"""Options that mean the same wherever they are."""

METRICS = {
    "--metric": Case("--metric clip=clip"),
    "--layer": Case("--layer second"),
    "--baseline": Case("--baseline baseline.tsv", base="--metric bertscore=roberta"),
    "--devices": Case("--devices 0", base="--metric mpnet=encoder"),
}
"""Options of the commands that compare texts; `base` joins the command's own words here."""

VLLM = "--llm vllm --vllm-python {root}/vllm-python"
SERVER = "--ids 0 --llm vllm --llm-url {server}"
PEOPLE = "truth mine people.csv --metric clip=clip"
TABLE_9 = "reproduce milannotations people.csv milan=labels.csv --metric clip=clip"
CASES = {
    ("", "--version"): Case("--version"),
    ("dissect", "--ids"): Case("--ids 0"),
    ("dissect", "--devices"): Case("--workspace new --devices 0", "--workspace new"),
    ("triage", "--devices"): Case("--workspace new --devices 0", "--workspace new"),
    ("dissect", "--run"): Case("--run another"),
    ("dissect", "--workers"): Case("--workers 2"),
    ("dissect", "--shared"): Case("--shared"),
    ("dissect", "--cluster"): Case("--cluster local"),
    ("dissect", "--race"): Case("--pictures-count 4 --race 2", "--pictures-count 4"),
    ("dissect", "--manifest"): Case("--manifest broken-manifest.json", refused="broken-manifest"),
    ("dissect", "--llm-url"): Case(
        "--llm vllm --llm-url unix:/tmp/none-b", "--llm vllm --llm-url unix:/tmp/none-a"
    ),
    ("dissect", "--allow-remote-llm"): Case(
        "--llm vllm --llm-url http://llm.invalid --allow-remote-llm",
        "--llm vllm --llm-url http://llm.invalid",
    ),
    ("dissect", "--llm-timeout"): Case(f"{SERVER} --llm-timeout 0.1", SERVER),
    ("dissect", "--llm-concurrency"): Case(f"{SERVER} --llm-concurrency 1", SERVER),
    ("dissect", "--vllm-python"): Case("--llm vllm --vllm-python no-vllm", VLLM),
    ("dissect", "--vllm-options"): Case(f"{VLLM} --vllm-options '--max-num-seqs 3'", VLLM),
    ("dissect", "--report"): Case("--report"),
    ("dissect", "--evaluate"): Case(
        "--probe-holdout 0.7 --run judged --evaluate", "--probe-holdout 0.7 --run judged"
    ),
    ("dissect", "--dry-run"): Case("--dry-run"),
    ("report", "--open"): Case("--open"),
    ("report", "--compare"): Case("--compare labels.csv"),
    ("report", "--layer"): Case("--compare bare.csv --layer second", "--compare bare.csv"),
    ("report", "--group-above"): Case("--group-above 0.1"),
    ("report", "--figures"): Case("--figures figures"),
    ("report", "--single-file"): Case("--single-file page.html"),
    ("report", "--neurons"): Case("--figures figures --neurons 0", "--figures figures"),
    ("evaluate", "--labels"): Case("--labels labels.csv"),
    ("evaluate", "--evidence"): Case("--evidence images"),
    ("evaluate", "--layer"): Case("--layer late", refused="unknown layer 'late'"),
    ("evaluate", "--word"): Case("--word sky"),
    ("truth", "--labels"): Case("--labels labels.csv"),
    ("truth", "--layer"): Case("--layer late", refused="unknown layer 'late'"),
    ("truth", "--metric"): Case("--metric token-f1", base="truth mine classes.txt"),
    ("truth", "--agree-above"): Case("--agree-above 0.5", base=PEOPLE),
    ("truth", "--all-neurons"): Case("--all-neurons", base=PEOPLE),
    ("compare", "--word"): Case("--word red"),
    ("compare", "--seed"): Case("--seed 3", base="compare many.csv more.csv --metric token-f1"),
    ("truth", "--seed"): Case(
        "--seed 3", base="truth mine many.txt --labels many.csv --metric token-f1"
    ),
    ("reproduce last-layer", "--seed"): Case(
        "--seed 3", base="reproduce last-layer many.txt many.csv --metric token-f1"
    ),
    ("reproduce milannotations", "--seed"): Case(
        "--seed 3",
        base="reproduce milannotations many-people.csv many.csv --all-neurons --metric token-f1",
    ),
    ("reproduce captioner-swap", "--seed"): Case(
        "--against more.csv --seed 3",
        "--against more.csv",
        "reproduce captioner-swap many.csv --metric token-f1",
    ),
    ("truth", "--devices"): Case(
        "--devices 0", base="truth mine classes.txt --metric mpnet=encoder"
    ),
    ("baseline", "--concepts"): Case("--concepts other-concepts.txt", "--concepts concepts.txt"),
    ("baseline", "--similarity"): Case("--similarity cosine"),
    ("baseline", "--ids"): Case("--ids 0"),
    ("bench", "--out"): Case("--out times.json"),
    ("baseline", "--out"): Case("--out x.jsonl"),
    ("baseline", "--seed"): Case("--probe-holdout 0.5 --seed 3", "--probe-holdout 0.5"),
    ("ablate", "--match"): Case("--match green"),
    ("ablate", "--data"): Case("--data two-classes"),
    ("ablate", "--labels"): Case("--labels labels.csv"),
    ("ablate", "--keep"): Case("--keep"),
    ("ablate", "--classifier"): Case(
        "--classifier forest",
        "--classes classes.txt",
        f"ablate pocket {LAYER} --match red --data by-class --labels mine --controls 3",
    ),
    ("ablate", "--classes"): Case("--classes swapped.txt"),
    ("ablate", "--controls"): Case("--controls 2"),
    ("ablate", "--config"): Case("--config settings.toml", refused="'mine' has its settings"),
    ("ablate", "--seed"): Case("--out out --seed 3", "--out out"),
    ("search", "--top"): Case("--top 0"),
    ("group", "--above"): Case("--above 0.1"),
    ("export", "--pack"): Case("--pack another", "--pack pack"),
    ("targets check", "--layout"): Case("--layout sideways", refused="network.layout is"),
    ("layers", "--layout"): Case("--layout tokens:1"),
    ("layers", "--latents"): Case("--latents sae"),
    ("verify", "--repair"): Case("--workspace damaged --repair", "--workspace damaged"),
    ("gc", "--workspace"): Case("--workspace damaged"),
    ("gc", "--yes"): Case("--workspace damaged --yes", "--workspace damaged"),
    ("verify", "--workspace"): Case("--workspace damaged", refused="1 fault left"),
    ("doctor", "--vllm-python"): Case("--vllm-python vllm-python", "--vllm-python no-vllm"),
    ("doctor", "--smoke"): Case("--no-smoke"),
    ("doctor", "--weights"): Case("--weights elsewhere"),
    ("reproduce milannotations", "--agree-above"): Case(
        "--agree-above 0.5",
        base="reproduce milannotations people.csv milan=labels.csv --metric clip=clip",
    ),
    ("reproduce milannotations", "--all-neurons"): Case(
        "--all-neurons",
        base="reproduce milannotations people.csv milan=labels.csv --metric clip=clip",
    ),
    ("reproduce milannotations", "--as-published"): Case(
        "--as-published", base=f"{TABLE_9} --all-neurons --metric mpnet=encoder"
    ),
    ("reproduce captioner-swap", "--against"): Case("--against two.csv", "--against other.csv"),
    ("weights add", "--role"): Case(
        "--role painter", "--role captioner", refused="holds no painter that is known here"
    ),
    ("weights add", "--source"): Case("--source timn:x", refused="--source timn:x is for targets"),
    ("weights add", "--yes"): Case("--yes", base="weights add mine pickled"),
    ("weights pull", "--trust"): Case(
        f"--trust w.pth={sha256(PICKLE)}", base="weights pull unknown"
    ),
    ("weights pull", "--yes"): Case("--yes", base="weights pull half"),
    ("weights pull", "--parallel"): Case("--parallel 2"),
    ("weights pack", "--output"): Case("--output two.tar", "--output one.tar"),
    ("weights pack", "--wheels"): Case("--no-wheels"),
    ("weights pack", "--vllm-python"): Case("--vllm-python python-of-vllm"),
    ("weights verify", "--deep"): Case("--deep"),
    ("probe prepare", "--data"): Case("--data elsewhere"),
    ("probe info", "--data"): Case("--data prepared-data", base="probe info broden"),
    ("pocket bench", "--out"): Case("--out figures.json"),
    ("pocket bench", "--hard"): Case("--hard"),
    ("pocket bench", "--frozen"): Case("--frozen", base="pocket bench --hard"),
    ("pocket bench", "--each"): Case("--each 2", base="pocket bench --hard"),
    ("pocket bench", "--meanings"): Case("--meanings 2", base="pocket bench --hard"),
    ("pocket bench", "--rounds"): Case("--rounds 1", base="pocket bench --hard"),
    ("pocket bench", "--contrast"): Case("--contrast 3", base="pocket bench --hard"),
    ("prompts export", "--describer"): Case("--describer another"),
    ("prompts export", "--model"): Case("--model another"),
    ("prompts export", "--format"): Case("--format xml", refused="openai-batch"),
    ("prompts export", "--family"): Case("--family reasoning"),
    ("prompts export", "--out"): Case("--out round.jsonl"),
    ("prompts import", "--describer"): Case("--describer another"),
    ("prompts import", "--data"): Case("--data data-there"),
}


def options() -> Iterator[tuple[str, str]]:
    """Yield every option of every command, by the command's words and its first long name."""

    def walk(command: Any, words: str) -> Iterator[tuple[str, str]]:
        for parameter in command.params:
            if parameter.param_type_name == "option":
                name = next(name for name in parameter.opts if name.startswith("--"))
                if name not in TYPERS:
                    yield words, name
        for name, inner in getattr(command, "commands", {}).items():
            yield from walk(inner, f"{words} {name}".strip())

    yield from walk(get_command(main.app), "")


def case_of(command: str, option: str) -> Case:
    """Return the case of an option.

    Raises:
        KeyError: it has none.
    """
    base = BASES[command]
    if (command, option) in CASES:
        case = CASES[command, option]
    elif option in METRICS and (command == "compare" or command.startswith("reproduce")):
        case = METRICS[option]
        base, case = f"{base} {case.base}", Case(case.second, case.first)
    elif option in SETTING_OPTIONS and command in ("dissect", "triage", "baseline"):
        case = Case(f"{option} {SETTINGS[SETTING_OPTIONS[option]][0]}")
    else:
        case = COMMON[option]
    name, value = REQUIRED.get(command, ("", ""))
    given = name in f"{case.first} {case.second}".split()
    words = f"{case.base or base} {'' if given else f'{name} {value}'}"
    return Case(case.second, case.first, words, case.refused)


SETTING_OPTIONS = {
    NAMED.get(path) or "--" + path.replace(".", "-").replace("_", "-"): path for path in SETTINGS
}
"""The setting behind each option that is made from one."""


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("options") / "made"
    make_world(folder)
    return folder


@pytest.fixture(scope="module")
def known() -> dict[tuple[str, str], Outcome]:
    """The outcomes of a command's words: most options are held against the same ones."""
    return {}


def outcome_of(made: Path, root: Path, command: str, words: str) -> Outcome:
    """Return what a line of words came to in a world of its own."""
    with pytest.MonkeyPatch.context() as patch:
        world = OptionWorld(patch, made, root)
        with world.prepared_for(command):
            return world.run_line(words)


@pytest.mark.parametrize(("command", "option"), list(options()))
def test_two_values_of_an_option_come_to_two_things(
    made: Path, known: dict[tuple[str, str], Outcome], tmp_path: Path, command: str, option: str
) -> None:
    case = case_of(command, option)
    sides = [f"{case.base} {case.first}", f"{case.base} {case.second}"]
    for number, words in enumerate(sides):
        if (command, words) not in known:
            root = tmp_path / f"side-{number}"
            known[command, words] = outcome_of(made, root, command, words)
    first, second = (known[command, words] for words in sides)
    assert first != second
    if case.refused:
        assert (first.code, second.code) == (0, 2)
        assert case.refused in second.err


@pytest.mark.parametrize("command", [command for command in BASES if command])
def test_the_same_words_come_to_the_same_thing(made: Path, tmp_path: Path, command: str) -> None:
    name, value = REQUIRED.get(command, ("", ""))
    words = f"{BASES[command]} {name} {value}"
    first, second = (outcome_of(made, tmp_path / side, command, words) for side in ("a", "b"))
    assert first == second
    assert first.code == (2 if command == "doctor" else 0), first.err


def test_every_command_has_words_and_no_case_is_of_another_time() -> None:
    there = set(options())
    assert {command for command, _ in there} == set(BASES)
    assert set(CASES) <= there
