"""`weights pull`: the one command that uses the network.

Everything that can be refused is refused before the first byte lands: pickles of unknown hash,
gated files without a token, other bytes than the manifest names, a disk too small. Then files
come in parallel, each to a partial file that a later pull goes on with; they enter the weights
folder by a rename, once their hash is right.
"""

from __future__ import annotations

import contextlib
import os
import shutil
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait
from dataclasses import dataclass, replace
from pathlib import Path
from threading import Event
from typing import Final, TypeVar
from urllib.parse import quote

import httpx
from filelock import FileLock, Timeout

from dnd_local.core.amounts import size_text
from dnd_local.core.digest import file_sha256, sha256
from dnd_local.core.errors import Interrupted, UserError
from dnd_local.store.consent import Consent, agree, never, with_hashes
from dnd_local.store.convert import convert
from dnd_local.store.fetch import Landed, Offer, Progress, Wanted, ask, fetch
from dnd_local.store.manifest import Entry, File, Hub, Local, Shipped, Url, User
from dnd_local.store.pins import Pin, source_text
from dnd_local.store.weights import Weights

HUB: Final = "https://huggingface.co"
HUB_VARIABLE: Final = "HF_ENDPOINT"
TOKEN_VARIABLE: Final = "HF_TOKEN"
PARTIAL: Final = ".partial"
MARGIN_BYTES: Final = 64 << 20
"""Disk left free beyond what lands."""

_Result = TypeVar("_Result")


@dataclass(frozen=True, slots=True)
class Hosts:
    """Where the hub is, and the access token for it (empty for none)."""

    hub: str = HUB
    token: str = ""

    @classmethod
    def of(cls, environment: Mapping[str, str] = os.environ) -> Hosts:
        """Return the hub and token that the environment names (`HF_ENDPOINT`, `HF_TOKEN`)."""
        hub = environment.get(HUB_VARIABLE) or HUB
        return cls(hub.rstrip("/"), environment.get(TOKEN_VARIABLE, ""))


@dataclass(frozen=True, slots=True)
class Pulled:
    """What a pull did: ids complete before, files that landed, pins made, ids left to the user."""

    kept: tuple[str, ...]
    landed: tuple[str, ...]
    pinned: tuple[Pin, ...]
    by_hand: tuple[Entry, ...]


@dataclass(frozen=True, slots=True)
class _Job:
    entry: Entry
    file: File
    wanted: Wanted
    target: Path

    def finish(self, landed: Landed) -> Pin | None:
        """Move what landed into place, converted if it is to be, and return its pin if new."""
        self.target.parent.mkdir(parents=True, exist_ok=True)
        file, origin = self.wanted.partial, None
        if self.file.converted_from is not None:
            file, origin = file.with_name(file.name + ".safetensors"), landed.sha256
            convert(self.wanted.partial, file)
            self.wanted.partial.unlink()
            landed = Landed(file.stat().st_size, file_sha256(file))
        file.replace(self.target)
        if self.file.sha256 is not None:
            return None
        return Pin(
            id=self.entry.id,
            path=self.file.path,
            source=source_text(self.entry),
            size=landed.size,
            sha256=landed.sha256,
            origin=origin,
        )


def pull(
    weights: Weights,
    names: Iterable[str],
    client: httpx.Client,
    progress: Progress,
    *,
    hosts: Hosts | None = None,
    trusted: Mapping[str, str] | None = None,
    consent: Consent = never,
    parallel: int = 4,
    free: Callable[[Path], int] | None = None,
) -> Pulled:
    """Bring the entries of ids and profiles into the weights folder and return what was done.

    Args:
        weights: the weights folder.
        names: ids and profiles.
        client: who makes the requests.
        progress: who watches.
        hosts: the hub and its token.
        trusted: SHA-256 by file name (or `id/name`) for pickles whose hash the manifest lacks.
        consent: whether to read pickles of which only the beginning of the hash is published;
            no by default.
        parallel: files on their way at once.
        free: free bytes of a folder's disk; asks the system by default.

    Raises:
        UnknownName: a name is neither id nor profile.
        Refused, MissingWeights, DamagedFile, UserError: see the messages of `store/fetch.py`.
        Interrupted: Ctrl-C; what landed stays, and the next pull goes on from there.
    """
    entries = weights.manifest.select(names)
    by_hand = tuple(entry for entry in entries if isinstance(entry.source, User))
    weights.require(entry.id for entry in entries if entry.own)  # nobody can fetch those
    remote = [entry for entry in entries if not isinstance(entry.source, User | Shipped | Local)]
    with _only_one(weights.root):
        jobs = [job for entry in remote for job in _jobs(weights, entry, hosts or Hosts.of())]
        wanted = with_hashes([job.wanted for job in jobs], trusted or {})
        agree(wanted, consent)
        jobs = [replace(job, wanted=one) for job, one in zip(jobs, wanted, strict=True)]
        busy = {job.entry.id for job in jobs}
        kept = tuple(entry.id for entry in remote if entry.id not in busy)
        offers = _all(parallel, [_asker(client, job) for job in jobs], Event())
        jobs = [_completed(job, offer) for job, offer in zip(jobs, offers, strict=True)]
        _check_disk(weights.root, jobs, free or (lambda path: shutil.disk_usage(path).free))
        progress.total(sum(job.wanted.size or 0 for job in jobs))
        pins = _land(weights, jobs, client, progress, parallel)
    return Pulled(kept, tuple(job.wanted.label for job in jobs), pins, by_hand)


def _jobs(weights: Weights, entry: Entry, hosts: Hosts) -> Iterator[_Job]:
    """Yield a job for each file of an entry that is not there as it should be."""
    states = dict(weights.report(entry.id).files)
    for file in entry.files:
        if states[file.path] == "have":
            continue
        origin = file.converted_from
        source = origin or file
        path = origin.path if origin else file.source_path or file.path
        url, token = _address(entry, path, source.url, hosts)
        name = f"{sha256(url.encode())[:16]}-{Path(path).name}"
        wanted = Wanted(
            label=f"{entry.id}/{path}",
            url=url,
            partial=weights.root / PARTIAL / entry.id / name,
            size=source.size,
            sha256=weights.pins.hash_of(entry, file) if origin is None else origin.sha256,
            licence_page=(entry.licence.link or "") if entry.gated is not False else "",
            token=token,
            md5=file.md5,
            pickle=origin is not None,
            sha256_prefix=origin.sha256_prefix if origin else "",
        )
        yield _Job(entry, file, wanted, weights.place(entry) / file.path)


def _address(entry: Entry, path: str, url: str | None, hosts: Hosts) -> tuple[str, str]:
    """Return where a file's bytes come from, and the token for that host."""
    match entry.source:
        case _ if url is not None:
            return url, ""
        case Hub(repository=repository, revision=revision):
            return f"{hosts.hub}/{repository}/resolve/{revision}/{quote(path)}", hosts.token
        case Url(base=base):
            return base + quote(path), ""
        case _:  # pragma: no cover - what ships or is the user's own is never fetched
            raise AssertionError(entry.id)


def _asker(client: httpx.Client, job: _Job) -> Callable[[], Offer]:
    return lambda: ask(client, job.wanted)


def _completed(job: _Job, offer: Offer) -> _Job:
    """Return the job with what only the server knew; its hash lets a pull be resumed."""
    wanted = job.wanted
    size, sha = wanted.size or offer.size, wanted.sha256 or offer.sha256
    return replace(job, wanted=replace(wanted, size=size, sha256=sha))


def _check_disk(root: Path, jobs: Sequence[_Job], free: Callable[[Path], int]) -> None:
    """Refuse to start what the disk cannot hold; a conversion needs its pickle's size again."""
    needed = 0
    for job in jobs:
        size = job.wanted.size or 0
        partial = job.wanted.partial
        have = partial.stat().st_size if partial.is_file() else 0
        needed += max(size - have, 0) + (size if job.file.converted_from else 0)
    available = free(root)
    if jobs and needed + MARGIN_BYTES > available:
        raise UserError(
            f"the disk of {root} has {size_text(available)} free, and what is to land needs "
            f"{size_text(needed + MARGIN_BYTES)}; make room, or name another folder in "
            "DND_LOCAL_WEIGHTS"
        )


def _land(
    weights: Weights, jobs: Sequence[_Job], client: httpx.Client, progress: Progress, parallel: int
) -> tuple[Pin, ...]:
    """Bring every file, pin what had no hash, and return the pins, kept even if one file fails."""
    stop, pins = Event(), []

    def bring(job: _Job) -> None:
        try:
            pin = job.finish(fetch(client, job.wanted, progress, stop))
        except OSError as error:
            raise UserError(f"{job.wanted.label}: {error.strerror} ({error.filename})") from None
        if pin is not None:
            pins.append(pin)
            if pin.origin is None:
                progress.say(f"{job.wanted.label}: no hash was known; pinned {pin.sha256}")

    try:
        _all(parallel, [lambda job=job: bring(job) for job in jobs], stop)  # type: ignore[misc]
    finally:
        if pins:
            weights.pins.add(pins)
    for entry in {job.entry.id for job in jobs}:
        weights.vouch(entry, [job.file.path for job in jobs if job.entry.id == entry])
    _sweep(weights.root / PARTIAL)
    return tuple(pins)


def _sweep(folder: Path) -> None:
    """Remove the folders of partial files that are empty; another pull's stay."""
    for inner in [*folder.glob("*"), folder]:
        with contextlib.suppress(OSError):
            inner.rmdir()


def _all(parallel: int, calls: Sequence[Callable[[], _Result]], stop: Event) -> list[_Result]:
    """Return the results of calls made in parallel; the first failure stops the rest.

    Raises:
        Interrupted: Ctrl-C.
    """
    with ThreadPoolExecutor(max_workers=max(parallel, 1)) as pool:
        futures = [pool.submit(call) for call in calls]
        try:
            done, _ = wait(futures, return_when=FIRST_EXCEPTION)
            failed = [future for future in done if future.exception() is not None]
        except KeyboardInterrupt:
            raise Interrupted(
                "stopped; what has landed is kept, and the same command goes on from there"
            ) from None
        finally:
            if not all(future.done() for future in futures):
                stop.set()
                pool.shutdown(cancel_futures=True)
    if failed:
        failed[0].result()
    return [future.result() for future in futures]


@contextlib.contextmanager
def _only_one(root: Path) -> Iterator[None]:
    """Hold the weights folder against a second pull.

    Raises:
        UserError: another pull has it, or the folder cannot be made.
    """
    try:
        root.mkdir(parents=True, exist_ok=True)
        with FileLock(root / ".pull.lock", blocking=False):
            yield
    except Timeout:
        raise UserError(f"another pull is at work in {root}; wait for it to end") from None
