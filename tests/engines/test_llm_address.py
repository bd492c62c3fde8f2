import pytest

from dnd_local.core.errors import BadConfig, Refused
from dnd_local.engines.llm_address import read_address


@pytest.mark.parametrize(
    ("text", "base"),
    [
        ("http://127.0.0.1:8000", "http://127.0.0.1:8000"),
        ("http://127.0.0.1:8000/", "http://127.0.0.1:8000"),
        ("http://127.8.9.1:8000/v1", "http://127.8.9.1:8000"),
        ("http://localhost:8000/v1/", "http://localhost:8000"),
        ("https://[::1]:8000/llm/v1", "https://[::1]:8000/llm"),
    ],
)
def test_loopback_is_local(text, base):
    address = read_address(text)
    assert (address.base, address.socket, address.remote, str(address)) == (base, "", False, base)


@pytest.mark.parametrize("text", ["unix:/run/llm.sock", "unix:///run/llm.sock"])
def test_a_socket_is_local(text):
    address = read_address(text)
    assert (address.socket, address.remote) == ("/run/llm.sock", False)
    assert str(address) == "unix:/run/llm.sock"


@pytest.mark.parametrize(
    "host",
    [
        "llm.example",
        "0.0.0.0",
        "10.0.0.1",
        "[2001:db8::1]",
        "127.0.0.1.example",
        "localhost.example",
        "169.254.169.254",
        "2130706433",
    ],
)
def test_another_machine_is_refused_unless_allowed(host):
    with pytest.raises(Refused, match=r"another machine.*--allow-remote-llm"):
        read_address(f"http://{host}:8000")
    assert read_address(f"http://{host}:8000", allow_remote=True).remote


@pytest.mark.parametrize(
    "text",
    [
        "",
        "127.0.0.1:8000",
        "ftp://127.0.0.1",
        "http://",
        "http://127.0.0.1@llm.example:8000",
        "http://127.0.0.1?next=x",
        "http://127.0.0.1:port",
        "unix:relative",
        "unix:",
    ],
)
def test_what_is_no_address_is_named(text):
    with pytest.raises(BadConfig, match="language model address"):
        read_address(text)


def test_a_key_goes_with_every_request():
    with read_address("http://127.0.0.1:8000").client("secret", 1.0) as client:
        assert client.headers["Authorization"] == "Bearer secret"
    with read_address("http://127.0.0.1:8000").client("", 1.0) as client:
        assert "Authorization" not in client.headers


@pytest.mark.parametrize("text", ["unix:/run/llm", "http://127.0.0.1:1", "https://127.0.0.1:1"])
def test_a_lane_knows_its_certificates_where_it_needs_them(text):
    assert read_address(text).lane("secret").headers["Accept-Encoding"] == "identity"
