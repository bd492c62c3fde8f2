"""Reads the prompt wording of the original release out of a user's own copy of its repository.

That text is not ours to ship. It lies in Python sources as string literals that are added up to
the turns of a conversation; they are found in the syntax tree and nothing is executed. What is not
a constant text is the place where a caption, the phrases or a label goes.
"""

from __future__ import annotations

import ast
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, get_args

from dnd_local.core.conversations import Speaker
from dnd_local.core.digest import sha256
from dnd_local.core.errors import BadConfig
from dnd_local.core.regular import read_regular
from dnd_local.store.files import write_atomic
from dnd_local.store.prompts import VARIABLES, VERBATIM, PromptFolder

MODELS_FILE: Final = "DnD_models.py"
MAIN_FILE: Final = "describe_neurons.py"
_CONVERSATIONS: Final = {
    "simplify": ("GPT_simplify", 0),
    "summarise": ("GPT_model_single", 0),
    "merge": ("GPT_model_single", 1),
}
"""For each prompt the function of `MODELS_FILE` that holds it, and which of its conversations."""

_ROLES: Final = {
    "simplify": ("user", "assistant", "user"),
    "summarise": ("user", "assistant", "user", "assistant", "user"),
    "merge": ("user",),
}
"""The release's turns: worked examples, then the request; a list to be merged goes alone."""

JOINT: Final = ", "
"""What `--compat official` puts between phrases, and between the pieces of a list."""

_PICTURE_NAME: Final = "sd_prompt"
_LARGEST_FILE: Final = 1 << 20
_HOLE: Final = "\0"
"""Stands for what is not constant; no Python literal of a prompt holds it."""

_NOTE: Final = """\
These prompts were read from a copy of another project's sources by 'dnd-local prompts
import-release'. The wording is theirs, and their repository states no licence: use it here, do not
pass it on.
"""


@dataclass(frozen=True, slots=True)
class FoundPrompt:
    """One prompt that was found: its name, where it stood, its turns by role, and its file.

    `joint` is what the release puts between the phrases, empty where it says nothing.
    """

    name: str
    source: str
    line: int
    roles: tuple[str, ...]
    path: Path
    joint: str = ""


@dataclass(frozen=True, slots=True)
class ReleasePrompts:
    """A prompt set read from a copy of the release, and the digests of the files it came from."""

    folder: Path
    prompts: tuple[FoundPrompt, ...]
    digests: tuple[tuple[str, str], ...]


@dataclass(slots=True)
class _Conversation:
    line: int
    turns: list[tuple[str, str]]
    joint: str


@dataclass(slots=True)
class _Reader:
    """Follows a function's statements in order and keeps what its names hold as text."""

    source: Path
    texts: dict[str, str] = field(default_factory=dict)
    joints: dict[str, str] = field(default_factory=dict)
    found: list[_Conversation] = field(default_factory=list)

    def read(self, statements: Iterable[ast.stmt], *, repeated: bool = False) -> None:
        for statement in statements:
            match statement:
                case ast.Assign(targets=[ast.Name(id=name)], value=value):
                    self._assign(name, value, repeated=repeated)
                case ast.AugAssign(target=ast.Name(id=name) as target, op=ast.Add(), value=value):
                    whole = ast.BinOp(ast.Name(target.id, ast.Load()), ast.Add(), value)
                    self._assign(name, whole, repeated=repeated)
                case ast.For(body=body):
                    self.read(body, repeated=True)
                case ast.If(body=body, orelse=other):
                    self.read([*body, *other], repeated=repeated)
                case _:
                    pass

    def _assign(self, name: str, value: ast.expr, *, repeated: bool) -> None:
        for messages in _message_lists(value):
            self.found.append(self._conversation(messages))
        text, old = self._text(value), self.texts.get(name, "")
        if repeated and old.endswith(_HOLE) and text.startswith(old):
            # A loop adds the place of the next caption and, before it, the text that joins them.
            self.joints[name] = text[len(old) :].replace(_HOLE, "") or self.joints.get(name, "")
        else:
            self.texts[name] = text

    def _text(self, value: ast.expr) -> str:
        match value:
            case ast.Constant(value=str() as text):
                return text.replace(_HOLE, "")
            case ast.Name(id=name) if name in self.texts:
                return self.texts[name]
            case ast.BinOp(left=left, op=ast.Add(), right=right):
                return self._text(left) + self._text(right)
            case _:
                return _HOLE

    def _conversation(self, messages: ast.List) -> _Conversation:
        turns, joint = [], ""
        for message in messages.elts:
            fields = dict(_fields(message))
            role, content = fields.get("role"), fields.get("content")
            if not isinstance(role, ast.Constant) or content is None:
                raise _unknown(self.source, f"the message in line {message.lineno} has other parts")
            turns.append((str(role.value), self._text(content)))
            if isinstance(content, ast.Name):
                joint = self.joints.get(content.id, "")
        return _Conversation(messages.lineno, turns, joint)


def import_release(checkout: Path, out: Path) -> ReleasePrompts:
    """Write the release's prompts as a prompt folder `out` and return what was found where.

    Args:
        checkout: the user's copy of the release's repository.
        out: a folder that does not exist yet, or is empty.

    Raises:
        BadConfig: a file is missing or is not what the release has there, or `out` is in use.
    """
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise BadConfig(f"{out} is in use; name a new folder for the prompts")
    models, models_digest = _parse(checkout / MODELS_FILE)
    main, main_digest = _parse(checkout / MAIN_FILE)
    files: dict[str, str] = {}
    prompts = []
    for name, (function, number) in _CONVERSATIONS.items():
        talk = _find_conversation(models, checkout / MODELS_FILE, function, number)
        files[name] = _render(name, talk.turns, checkout / MODELS_FILE)
        roles = tuple(role for role, _ in talk.turns)
        if roles != _ROLES[name]:
            told = ", ".join(roles)
            raise _unknown(checkout / MODELS_FILE, f"the {name} prompt has other turns ({told})")
        if talk.joint not in ("", JOINT):
            joined = f"the {name} prompt joins by '{talk.joint}', not '{JOINT}'"
            raise _unknown(checkout / MODELS_FILE, joined)
        path = out / f"{name}.txt"
        prompts.append(FoundPrompt(name, MODELS_FILE, talk.line, roles, path, talk.joint))
    line, template = _find_picture(main, checkout / MAIN_FILE)
    files["picture"] = _render("picture", [("user", template)], checkout / MAIN_FILE)
    prompts.append(FoundPrompt("picture", MAIN_FILE, line, ("user",), out / "picture.txt"))
    for name, text in files.items():
        write_atomic(out / f"{name}.txt", text.encode())
    write_atomic(out / "SOURCE.txt", _NOTE.encode())
    PromptFolder(out)  # read back with the checks that every prompt set must pass
    digests = ((MODELS_FILE, models_digest), (MAIN_FILE, main_digest))
    return ReleasePrompts(out, tuple(prompts), digests)


def _parse(path: Path) -> tuple[ast.Module, str]:
    try:
        if path.stat().st_size > _LARGEST_FILE:
            raise _unknown(path, f"it is larger than {_LARGEST_FILE} bytes")
        data = read_regular(path)
        return ast.parse(data), sha256(data)
    except OSError as error:
        raise _unknown(path, str(error.strerror)) from None
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        raise _unknown(path, f"it is not Python: {error}") from None


def _find_conversation(module: ast.Module, path: Path, function: str, number: int) -> _Conversation:
    for statement in module.body:
        if isinstance(statement, ast.FunctionDef) and statement.name == function:
            reader = _Reader(path)
            reader.read(statement.body)
            if number < len(reader.found):
                return reader.found[number]
            raise _unknown(path, f"{function} builds {len(reader.found)} conversations")
    raise _unknown(path, f"it has no function {function}")


def _find_picture(module: ast.Module, path: Path) -> tuple[int, str]:
    """Return the line and text of the picture template, with a hole for ``{}``."""
    for node in ast.walk(module):
        match node:
            case ast.Assign(
                targets=[ast.Name(id=name)], value=ast.Constant(value=str() as text)
            ) if name == _PICTURE_NAME:
                if text.count("{}") != 1:
                    raise _unknown(path, f"{name} in line {node.lineno} has no single '{{}}'")
                return node.lineno, text.replace("{}", _HOLE)
    raise _unknown(path, f"it sets no text {_PICTURE_NAME}")


def _render(name: str, turns: list[tuple[str, str]], source: Path) -> str:
    """Return a prompt file of `turns`, the hole of its last one named as its variable.

    The turns are kept to the byte, blanks around them included.
    """
    (variable,) = VARIABLES[name]
    holes = [text.count(_HOLE) for _, text in turns]
    if any(holes[:-1]) or holes[-1] != 1:
        raise _unknown(source, f"the {name} prompt has its open places elsewhere ({holes})")
    lines = []
    for role, text in turns:
        marked = any(line.startswith("--- ") for line in text.split("\n"))
        if role not in get_args(Speaker) or marked or "\r" in text:
            raise _unknown(source, f"the {name} prompt has a turn of '{role}' we cannot write down")
        escaped = text.replace("$", "$$").replace(_HOLE, f"${{{variable}}}")
        lines += [f"--- {role} {VERBATIM}", escaped]
    return "\n".join(lines) + "\n"


def _message_lists(value: ast.expr) -> Iterator[ast.List]:
    """Yield the lists under the key "messages" of a dictionary display."""
    for name, held in _fields(value):
        if name == "messages" and isinstance(held, ast.List) and held.elts:
            yield held


def _fields(value: ast.expr) -> Iterator[tuple[str, ast.expr]]:
    if isinstance(value, ast.Dict):
        for name, held in zip(value.keys, value.values, strict=True):
            if isinstance(name, ast.Constant) and isinstance(name.value, str):
                yield name.value, held


def _unknown(path: Path, why: str) -> BadConfig:
    return BadConfig(f"{path} is not the release's file of that name: {why}")
