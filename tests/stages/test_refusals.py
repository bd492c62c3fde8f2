"""What is no answer, on either side of the ledger; `test_asking` has it reply by reply."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dnd_local.core.conversations import Reply
from dnd_local.stages.refusals import has_markup, no_answer, unlisted, unquoted

LABELS = [
    "dog", "sorry looking dog", "as an old man", "I see", "an island", "i-beam", "unfortunate dog",
    "red & green", "50% grey", "snake_case sign", "#1 sign", "cat's eye", "sand (wet)", "3 < 4",
]  # fmt: skip


@pytest.mark.parametrize("text", LABELS)
def test_a_label_that_looks_like_one_is_no_refusal_and_no_markup(text: str) -> None:
    assert no_answer(Reply(text)) == ""
    assert not has_markup(text)


@given(st.text(alphabet="ab1.\"'“”«»-*() ", max_size=12))
def test_what_is_taken_off_stood_around_the_text(text: str) -> None:
    for taken in (unquoted(text), unlisted(text), unquoted(unlisted(text))):
        assert taken in text
