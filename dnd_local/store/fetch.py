"""Bringing one file over HTTP to a path: resumed where it stopped, hashed as it lands."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from threading import Event
from typing import BinaryIO, Final, Protocol

import httpx

from dnd_local.core.digest import CHUNK_BYTES
from dnd_local.core.errors import DamagedFile, Interrupted, MissingWeights, Refused, UserError

ATTEMPTS: Final = 5
FIRST_WAIT_SECONDS: Final = 1.0
HEX_SHA256_LENGTH: Final = 64
_AGAIN = frozenset({408, 425, 429, 500, 502, 503, 504})


class Progress(Protocol):
    """What a pull reports while it works."""

    def total(self, size: int) -> None:
        """Say how many bytes are to come in all; may be raised later."""

    def landed(self, size: int) -> None:
        """Say that so many more bytes are on disk."""

    def say(self, text: str) -> None:
        """Say something worth a line."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """One file to bring: `label` names it in messages, `partial` is where it grows.

    `token` goes to the address's own host only. A file of which no digit of its hash is known is
    never resumed, as its beginning could be another version's.
    """

    label: str
    url: str
    partial: Path
    size: int | None
    sha256: str | None
    licence_page: str = ""
    token: str = ""
    md5: str | None = None
    sha256_prefix: str = ""
    pickle: bool = False

    @property
    def headers(self) -> dict[str, str]:
        """The request headers; no compression, so that sizes and ranges mean the file's bytes."""
        identity = {"Accept-Encoding": "identity"}
        return {**identity, "Authorization": f"Bearer {self.token}"} if self.token else identity


@dataclass(frozen=True, slots=True)
class Offer:
    """What a server says of a file before it sends it; None where it does not say."""

    size: int | None
    sha256: str | None


@dataclass(frozen=True, slots=True)
class Landed:
    """A file that arrived whole."""

    size: int
    sha256: str


def ask(client: httpx.Client, wanted: Wanted) -> Offer:
    """Return what the server offers, and check it against what is wanted.

    A model hub answers for a large file with a redirect whose headers give its size and SHA-256.

    Raises:
        Refused, MissingWeights: the server will not give it, or has it not.
        DamagedFile: it offers other bytes than wanted.
        UserError: it cannot be reached.
    """
    try:
        response = client.head(wanted.url, headers=wanted.headers, follow_redirects=True)
    except httpx.HTTPError as error:
        raise _unreachable(wanted, error) from None
    answers = [*response.history, response]
    for answer in answers:
        if "x-linked-size" in answer.headers:
            offer = Offer(_length(answer, "x-linked-size"), _hash(answer.headers))
            break
    else:
        # A plain 403 may mean no more than that this server answers no HEAD; the GET will tell.
        refused = response.status_code == 403 and (wanted.licence_page or _error_code(answers))
        if refused or response.status_code in (401, 404):
            raise explained(wanted, answers)
        offer = Offer(_length(response, "content-length") if response.is_success else None, None)
    if None not in (wanted.size, offer.size) and wanted.size != offer.size:
        raise _damaged(wanted, f"is {offer.size} bytes long there, not {wanted.size}")
    if None not in (wanted.sha256, offer.sha256) and wanted.sha256 != offer.sha256:
        raise _damaged(wanted, f"has the sha256 {offer.sha256} there, not {wanted.sha256}")
    return offer


def fetch(
    client: httpx.Client,
    wanted: Wanted,
    progress: Progress,
    stop: Event,
    sleep: Callable[[float], None] = time.sleep,
) -> Landed:
    """Bring a file to its partial path and return its size and hash, both as promised.

    What is there already is kept and asked for no second time. A failing server is tried again,
    `ATTEMPTS` times in a row without a new byte.

    Raises:
        DamagedFile: it arrived with another size or hash; the partial file is removed.
        Refused, MissingWeights: the server will not give it, or has it not.
        UserError: the server cannot be reached, or keeps breaking off.
        Interrupted: `stop` was set.
    """
    wanted.partial.parent.mkdir(parents=True, exist_ok=True)
    if wanted.sha256 is None and not wanted.sha256_prefix:
        wanted.partial.unlink(missing_ok=True)
    landing = _Landing(wanted.partial)
    progress.landed(landing.size)
    failures = 0
    while True:
        before = landing.size
        try:
            _receive(client, wanted, landing, progress, stop)
            return landing.checked(wanted)
        except (httpx.TransportError, _TryAgain) as error:
            failures = 0 if landing.size > before else failures + 1
            if failures >= ATTEMPTS:
                raise _unreachable(wanted, error) from None
            sleep(FIRST_WAIT_SECONDS * 2**failures)


class _TryAgain(Exception):
    """The server answered that it cannot now."""


class _Landing:
    """A partial file with the hash of what it holds, kept up as bytes land."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._empty()
        if path.is_file():
            with path.open("rb") as file:
                while piece := file.read(CHUNK_BYTES):
                    self._count(piece)

    def _empty(self) -> None:
        self.size = 0
        self._sha256, self._md5 = hashlib.sha256(), hashlib.md5(usedforsecurity=False)

    def _count(self, piece: bytes) -> None:
        self.size += len(piece)
        self._sha256.update(piece)
        self._md5.update(piece)

    def open(self, *, resumed: bool) -> BinaryIO:
        """Return the file to add to, emptied first unless the server goes on where it ends."""
        if not resumed:
            self._empty()
        return self._path.open("ab" if resumed else "wb")

    def add(self, file: BinaryIO, piece: bytes) -> None:
        """Write a piece through to the system, so that being killed loses none of it."""
        file.write(piece)
        file.flush()
        self._count(piece)

    def checked(self, wanted: Wanted) -> Landed:
        """Return the file's size and hash; raise DamagedFile and remove it if they are wrong."""
        sha256, md5 = self._sha256.hexdigest(), self._md5.hexdigest()
        wrong = ""
        if wanted.size is not None and self.size != wanted.size:
            wrong = f"arrived with {self.size} bytes, not {wanted.size}"
        elif wanted.sha256 not in (None, sha256):
            wrong = f"arrived altered: its sha256 is {sha256}, not {wanted.sha256}"
        elif not sha256.startswith(wanted.sha256_prefix):
            wrong = f"arrived altered: its sha256 is {sha256}, not {wanted.sha256_prefix}..."
        elif wanted.md5 not in (None, md5):
            wrong = f"arrived altered: its md5 is {md5}, not {wanted.md5}"
        if wrong:
            self._path.unlink(missing_ok=True)
            raise _damaged(wanted, wrong)
        return Landed(self.size, sha256)


def _receive(
    client: httpx.Client, wanted: Wanted, landing: _Landing, progress: Progress, stop: Event
) -> None:
    have = landing.size
    if have and have == wanted.size:
        return
    headers = {**wanted.headers, **({"Range": f"bytes={have}-"} if have else {})}
    with client.stream("GET", wanted.url, headers=headers, follow_redirects=True) as response:
        if response.status_code in _AGAIN:
            raise _TryAgain(f"status {response.status_code}")
        if response.status_code == httpx.codes.REQUESTED_RANGE_NOT_SATISFIABLE:
            return  # nothing is left to send; whether it is the right file, the hash tells
        if not response.is_success:
            raise explained(wanted, [*response.history, response])
        resumed = response.headers.get("content-range", "").startswith(f"bytes {have}-")
        if have and not resumed:
            progress.landed(-have)
        with landing.open(resumed=resumed) as file:
            for piece in response.iter_raw():
                if stop.is_set():
                    raise Interrupted(f"stopped while {wanted.label} was on its way")
                landing.add(file, piece)
                progress.landed(len(piece))
                if wanted.size is not None and landing.size > wanted.size:
                    return  # more than was promised: the check refuses it


def explained(wanted: Wanted, answers: Sequence[httpx.Response]) -> UserError:
    """Return the error that says why a server refused, and what to do."""
    status = answers[-1].status_code
    code = _error_code(answers)
    page = wanted.licence_page
    if code == "GatedRepo" or (status in (401, 403) and page):
        mend = f"accept the terms at {page}, make an access token there and set HF_TOKEN to it"
        if wanted.token:
            mend = f"the token in HF_TOKEN has no right to it, so accept the terms at {page}"
        return Refused(f"{wanted.label} is gated (status {status}): {mend}; then pull again")
    answer = f"status {status}{f', {code}' if code else ''}"
    if status == httpx.codes.NOT_FOUND or code in ("RepoNotFound", "RevisionNotFound"):
        return MissingWeights(f"{wanted.label} is not at {wanted.url} ({answer})")
    return UserError(f"{wanted.label}: {wanted.url} answered with {answer}; try again later")


def _error_code(answers: Sequence[httpx.Response]) -> str:
    """Return the reason that a hub gives beside its status, empty for other servers."""
    return next((a.headers["x-error-code"] for a in answers if "x-error-code" in a.headers), "")


def _unreachable(wanted: Wanted, error: Exception) -> UserError:
    reason = str(error) or type(error).__name__
    return UserError(
        f"{wanted.label}: {wanted.url} cannot be had ({reason}); check the connection and pull "
        "again, which goes on from what has landed"
    )


def _damaged(wanted: Wanted, what: str) -> DamagedFile:
    return DamagedFile(f"{wanted.label} {what}; nothing of it was kept ({wanted.url})")


def _length(response: httpx.Response, name: str) -> int | None:
    text = response.headers.get(name, "")
    return int(text) if text.isascii() and text.isdigit() else None


def _hash(headers: httpx.Headers) -> str | None:
    tag = headers.get("x-linked-etag", "").strip('W/"').lower()
    is_sha = len(tag) == HEX_SHA256_LENGTH and all(letter in "0123456789abcdef" for letter in tag)
    return tag if is_sha else None
