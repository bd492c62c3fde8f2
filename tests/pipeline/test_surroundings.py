"""Where a session ran, for people to read."""

from __future__ import annotations

import subprocess
import sys

import pytest

from dnd_local.pipeline import surroundings
from dnd_local.pipeline.surroundings import LIBRARIES, isolation, remote_host, software


def test_versions_of_what_is_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    found = software()
    assert found["python"] == ".".join(map(str, sys.version_info[:3]))
    assert found["torch"].startswith("2.")
    monkeypatch.setattr("dnd_local.pipeline.surroundings.LIBRARIES", ("no-such-library",))
    assert set(software()) == {"python"}
    assert set(found) <= {"python", *LIBRARIES}


def test_no_library_is_imported_to_ask_for_its_version() -> None:
    code = (
        "import sys; from dnd_local.pipeline.surroundings import software; software(); "
        "sys.exit(any(m in sys.modules for m in ('torch', 'transformers', 'diffusers')))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


@pytest.mark.parametrize(
    ("url", "host"),
    [
        ("", ""),
        ("unix:/run/llm.sock", ""),
        ("http://127.0.0.1:8000", ""),
        ("http://localhost:8000/v1", ""),
        ("http://[::1]:8000", ""),
        ("https://llm.example.org:8000/v1", "llm.example.org"),
        ("http://10.0.0.7:8000", "10.0.0.7"),
    ],
)
def test_only_another_machine_is_remote(url: str, host: str) -> None:
    assert remote_host(url) == host


@pytest.mark.parametrize(
    ("workers", "guarded", "reason", "words"),
    [
        (1, True, "no right", "this process guarded"),
        (1, False, "", "this process not guarded"),
        (2, True, "", "this process guarded; workers guarded, in an empty network namespace"),
        (2, False, "no right",
         "this process not guarded; workers guarded, without a namespace: no right"),
    ],
)  # fmt: skip
def test_it_is_said_how_far_the_network_is(
    monkeypatch: pytest.MonkeyPatch, workers: int, guarded: bool, reason: str, words: str
) -> None:
    monkeypatch.setattr(surroundings, "is_guarded", lambda: guarded)
    monkeypatch.setattr(surroundings, "why_no_loopback", lambda: reason)
    assert isolation(workers) == words


def test_workers_of_a_cluster_have_a_network(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(surroundings, "is_guarded", lambda: True)
    assert isolation(0, "head:6379") == (
        "this process guarded; workers guarded, on the Ray cluster 'head:6379', without a namespace"
    )
