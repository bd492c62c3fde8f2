"""Every setting of `Config` as a command-line option, made from the settings themselves.

``pictures.steps`` becomes ``--pictures-steps`` under the heading "pictures" of the help. One
source: a setting that is added to `Config` is an option at once.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Collection
from typing import Annotated, Any, Literal, get_args, get_origin

import msgspec
import typer

from dnd_local.cli import completion
from dnd_local.core.config import Config
from dnd_local.core.config_reading import check_setting

_SKIPPED = {"network.name", "probe.sets", "seed", "llm.root"}
"""Settings that the command has a shorter name for, and one that a run finds out itself."""

_SHORT = {"llm.engine": "--llm", "network.pool": "--pool", "network.tokens": "--tokens",
          "network.layout": "--layout", "network.latents": "--latents", "scores.rule": "--rule",
          "scores.race": "--race", "compat": "--compat", "concepts.rounds": "--rounds",
          "concepts.contrast": "--contrast", "concepts.meanings": "--meanings"}  # fmt: skip


_EVERY_DAY = {"llm.engine"}
"""Settings that stand among a command's first options."""


def settings_options(sections: Collection[str] = ()) -> list[inspect.Parameter]:
    """Return one keyword parameter a setting, annotated for Typer; None stands for "not given".

    Args:
        sections: only settings of these sections of `Config`, or by whole path (probe.chunk);
            all where none is named.
    """
    parameters = []
    for path, field in _settings():
        if path in _SKIPPED or (sections and not {path, path.partition(".")[0]} & set(sections)):
            continue
        kind, text = _kind_and_help(field.type)
        usual = "empty" if field.default == "" else field.default
        option = typer.Option(
            _flag(path),
            help=f"{text} [dim](setting {path}, paper: {usual})[/dim]",
            rich_help_panel=None if path in _EVERY_DAY else f"Setting: {path.partition('.')[0]}",
            show_default=False,
            autocompletion=completion.models(completion.SETTINGS[path])
            if path in completion.SETTINGS
            else completion.choices(get_args(_plain(field.type))),
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


def with_settings(*sections: str) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Give a command one option a setting; it receives those given as nested `settings`.

    Args:
        sections: the sections of `Config`, or the paths of settings, that can change what the
            command does; all where none is named.
    """

    def decorate(command: Callable[..., None]) -> Callable[..., None]:
        options = settings_options(sections)
        kinds = {path: field.type for path, field in _settings()}

        def wrapped(**arguments: Any) -> None:
            settings: dict[str, Any] = {}
            for option in options:
                value = arguments.pop(option.name, None)
                if value is not None:
                    path = _path(option.name)
                    check_setting(_flag(path), value, kinds[path])
                    section, dot, name = path.partition(".")
                    if dot:
                        settings.setdefault(section, {})[name] = value
                    else:
                        settings[section] = value
            command(**arguments, settings=settings)

        signature = inspect.signature(command, eval_str=True)
        declared = [
            parameter.replace(kind=inspect.Parameter.KEYWORD_ONLY)
            for parameter in signature.parameters.values()
            if parameter.name != "settings"
        ]
        parameters = declared + options
        wrapped.__signature__ = signature.replace(parameters=parameters)  # type: ignore[attr-defined]
        wrapped.__annotations__ = {p.name: p.annotation for p in parameters} | {"return": None}
        wrapped.__doc__, wrapped.__name__ = command.__doc__, command.__name__
        return wrapped

    return decorate


def _settings() -> list[tuple[str, msgspec.structs.FieldInfo]]:
    """Return every setting by its dotted path."""
    settings: list[tuple[str, msgspec.structs.FieldInfo]] = []
    for section in msgspec.structs.fields(Config):
        if isinstance(section.type, type) and issubclass(section.type, msgspec.Struct):
            fields = msgspec.structs.fields(section.type)
            settings.extend((f"{section.name}.{field.name}", field) for field in fields)
        else:
            settings.append((section.name, section))
    return settings


def _flag(path: str) -> str:
    return _SHORT.get(path, "--" + path.replace(".", "-").replace("_", "-"))


def _parameter(path: str) -> str:
    return "set_" + path.replace(".", "__")


def _path(parameter: str) -> str:
    return parameter.removeprefix("set_").replace("__", ".")


def _kind_and_help(annotation: Any) -> tuple[type, str]:
    """Return the plain type that Typer parses (a choice is checked later) and the help text."""
    text = ""
    if get_origin(annotation) is Annotated:
        _, *extras = get_args(annotation)
        text = next((e.description for e in extras if isinstance(e, msgspec.Meta)), "") or ""
    annotation = _plain(annotation)
    if get_origin(annotation) is Literal:
        choices = get_args(annotation)
        return str, f"{text}: {', '.join(map(str, choices))}"
    return annotation, text


def _plain(annotation: Any) -> Any:
    """Return a type without what is annotated to it."""
    return get_args(annotation)[0] if get_origin(annotation) is Annotated else annotation
