"""What the search of the run page finds beyond labels: candidates, phrases and captions.

They lie in a script of their own, which the page loads when someone starts to search: a browser
lets no page that was opened from a file read any other kind of file.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Final, TypeAlias

from dnd_local.core.sequences import distinct
from dnd_local.pipeline.evidence import Evidence

SEARCHED: Final = "assets/search.js"
"""Where the script lies in the site."""

Texts: TypeAlias = tuple[tuple[str, ...], tuple[str, ...], tuple[str, ...]]
"""A neuron's candidates, phrases and captions, each text once."""


def searched_texts(evidence: Evidence) -> Texts:
    """Return the texts about a neuron that are searched after its labels, in this order."""
    concepts, phrases, captions = evidence.concepts, evidence.phrases, evidence.captions
    candidates = tuple(candidate.text for candidate in concepts.candidates) if concepts else ()
    return (
        _once(candidates),
        _once(phrases.texts if phrases else ()),
        _once(captions.texts if captions else ()),
    )


def search_script(neurons: Sequence[Texts]) -> bytes:
    """Return the script that hands the texts of all neurons, in the list's order, to the page."""
    # In ASCII, so that no separator of lines or lone surrogate in a label can break the script.
    return f"window.dndTexts = {json.dumps(neurons, separators=(',', ':'))};\n".encode("ascii")


def _once(texts: Sequence[str]) -> tuple[str, ...]:
    return tuple(distinct(text for text in texts if text))
