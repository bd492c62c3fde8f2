"""Every setting of `Config` as a command-line option, made from the settings themselves.

``pictures.steps`` becomes ``--pictures-steps`` under the heading "pictures" of the help. One
source: a setting that is added to `Config` is an option at once.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Annotated, Any, Literal, get_args, get_origin

import msgspec
import typer

from dnd_local.core.config import Config

_SKIPPED = {"network.name", "probe.sets", "seed"}
"""Settings that the command has a shorter name for."""

_SHORT = {"llm.engine": "--llm", "network.pool": "--pool", "network.tokens": "--tokens",
          "scores.rule": "--rule", "compat": "--compat"}  # fmt: skip


def settings_options() -> list[inspect.Parameter]:
    """Return one keyword parameter a setting, annotated for Typer; None stands for "not given"."""
    parameters = []
    for path, field in _settings():
        if path in _SKIPPED:
            continue
        kind, text = _kind_and_help(field.type)
        option = typer.Option(
            _SHORT.get(path, "--" + path.replace(".", "-").replace("_", "-")),
            help=f"{text} [dim](setting {path}, paper: {field.default})[/dim]",
            rich_help_panel=f"Setting: {path.partition('.')[0]}",
            show_default=False,
        )
        parameters.append(
            inspect.Parameter(
                _parameter(path),
                inspect.Parameter.KEYWORD_ONLY,
                default=None,
                annotation=Annotated[kind | None, option],
            )
        )
    return parameters


def with_settings(command: Callable[..., None]) -> Callable[..., None]:
    """Give a command one option a setting; it receives those given as nested `settings`."""

    def wrapped(**arguments: Any) -> None:
        settings: dict[str, Any] = {}
        for path, _ in _settings():
            value = arguments.pop(_parameter(path), None)
            if value is not None:
                section, dot, name = path.partition(".")
                if dot:
                    settings.setdefault(section, {})[name] = value
                else:
                    settings[section] = value
        command(**arguments, settings=settings)

    signature = inspect.signature(command, eval_str=True)
    own = [
        p.replace(kind=inspect.Parameter.KEYWORD_ONLY)
        for p in signature.parameters.values()
        if p.name != "settings"
    ]
    parameters = own + settings_options()
    wrapped.__signature__ = signature.replace(parameters=parameters)  # type: ignore[attr-defined]
    wrapped.__annotations__ = {p.name: p.annotation for p in parameters} | {"return": None}
    wrapped.__doc__, wrapped.__name__ = command.__doc__, command.__name__
    return wrapped


def _settings() -> list[tuple[str, msgspec.structs.FieldInfo]]:
    found: list[tuple[str, msgspec.structs.FieldInfo]] = []
    for section in msgspec.structs.fields(Config):
        if isinstance(section.type, type) and issubclass(section.type, msgspec.Struct):
            own = msgspec.structs.fields(section.type)
            found.extend((f"{section.name}.{field.name}", field) for field in own)
        else:
            found.append((section.name, section))
    return found


def _parameter(path: str) -> str:
    return "set_" + path.replace(".", "__")


def _kind_and_help(annotation: Any) -> tuple[type, str]:
    """Return the plain type that Typer parses (a choice is checked later) and the help text."""
    text = ""
    if get_origin(annotation) is Annotated:
        annotation, *extras = get_args(annotation)
        text = next((e.description for e in extras if isinstance(e, msgspec.Meta)), "") or ""
    if get_origin(annotation) is Literal:
        choices = get_args(annotation)
        return str, f"{text}: {', '.join(map(str, choices))}"
    return annotation, text
