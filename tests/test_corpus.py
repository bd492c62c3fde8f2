"""Every reader of strangers' bytes takes them or refuses them in one line, and never breaks.

The corpus grows: what `scripts/fuzz` finds becomes a file of it, and is tried here for ever.
"""

from __future__ import annotations

import resource
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.parsers import CORPUS, PARSERS, mutated

FILES = [(name, path) for name in PARSERS for path in sorted((CORPUS / name).iterdir())]
SECONDS, MEGABYTES = 10, 500
"""What one file may take at most."""

pytestmark = [
    pytest.mark.filterwarnings("ignore::UserWarning"),
    pytest.mark.filterwarnings("ignore::RuntimeWarning"),
    pytest.mark.filterwarnings("ignore::SyntaxWarning"),
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
]


def test_every_parser_has_a_file_that_it_takes() -> None:
    assert {path.name for path in CORPUS.iterdir()} == set(PARSERS)
    for name, parser in PARSERS.items():
        assert parser.try_on((CORPUS / name / "valid").read_bytes()), name


@pytest.mark.parametrize(("name", "path"), FILES, ids=[f"{n}-{p.name}" for n, p in FILES])
def test_the_corpus(name: str, path) -> None:
    began, memory = time.monotonic(), resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    PARSERS[name].try_on(path.read_bytes())
    assert time.monotonic() - began < SECONDS
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - memory < MEGABYTES * 1024


@pytest.mark.parametrize("name", list(PARSERS))
@settings(max_examples=25)
@given(data=st.data())
def test_what_is_nearly_right(name: str, data: st.DataObject) -> None:
    seeds = sorted((CORPUS / name).iterdir())
    seed = data.draw(st.sampled_from(seeds)).read_bytes()
    numbers = data.draw(st.randoms(use_true_random=False))
    PARSERS[name].try_on(mutated(seed, numbers.randrange))


@pytest.mark.parametrize("name", list(PARSERS))
@pytest.mark.parametrize(
    "data", [b"", b"\x00", b"\xff\xfe", b"[" * 100_000, b'{"a":' * 100_000, b"9" * 100_000]
)
def test_what_is_nothing_like_it(name: str, data: bytes) -> None:
    PARSERS[name].try_on(data)
