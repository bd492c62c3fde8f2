"""The air gap in a process. A hook cannot be taken off again, so each trial has its own child."""

from __future__ import annotations

import socket
import subprocess
import sys
from types import SimpleNamespace

import pytest

from dnd_local.core.errors import Refused
from dnd_local.store import guard
from dnd_local.store.guard import (
    SWITCHES,
    child_environment,
    go_offline,
    is_guarded,
    is_local,
    offline_environment,
)

OPENING = "import socket, sys\nfrom dnd_local.store.guard import go_offline\n"


def child(code: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", OPENING + code],
        env={**child_environment(), **environment},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )


REFUSED = {
    "a connection": "socket.socket().connect(('192.0.2.1', 80))",
    "a connection by number 0": "socket.socket().connect(('0.0.0.0', 80))",
    "a connection over IPv6": "socket.socket(socket.AF_INET6).connect(('2001:db8::1', 80))",
    "a name": "socket.getaddrinfo('example.org', 443)",
    "a name in bytes": "socket.getaddrinfo(b'example.org', 443)",
    "a name the old way": "socket.gethostbyname('example.org')",
    "an address's name": "socket.gethostbyaddr('192.0.2.1')",
    "a datagram": "socket.socket(type=socket.SOCK_DGRAM).sendto(b'x', ('192.0.2.1', 53))",
    "a message": "socket.socket(type=socket.SOCK_DGRAM).sendmsg([b'x'], [], 0, ('192.0.2.1', 53))",
    "listening to all": "socket.socket().bind(('', 0))",
    "listening to all by number": "socket.socket().bind(('0.0.0.0', 0))",
    "an HTTP library": "import httpx; httpx.get('http://192.0.2.1/')",
    "urllib": "import urllib.request; urllib.request.urlopen('http://192.0.2.1/')",
}


@pytest.mark.parametrize("call", REFUSED.values(), ids=REFUSED.keys())
def test_what_leaves_the_machine_is_refused_and_its_caller_named(call: str):
    done = child(f"go_offline()\n{call}")
    assert done.returncode == 1
    assert "dnd_local.core.errors.Refused: " in done.stderr
    assert "<string>:4 in __main__" in done.stderr


def test_without_the_guard_the_same_call_is_not_refused():
    done = child("s = socket.socket(); s.settimeout(0.01)\ns.connect(('192.0.2.1', 80))")
    assert done.returncode == 1
    assert "dnd_local" not in done.stderr


ALLOWED = {
    "loopback": """
server = socket.socket(); server.bind(('127.0.0.1', 0)); server.listen()
socket.create_connection(server.getsockname())
""",
    "loopback by name": "socket.socket().bind((socket.getaddrinfo('localhost', 1, 2)[0][4][0], 0))",
    "a pair": "a, b = socket.socketpair(); a.sendall(b'x'); a.sendmsg([b'y']); b.recv(2)",
    "any address to listen on, not used": "socket.getaddrinfo(None, 80)",
    "an event loop": "import asyncio; asyncio.run(asyncio.sleep(0))",
    "a Unix socket": """
import tempfile, os
path = os.path.join(tempfile.mkdtemp(), 's')
server = socket.socket(socket.AF_UNIX); server.bind(path); server.listen()
socket.socket(socket.AF_UNIX).connect(path)
""",
    "going offline twice": "go_offline()",
    "files and children": "import subprocess; subprocess.run(['true']); open('/dev/null')",
}


@pytest.mark.parametrize("code", ALLOWED.values(), ids=ALLOWED.keys())
def test_what_stays_on_the_machine_works(code: str):
    done = child(f"go_offline()\n{code}")
    assert done.returncode == 0, done.stderr


def test_an_allowed_host_can_be_looked_up_and_reached():
    code = """
go_offline(allow=['192.0.2.7'])
s = socket.socket(); s.settimeout(0.01)
try:
    s.connect(('192.0.2.7', 80))
except OSError as error:
    assert 'Refused' not in type(error).__name__
socket.getaddrinfo('192.0.2.7', 80)
try:
    socket.socket().connect(('192.0.2.8', 80))
except Exception as error:
    assert type(error).__name__ == 'Refused', error
else:
    raise AssertionError
"""
    done = child(code)
    assert done.returncode == 0, done.stderr


def test_an_allowed_host_that_nobody_knows_is_one_line():
    done = child("go_offline(allow=['no-such-host.invalid'])")
    assert "host 'no-such-host.invalid' was to be allowed" in done.stderr


def test_switches_are_set_and_a_proxy_on_loopback_is_dropped():
    code = """
import os
go_offline()
assert os.environ['HF_HUB_OFFLINE'] == '1'
assert not {n for n in os.environ if n.lower().endswith('_proxy')} - {'NO_PROXY', 'no_proxy'}
from huggingface_hub import constants
assert constants.HF_HUB_OFFLINE
"""
    done = child(code, https_proxy="http://127.0.0.1:3128", ALL_PROXY="socks5://127.0.0.1:1")
    assert done.returncode == 0, done.stderr


def test_a_library_that_swallows_our_error_still_gets_nothing_out():
    code = """
go_offline()
from huggingface_hub import hf_hub_download
try:
    hf_hub_download('someone/model', 'config.json', endpoint='http://192.0.2.1')
except Exception:
    print('nothing')
"""
    assert child(code).stdout == "nothing\n"


def test_the_caller_is_the_library_that_asked_and_not_the_one_that_carries():
    code = """
go_offline()
import transformers.utils.hub as hub
import httpx
hub.__dict__['leak'] = eval(compile("lambda: httpx.get('http://192.0.2.1')", hub.__file__, 'eval'),
                            hub.__dict__ | {'httpx': httpx})
hub.leak()
"""
    assert "by hub.py:1 in transformers.utils.hub" in child(code).stderr


@pytest.mark.parametrize(
    ("host", "local"),
    [
        ("127.0.0.1", True),
        ("127.9.9.9", True),
        ("::1", True),
        ("::1%lo", True),
        ("::ffff:127.0.0.1", True),
        ("::ffff:192.0.2.1", False),
        (b"127.0.0.1", True),
        ("LOCALHOST", True),
        ("localhost.example.org", False),
        ("127.0.0.1.example.org", False),
        ("0.0.0.0", False),
        ("", False),
        (7, False),
    ],
)
def test_only_the_loopback_interface_is_local(host: object, local: bool):
    assert is_local(host) is local


def test_a_childs_environment_is_closed_and_finds_the_package():
    given = {"PATH": "/bin", "HTTPS_PROXY": "http://p", "HF_HUB_OFFLINE": "0"}
    made = offline_environment(given)
    assert made["PATH"] == "/bin"
    assert "HTTPS_PROXY" not in made
    assert made.items() >= SWITCHES.items()


def test_the_package_comes_first_on_a_childs_path(monkeypatch):
    monkeypatch.setenv("PYTHONPATH", "/elsewhere")
    assert child_environment()["PYTHONPATH"].endswith(":/elsewhere")
    monkeypatch.delenv("PYTHONPATH")
    assert ":" not in child_environment()["PYTHONPATH"]


# The hook's own decisions once more, in this process: called, never installed.


def hooked(event: str, *arguments: object) -> None:
    guard._hook(event, arguments)


def test_the_hook_passes_what_stays_here():
    with socket.socket() as used, socket.socket(socket.AF_UNIX) as unix:
        hooked("open", "/etc/passwd")
        hooked("socket.__new__", used, 2, 1, 0)
        hooked("socket.connect", used, ("127.0.0.1", 80))
        hooked("socket.connect", unix, "/tmp/s")
        hooked("socket.sendmsg", used, None)
        hooked("socket.getaddrinfo", None, 80, 0, 0, 0)
        hooked("socket.getaddrinfo", "localhost", 80, 0, 0, 0)


def test_the_hook_refuses_code_from_a_hubs_cache(monkeypatch):
    monkeypatch.setattr(guard, "_hub_caches", ("/c/hub/",))
    guard._hook("exec", (compile("1", "/c/mine.py", "exec"),))
    with pytest.raises(Refused, match="code from a hub's cache was not run"):
        guard._hook("exec", (compile("1", "/c/hub/hubconf.py", "exec"),))


def test_the_hook_refuses_what_leaves_and_names_this_file():
    with socket.socket() as used:
        for event, arguments in [
            ("socket.connect", (used, ("192.0.2.1", 80))),
            ("socket.bind", (used, ("", 0))),
            ("socket.connect", (used, ())),
            ("socket.getaddrinfo", (b"example.org", 80, 0, 0, 0)),
        ]:
            with pytest.raises(Refused, match=r"by test_guard\.py:\d+ in tests.store.test_guard"):
                hooked(event, *arguments)


def test_code_of_the_standard_library_alone_is_named_as_it_is():
    lone = SimpleNamespace(
        f_code=SimpleNamespace(co_filename=guard.os.__file__),
        f_lineno=3,
        f_globals={"__name__": "os"},
        f_back=None,
    )
    assert guard._caller(lone) == "os.py:3 in os"
    assert guard._caller(None) == "unknown code"


def test_going_offline_sets_the_switches_and_hooks_once(monkeypatch):
    hooks: list[object] = []
    monkeypatch.setattr(guard.sys, "addaudithook", hooks.append)
    monkeypatch.setattr(guard, "_guarded", [])
    monkeypatch.setattr(guard, "_allowed", set())
    environment = {"http_proxy": "x", "KEPT": "y"}
    go_offline(environment=environment)
    go_offline(allow=["127.0.0.1"], environment=environment)
    assert environment == {"KEPT": "y", **SWITCHES}
    assert len(hooks) == 1
    assert is_guarded()
    with pytest.raises(Refused, match="does not know it"):
        go_offline(allow=["no-such-host.invalid"], environment=environment)


def test_this_process_is_not_guarded():
    assert not is_guarded()
