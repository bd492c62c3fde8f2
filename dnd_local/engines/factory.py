"""A user's own engine, from ``path/to/file.py:factory``.

The file is run as Python, from its path; it is the user's own code and may import files that lie
beside it. A target's function takes nothing and returns (module, transform). The function of any
other role takes (settings, device), the role's section of the settings and ``cpu`` or ``cuda:N``,
and returns an object with the methods of the role's protocol in `core.protocols`.
"""

from __future__ import annotations

import hashlib
import importlib.util
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from types import ModuleType
from typing import Any, Final

from torch import nn

from dnd_local.core.digest import key
from dnd_local.core.errors import UnknownName, UserError
from dnd_local.core.factory_names import split_factory
from dnd_local.core.protocols import Captioner, Embedder, EngineRole, LanguageModel, Painter
from dnd_local.engines.target_loading import state_digest

CONTRACTS: Final[Mapping[EngineRole, type[Any]]] = {
    "captioner": Captioner,
    "language-model": LanguageModel,
    "painter": Painter,
    "embedder": Embedder,
}
"""What an engine of a role must be able to do; a target's is `load_target`'s to check."""


def load_function(name: str) -> Callable[..., Any]:
    """Return a function of a user's own file; what the file raises itself passes through.

    Raises:
        UserError: no such file, or it cannot be imported.
        UnknownName: no such function in it.
    """
    path, function = split_factory(name)
    source = _import_file(path)
    make: Any = getattr(source, function, None)
    if not callable(make):
        known = [key for key, value in vars(source).items() if callable(value)]
        raise UnknownName("function", function, known, f"{path} does not define it.")
    return make  # type: ignore[no-any-return]  # the user's own


def load_target(name: str) -> tuple[nn.Module, Callable[..., Any]]:
    """Return what a user's own function gives as a target: a network and its transform.

    Raises:
        UserError: as `load_function`, or the result is not (module, transform).
    """
    result = load_function(name)()
    if not (
        isinstance(result, tuple | list)
        and len(result) == 2
        and isinstance(result[0], nn.Module)
        and callable(result[1])
    ):
        raise UserError(
            f"{name} must return (module, transform), a torch module and a function from a PIL "
            f"picture to a tensor; it returned {_describe(result)}"
        )
    return result[0], result[1]


def load_engine(role: EngineRole, name: str, settings: Any, device: str) -> Any:
    """Return what a user's own function gives for a role other than target.

    Raises:
        UserError: as `load_function`, or the result lacks a method that the role asks for.
    """
    engine = load_function(name)(settings, device)
    contract = CONTRACTS[role]
    if not isinstance(engine, contract):
        methods = [word for word in vars(contract) if not word.startswith("_")]
        lacking = [word for word in methods if not callable(getattr(engine, word, None))]
        raise UserError(
            f"{name} must return a {role.replace('-', ' ')}, an object with "
            f"{' and '.join(methods)}; it returned {_describe(engine)}, which lacks "
            f"{' and '.join(lacking)}"
        )
    return engine


def engine_digest(engine: Any) -> str:
    """Return what stands in a key for the state of a user's own engine.

    The tensors of every torch module that is an attribute of the engine (or the engine itself),
    and its attribute `identity`, a text that should change whenever anything else does that can
    change what the engine returns.
    """
    attributes = getattr(engine, "__dict__", {})
    modules = {"": engine, **attributes}
    states = {
        word: state_digest(value) for word, value in modules.items() if isinstance(value, nn.Module)
    }
    return key([sorted(states.items()), str(getattr(engine, "identity", ""))])


def _describe(result: Any) -> str:
    if isinstance(result, tuple | list):
        return f"({', '.join(type(item).__name__ for item in result)})"
    return type(result).__name__


def _import_file(path: Path) -> ModuleType:
    digest = hashlib.sha256(str(path).encode()).hexdigest()[:16]
    spec = importlib.util.spec_from_file_location(f"dnd_factory_{digest}", path)
    if spec is None or spec.loader is None:  # pragma: no cover - a .py file always has a loader
        raise UserError(f"cannot import {path}")
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # dataclasses look their module up there
    sys.path.insert(0, str(path.parent))
    try:
        spec.loader.exec_module(module)
    except (SyntaxError, ImportError) as error:
        raise UserError(f"cannot import {path}: {error}") from error
    finally:
        sys.path.remove(str(path.parent))
    return module
