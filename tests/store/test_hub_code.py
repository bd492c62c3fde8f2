"""A hub's code never runs: a planted package, and planted caches of every kind."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest

from dnd_local.core.errors import Refused
from dnd_local.store.guard import child_environment
from dnd_local.store.hub_code import caches, hide_packages, refuse_cached_code

MARK = "import os\nopen(os.environ['MARK'], 'w').close()\n"


def child(code: str, tmp_path: Path, *, guarded: bool = True) -> tuple[str, bool]:
    """Return what a Python process printed, and whether planted code ran in it."""
    mark = tmp_path / "ran"
    mark.unlink(missing_ok=True)
    opening = "from dnd_local.store.guard import go_offline\ngo_offline()\n" if guarded else ""
    environment = child_environment()
    done = subprocess.run(
        [sys.executable, "-c", opening + code],
        env={
            **environment,
            "PYTHONPATH": f"{tmp_path / 'planted'}:{environment['PYTHONPATH']}",
            "HF_HOME": str(tmp_path / "hf"),
            "TORCH_HOME": str(tmp_path / "torch"),
            "MARK": str(mark),
        },
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    return done.stdout + done.stderr, mark.exists()


def plant(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return path


ASKS = """
import importlib.util
print("spec", importlib.util.find_spec("kernels"))
try:
    from kernels import get_kernel
except ImportError as error:
    print("not installed:", error)
try:
    import kernels.layer
except ImportError as error:
    print("not installed:", error)
"""


def test_the_package_kernels_is_not_installed_to_any_library(tmp_path: Path) -> None:
    plant(tmp_path / "planted/kernels/__init__.py", MARK + "get_kernel = print\n")
    plant(tmp_path / "planted/kernels/layer.py", MARK)
    said, ran = child(ASKS, tmp_path)
    assert not ran
    assert said.count("not installed:") == 2
    assert "spec None" in said
    _, ran = child(ASKS, tmp_path, guarded=False)
    assert ran


def test_bitsandbytes_gets_no_code_of_a_hub(tmp_path: Path) -> None:
    """On CPUs with avx512_bf16 it asks at import; the lines that ask run here on any CPU."""
    pytest.importorskip("bitsandbytes")
    plant(tmp_path / "planted/kernels/__init__.py", MARK + "def get_kernel(*a, **k): return k\n")
    asks = """
import pathlib, importlib.util
root = pathlib.Path(importlib.util.find_spec("bitsandbytes").origin).parent
text = (root / "backends/cpu/ops.py").read_text()
assert "from kernels import get_kernel" in text
start = text.index("        try:\\n            from kernels import get_kernel")
end = text.index("        @register_kernel", start)
import logging, textwrap
logger = logging.getLogger("x")
exec(textwrap.dedent(text[start:end]))
print("kernel", gemm_4bit_forward_kernel)
"""
    said, ran = child(asks, tmp_path)
    assert not ran
    assert "kernel None" in said


RUNS = """
import importlib.util
spec = importlib.util.spec_from_file_location("planted", {path!r})
module = importlib.util.module_from_spec(spec)
spec.loader.exec_module(module)
"""


@pytest.mark.parametrize(
    "place",
    [
        "hf/modules/transformers_modules/x/modeling.py",
        "hf/modules/diffusers_modules/git/pipeline.py",
        "hf/hub/models--kernels-community--x/snapshots/0/build/__init__.py",
        "torch/hub/owner_repo_main/hubconf.py",
    ],
)
def test_code_in_a_hubs_cache_does_not_run(tmp_path: Path, place: str) -> None:
    path = plant(tmp_path / place, MARK)
    said, ran = child(RUNS.format(path=str(path)), tmp_path)
    assert not ran
    assert f"code from a hub's cache was not run: {path}; only what the manifest names" in said
    _, ran = child(RUNS.format(path=str(path)), tmp_path, guarded=False)
    assert ran
    other = plant(tmp_path / "mine/factory.py", MARK)
    _, ran = child(RUNS.format(path=str(other)), tmp_path)
    assert ran


def test_a_library_in_a_hubs_cache_is_not_loaded(tmp_path: Path) -> None:
    path = plant(tmp_path / "hf/hub/x.so", "no library")
    for load in (f"import ctypes\nctypes.CDLL({str(path)!r})", extension(path)):
        said, _ = child(load, tmp_path)
        assert "code from a hub's cache was not run" in said


def extension(path: Path) -> str:
    return f"""
import importlib.machinery, importlib.util
loader = importlib.machinery.ExtensionFileLoader("x", {str(path)!r})
spec = importlib.util.spec_from_file_location("x", {str(path)!r}, loader=loader)
importlib.util.module_from_spec(spec)
"""


def test_torch_hub_runs_no_cached_repository(tmp_path: Path) -> None:
    pytest.importorskip("torch")
    plant(tmp_path / "torch/hub/owner_repo_main/hubconf.py", MARK + "def net(): return 1\n")
    asked = "'owner/repo:main', 'net', trust_repo=True, skip_validation=True"
    code = f"import torch\ntorch.hub.load({asked})"
    said, ran = child(code, tmp_path)
    assert not ran
    assert "code from a hub's cache was not run" in said


def test_what_was_imported_before_is_hidden_too() -> None:
    modules: dict[str, ModuleType | None] = {
        name: ModuleType(name) for name in ("kernels", "kernels.layer", "kernelspec", "json")
    }
    hide_packages(modules)
    assert modules["kernels"] is None
    assert set(modules) == {"kernels", "kernelspec", "json"}


def test_caches_follow_the_environment_and_links(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "real")
    found = caches({"HF_HOME": str(tmp_path / "link"), "XDG_CACHE_HOME": "/c", "TORCH_HOME": ""})
    assert found == (
        "/c/huggingface/", "/c/torch/hub/", f"{tmp_path}/link/", f"{tmp_path}/real/",
    )  # fmt: skip
    assert f"{Path.home()}/.cache/huggingface/" in caches({})


def test_events_without_a_file_pass() -> None:
    for event, arguments in (
        ("exec", (compile("1", "<string>", "exec"),)),
        ("import", ("json", None, None, None, None)),
        ("ctypes.dlopen", ("libc.so.6",)),
        ("ctypes.dlopen", (None,)),
    ):
        refuse_cached_code(event, arguments, ("/c/",))
    with pytest.raises(Refused, match=r"not run: /c/a\.py"):
        refuse_cached_code("exec", (compile("1", "/c/a.py", "exec"),), ("/c/",))
