import stat

import pytest

from dnd_local.engines.vllm_log import ended, first_error, last_line, open_log

CRASH = """\
(APIServer pid=7) INFO 11-24 19:28:27 [utils.py:2] non-default args: {'model': 'x'}
(APIServer pid=7) WARNING 11-24 19:28:27 [utils.py:5] failed to increase with error current limit
(Worker pid=9) ERROR 11-24 19:29:03 [multiproc_executor.py:1063] WorkerProc hit an exception.
(Worker pid=9) ERROR 11-24 19:29:03 [multiproc_executor.py:1063] Traceback (most recent call last):
(Worker pid=9) ERROR 11-24 19:29:03 [multiproc_executor.py:1063]   File "runner.py", line 3502
(Worker pid=9) ERROR 11-24 19:29:03 [multiproc_executor.py:1063]     gen.set_offset(3)
(Worker pid=9) ERROR 11-24 19:29:03 [multiproc_executor.py:1063] RuntimeError: no offset here
(EngineCore pid=8) ERROR 11-24 19:29:03 [core.py:9] EngineCore encountered a fatal error.
(EngineCore pid=8) ERROR 11-24 19:29:03 [core.py:9] vllm.v1.engine.EngineDeadError: it is dead
(APIServer pid=7) INFO 11-24 19:29:03 [core_client.py:774] [shutdown] engine manager stopped
  warnings.warn('resource_tracker: There appear to be %d '
"""


@pytest.mark.parametrize(
    ("log", "told"),
    [
        (CRASH, "RuntimeError: no offset here"),
        (
            "a\ntorch.OutOfMemoryError: CUDA out of memory\nb",
            "torch.OutOfMemoryError: CUDA out of m",
        ),
        (
            "INFO 11-24 19:28:27 [a.py:1] x\nERROR 11-24 19:29:03 [core.py:9] the core died\nbye\n",
            "the core died",
        ),
        (
            "usage: x\napi_server.py: error: unrecognized arguments: --y\n",
            "api_server.py: error: un",
        ),
        ("nothing wrong\nKilled\n\n", "Killed"),
        ("", "(an empty log)"),
    ],
)
def test_the_first_error_is_the_first_exception_by_name(tmp_path, log, told):
    path = tmp_path / "log"
    path.write_text(log)
    assert first_error(path).startswith(told)
    message = ended(-9, path)
    assert message.startswith(f"the vLLM server ended with exit code -9: {told}")
    assert str(path) in message
    assert "\n" not in message


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("(EngineCore pid=7) INFO 11-23 14:52:30 [core.py:77] Loading", "Loading"),
        ("INFO 11-23 14:52:30 [config/model.py:1804] Using max model len", "Using max model len"),
        ("Shards: 0%\rShards:  50% [1/2]\r", "Shards:  50% [1/2]"),
        ("stub: loading [weights]", "stub: loading [weights]"),
        ("x" * 5000, "x" * 399 + "…"),
    ],
)
def test_a_line_is_told_without_what_comes_before_it(tmp_path, line, said):
    path = tmp_path / "log"
    path.write_bytes(f"first\n{line}\n\n".encode())
    assert last_line(path) == said


def test_only_its_user_can_read_a_log(tmp_path):
    path = tmp_path / "logs" / "vllm.log"
    path.parent.mkdir()
    path.write_text("old")
    path.chmod(0o644)
    with open_log(path) as file:
        file.write(b"new")
    assert path.read_text() == "new"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
