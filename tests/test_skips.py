"""A test that skips itself is seen to fail, unless its reason is on the list."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

from tests.skips import listed

ROOT = Path(__file__).parents[1]
CONFTEST = """
from tests import conftest
from tests.conftest import *
from tests.skips import *
"""


def outcome(folder: Path, planted: dict[str, str], *options: str) -> tuple[int, str]:
    """Return the exit code and output of the `planted` tests and one that passes."""
    (folder / "conftest.py").write_text(CONFTEST)
    (folder / "test_sound.py").write_text("def test_sound(): pass\n")
    for name, text in planted.items():
        (folder / f"test_{name}.py").write_text(text)
    (folder / "pytest.ini").write_text("[pytest]\nmarkers = long: by hand\n")
    program = (
        f"import sys; sys.path.insert(0, {str(ROOT)!r}); import pytest; sys.exit(pytest.main())"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, "-p", "no:cacheprovider", *options],
        cwd=folder, capture_output=True, text=True, check=False,
    )  # fmt: skip
    return done.returncode, done.stdout


PLANTED = {
    "call": "import pytest\ndef test_it(): pytest.skip({!r})\n",
    "mark": "import pytest\n@pytest.mark.skipif(True, reason={!r})\ndef test_it(): pass\n",
    "fixture": "import pytest\n@pytest.fixture\ndef f(): pytest.skip({!r})\ndef test_it(f): pass\n",
    "module": "import pytest\npytest.skip({!r}, allow_module_level=True)\n",
    "import": "import pytest\npytest.importorskip('no_such_module', reason={!r})\n",
}


def test_a_skip_for_a_reason_of_its_own_fails(tmp_path: Path) -> None:
    planted = {how: text.format("I do not feel like it") for how, text in PLANTED.items()}
    assert outcome(tmp_path, planted)[0] == 0
    code, said = outcome(tmp_path, planted, "--listed-skips", "--continue-on-collection-errors")
    assert code == 1
    for how in PLANTED:
        assert re.search(rf"test_{how}.py\S* skips itself, for a reason that is not in", said), how
    assert "I do not feel like it" in said
    assert "skipped" not in said.splitlines()[-1]


def test_a_skip_for_a_listed_reason_passes(tmp_path: Path) -> None:
    planted = {how: text.format(listed()[0]) for how, text in PLANTED.items()}
    assert outcome(tmp_path, planted, "--listed-skips")[0] == 0


def test_an_expected_failure_is_no_skip(tmp_path: Path) -> None:
    text = "import pytest\n@pytest.mark.xfail\ndef test_it(): assert False\n"
    assert outcome(tmp_path, {"it": text}, "--listed-skips")[0] == 0


def test_workers_of_a_parallel_run_know_the_list_too(tmp_path: Path) -> None:
    planted = {"call": PLANTED["call"].format("not listed")}
    assert outcome(tmp_path, planted, "--listed-skips", "-n", "1")[0] == 1


def test_long_tests_run_where_they_are_asked_for_only(tmp_path: Path) -> None:
    planted = {"long": "import pytest\n@pytest.mark.long\ndef test_a(): pass\n"}
    for options in ((), ("-m", "long"), ("-m", "not slow")):
        assert "1 passed, 1 deselected" in outcome(tmp_path, planted, *options)[1], options
