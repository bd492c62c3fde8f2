"""What the search finds beyond labels."""

from __future__ import annotations

import json

from dnd_local.pipeline.evidence import Evidence
from dnd_local.report.searching import search_script, searched_texts
from tests.report.conftest import Desk


def test_candidates_phrases_and_captions_each_once(desk: Desk) -> None:
    evidence = desk.plain.evidence("1")
    assert evidence.concepts is not None
    assert evidence.phrases is not None
    assert evidence.captions is not None
    candidates, phrases, captions = searched_texts(evidence)
    assert candidates == tuple(dict.fromkeys(c.text for c in evidence.concepts.candidates))
    assert set(phrases) == set(evidence.phrases.texts)
    assert set(captions) == set(evidence.captions.texts)
    assert len(set(captions)) == len(captions)


def test_a_neuron_without_evidence_has_no_texts(desk: Desk) -> None:
    own = desk.plain.evidence("0")
    bare = Evidence(own.neuron, own.triage, {}, own.description)
    assert searched_texts(bare) == ((), (), ())


def test_the_script_holds_any_text_in_ascii() -> None:
    texts = (("</script> \u2028 \ud800 ü",), (), ("a",))
    script = search_script([texts]).decode("ascii")
    value = script.removeprefix("window.dndTexts = ").removesuffix(";\n")
    assert json.loads(value) == [[list(own) for own in texts]]
