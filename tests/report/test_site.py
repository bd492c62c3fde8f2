"""The site as files: whole, linked, escaped, each picture once."""

from __future__ import annotations

import re
from hashlib import sha256
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest

from dnd_local.core.descriptions import DescriptionRow, DescriptionTable
from dnd_local.core.errors import Refused, UserError
from dnd_local.core.ledger_rows import ROWS
from dnd_local.evaluate.comparisons import Compared, remember
from dnd_local.evaluate.groups import SWEEP
from dnd_local.pipeline.lab import Lab
from dnd_local.pipeline.label_vectors import neighbours, neuron_vectors
from dnd_local.pipeline.reading import StoredRun, open_run
from dnd_local.report.site import NEIGHBOURS, Site, build_site
from dnd_local.store.sealed import write_beside
from tests.bench import Bench
from tests.fakes import LAYER, ColourProbe
from tests.report.conftest import Desk
from tests.report.synthetic import HOSTILE, SCRIPT

TAKEN = ("pill ours", "pill released")


class Page(HTMLParser):
    """Every element of a page with its attributes, and all its text."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str]]] = []
        self.text = ""
        self.feed(path.read_text(encoding="utf-8"))

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, {name: value or "" for name, value in attrs}))

    def handle_data(self, data: str) -> None:
        self.text += data

    def links(self) -> dict[str, str]:
        return {own["rel"]: own["href"] for tag, own in self.elements if tag == "link"}

    def addresses(self) -> list[str]:
        return [v for _, own in self.elements for n, v in own.items() if n in ("src", "href")]


def others(describer: str = "other", *labels: str) -> Compared:
    rows = tuple(
        DescriptionRow(describer, "pocket", LAYER, i, (text,), (), "described")
        for i, text in enumerate(labels or ("red thing", "grass", "sky"))
    )
    return Compared(DescriptionTable(describer, rows))


@pytest.fixture(scope="module")
def site(desk: Desk, tmp_path_factory: pytest.TempPathFactory) -> Site:
    return build_site(desk.plain, tmp_path_factory.mktemp("plain") / "site", [others()])


@pytest.fixture(scope="module")
def hostile(desk: Desk, tmp_path_factory: pytest.TempPathFactory) -> Site:
    return build_site(desk.hostile, tmp_path_factory.mktemp("hostile") / "site")


def pages(site: Site) -> list[Path]:
    return sorted(site.folder.rglob("*.html"))


def test_a_page_for_the_run_each_neuron_and_the_comparison(site: Site) -> None:
    names = [path.relative_to(site.folder).as_posix() for path in pages(site)]
    assert names == ["compare.html", "groups.html", "index.html"] + [
        f"neurons/colours-{i:05d}.html" for i in range(6)
    ]
    assert site.neurons == 6
    assert site.missing == 0
    assert site.index == site.folder / "index.html"


@pytest.mark.parametrize("which", ["site", "hostile"])
def test_every_address_is_a_file_of_the_site(which: str, request: pytest.FixtureRequest) -> None:
    made: Site = request.getfixturevalue(which)
    for path in pages(made):
        for address in Page(path).addresses():
            parts = urlsplit(address)
            assert parts.scheme in ("", "data"), address
            assert not parts.netloc
            if parts.path and not parts.scheme:
                there = (path.parent / unquote(parts.path)).resolve()
                assert there.is_file(), f"{path.name} -> {address}"
                assert there.is_relative_to(made.folder.resolve())


def test_no_picture_lies_there_twice(site: Site, hostile: Site, desk: Desk) -> None:
    blobs = set()
    for i in range(3):
        evidence = desk.plain.evidence(str(i))
        assert evidence.exemplars is not None
        blobs |= {exemplar.blob for exemplar in evidence.exemplars.exemplars}
        blobs |= {picture.blob for own in evidence.pictures for picture in own.pictures}
    found = {path.stem for path in (site.folder / "pictures").rglob("*.webp")}
    assert {blob[:20] for blob in blobs} <= found
    # The rest are images of which only a crop is an exemplar.
    assert site.pictures == len(found)
    same = [sha256(p.read_bytes()).hexdigest() for p in hostile.folder.rglob("*.webp")]
    assert len(same) == len(set(same)) == hostile.pictures


def test_neurons_link_to_the_next_and_the_one_before(site: Site) -> None:
    first = Page(site.folder / "neurons" / "colours-00000.html")
    ways = {
        own["rel"]: own["href"] for tag, own in first.elements if tag == "link" and "rel" in own
    }
    assert ways["next"] == "../neurons/colours-00001.html"
    assert "prev" not in ways
    ways = Page(site.folder / "neurons" / "colours-00005.html").links()
    assert "next" not in ways


def test_a_neurons_page_shows_all_its_evidence(site: Site, desk: Desk) -> None:
    page = Page(site.folder / "neurons" / "colours-00001.html")
    evidence = desk.plain.evidence("1")
    assert evidence.concepts is not None
    assert evidence.captions is not None
    wanted = [c.text for c in evidence.concepts.candidates] + list(evidence.captions.texts)
    wanted += [key for _, key in evidence.description.keys]
    wanted += [str(p.seed) for own in evidence.pictures for p in own.pictures]
    wanted += [x.request.messages[0].text for x in evidence.concepts.exchanges]
    for text in wanted:
        assert text in page.text


def test_dead_and_duplicate_neurons_have_a_page_that_says_so(site: Site) -> None:
    assert "responds to no image" in Page(site.folder / "neurons" / "colours-00003.html").text
    twin = Page(site.folder / "neurons" / "colours-00005.html")
    assert "../neurons/colours-00000.html" in twin.addresses()


def test_hostile_texts_are_text_everywhere(hostile: Site) -> None:
    allowed = {
        "script": {"../assets/report.js", "assets/report.js", "assets/groups.js"},
    }
    for path in pages(hostile):
        page = Page(path)
        for tag, own in page.elements:
            assert not any(name.startswith("on") for name in own), (path.name, tag, own)
            if tag == "script":
                assert own["src"] in allowed["script"]
            if tag == "img":
                assert re.fullmatch(r"(\.\./)?(pictures|thumbs)/[0-9a-f]{2}/[0-9a-f]{20}\.webp",
                                    own["src"])  # fmt: skip
        assert "style" not in {name for _, own in page.elements for name in own}
    text = "".join(Page(path).text for path in pages(hostile))
    for label in HOSTILE:
        assert label in text


def test_without_the_text_encoder_the_report_is_written_and_says_so(
    own: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    own.run("0-2", name="one")

    def refuse(*_: object, **__: object) -> None:
        raise UserError("weights of clip are not here; get them: weights pull clip")

    monkeypatch.setattr(Lab, "require", refuse)
    made = build_site(open_run("one", own.workspace))
    text = Page(made.index).text
    assert "weights of clip are not here; get them: weights pull clip" in text
    assert "by the meaning of their labels" not in text
    assert not (made.folder / "groups.html").exists()
    assert "groups.html" not in Page(made.index).addresses()
    assert "Most frequent labels" in text
    assert "Alike by meaning" not in Page(made.folder / "neurons" / f"{LAYER}-00000.html").text


def test_neurons_alike_by_meaning_are_those_of_the_label_vectors(site: Site, desk: Desk) -> None:
    labels = [[x.text for x in d.labels] for d in desk.plain.descriptions()]
    near, _ = neighbours(neuron_vectors(desk.plain.lab, labels), NEIGHBOURS)
    page = Page(site.folder / "neurons" / "colours-00001.html")
    linked = [a for a in page.addresses() if a.startswith("../neurons/")]
    wanted = [f"../neurons/colours-{j:05d}.html" for j in near[1] if j >= 0]
    assert linked[-len(wanted) :] == wanted
    assert len(wanted) == 2


def test_the_groups_page_has_every_labelled_neuron_once(desk: Desk, tmp_path: Path) -> None:
    made = build_site(desk.plain, tmp_path / "site", group_above=0.0)
    page = Page(made.folder / "groups.html")
    linked = [address for address in page.addresses() if address.startswith("neurons/")]
    labelled = [d.neuron.index for d in desk.plain.descriptions() if d.labels]
    assert sorted(linked) == [f"neurons/{LAYER}-{i:05d}.html" for i in labelled]
    assert f"{6 - len(labelled)} of 6 neurons have no label" in page.text
    assert "Groups at cosine 0.0" in page.text
    rows = (made.folder / "data" / "groups.csv").read_text().splitlines()
    assert rows[0] == "group,name,size,layer,neuron"
    assert len(rows) == 1 + len(labelled)
    assert {row.split(",")[0] for row in rows[1:]} == {"0"}
    sweep = (made.folder / "data" / "sweep.csv").read_text().splitlines()
    assert len(sweep) == 1 + len(SWEEP)
    assert "groups.html" in Page(made.index).addresses()
    assert {"data/groups.csv", "data/sweep.csv"} <= set(Page(made.index).addresses())


def test_without_a_label_there_is_no_groups_page(own: Bench) -> None:
    own.run("3", name="dead")
    made = build_site(open_run("dead", own.workspace))
    assert not (made.folder / "groups.html").exists()
    assert "groups.html" not in Page(made.index).addresses()


def test_lost_pictures_leave_a_gap_and_a_note(own: Bench) -> None:
    own.run("0", name="one")
    for path in (own.workspace / "blobs").rglob("*.png"):
        path.unlink()
    own.probe = ColourProbe(broken=range(30))
    made = build_site(open_run("one", own.workspace))
    assert made.folder == (own.workspace / "runs" / "one" / "report").absolute()
    assert made.missing > 0
    assert made.pictures == 0
    assert "picture is gone" in Page(made.folder / "neurons" / "colours-00000.html").text
    assert "not on disk any more" in Page(made.index).text


def test_made_again_it_is_the_same_and_keeps_its_pictures(own: Bench) -> None:
    own.run("0,3", name="one")
    run = open_run("one", own.workspace)
    made = build_site(run, others=[others()])
    before = {p: p.read_bytes() for p in made.folder.rglob("*") if p.is_file()}
    assert made.folder / "compare.html" in before
    picture = next(made.folder.rglob("*.webp"))
    picture.write_bytes(b"as it was")
    build_site(run, others=[])
    after = {p: p.read_bytes() for p in made.folder.rglob("*") if p.is_file()}
    assert after.pop(picture) == b"as it was"
    gone = before.keys() - after.keys() - {picture}
    assert gone == {made.folder / "compare.html"}
    changed = {p for p in after if after[p] != before[p]}
    assert changed == {made.index}


def test_a_comparison_stands_until_another_is_asked_for(own: Bench, tmp_path: Path) -> None:
    own.run("0-2", name="one")
    run = open_run("one", own.workspace)
    for name in ("milan", "other"):
        (tmp_path / f"{name}.csv").write_text(f"layer,unit,description\n{LAYER},0,{name} things\n")
    remember(run, [str(tmp_path / "milan.csv"), str(tmp_path / "other.csv")])
    made = build_site(run)
    text = Page(made.folder / "compare.html").text
    assert "milan things" in text
    assert "other things" in text
    assert "compare.html" in Page(made.index).addresses()
    (tmp_path / "other.csv").unlink()
    made = build_site(run)
    (line,) = made.left_out
    assert "other.csv is left out of the comparison: " in line
    assert line in Page(made.folder / "compare.html").text
    (tmp_path / "milan.csv").write_text(f"layer,unit,description\n{LAYER},9,far away\n")
    made = build_site(run)
    assert "no neuron in common" in made.left_out[-1]
    assert not (made.folder / "compare.html").exists()
    with pytest.raises(UserError, match="no neuron in common"):
        build_site(run, others=[Compared(DescriptionTable("x", ()))])


def test_the_run_page_says_which_side_of_each_row_was_taken(site: Site, own: Bench) -> None:
    def pills(page: Path) -> list[str]:
        found = [
            own["class"] for tag, own in Page(page).elements if tag == "span" and "class" in own
        ]
        return [name.removeprefix("pill ") for name in found if name in TAKEN]

    own.run("0,3", name="released", compat="official")
    made = build_site(open_run("released", own.workspace))
    assert made.missing == 0
    assert pills(site.index) == ["ours"] * len(ROWS)
    assert pills(made.index) == ["released" if row.choice else "ours" for row in ROWS]
    text = Page(made.index).text
    assert text.count("never taken: ") == sum(bool(row.never) for row in ROWS)
    assert "as released, where safe" in text


def test_tables_to_take_away_are_safe_for_spreadsheets(hostile: Site, own: Bench) -> None:
    from tests.report.synthetic import write_run

    run = write_run(own, 3, label=lambda neuron, draw: f"=cmd|' /C calc'!A{draw}")
    made = build_site(run)
    assert "\n0,'=cmd" in (made.folder / "data" / "descriptions.csv").read_text()
    assert ",'=cmd" in (made.folder / "data" / "candidates.csv").read_text()
    assert {p.name for p in (hostile.folder / "data").iterdir()} == {
        "descriptions.csv", "candidates.csv", "descriptions.jsonl", "groups.csv", "sweep.csv",
    }  # fmt: skip


def test_another_folder_is_never_written_over(desk: Desk, tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").write_text("years of work")
    with pytest.raises(Refused, match="holds other files than a report"):
        build_site(desk.plain, tmp_path)
    with pytest.raises(Refused, match="is a file"):
        build_site(desk.plain, tmp_path / "thesis.txt")
    assert [p.name for p in tmp_path.iterdir()] == ["thesis.txt"]


def test_a_run_that_was_judged_says_so_on_both_pages(judged: StoredRun, tmp_path: Path) -> None:
    made = build_site(judged, tmp_path / "site")
    index = Page(made.index)
    assert "3 judged: 1 supported, 1 weak, 1 abstained." in index.text
    assert "another label would predict the neuron as well" in index.text
    rows = [own for tag, own in index.elements if tag == "li" and "data-row" in own]
    assert [own.get("data-verdict", "") for own in rows[:4]] == [
        "supported", "weak", "abstained", "",
    ]  # fmt: skip
    page = Page(made.folder / "neurons" / f"{LAYER}-00001.html")
    for text in ("Does the label predict the neuron?", "AUC", "how often a fresh picture", "0.938",
                 "0.812 to 0.938", "–", "87.5 %", SCRIPT):  # fmt: skip
        assert text in page.text
    assert "data/verdicts.csv" in index.addresses()
    kept = (judged.folder.folder / "verdicts.csv").read_bytes()
    assert (made.folder / "data" / "verdicts.csv").read_bytes() == kept
    dead = Page(made.folder / "neurons" / f"{LAYER}-00003.html")
    assert "upport" not in dead.text


def test_nothing_is_said_of_verdicts_where_there_are_none(site: Site) -> None:
    for path in pages(site):
        text = path.read_text(encoding="utf-8")
        for word in ("erdict", "upported", "data-support"):
            assert word not in text, path
    assert not (site.folder / "data" / "verdicts.csv").exists()


def test_a_verdict_on_an_earlier_label_is_left_out(judged: StoredRun, tmp_path: Path) -> None:
    path = judged.folder.folder / "verdicts.csv"
    kept, place = path.read_bytes(), f"{judged.folder.name}/verdicts.csv"
    try:
        earlier = re.sub(rb"(?m)^(colours,1),[^,]*,", rb"\1,an earlier label,", kept)
        write_beside(path, earlier, place)
        made = build_site(judged, tmp_path / "site")
    finally:
        write_beside(path, kept, place)
    assert "2 judged: 1 supported, 0 weak, 1 abstained." in Page(made.index).text
    assert b"earlier" not in (made.folder / "data" / "verdicts.csv").read_bytes()
