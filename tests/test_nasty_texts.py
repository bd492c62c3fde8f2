"""Every nasty text comes out harmless wherever texts of models, files and users come out."""

from __future__ import annotations

import csv
import io
import re
import time
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path

import pytest
from rich.cells import cell_len

from dnd_local.cli import tables, wordwise
from dnd_local.cli.evidence import print_evidence
from dnd_local.cli.wordwise import console, print_line, say
from dnd_local.core.config import ConceptsConfig, LlmConfig
from dnd_local.core.conversations import Reply
from dnd_local.core.harmless import markdown
from dnd_local.evaluate.exports import records_csv
from dnd_local.evaluate.pack_card import card
from dnd_local.evaluate.verdicts import Verdict
from dnd_local.pipeline.reading import StoredRun
from dnd_local.report.notebook import html_of, neuron_card
from dnd_local.report.single import write_single
from dnd_local.report.site import build_site
from dnd_local.stages.asking import check
from dnd_local.stages.captions import one_line
from dnd_local.store.outputs import csv_text
from dnd_local.store.prompts import PromptFolder
from tests.bench import Bench
from tests.cli.test_tables import evidence, result
from tests.nasty import NASTY
from tests.report.synthetic import write_run

UNSEEN = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\ud800-\udfff]")
FORMULA = tuple("=+-@\t\r\n\uff1d")
OUTLETS = pytest.mark.parametrize("text", list(NASTY.values()), ids=list(NASTY))
SHOWABLE = {name: text for name, text in NASTY.items() if name != "half characters"}
"""What can lie in a part: its JSON has no half characters."""


@pytest.fixture
def csv_of_any_length() -> Iterator[None]:
    before = csv.field_size_limit(2_000_000)
    yield
    csv.field_size_limit(before)


@OUTLETS
def test_terminal(text: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("COLUMNS", "300")
    print_evidence(console(), evidence(text), None, "mine")
    with pytest.raises(Exception) as caught:  # noqa: PT011 - typer's exit, with its code
        tables.show_result(result(text), False)
    assert getattr(caught.value, "exit_code", None) == 3
    say(text, err=True)
    said = capsys.readouterr()
    for out in (said.out, said.err):
        assert not UNSEEN.search(out)
        assert len(out) < 12 * wordwise.LONGEST
    for word in re.findall(r"[a-z]{3,}", text)[:1]:
        assert word in said.out
        assert word in said.err


def test_a_terminal_in_colour_keeps_its_colours_and_nothing_else() -> None:
    out = wordwise._HarmlessConsole(force_terminal=True, color_system="standard", width=200)
    with out.capture() as captured:
        print_line(out, "[bold red]fine[/] \x1b[2Jgone")
    assert captured.get() == "\x1b[1;31mfine\x1b[0m \ufffd[2Jgone\n"


def test_a_line_that_is_too_long_is_cut(capsys: pytest.CaptureFixture[str]) -> None:
    say(NASTY["a long line"])
    out = capsys.readouterr().out
    assert cell_len(out.strip()) == wordwise.LONGEST
    assert out.endswith("…\n")


@pytest.mark.parametrize("text", list(SHOWABLE.values()), ids=list(SHOWABLE))
def test_csv(text: str, csv_of_any_length: None) -> None:
    verdict = Verdict("layer", 0, text, "weak", 0.5, ())
    for whole in (csv_text(("name", text), [(text, 1)]), records_csv([verdict.record()])):
        for row in csv.reader(io.StringIO(whole, newline="")):
            for cell in row:
                assert not cell.startswith(FORMULA)
        assert text.strip("\t\n") in "".join(
            cell for row in csv.reader(io.StringIO(whole, newline="")) for cell in row
        )


@OUTLETS
def test_markdown(text: str) -> None:
    escaped = markdown(text)
    assert "\n" not in escaped
    assert not UNSEEN.search(escaped)
    # Each sign with a meaning stands behind a backslash.
    assert not re.search(r"(?<!\\)[`*_\[\]<>|#{}]", re.sub(r"\\\\", "", escaped))
    pack = {
        "target": text, "layers": [text], "counts": {"neurons": 1}, "schema": 1,
        "provenance": {"dnd_local": "0", "models": {"painter": [{"id": text, "licence": text}]}},
    }  # fmt: skip
    plain = {**pack, "target": "t", "layers": ["l"]}
    plain["provenance"] = {"dnd_local": "0", "models": {"painter": [{"id": "i", "licence": "x"}]}}
    assert card(pack).count("\n") == card(plain).count("\n")


@pytest.fixture(scope="module")
def nasty(tmp_path_factory: pytest.TempPathFactory) -> StoredRun:
    """A run in which every text, and every image's name, is nasty."""
    texts = list(SHOWABLE.values())
    with pytest.MonkeyPatch.context() as patch:
        bench = Bench(tmp_path_factory.mktemp("nasty") / "work", patch)

        def label(neuron: int, draw: int) -> str:
            return texts[(3 * neuron + draw) % len(texts)]

        yield write_run(bench, len(texts) // 3 + 2, "nasty", label=label)


class _Elements(HTMLParser):
    """The elements of a page, by name, with their attributes; and all its text."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.all: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.all.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.text += data


def check_page(page: str, scripts: int) -> str:
    """Return a page's text, after seeing that no text became an element, attribute or address."""
    assert not UNSEEN.search(page)
    elements = _Elements(page)
    assert sum(tag == "script" for tag, _ in elements.all) <= scripts
    for tag, attributes in elements.all:
        assert tag not in ("iframe", "object", "embed"), tag
        assert not any(name.startswith("on") for name in attributes)
        for name in ("href", "src", "action"):
            assert not (attributes.get(name) or "").startswith(("javascript:", "http://x"))
    return elements.text


def test_pages_and_files_beside_them(
    nasty: StoredRun, tmp_path: Path, csv_of_any_length: None
) -> None:
    began = time.monotonic()
    site = build_site(nasty, tmp_path / "site")
    shown = "".join(
        check_page(path.read_text("utf-8"), scripts=6) for path in site.folder.rglob("*.html")
    )
    for name in ("HTML", "an attribute", "a template", "Markdown", "instructions", "an odd script"):
        assert NASTY[name] in shown, name
    for path in (site.folder / "data").glob("*.csv"):
        with path.open(encoding="utf-8", newline="") as file:
            for row in csv.reader(file):
                assert not any(cell.startswith(FORMULA) and not _number(cell) for cell in row)
    page = write_single(nasty, tmp_path / "page.html", nasty.record.wanted()[:3])
    check_page(page.path.read_text("utf-8"), scripts=1)
    assert time.monotonic() - began < 120


def _number(cell: str) -> bool:
    try:
        float(cell)
    except ValueError:
        return False
    return True


def test_notebook(nasty: StoredRun) -> None:
    check_page(html_of(nasty) or "", scripts=0)
    for neuron in nasty.record.wanted()[:-1]:
        check_page(neuron_card(nasty, neuron.index)._repr_html_(), scripts=0)
    for record in nasty.descriptions():
        check_page(record._repr_html_(), scripts=0)


@OUTLETS
def test_prompts(text: str) -> None:
    """A caption fills its place in a turn: no turn more, no line of its own, no variable read."""
    prompts = PromptFolder()
    usual = prompts.messages("simplify", caption="a dog")
    filled = prompts.messages("simplify", caption=one_line(text))
    assert [turn.role for turn in filled] == [turn.role for turn in usual]
    assert [turn.text.count("\n") for turn in filled] == [turn.text.count("\n") for turn in usual]
    assert not UNSEEN.search("".join(turn.text for turn in filled))
    assert sum(one_line(text) in turn.text for turn in filled) == 1


@OUTLETS
def test_replies(text: str) -> None:
    """A nasty reply becomes a label only if it is a few plain words."""
    label, problem = check(Reply(text), ConceptsConfig().max_words, LlmConfig().max_tokens or 200)
    assert problem or (label.isprintable() and len(label) <= 200 and "<" not in label)
