"""Files from the Hub and from plain addresses: fetched once, resumed when broken off, checked before they count.

What comes from the Hub lands in the Hub's own cache layout, where every other program finds it too. The Hub's client
knows addresses, commits and tokens, but keeps no partial file and hashes nothing, so the bytes are streamed here.
"""

from __future__ import annotations

import errno
import hashlib
import json
import logging
import os
import re
import shutil
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future
from contextlib import ExitStack, closing, contextmanager, suppress
from dataclasses import dataclass, field
from datetime import date
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar
from urllib.parse import unquote, urlsplit

from babe2.errors import Cancelled, RestorationError
from babe2.manifest import COMMIT, REPO

if TYPE_CHECKING:
    import httpx2
    from huggingface_hub.errors import HfHubHTTPError

log = logging.getLogger(__name__)

FIRST_ANSWER = 2.5  # seconds without a word after which a host counts as out of reach
STALL = 20.0  # seconds of silence after which a transfer counts as cut
ATTEMPTS = 4  # in a row, none of which brings a byte more
LONGEST_WAIT = 8.0  # seconds that a busy host may ask for
LARGEST = 4 * 2**30  # bytes: no checkpoint comes near, and a lying host shall not fill the disk
FIRST_SEEN = "first-seen.json"

T = TypeVar("T")


@dataclass(frozen=True)
class Transfer:
    """How far one file has come."""

    name: str
    done: int  # bytes, those of an earlier attempt included
    total: int | None  # bytes, where the host says
    seconds_left: float | None


OnTransfer = Callable[[Transfer], None]
Polled = Callable[[], bool]


@dataclass(frozen=True)
class Cache:
    """Where fetched files live."""

    hub: Path  # in the Hub's standard layout
    own: Path  # what comes from elsewhere, partial files, and the hashes that were seen first

    @classmethod
    def at(cls, cache_dir: str | Path | None) -> Cache:
        """Everything below `cache_dir`, or where the Hub's client keeps its things."""
        if cache_dir is not None:
            folder = Path(cache_dir).expanduser()
            return cls(folder, folder / "babe2")
        from huggingface_hub import constants

        return cls(Path(constants.HF_HUB_CACHE), Path(constants.HF_ASSETS_CACHE) / "babe2")


@dataclass(frozen=True)
class _Offer:
    """A file as its host describes it."""

    url: str
    name: str
    key: str  # the same for every version of the file
    version: str | None  # another one when the file has changed; None where the host gives no sign
    bytes: int | None
    digest: str | None  # a sha256, or with 40 digits what git calls the file
    way_out: str
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)  # the Hub's token is among them
    validator: str | None = None  # by which the host knows whether a part is still of the same file

    @property
    def host(self) -> str:
        return urlsplit(self.url).netloc


class _NoAnswer(RestorationError):
    """The host is out of reach or out of order, and a copy that is already here may do."""


class _Interrupted(Exception):
    """One attempt failed and another may not. `wait`: the seconds that the host asked for."""

    def __init__(self, reason: str, reached: int = 0, wait: float | None = None) -> None:
        super().__init__(reason)
        self.reached, self.wait = reached, wait


@dataclass(frozen=True)
class _Caller:
    """Who waits for the file: wants to be told, may lose patience."""

    on_transfer: OnTransfer | None
    cancelled: Polled | None
    stall_seconds: float

    def stop_if_cancelled(self) -> None:
        if self.cancelled is not None and self.cancelled():
            raise Cancelled

    def pause(self, seconds: float) -> None:
        end = time.monotonic() + seconds
        while (left := end - time.monotonic()) > 0:
            self.stop_if_cancelled()
            time.sleep(min(left, 0.1))


class _Meter:
    """Tells how a transfer gets on, some ten times a second."""

    def __init__(self, name: str, start: int, total: int | None, tell: OnTransfer | None) -> None:
        self.name, self.start, self.total, self.tell = name, start, total, tell
        self.began = self.told = time.monotonic()

    def __call__(self, done: int, *, last: bool = False) -> None:
        now = time.monotonic()
        if self.tell is None or (now < self.told + 0.1 and not last):
            return
        self.told = now
        left = None
        if self.total is not None and done > self.start:
            left = (self.total - done) * (now - self.began) / (done - self.start)
        self.tell(Transfer(self.name, done, self.total, 0.0 if last else left))


# The Hub


def fetch_from_hub(
    repo: str,
    revision: str | None,
    files: Sequence[str],
    cache: Cache,
    *,
    offline: bool = False,
    on_transfer: OnTransfer | None = None,
    cancelled: Polled | None = None,
    stall_seconds: float = STALL,
) -> Path:
    """The snapshot folder with `files` of one commit. `revision`: a commit, a branch or a tag; None is the branch main.

    A commit that is here needs no network; of a branch or tag the Hub is asked first, and what is here does when it
    cannot answer.
    """
    revision = revision or "main"
    kept = cached_from_hub(repo, revision, files, cache)
    if kept is not None and _is_commit(revision):
        return kept
    if _is_offline(offline):
        if kept is not None:
            return kept
        raise RestorationError(
            f"{repo} at revision {revision} is not in the cache at {cache.hub}, and no network may be used now. "
            f"Fetch it once with a network, or give the path of a folder that holds {_and(files)}."
        )
    caller = _Caller(on_transfer, cancelled, stall_seconds)
    try:
        attempts = ATTEMPTS if kept is None else 1
        commit, first = _patiently(lambda: _ask_hub(repo, revision, files[0], files), caller, attempts)
    except _NoAnswer as error:
        if kept is None:
            raise
        log.warning(
            "%s Until then the cached copy of %s is used, which may be older than its %s.", error, repo, revision
        )
        return kept
    with _disk(cache):
        return _fetch_snapshot(repo, revision, commit, first, files, cache, caller)


def cached_from_hub(repo: str, revision: str | None, files: Sequence[str], cache: Cache) -> Path | None:
    """The snapshot folder when all of `files` are in it; no network is used."""
    revision = revision or "main"
    _check_repo(repo)
    _check_path(revision, "revision")
    for file in files:
        _check_path(file, "file name")
    store = _store(repo, cache)
    with _disk(cache):
        if (commit := _commit_of(revision, store, cache)) is None:
            return None
        snapshot = store / "snapshots" / commit
        return snapshot if all(_within(cache.hub, snapshot / file).is_file() for file in files) else None


def _fetch_snapshot(
    repo: str, revision: str, commit: str, first: _Offer, files: Sequence[str], cache: Cache, caller: _Caller
) -> Path:
    store = _store(repo, cache)
    snapshot = store / "snapshots" / commit
    for file in files:
        pointer = _within(cache.hub, snapshot / file)
        if pointer.is_file():
            continue
        offer = first if file == files[0] else _ask_for(repo, commit, file, files, caller)
        assert offer.digest is not None
        blob = _within(cache.hub, store / "blobs" / offer.digest)
        with _lock(cache, offer.key, caller):
            if not blob.is_file() or (offer.bytes is not None and blob.stat().st_size != offer.bytes):
                _land(_checked(offer, cache, caller), blob)
            _point(pointer, blob)
    if _commit_of(revision, store, cache) != commit:  # a cache that nobody may write to is as good when all is there
        _write(_within(cache.hub, store / "refs" / revision), commit)
    return snapshot


def _commit_of(revision: str, store: Path, cache: Cache) -> str | None:
    """The commit that `revision` was when it was last fetched."""
    if _is_commit(revision):
        return revision
    ref = _within(cache.hub, store / "refs" / revision)
    commit = ref.read_text("utf-8", "replace").strip() if ref.is_file() else ""
    return commit if _is_commit(commit) else None


def _ask_for(repo: str, commit: str, file: str, files: Sequence[str], caller: _Caller) -> _Offer:
    found, offer = _patiently(lambda: _ask_hub(repo, commit, file, files), caller)
    if found != commit:
        raise RestorationError(f"{offer.host} answers for commit {found} of {repo} where {commit} was asked for.")
    return offer


def _ask_hub(repo: str, revision: str, file: str, files: Sequence[str]) -> tuple[str, _Offer]:
    """The commit that `revision` is now, and what the Hub says of the file."""
    from huggingface_hub import get_hf_file_metadata, hf_hub_url
    from huggingface_hub.errors import HfHubHTTPError
    from huggingface_hub.utils import build_hf_headers  # type: ignore[attr-defined]

    url = hf_hub_url(repo, file, revision=revision)
    home = url.partition("/resolve/")[0]
    way_out = (
        f"Try again with a network, or bring {_and(files)} here from {home} by other means "
        "and give the path of their folder."
    )
    try:
        told = _promptly(
            lambda: get_hf_file_metadata(url, timeout=FIRST_ANSWER, library_name="babe2"), urlsplit(url).netloc, way_out
        )
    except HfHubHTTPError as error:
        raise _hub_refusal(error, repo, revision, file, home) from None
    commit, digest = told.commit_hash or "", told.etag or ""
    if not _is_commit(commit) or not re.fullmatch(r"[0-9a-f]{40}|[0-9a-f]{64}", digest):
        raise RestorationError(
            f"{urlsplit(url).netloc} gives no commit or no hash for {file} of {repo}, so it could not be checked. "
            "Set HF_ENDPOINT to the Hub itself or to a complete mirror."
        )
    pinned, headers = hf_hub_url(repo, file, revision=commit), build_hf_headers(library_name="babe2")
    name = f"{file} of {repo}"
    return commit, _Offer(pinned, name, f"{repo}/{file}", digest, told.size, digest, way_out, headers)


def _hub_refusal(error: HfHubHTTPError, repo: str, revision: str, file: str, home: str) -> Exception:
    """The Hub's no, with its reason and the way out."""
    from huggingface_hub import errors

    host, status = urlsplit(home).netloc, error.response.status_code
    login = "put your token into HF_TOKEN or run `hf auth login`"
    if isinstance(error, errors.GatedRepoError):
        told = f"{repo} is open only to those whom its owner has let in. Ask for access at {home}, then {login}."
    elif isinstance(error, errors.RevisionNotFoundError):
        told = f"{repo} has no revision {revision}. Check its name at {home}, or leave it out to get main."
    elif isinstance(error, errors.RemoteEntryNotFoundError):
        told = f"{repo} holds no {file} at revision {revision}, so it is not a checkpoint of ours. Look at {home}."
    elif isinstance(error, errors.RepositoryNotFoundError):
        told = f"There is no repository {repo} at {host}, or it is private. Check its name; if it is private, {login}."
    elif status == 401:
        told = f"{host} does not accept the token. Renew it: {login}."
    else:
        return _refusal(error.response, host, f"{file} of {repo}")
    return RestorationError(told)


# Plain addresses


def fetch_url(
    url: str,
    cache: Cache,
    *,
    bytes: int | None = None,
    sha256: str | None = None,
    offline: bool = False,
    on_transfer: OnTransfer | None = None,
    cancelled: Polled | None = None,
    stall_seconds: float = STALL,
) -> Path:
    """The file at a plain http address, in `cache.own`; what is there and whole is not fetched again.

    Where no `sha256` is given, the one that was seen first is written down and every later file must have it.
    """
    target = _place(url, cache)
    caller = _Caller(on_transfer, cancelled, stall_seconds)
    if _is_whole(url, target, sha256, cache):
        return target
    with _disk(cache), _lock(cache, url, caller):
        if _is_whole(url, target, sha256, cache):  # now that another process is done with it
            return target
        if _is_offline(offline):
            raise RestorationError(
                f"{url} is not in the cache at {cache.own} or not whole there, and no network may be used now. "
                "Fetch it once with a network, or give the path of a copy."
            )
        expected = sha256 or first_seen(url, cache)
        offer = _patiently(lambda: _ask_host(url, bytes, expected), caller)
        try:
            part = _checked(offer, cache, caller)
        except _Another as error:
            raise error if sha256 else _changed(url, cache, error) from None
        if expected is None:
            _remember(url, part, cache, caller)
        _land(part, target)
        return target


def _is_whole(url: str, target: Path, sha256: str | None, cache: Cache) -> bool:
    with _disk(cache):
        expected = sha256 or first_seen(url, cache)
        return target.is_file() and expected is not None and _digest(target, expected) == expected


def cached_url(url: str, cache: Cache) -> Path | None:
    """The file from a plain address when it is here; no network is used."""
    with _disk(cache):
        target = _place(url, cache)
        return target if target.is_file() else None


def first_seen(url: str, cache: Cache) -> str | None:
    """The sha256 that the file at `url` had when it was first fetched."""
    with _disk(cache):
        seen = _all_first_seen(cache).get(url)
        return seen["sha256"] if seen else None


def forget_url(url: str, cache: Cache) -> Path:
    """Forgets the hash that was seen first and what a broken transfer left; returns the folder of the file itself."""
    caller = _Caller(None, None, STALL)
    with _disk(cache), _lock(cache, url, caller):
        for part in _partials(url, cache):
            part.unlink()
        with _lock(cache, FIRST_SEEN, caller):
            seen = _all_first_seen(cache)
            if seen.pop(url, None) is not None:
                _write(cache.own / FIRST_SEEN, json.dumps(seen, indent=2) + "\n")
        return _place(url, cache).parent


def _place(url: str, cache: Cache) -> Path:
    """Where the file from `url` belongs; the address decides on the folder, and little of it on the name."""
    try:
        parts = urlsplit(url)
        plain = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        plain = False
    if not plain or "@" in parts.netloc or not url.isprintable() or " " in url:
        raise RestorationError(
            f"{url!r:.200} is not a plain http or https address. Give one without a name and password."
        )
    name = re.sub(r"[^A-Za-z0-9._-]", "_", unquote(parts.path.rpartition("/")[2])).lstrip(".")[-100:] or "file"
    return _within(cache.own, cache.own / "urls" / _key(url) / name)


def _ask_host(url: str, size: int | None, digest: str | None) -> _Offer:
    """What the host says of the file; a host that knows no HEAD says nothing yet."""
    from huggingface_hub import get_session

    host, name = urlsplit(url).netloc, unquote(urlsplit(url).path.rpartition("/")[2])
    way_out = f"Try again with a network, or bring {url} here by other means and give the path of the file."
    headers = {"Accept-Encoding": "identity"}  # the length of the file and not of a packed form
    response = _promptly(
        lambda: get_session().head(url, headers=headers, timeout=FIRST_ANSWER, follow_redirects=True), host, way_out
    )
    if response.status_code in (405, 501):
        return _Offer(url, name, url, digest, size, digest, way_out)
    if response.status_code != 200:
        raise _refusal(response, host, name)
    said = _length(response)
    if size is not None and said is not None and said != size:
        raise RestorationError(
            f"{host} offers {said} bytes for {name} where {size} are expected, so it is not the file that is meant. "
            "Nothing was loaded."
        )
    etag = response.headers.get("ETag", "")
    strong = etag if etag.startswith('"') else None  # a weak one does not vouch for the bytes
    validator = strong or response.headers.get("Last-Modified")
    size = said if size is None else size
    return _Offer(url, name, url, validator or digest, size, digest, way_out, validator=validator)


def _changed(url: str, cache: Cache, error: _Another) -> RestorationError:
    seen = _all_first_seen(cache)[url]
    return RestorationError(
        f"{url} is no longer the file that was fetched first, on {seen['date']}: its sha256 was {seen['sha256']} "
        f"and is now {error.found}. To accept the new file on purpose, remove the entry with "
        "`babe2 checkpoints remove ID` and fetch it again."
    )


def _remember(url: str, file: Path, cache: Cache, caller: _Caller) -> None:
    with _lock(cache, FIRST_SEEN, caller):
        seen = _all_first_seen(cache)
        digest = _digest(file, "sha256")
        seen[url] = {"sha256": digest, "bytes": file.stat().st_size, "date": date.today().isoformat()}
        _write(cache.own / FIRST_SEEN, json.dumps(seen, indent=2) + "\n")


def _all_first_seen(cache: Cache) -> dict[str, Any]:
    path = cache.own / FIRST_SEEN
    try:
        seen = json.loads(path.read_text("utf-8"))
        if all(re.fullmatch("[0-9a-f]{64}", entry["sha256"]) and entry["date"] for entry in seen.values()):
            return dict(seen)
    except FileNotFoundError:
        return {}
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        pass
    raise RestorationError(
        f"{path}, which holds the hashes that were seen first, cannot be read. Repair it, or delete it to trust afresh."
    )


# One file, from the first byte or from where an earlier attempt broke off


class _Another(RestorationError):
    """What was fetched is not what was expected."""

    def __init__(self, offer: _Offer, found: str) -> None:
        super().__init__(
            f"{offer.name} came from {offer.host} with the hash {found} where {offer.digest} is expected, so it is "
            "damaged or another file, and was deleted. Try again; if it stays so, tell those who offer it."
        )
        self.found = found


def _checked(offer: _Offer, cache: Cache, caller: _Caller) -> Path:
    """The whole file as a partial one with the right hash, ready to be put in its place."""
    part = _partial(offer, cache)
    while True:
        resumed = part.is_file()
        _patiently(lambda: _stream(offer, part, caller), caller)
        found = offer.digest and _digest(part, offer.digest)
        if found == offer.digest:
            return part
        part.unlink()
        if not resumed:  # otherwise what an earlier process left behind may be at fault
            raise _Another(offer, found or "")


def _partial(offer: _Offer, cache: Cache) -> Path:
    """The partial file of this version; those of other versions are of no use any more."""
    part = cache.own / "partial" / f"{_key(offer.key)}-{_key(offer.version or '')}"
    for other in _partials(offer.key, cache):
        if other != part or offer.version is None:
            other.unlink()
    part.parent.mkdir(parents=True, exist_ok=True)
    return _within(cache.own, part)


def _partials(key: str, cache: Cache) -> list[Path]:
    return list((cache.own / "partial").glob(f"{_key(key)}-*"))


def _stream(offer: _Offer, part: Path, caller: _Caller) -> None:
    """One request for what is still missing."""
    have = part.stat().st_size if part.is_file() else 0
    if have and have == offer.bytes:
        return
    with closing(_open(offer, have, caller)) as response:
        start = _start(offer, response, part, have)
        said = _length(response)
        total = offer.bytes if said is None else start + said
        _check_size(offer, response, total, start, part)
        meter = _Meter(offer.name, start, total, caller.on_transfer)
        done = _write_body(offer, response, part, start, meter, caller)
    if total is not None and done < total:
        raise _Interrupted(f"{offer.host} ended {offer.name} after {done} of {total} bytes.", done)
    meter(done, last=True)


def _open(offer: _Offer, have: int, caller: _Caller) -> httpx2.Response:
    """The answer to a request for everything from byte `have` on, its body still to be read."""
    import httpx2
    from huggingface_hub import get_session

    headers = {**offer.headers, "Accept-Encoding": "identity"}
    if have:
        headers["Range"] = f"bytes={have}-"
        # The Hub's storage has validators of its own; there the hash in the end decides.
        headers |= {"If-Range": offer.validator} if offer.validator else {}
    session = get_session()
    timeout = httpx2.Timeout(caller.stall_seconds, connect=2 * FIRST_ANSWER)
    request = session.build_request("GET", offer.url, headers=headers, timeout=timeout)
    try:
        # Sent on to another origin, the client leaves the token out.
        send = partial(session.send, request, stream=True, follow_redirects=True)
        return _promptly(send, offer.host, "", caller.stall_seconds)
    except _NoAnswer as error:
        raise _Interrupted(str(error).strip(), have) from None


def _start(offer: _Offer, response: httpx2.Response, part: Path, have: int) -> int:
    """The byte at which the answer begins: 0 where the host sends the whole file again."""
    if response.status_code == 200:
        return 0
    if response.status_code == 206:
        if _continues(offer, response, have):
            return have
    elif response.status_code != 416:
        raise _refusal(response, offer.host, offer.name)
    part.unlink(missing_ok=True)
    raise _Interrupted(f"{offer.host} does not continue {offer.name} where it broke off.")


def _continues(offer: _Offer, response: httpx2.Response, have: int) -> bool:
    first = re.match(r"bytes (\d+)-", response.headers.get("Content-Range", ""))
    if first is None or int(first[1]) != have:
        return False
    # Some hosts ignore If-Range and send a part of whatever is there now.
    now = [response.headers.get("ETag"), response.headers.get("Last-Modified")]
    return offer.validator is None or offer.validator in now or not any(now)


def _check_size(offer: _Offer, response: httpx2.Response, total: int | None, start: int, part: Path) -> None:
    """Refuses before anything is loaded."""
    if response.headers.get("Content-Encoding", "identity") != "identity":
        raise RestorationError(f"{offer.host} sends {offer.name} packed, which was not asked for. {offer.way_out}")
    if total is None:
        if offer.digest is None and "chunked" not in response.headers.get("Transfer-Encoding", ""):
            raise RestorationError(
                f"{offer.host} does not say how long {offer.name} is, so a broken transfer could not be told from a "
                f"whole one. {offer.way_out}"
            )
        return
    if offer.bytes is not None and total != offer.bytes:
        raise RestorationError(
            f"{offer.host} sends {total} bytes for {offer.name} where {offer.bytes} are expected, so it has changed "
            "or is damaged there. Try again later."
        )
    if total > LARGEST:
        raise RestorationError(f"{offer.name} would be {total} bytes long, which no checkpoint is. Nothing was loaded.")
    if (free := shutil.disk_usage(part.parent).free) < total - start:
        raise OSError(errno.ENOSPC, f"{offer.name} needs {total - start} bytes and {free} are free")


def _write_body(offer: _Offer, response: httpx2.Response, part: Path, done: int, meter: _Meter, caller: _Caller) -> int:
    """Writes what arrives, on to byte `done` of the partial file; returns its length."""
    import httpx2

    limit = LARGEST if meter.total is None else meter.total
    with part.open("r+b" if done else "wb") as file:
        file.seek(done)
        try:
            for piece in response.iter_raw():
                caller.stop_if_cancelled()
                done += len(piece)
                if done > limit:
                    break
                file.write(piece)
                meter(done)
        except httpx2.RequestError:
            raise _Interrupted(f"The connection to {offer.host} broke while {offer.name} was fetched.", done) from None
        file.flush()
        os.fsync(file.fileno())
    if done > limit:
        part.unlink()
        raise RestorationError(
            f"{offer.host} sends more than the {limit} bytes that {offer.name} may have, so it was deleted. "
            "Try again later."
        )
    return done


def _patiently(attempt: Callable[[], T], caller: _Caller, attempts: int = ATTEMPTS) -> T:
    """What `attempt` gives in the end; it is made again after each cut as long as there is progress."""
    best = failures = 0
    while True:
        caller.stop_if_cancelled()
        try:
            return attempt()
        except _Interrupted as cut:
            best, failures = max(best, cut.reached), 0 if cut.reached > best else failures + 1
            wait = 0.2 * 2**failures if cut.wait is None else cut.wait
            if failures >= attempts or wait > LONGEST_WAIT:
                later = f"in {wait:.0f} seconds" if wait > LONGEST_WAIT else "later"
                kept = " What has arrived is kept." if best else ""
                raise _NoAnswer(f"{cut} Try again {later}.{kept}") from None
            log.info("%s Another attempt follows.", cut)
            caller.pause(wait)


def _promptly(ask: Callable[[], T], host: str, way_out: str, seconds: float = FIRST_ANSWER) -> T:
    """What `ask` gets from a host, if that begins to answer soon.

    A thread asks, because looking up a name and trying a host's addresses one after the other know no common limit.
    """
    import httpx2

    answer: Future[T] = Future()
    threading.Thread(target=_settle, args=(answer, ask), daemon=True).start()
    try:
        return answer.result(seconds)
    except (TimeoutError, httpx2.TimeoutException):
        answer.add_done_callback(_close_late)
        reason = f"{host} cannot be reached: it did not answer within {seconds:g} seconds."
    except (httpx2.ConnectError, httpx2.ProxyError):
        reason = f"{host} cannot be reached."
    except (httpx2.RequestError, httpx2.InvalidURL):  # their own words may quote a header, and in it the token
        raise _Interrupted(f"The connection to {host} broke before it answered.") from None
    except UnicodeEncodeError:
        raise RestorationError("The token in HF_TOKEN holds letters that no token has. Renew it.") from None
    raise _NoAnswer(f"{reason} {way_out}")


def _settle(answer: Future[T], ask: Callable[[], T]) -> None:
    try:
        answer.set_result(ask())
    except BaseException as error:  # whatever it is, it is for the one who waits
        answer.set_exception(error)


def _close_late(answer: Future[Any]) -> None:
    if answer.exception() is None and hasattr(response := answer.result(), "close"):
        response.close()


def _refusal(response: httpx2.Response, host: str, name: str) -> Exception:
    """A host's no: busy hosts are asked again."""
    status = response.status_code
    if status in (408, 429) or status >= 500:
        after = response.headers.get("Retry-After", "")
        wait = float(after) if after.isdigit() else None
        trouble = "is asked too often" if status == 429 else "is out of order just now"
        return _Interrupted(f"{host} {trouble} (HTTP {status}), so {name} could not be fetched.", wait=wait)
    if status in (404, 410):
        return RestorationError(f"There is no {name} at {host} (HTTP {status}). Check the address.")
    if status in (401, 403):
        return RestorationError(f"{host} does not let us have {name} (HTTP {status}). Ask its owner for access.")
    return RestorationError(f"{host} answers with HTTP {status} instead of {name}. Check the address.")


def _length(response: httpx2.Response) -> int | None:
    said = response.headers.get("Content-Length", "")
    return int(said) if said.isdigit() else None


# On disk


def _digest(path: Path, like: str) -> str:
    """The sha256 of a file, or where `like` has 40 digits the name that git gives to it."""
    with path.open("rb") as file:
        if len(like) != 40:
            return hashlib.file_digest(file, "sha256").hexdigest()
        named = hashlib.sha1(b"blob %d\0" % path.stat().st_size, usedforsecurity=False)
        return hashlib.file_digest(file, lambda: named).hexdigest()


def _land(whole: Path, target: Path) -> None:
    """Moves a checked file to its place at once, on another disk too."""
    target.parent.mkdir(parents=True, exist_ok=True)
    try:
        whole.replace(target)
    except OSError as error:
        if error.errno != errno.EXDEV:
            raise
        _copy(whole, target)
        whole.unlink()


def _copy(source: Path, target: Path) -> None:
    with _beside(target) as new:
        shutil.copyfile(source, new)
        with new.open("rb+") as file:
            os.fsync(file.fileno())


def _write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with _beside(path) as new:
        new.write_text(text, "utf-8")


def _point(pointer: Path, blob: Path) -> None:
    """Makes the snapshot's file a link to the blob, or a copy where there are no links."""
    from huggingface_hub import constants

    pointer.parent.mkdir(parents=True, exist_ok=True)
    if constants.HF_HUB_DISABLE_SYMLINKS:
        return _copy(blob, pointer)
    try:
        with _beside(pointer) as new:
            new.symlink_to(os.path.relpath(blob, pointer.parent))
    except (OSError, NotImplementedError):
        _copy(blob, pointer)


@contextmanager
def _beside(path: Path) -> Iterator[Path]:
    """A name of our own to write under; what is written there takes the place of `path` at once."""
    new = path.with_name(f"{path.name}.{os.getpid()}-{threading.get_ident()}.new")
    try:
        new.unlink(missing_ok=True)
        yield new
        new.replace(path)
    finally:
        with suppress(OSError):
            new.unlink(missing_ok=True)


@contextmanager
def _lock(cache: Cache, key: str, caller: _Caller) -> Iterator[None]:
    """One process at a time; the system lets go of the lock of a process that ends, however it ends."""
    from filelock import Timeout
    from huggingface_hub.utils import WeakFileLock  # type: ignore[attr-defined]

    folder = cache.own / "locks"
    folder.mkdir(parents=True, exist_ok=True)
    with ExitStack() as held:
        while True:
            caller.stop_if_cancelled()
            with suppress(Timeout):
                held.enter_context(WeakFileLock(folder / f"{_key(key)}.lock", timeout=0.2))
                break
        yield


@contextmanager
def _disk(cache: Cache) -> Iterator[None]:
    """What goes wrong on disk, in a sentence."""
    try:
        yield
    except OSError as error:
        where = error.filename or cache.own
        raise RestorationError(
            f"The cache cannot be used at {where}: {error.strerror or error}. "
            "Make room there or allow writing, or name another folder in HF_HOME."
        ) from None


def _within(root: Path, path: Path) -> Path:
    """`path`, which must stay below `root` when every link in it is followed."""
    if not path.resolve().is_relative_to(root.resolve()):
        raise RestorationError(f"{path} is a link that leads out of the cache at {root}. Remove it and fetch again.")
    return path


def _store(repo: str, cache: Cache) -> Path:
    return cache.hub / f"models--{repo.replace('/', '--')}"


def _check_repo(repo: str) -> None:
    if not REPO.fullmatch(repo):
        raise RestorationError(f"{repo!r:.200} is not the name of a repository. Give it as owner/name.")


def _check_path(path: str, what: str) -> None:
    """A name from elsewhere becomes a path only when it can lead nowhere else, on no system."""
    parts = path.split("/")
    if not path.isprintable() or set(path) & set('\\:*?"<>|') or any(part in ("", ".", "..") for part in parts):
        raise RestorationError(f"{path!r:.200} is not a {what} that can be used: it could lead out of the cache.")


def _is_commit(revision: str) -> bool:
    return COMMIT.fullmatch(revision) is not None


def _is_offline(offline: bool) -> bool:
    from huggingface_hub import constants

    return offline or constants.HF_HUB_OFFLINE


def _key(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "replace")).hexdigest()[:16]


def _and(files: Sequence[str]) -> str:
    return " and ".join(files)
