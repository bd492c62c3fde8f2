"""The site in a real browser, from files: no network, no error, all works by hand and by key."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from dnd_local.core.amounts import count_text
from dnd_local.core.descriptions import (
    SAME_CONCEPT,
    Description,
    DescriptionRow,
    DescriptionTable,
    Label,
)
from dnd_local.core.records import Neuron
from dnd_local.evaluate.comparisons import Compared, compared_run
from dnd_local.evaluate.groups import SWEEP, LabelTree, group_neurons, label_tree
from dnd_local.pipeline.reading import StoredRun
from dnd_local.report.cards import CardView
from dnd_local.report.groups_view import groups_view
from dnd_local.report.notebook import compare, html_of, neuron_card
from dnd_local.report.pages import FIRST_CARDS, render
from dnd_local.report.run_view import run_view
from dnd_local.report.searching import SEARCHED, search_script
from dnd_local.report.shelf import Shown
from dnd_local.report.similarity import layout
from dnd_local.report.single import write_single
from dnd_local.report.site import Site, build_site, copy_static
from tests.fakes import LAYER
from tests.report.conftest import Desk
from tests.report.synthetic import SCRIPT, plain_label

CHROMIUM = next((found for name in ("chromium", "chromium-browser", "google-chrome")
                 if (found := shutil.which(name))), None)  # fmt: skip
AXE = Path(os.environ.get("DND_LOCAL_AXE", ".venv/node_modules/axe-core/axe.min.js"))

pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="no Chromium: apt-get install chromium")
WIDTHS = (390, 820, 1440)
NOTEBOOK = """<!doctype html><html lang="en"><title>A notebook</title>
<style>:root { color-scheme: light dark }</style><main><h1>A notebook</h1>"""
"""What stands around a card: a heading, and the colours of the reader."""

VIOLATIONS = """axe.run().then(r => r.violations.map(
    v => [v.id, v.nodes[0].html, v.nodes[0].failureSummary]))"""


class Watched:
    """A page of the browser and everything it complained about or asked for."""

    def __init__(self, page: Any, home: Path) -> None:
        self.page, self.home = page, home.resolve().as_uri()
        self.complaints: list[str] = []
        self.requests: list[str] = []
        page.on("console", lambda m: self.complaints.append(f"{m.type}: {m.text}"))
        page.on("pageerror", lambda error: self.complaints.append(f"error: {error}"))
        page.on("requestfailed", self._failed)
        page.on("request", lambda request: self.requests.append(request.url))

    def _failed(self, request: Any) -> None:
        # Leaving a page while its pictures load is no fault of the page.
        if request.failure != "net::ERR_ABORTED":
            self.complaints.append(f"{request.failure}: {request.url}")

    def open(self, path: Path) -> Any:
        self.page.goto(path.resolve().as_uri())
        return self.page

    def check(self) -> None:
        """Nothing was complained about, nothing came from outside the folder."""
        assert not self.complaints
        outside = [u for u in self.requests if not u.startswith((self.home, "data:"))]
        assert not outside
        assert self.requests


class _Patient:
    """A browser whose pages wait as long as a busy machine needs; a test's own limit ends them."""

    def __init__(self, browser: Any) -> None:
        self._browser = browser

    def new_page(self, **options: Any) -> Any:
        page = self._browser.new_page(**options)
        page.set_default_timeout(120_000)
        return page


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    playwright = pytest.importorskip("playwright.sync_api", reason="pip install playwright")
    with playwright.sync_playwright() as started:
        # Root has no sandbox; --disable-background-networking keeps the browser itself quiet.
        arguments = ["--no-sandbox", "--disable-background-networking"]
        opened = started.chromium.launch(executable_path=CHROMIUM, args=arguments)
        yield _Patient(opened)
        opened.close()


@pytest.fixture(scope="module")
def site(desk: Desk, tmp_path_factory: pytest.TempPathFactory) -> Site:
    labels = ("red thing", SCRIPT, "sky")
    rows = tuple(
        DescriptionRow(SCRIPT, "pocket", LAYER, i, (text,), (), "described")
        for i, text in enumerate(labels)
    )
    third = tuple(replace(row, labels=("sky",), describer="third") for row in rows)
    others = [Compared(DescriptionTable(SCRIPT, rows)), Compared(DescriptionTable("third", third))]
    return build_site(desk.plain, tmp_path_factory.mktemp("browser") / "a site's", others)


@pytest.fixture(scope="module")
def judged_site(judged: StoredRun, desk: Desk, tmp_path_factory: pytest.TempPathFactory) -> Site:
    others = [compared_run(desk.plain)]
    return build_site(judged, tmp_path_factory.mktemp("judged") / "site", others)


@pytest.fixture
def watched(browser: Any, site: Site) -> Iterator[Watched]:
    page = browser.new_page(viewport={"width": 1280, "height": 900})
    yield Watched(page, site.folder)
    page.close()


def neuron(site: Site, index: int) -> Path:
    return site.folder / "neurons" / f"colours-{index:05d}.html"


def shown_neurons(page: Any) -> list[str]:
    # Not the inner text: a card that just moved has none until the browser has drawn it.
    return page.locator("[data-row]:not([hidden]) .line .clip").all_text_contents()


def test_every_page_opens_without_a_complaint(watched: Watched, site: Site) -> None:
    for path in sorted(site.folder.rglob("*.html")):
        page = watched.open(path)
        page.mouse.wheel(0, 20_000)
        page.wait_for_load_state()
        assert page.title()
    watched.check()
    loaded = page.evaluate("[...document.images].every(i => !i.complete || i.naturalWidth > 0)")
    assert loaded


def test_search_narrows_and_counts(watched: Watched, site: Site) -> None:
    page = watched.open(site.index)
    assert page.inner_text("#count") == "6 neurons"
    page.fill("#search", "BLUE")
    assert shown_neurons(page) == ["colours · 2"]
    assert page.inner_text("#count") == "1 of 6 neurons"
    assert page.locator(".map circle.hit").count() == 1
    page.fill("#search", "no such word")
    assert page.is_visible("#nothing")
    page.fill("#search", "")
    assert len(shown_neurons(page)) == 6
    watched.check()


def test_filters_by_status(watched: Watched, site: Site) -> None:
    page = watched.open(site.index)
    page.click("button[data-status=dead]")
    assert shown_neurons(page) == ["colours · 3"]
    page.click("button[data-status=duplicate]")
    assert shown_neurons(page) == ["colours · 3", "colours · 5"]
    page.click("button[data-status=dead]")
    page.click("button[data-status=duplicate]")
    assert len(shown_neurons(page)) == 6


def test_filters_and_sorts_by_verdict(browser: Any, judged_site: Site) -> None:
    page = browser.new_page(viewport={"width": 1280, "height": 900})
    watched = Watched(page, judged_site.folder)
    watched.open(judged_site.index)
    pills = page.locator("[data-row] .pill").all_text_contents()
    assert pills[:3] == ["supported", "weak", "abstained"]
    assert page.locator("button[data-verdict]").all_inner_texts() == [
        "supported1", "weak1", "abstained1",
    ]  # fmt: skip
    page.click("button[data-verdict=abstained]")
    assert shown_neurons(page) == ["colours · 2"]
    page.click("button[data-verdict=weak]")
    page.select_option("#sort", "support")
    assert shown_neurons(page) == ["colours · 1", "colours · 2"]
    page.click("button[data-status=dead]")
    assert shown_neurons(page) == []
    page.click("button[data-status=dead]")
    page.locator("[data-row]:not([hidden]) a").first.click()
    page.wait_for_url("**/colours-00001.html")
    assert page.locator("p.verdict").inner_text().startswith("weak the label predicts")
    assert page.locator("td.best").count() > 0
    page.go_back()
    assert shown_neurons(page) == ["colours · 1", "colours · 2"]
    assert page.get_attribute("button[data-verdict=weak]", "aria-pressed") == "true"
    page.click("button[data-verdict=abstained]")
    page.click("button[data-verdict=weak]")
    assert shown_neurons(page)[:4] == [f"colours · {i}" for i in (1, 0, 2, 3)]
    page.click("summary:text('What the verdicts mean')")
    assert "do not rely on it" in page.locator(".legend").inner_text()
    watched.check()
    page.close()


def test_a_page_without_verdicts_has_nothing_to_filter_them_by(
    watched: Watched, site: Site
) -> None:
    page = watched.open(site.index)
    assert page.locator("[data-verdict]").count() == 0
    assert page.locator("#sort option[value=support]").count() == 0
    watched.page.goto(site.index.as_uri() + "#sort=support&verdict=weak")
    page.reload()
    assert len(shown_neurons(page)) == 6
    assert page.input_value("#sort") == "place"
    watched.check()


def test_sorts(watched: Watched, site: Site, desk: Desk) -> None:
    page = watched.open(site.index)
    described = [d for d in desk.plain.descriptions() if d.labels]
    page.select_option("#sort", "high")
    by_score = sorted(described, key=lambda d: -d.labels[0].score)
    assert shown_neurons(page)[:3] == [f"colours · {d.neuron.index}" for d in by_score]
    page.select_option("#sort", "low")
    assert shown_neurons(page)[:3] == [f"colours · {d.neuron.index}" for d in by_score[::-1]]
    page.select_option("#sort", "label")
    by_label = sorted(described, key=lambda d: d.labels[0].text)
    assert shown_neurons(page)[:3] == [f"colours · {d.neuron.index}" for d in by_label]
    page.select_option("#sort", "place")
    assert shown_neurons(page) == [f"colours · {i}" for i in range(6)]


def test_back_from_a_neuron_finds_the_list_as_it_was(watched: Watched, site: Site) -> None:
    page = watched.open(site.index)
    page.fill("#search", "green")
    page.select_option("#sort", "high")
    page.click("[data-row]:not([hidden]) a")
    assert "colours-00001" in page.url
    page.go_back()
    assert page.input_value("#search") == "green"
    assert page.input_value("#sort") == "high"
    assert shown_neurons(page) == ["colours · 1"]
    watched.check()


def test_a_frequent_label_and_a_dot_lead_to_neurons(watched: Watched, site: Site) -> None:
    page = watched.open(site.index)
    text = page.locator(".frequent .t").first.inner_text()
    page.locator(".frequent button").first.click()
    assert page.input_value("#search") == text
    assert len(shown_neurons(page)) == 1
    page.locator(".map circle[data-place='2']").dispatch_event("click")
    page.wait_for_url("**/colours-00002.html")


def test_keys_on_the_run_page(watched: Watched, site: Site) -> None:
    page = watched.open(site.index)
    page.keyboard.press("/")
    page.keyboard.type("colours")
    assert page.input_value("#search") == "colours"
    page.keyboard.type("j")
    assert page.input_value("#search") == "coloursj"
    page.fill("#search", "")
    page.keyboard.press("Escape")
    for key in ("j", "j", "k", "ArrowRight"):
        page.keyboard.press(key)
    page.keyboard.press("Enter")
    page.wait_for_url("**/colours-00001.html")


def test_keys_on_a_neurons_page(watched: Watched, site: Site) -> None:
    page = watched.open(neuron(site, 0))
    for key, index in (("ArrowRight", 1), ("j", 2), ("k", 1), ("ArrowLeft", 0)):
        page.keyboard.press(key)
        page.wait_for_url(f"**/colours-{index:05d}.html")
    page.keyboard.press("ArrowLeft")
    assert "colours-00000" in page.url
    page.keyboard.press("Control+j")
    assert "colours-00000" in page.url
    page.keyboard.press("?")
    assert page.is_visible("#keys")
    page.keyboard.press("Escape")
    assert not page.is_visible("#keys")
    page.keyboard.press("/")
    page.wait_for_url("**/index.html*")
    assert page.evaluate("document.activeElement.id") == "search"
    watched.check()


def test_exemplars_are_as_they_are_until_maps_and_boxes_are_asked_for(
    watched: Watched, site: Site
) -> None:
    page = watched.open(neuron(site, 0))
    maps, boxes = page.locator(".attention").first, page.locator(".tile .zoom .box").first
    assert not maps.is_visible()
    assert not boxes.is_visible()
    page.locator(".tile .zoom").first.hover()
    assert maps.is_visible()
    assert not page.locator(".attention").nth(1).is_visible()
    page.mouse.move(0, 0)
    assert not maps.is_visible()
    page.keyboard.press("m")
    assert maps.is_visible()
    assert page.get_attribute("button[data-toggle=maps]", "aria-pressed") == "true"
    page.click("button[data-toggle=boxes]")
    assert boxes.is_visible()
    page.keyboard.press("j")
    page.wait_for_url("**/colours-00001.html")
    assert page.locator(".attention").first.is_visible()
    page.keyboard.press("m")
    page.keyboard.press("b")
    page.mouse.move(0, 0)
    assert not page.locator(".attention").first.is_visible()


def test_a_picture_is_enlarged_where_it_stands_by_key(watched: Watched, site: Site) -> None:
    page = watched.open(neuron(site, 0))
    tile = page.locator(".tile .zoom").first
    tile.focus()
    page.keyboard.press("Enter")
    zoom = page.locator("#zoom")
    assert zoom.is_visible()
    sides = zoom.locator(".sides > div")
    assert [one.get_attribute("class") for one in sides.all()] == [
        "as-it-is",
        "mapped-side",
        "cut-from",
    ]
    assert zoom.locator(".cut-from svg.scene").is_visible()
    assert not zoom.locator(".as-it-is .attention").is_visible()
    assert zoom.locator(".mapped-side .attention").is_visible()
    response = page.locator(".exemplars .line span").first.inner_text()
    caption = page.locator(".exemplars .caption").first.inner_text()
    assert response in zoom.inner_text()
    assert caption in zoom.inner_text()
    assert zoom.locator("svg").first.bounding_box()["width"] > 1.5 * tile.bounding_box()["width"]
    page.keyboard.press("ArrowRight")
    assert page.locator(".exemplars .caption").nth(1).inner_text() in zoom.inner_text()
    assert "colours-00000" in page.url
    page.keyboard.press("ArrowLeft")
    page.keyboard.press("ArrowLeft")
    assert zoom.locator(".sides img").count() == 1
    assert "seed" in zoom.inner_text()
    page.keyboard.press("Escape")
    assert not zoom.is_visible()
    assert page.locator(".painted .zoom").last.evaluate("e => e === document.activeElement")
    watched.check()


def test_a_picture_is_enlarged_by_touch(browser: Any, site: Site) -> None:
    page = browser.new_page(viewport={"width": 390, "height": 844}, has_touch=True)
    page.goto(neuron(site, 0).as_uri())
    page.locator(".tile .zoom").nth(1).tap()
    zoom = page.locator("#zoom")
    assert page.locator(".exemplars .caption").nth(1).inner_text() in zoom.inner_text()
    box = zoom.bounding_box()
    assert box["x"] >= 0
    assert box["x"] + box["width"] <= 390
    assert box["y"] + box["height"] <= 844
    zoom.locator("[data-step='1']").tap()
    assert page.locator(".exemplars .caption").nth(2).inner_text() in zoom.inner_text()
    zoom.locator("text=Close").tap()
    assert not zoom.is_visible()
    page.close()


def test_a_single_file_works_anywhere(
    browser: Any, desk: Desk, judged: StoredRun, tmp_path: Path
) -> None:
    for run, name in ((judged, "one.html"), (desk.hostile, "two.html")):
        path = write_single(run, tmp_path / name).path
        page = browser.new_page(viewport={"width": 390, "height": 844})
        watched = Watched(page, path)
        watched.open(path)
        assert page.title() != "owned"
        page.locator(".tile .zoom").first.click()
        assert page.is_visible("#zoom")
        page.keyboard.press("Escape")
        page.keyboard.press("m")
        assert page.locator(".attention").first.is_visible()
        pressed = page.locator("[data-toggle=maps]").evaluate_all("b => b.map(o => o.ariaPressed)")
        assert len(pressed) > 1
        assert set(pressed) == {"true"}
        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
        loaded = "[...document.images].every(i => !i.complete || i.naturalWidth > 0)"
        assert page.evaluate(loaded)
        watched.check()
        if not AXE.is_file():
            pytest.skip(f"no axe-core at {AXE}: npm install --prefix .venv axe-core")
        page.evaluate(AXE.read_text(encoding="utf-8"))
        assert page.evaluate(VIOLATIONS) == []
        page.close()


def test_small_pictures_are_enlarged_without_blur(watched: Watched, site: Site) -> None:
    page = watched.open(neuron(site, 0))
    for selector in (".tile svg > image", ".painted img", ".range img"):
        found = page.locator(selector).first.evaluate("e => getComputedStyle(e).imageRendering")
        assert found == "pixelated", selector


def test_images_down_the_range_of_responses(watched: Watched, site: Site) -> None:
    page = watched.open(neuron(site, 0))
    names = page.locator(".range h3").all_inner_texts()
    assert names == ["Top 1 %", "Top 5 %", "Top 25 %", "Median", "Nearest 0", "At random"]
    page.locator(".range .zoom").first.click()
    assert "top 1 %" in page.locator("#zoom .about").inner_text()
    watched.check()


def test_search_finds_captions_and_says_where(watched: Watched, site: Site) -> None:
    page = watched.open(site.index)
    assert not page.evaluate("'dndTexts' in window")
    caption = page.evaluate(
        f"(() => {{ {(site.folder / SEARCHED).read_text()} return dndTexts[1][2][0] }})()"
    )
    page.fill("#search", caption)
    page.locator(".found").first.wait_for()
    assert shown_neurons(page) == ["colours · 1"]
    assert "in a caption:" in page.locator(".found").inner_text()
    bold = page.locator(".found b").all_inner_texts()
    assert bold == [word for word in caption.split() if word in bold]
    assert "there" in bold
    assert page.inner_text("#count") == "1 of 6 neurons, 1 by more than labels"
    page.locator("#search").focus()
    page.keyboard.press("Escape")
    assert page.input_value("#search") == ""
    assert len(shown_neurons(page)) == 6
    assert page.locator(".found").count() == 0
    assert page.evaluate("document.activeElement.id") == "search"
    watched.check()


@pytest.mark.parametrize("width", [390, 820, 1440])
def test_no_name_in_the_map_lies_on_another(browser: Any, long_index: Path, width: int) -> None:
    page = browser.new_page(viewport={"width": width, "height": 900})
    page.goto(long_index.as_uri())
    boxes = page.evaluate(
        """() => [...document.querySelectorAll(".map text")].map(e => e.getBoundingClientRect())
            .filter(r => r.width).map(r => [r.left, r.top, r.right, r.bottom])"""
    )
    assert len(boxes) > 3
    for i, one in enumerate(boxes):
        for other in boxes[i + 1 :]:
            assert (one[2] <= other[0] or other[2] <= one[0]
                    or one[3] <= other[1] or other[3] <= one[1])  # fmt: skip
    page.close()


def test_light_and_dark(watched: Watched, site: Site) -> None:
    page = watched.open(site.index)

    def background() -> str:
        return page.evaluate("getComputedStyle(document.body).backgroundColor")

    light = background()
    page.click("#theme")
    assert background() != light
    page.reload()
    assert background() != light
    page.keyboard.press("d")
    assert background() == light
    page.evaluate("localStorage.clear()")
    page.emulate_media(color_scheme="dark")
    page.reload()
    assert background() != light


def test_a_script_in_a_label_is_shown_and_never_run(browser: Any, desk: Desk, site: Site,
                                                    tmp_path: Path) -> None:  # fmt: skip
    made = build_site(desk.hostile, tmp_path / "site")
    page = browser.new_page()
    watched = Watched(page, made.folder)
    for path in sorted(made.folder.rglob("*.html")):
        watched.open(path)
        page.wait_for_load_state()
        assert page.title() != "owned"
    watched.check()
    watched.open(made.index)
    assert SCRIPT in page.locator(".card .label").all_inner_texts()
    page.fill("#search", "<script>document")
    assert page.locator("[data-row]:not([hidden])").count() > 0
    page.close()
    page = browser.new_page()
    page.goto((site.folder / "compare.html").as_uri())
    assert page.locator(f"td bdi:text-is({SCRIPT!r})").count() == 1
    assert page.title() != "owned"
    page.close()


def likenesses(page: Any) -> list[float]:
    return [float(text) for text in page.locator("[data-row] .likes span").all_inner_texts()]


def test_the_compare_page_filters_sorts_by_any_pair_and_links(watched: Watched, site: Site) -> None:
    page = watched.open(site.folder / "compare.html")
    mean = likenesses(page)
    assert mean == sorted(mean)
    page.select_option("#sort", "high")
    assert likenesses(page) == sorted(mean, reverse=True)
    pairs = page.locator("#pair option").all_inner_texts()
    assert pairs[1:] == [f"plain · {SCRIPT}", "plain · third", f"{SCRIPT} · third"]
    page.select_option("#pair", "2")
    assert likenesses(page) == [1, 0, 0]
    page.reload()
    assert likenesses(page) == [1, 0, 0]
    page.click("#differs")
    assert likenesses(page) == [0, 0]
    page.click("#differs")
    page.select_option("#pair", "")
    assert likenesses(page) == sorted(mean, reverse=True)
    page.keyboard.press("Escape")
    page.locator("tbody#neurons a").first.click()
    page.wait_for_url("**/neurons/colours-0*.html")
    watched.check()


def test_a_phone_shows_every_describer(browser: Any, site: Site) -> None:
    page = browser.new_page(viewport={"width": 390, "height": 844})
    page.goto((site.folder / "compare.html").as_uri())
    for cell in page.locator("tbody#neurons tr").first.locator("td").all():
        box = cell.bounding_box()
        assert box["x"] >= 0
        assert box["x"] + box["width"] <= 390
        name = cell.evaluate("e => getComputedStyle(e, '::before').content")
        assert name.strip('"') == cell.get_attribute("data-name").replace('"', '\\"')
    cut = page.locator(".scroll").evaluate_all("a => a.filter(e => e.scrollWidth > e.clientWidth)")
    assert not cut, "the tables of agreement and of labels fit"
    page.goto(neuron(site, 0).as_uri())
    wide = page.locator(".candidates").evaluate("e => e.scrollWidth - e.parentNode.clientWidth")
    assert wide <= 0
    page.close()


def test_the_compare_page_marks_what_was_judged(browser: Any, judged_site: Site) -> None:
    page = browser.new_page(viewport={"width": 1280, "height": 900})
    page.goto((judged_site.folder / "compare.html").as_uri())
    marks = page.locator("[data-row]").evaluate_all(
        """rows => rows.map(row => [...row.querySelectorAll('td')]
            .map(cell => cell.querySelectorAll('.pill').length))"""
    )
    assert marks == [[1, 0, 0]] * 3
    assert "3 judged" in page.locator("table.compare thead").inner_text()
    assert "not judged" in page.locator("table.compare thead").inner_text()
    page.close()


@pytest.mark.parametrize("width", [390, 1280])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_no_problem_for_those_who_cannot_see_well(
    browser: Any, site: Site, judged_site: Site, scheme: str, width: int
) -> None:
    if not AXE.is_file():
        pytest.skip(f"no axe-core at {AXE}: npm install --prefix .venv axe-core")
    page = browser.new_page(viewport={"width": width, "height": 900}, color_scheme=scheme)
    pages = [site.index, neuron(site, 0), neuron(site, 5), site.folder / "compare.html",
             site.folder / "groups.html",
             judged_site.index, neuron(judged_site, 2),
             judged_site.folder / "compare.html"]  # fmt: skip
    for path in pages:
        page.goto(path.as_uri())
        page.evaluate("for (const one of document.querySelectorAll('details')) one.open = true")
        # Through the browser's own door: the page's policy lets no other script in.
        page.evaluate(AXE.read_text(encoding="utf-8"))
        bad = page.evaluate(VIOLATIONS)
        assert not bad, f"{path.name}: {bad}"
    page.close()


@pytest.mark.parametrize("width", WIDTHS)
def test_nothing_sticks_out_at_any_width(
    browser: Any, site: Site, judged_site: Site, width: int
) -> None:
    page = browser.new_page(viewport={"width": width, "height": 800})
    for path in (site.index, neuron(site, 0), neuron(site, 3), site.folder / "compare.html",
                 judged_site.index, neuron(judged_site, 0)):  # fmt: skip
        page.goto(path.as_uri())
        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth"), path.name
    page.close()


def test_the_map_fills_its_card(browser: Any, site: Site) -> None:
    page = browser.new_page(viewport={"width": 1440, "height": 900})
    page.goto(site.index.as_uri())
    below = page.evaluate(
        """() => document.querySelector(".mapped").getBoundingClientRect().bottom
            - document.querySelector(".map").getBoundingClientRect().bottom"""
    )
    assert below < 24
    page.close()


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_notebook_cards_fit_a_narrow_cell_and_can_be_read_by_all(
    browser: Any, desk: Desk, judged: StoredRun, scheme: str
) -> None:
    page = browser.new_page(viewport={"width": 320, "height": 900}, color_scheme=scheme)
    evidence = desk.plain.evidence("0")
    cards = [html_of(judged)] + [
        shown._repr_html_()
        for shown in (neuron_card(judged, "0"), evidence.description, evidence.exemplars,
                      compare(desk.plain, "plain"))
    ]  # fmt: skip
    for card in cards:
        page.set_content(f"{NOTEBOOK}{card}</main></html>")
        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
        if not AXE.is_file():
            pytest.skip(f"no axe-core at {AXE}: npm install --prefix .venv axe-core")
        page.evaluate(AXE.read_text(encoding="utf-8"))
        bad = page.evaluate(VIOLATIONS)
        assert not bad, bad
    page.close()


@pytest.fixture(scope="module")
def long_index(desk: Desk, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("long")
    copy_static(folder)
    labels = [[plain_label(i, draw) for draw in range(3)] for i in range(2048)]
    cards = [_card(i, own) for i, own in enumerate(labels)]
    run = run_view(desk.plain, cards, layout(_random_vectors(len(labels))))
    page_text = render(
        "run.html", run=run, root="", compared=False, groups=None, missing=0,
        downloads=("a.csv",), unlike="", encoder="clip",
    )  # fmt: skip
    texts = [(tuple(own), tuple(own), (f"caption {i}",)) for i, own in enumerate(labels)]
    (folder / SEARCHED).write_bytes(search_script(texts))
    index = folder / "index.html"
    index.write_text(page_text, encoding="utf-8")
    return index


def test_a_long_list_is_drawn_on_the_way_down(browser: Any, long_index: Path) -> None:
    page = browser.new_page(viewport={"width": 1280, "height": 900})
    page.goto(long_index.as_uri())
    rows = page.locator("[data-row]")
    assert rows.count() == FIRST_CARDS
    rows.nth(FIRST_CARDS - 1).locator("a").focus()
    page.keyboard.press("j")
    assert page.evaluate("document.activeElement.pathname").endswith("layer4-00240.html")
    rows.nth(FIRST_CARDS).wait_for(state="attached")
    page.fill("#search", "2047")
    assert shown_neurons(page) == ["layer4 · 2047"]
    page.fill("#search", "")
    assert rows.count() == FIRST_CARDS
    page.emulate_media(media="print")
    page.evaluate("dispatchEvent(new Event('beforeprint'))")
    assert rows.count() == 2048
    page.close()


def test_the_index_of_2048_neurons_is_small_and_opens_fast(browser: Any, long_index: Path) -> None:
    index = long_index
    assert index.stat().st_size < 5_000_000
    page = browser.new_page(viewport={"width": 1280, "height": 900})
    # The time that the page's own work takes, not what else runs on this machine meanwhile.
    watch = page.context.new_cdp_session(page)
    watch.send("Performance.enable", {"timeDomain": "threadTicks"})
    page.goto(index.as_uri())
    assert page.inner_text("#count") == "2,048 neurons"
    figures = {m["name"]: m["value"] for m in watch.send("Performance.getMetrics")["metrics"]}
    assert figures["TaskDuration"] < 2
    # Thumbnails are lazy: only those near the window are asked for.
    assert page.evaluate("performance.getEntriesByType('resource').length") < 2048
    page.close()


def _random_vectors(count: int) -> np.ndarray:
    rows = np.random.default_rng(0).standard_normal((count, 16)).astype(np.float32)
    return np.asarray(rows / np.linalg.norm(rows, axis=1, keepdims=True))


def _card(index: int, labels: list[str]) -> CardView:
    digest = np.random.default_rng(index).bytes(10).hex()
    path = f"{digest[:2]}/{digest}.webp"
    shown = Shown(f"pictures/{path}", f"thumbs/{path}", 500, 375)
    own = tuple(Label(text, 5.0 + index % 7) for text in labels)
    return CardView(f"neurons/layer4-{index:05d}.html", Neuron("resnet50", "layer4", index),
                    "described" if own else "dead", "", own, 3.0, (shown,) * 5)  # fmt: skip


@dataclass
class Grouped:
    """A groups page, and the neurons and labels that it is of."""

    path: Path
    descriptions: list[Description]
    tree: LabelTree


def write_groups(folder: Path, neurons: int, labels: int) -> Grouped:
    """Write a groups page; the last neuron has no label."""
    copy_static(folder)
    generator = np.random.default_rng(5)
    texts = [f"{plain_label(i, 0)} {i}" for i in range(labels)]
    rows = generator.standard_normal((labels, 4)).astype(np.float32)
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    vectors = dict(zip(texts, rows, strict=True))
    chosen = [[texts[i]] for i in generator.integers(0, labels, neurons - 1)] + [[]]
    cards = [_card(i, labels) for i, labels in enumerate(chosen)]
    descriptions = [Description(c.neuron, c.status, c.labels, "mean") for c in cards]
    used = {text: vectors[text] for (text,) in chosen[:-1]}
    view = groups_view(descriptions, cards, used)
    path = folder / "groups.html"
    page_text = render("groups.html", view=view, run_name="grouped", encoder="clip", root="")
    path.write_text(page_text, encoding="utf-8")
    return Grouped(path, descriptions, label_tree(used))


@pytest.fixture(scope="module")
def grouped_page(tmp_path_factory: pytest.TempPathFactory) -> Grouped:
    return write_groups(tmp_path_factory.mktemp("grouped"), 200, 40)


def groups_of(page: Any) -> list[tuple[str, list[str]]]:
    return [
        (group.locator("h3").text_content(), group.locator(".tiles .number").all_text_contents())
        for group in page.locator("#groups > li").all()
    ]


def test_the_groups_page_at_any_threshold_is_what_the_command_says(
    browser: Any, grouped_page: Grouped
) -> None:
    page = browser.new_page(viewport={"width": 1280, "height": 900})
    page.goto(grouped_page.path.as_uri())
    counts = set()
    for above in SWEEP:
        page.locator(f"button[data-above='{above}']").click()
        groups = group_neurons(grouped_page.descriptions, grouped_page.tree, above)
        wanted = [
            (group.name, [str(n.index) for n in group.neurons])
            for group in groups
            if len(group.neurons) > 1
        ]
        shown = [(name, sorted(numbers, key=int)) for name, numbers in groups_of(page)]
        assert shown == wanted
        alone = page.locator("#alone .number").count()
        assert page.inner_text("#counted") == (
            f"{count_text(len(wanted), 'group')}, {count_text(alone, 'neuron')} alone"
        )
        assert len(wanted) + alone == len(groups)
        assert page.locator("[aria-pressed='true'][data-above]").count() == 1
        counts.add(len(wanted))
    assert len(counts) > 3
    page.locator("#slider").fill("0")
    assert len(groups_of(page)) == 1
    page.reload()
    assert page.inner_text("#above") == "0"
    page.goto(f"{grouped_page.path.as_uri()}#above=0.95")
    assert page.inner_text("#above") == "0.95"
    page.close()


def test_the_groups_of_2048_neurons_are_small_and_regroup_fast(
    browser: Any, tmp_path: Path
) -> None:
    path = write_groups(tmp_path, 2048, 1500).path
    assert path.stat().st_size < 2_000_000
    page = browser.new_page(viewport={"width": 1280, "height": 900})
    watch = page.context.new_cdp_session(page)
    watch.send("Performance.enable", {"timeDomain": "threadTicks"})

    def busy() -> float:
        metrics = watch.send("Performance.getMetrics")["metrics"]
        return next(m["value"] for m in metrics if m["name"] == "TaskDuration")

    page.goto(path.as_uri())
    opened = busy()
    assert opened < 2
    before = page.inner_text("#counted")
    page.locator("#slider").fill("0.97")
    assert page.inner_text("#counted") != before
    assert busy() - opened < 2
    page.close()


def test_the_groups_page_leads_to_neurons_and_to_the_list(watched: Watched, site: Site) -> None:
    page = watched.open(site.index)
    page.locator("nav >> text=Groups").click()
    page.wait_for_url("**/groups.html")
    page.locator(".tiles a").first.click()
    page.wait_for_url("**/neurons/colours-0*.html")
    page.go_back()
    name = page.locator(".alone .name, .group h3").first
    text = name.text_content()
    name.click()
    page.wait_for_url("**/index.html*")
    assert page.input_value("#search") == text
    assert shown_neurons(page)
    watched.check()


def test_the_groups_page_without_scripts_shows_the_chosen_threshold(
    browser: Any, grouped_page: Grouped
) -> None:
    page = browser.new_page(java_script_enabled=False)
    page.goto(grouped_page.path.as_uri())
    assert page.inner_text("#above") == str(SAME_CONCEPT)
    assert page.locator("#groups > li").count() > 0
    assert not page.locator("#chooser").is_visible()
    assert page.locator("span.level").first.is_visible()
    assert "--group-above" in page.locator("noscript").inner_text()
    page.close()


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_the_groups_page_fits_and_all_can_read_it(
    browser: Any, grouped_page: Grouped, scheme: str
) -> None:
    for width in (390, 768, 1280):
        page = browser.new_page(viewport={"width": width, "height": 900}, color_scheme=scheme)
        page.goto(grouped_page.path.as_uri())
        for above in ("0.6", "0.95"):
            page.locator(f"button[data-above='{above}']").click()
            assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
            if not AXE.is_file():
                pytest.skip(f"no axe-core at {AXE}: npm install --prefix .venv axe-core")
            page.evaluate(AXE.read_text(encoding="utf-8"))
            found = page.evaluate("axe.run().then(r => r.violations)")
            bad = [(v["id"], v["nodes"][0]["html"]) for v in found]
            assert not bad
        page.close()
