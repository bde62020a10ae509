"""One file from its host, from the first byte or from where an earlier attempt broke off; checked before it counts."""

from __future__ import annotations

import errno
import logging
import os
import re
import shutil
import threading
import time
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from contextlib import closing
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar
from urllib.parse import urlsplit

from babe2.checkpoints.cache import Cache, digest, key, within
from babe2.errors import Cancelled, RestorationError

if TYPE_CHECKING:
    import httpx2

log = logging.getLogger(__name__)

FIRST_ANSWER = 2.5  # seconds without a word after which a host counts as out of reach
STALL = 20.0  # seconds of silence after which a transfer counts as cut
ATTEMPTS = 4  # in a row, none of which brings a byte more
LONGEST_WAIT = 8.0  # seconds that a busy host may ask for
LARGEST = 4 * 2**30  # bytes: no checkpoint comes near, and a lying host shall not fill the disk

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
class Offer:
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


class NoAnswer(RestorationError):
    """The host is out of reach or out of order, and a copy that is already here may do."""


class Interrupted(Exception):
    """One attempt failed and another may not. `wait`: the seconds that the host asked for."""

    def __init__(self, reason: str, reached: int = 0, wait: float | None = None) -> None:
        super().__init__(reason)
        self.reached, self.wait = reached, wait


@dataclass(frozen=True)
class Caller:
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


class Another(RestorationError):
    """What was fetched is not what was expected."""

    def __init__(self, offer: Offer, found: str) -> None:
        super().__init__(
            f"{offer.name} came from {offer.host} with the hash {found} where {offer.digest} is expected, so it is "
            "damaged or another file, and was deleted. Try again; if it stays so, tell those who offer it."
        )
        self.found = found


def checked(offer: Offer, cache: Cache, caller: Caller) -> Path:
    """The whole file as a partial one with the right hash, ready to be put in its place."""
    part = _partial(offer, cache)
    while True:
        resumed = part.is_file()
        patiently(lambda: _stream(offer, part, caller), caller)
        found = offer.digest and digest(part, offer.digest)
        if found == offer.digest:
            return part
        part.unlink()
        if not resumed:  # otherwise what an earlier process left behind may be at fault
            raise Another(offer, found or "")


def _partial(offer: Offer, cache: Cache) -> Path:
    """The partial file of this version; those of other versions are of no use any more."""
    part = cache.own / "partial" / f"{key(offer.key)}-{key(offer.version or '')}"
    for other in partials(offer.key, cache):
        if other != part or offer.version is None:
            other.unlink()
    part.parent.mkdir(parents=True, exist_ok=True)
    return within(cache.own, part)


def partials(file: str, cache: Cache) -> list[Path]:
    return list((cache.own / "partial").glob(f"{key(file)}-*"))


def _stream(offer: Offer, part: Path, caller: Caller) -> None:
    """One request for what is still missing."""
    have = part.stat().st_size if part.is_file() else 0
    if have and have == offer.bytes:
        return
    with closing(_open(offer, have, caller)) as response:
        start = _start(offer, response, part, have)
        said = length(response)
        total = offer.bytes if said is None else start + said
        _check_size(offer, response, total, start, part)
        meter = _Meter(offer.name, start, total, caller.on_transfer)
        done = _write_body(offer, response, part, start, meter, caller)
    if total is not None and done < total:
        raise Interrupted(f"{offer.host} ended {offer.name} after {done} of {total} bytes.", done)
    meter(done, last=True)


def _open(offer: Offer, have: int, caller: Caller) -> httpx2.Response:
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
        return promptly(send, offer.host, "", caller.stall_seconds)
    except NoAnswer as error:
        raise Interrupted(str(error).strip(), have) from None


def _start(offer: Offer, response: httpx2.Response, part: Path, have: int) -> int:
    """The byte at which the answer begins: 0 where the host sends the whole file again."""
    if response.status_code == 200:
        return 0
    if response.status_code == 206:
        if _continues(offer, response, have):
            return have
    elif response.status_code != 416:
        raise refusal(response, offer.host, offer.name)
    part.unlink(missing_ok=True)
    raise Interrupted(f"{offer.host} does not continue {offer.name} where it broke off.")


def _continues(offer: Offer, response: httpx2.Response, have: int) -> bool:
    first = re.match(r"bytes (\d+)-", response.headers.get("Content-Range", ""))
    if first is None or int(first[1]) != have:
        return False
    # Some hosts ignore If-Range and send a part of whatever is there now.
    now = [response.headers.get("ETag"), response.headers.get("Last-Modified")]
    return offer.validator is None or offer.validator in now or not any(now)


def _check_size(offer: Offer, response: httpx2.Response, total: int | None, start: int, part: Path) -> None:
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


def _write_body(offer: Offer, response: httpx2.Response, part: Path, done: int, meter: _Meter, caller: Caller) -> int:
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
            raise Interrupted(f"The connection to {offer.host} broke while {offer.name} was fetched.", done) from None
        file.flush()
        os.fsync(file.fileno())
    if done > limit:
        part.unlink()
        raise RestorationError(
            f"{offer.host} sends more than the {limit} bytes that {offer.name} may have, so it was deleted. "
            "Try again later."
        )
    return done


def patiently(attempt: Callable[[], T], caller: Caller, attempts: int = ATTEMPTS) -> T:
    """What `attempt` gives in the end; it is made again after each cut as long as there is progress."""
    best = failures = 0
    while True:
        caller.stop_if_cancelled()
        try:
            return attempt()
        except Interrupted as cut:
            best, failures = max(best, cut.reached), 0 if cut.reached > best else failures + 1
            wait = 0.2 * 2**failures if cut.wait is None else cut.wait
            if failures >= attempts or wait > LONGEST_WAIT:
                later = f"in {wait:.0f} seconds" if wait > LONGEST_WAIT else "later"
                kept = " What has arrived is kept." if best else ""
                raise NoAnswer(f"{cut} Try again {later}.{kept}") from None
            log.info("%s Another attempt follows.", cut)
            caller.pause(wait)


def promptly(ask: Callable[[], T], host: str, way_out: str, seconds: float = FIRST_ANSWER) -> T:
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
        raise Interrupted(f"The connection to {host} broke before it answered.") from None
    except UnicodeEncodeError:
        raise RestorationError("The token in HF_TOKEN holds letters that no token has. Renew it.") from None
    raise NoAnswer(f"{reason} {way_out}")


def _settle(answer: Future[T], ask: Callable[[], T]) -> None:
    try:
        answer.set_result(ask())
    except BaseException as error:  # whatever it is, it is for the one who waits
        answer.set_exception(error)


def _close_late(answer: Future[Any]) -> None:
    if answer.exception() is None and hasattr(response := answer.result(), "close"):
        response.close()


def refusal(response: httpx2.Response, host: str, name: str) -> Exception:
    """A host's no: busy hosts are asked again."""
    status = response.status_code
    if status in (408, 429) or status >= 500:
        after = response.headers.get("Retry-After", "")
        wait = float(after) if after.isdigit() else None
        trouble = "is asked too often" if status == 429 else "is out of order just now"
        return Interrupted(f"{host} {trouble} (HTTP {status}), so {name} could not be fetched.", wait=wait)
    if status in (404, 410):
        return RestorationError(f"There is no {name} at {host} (HTTP {status}). Check the address.")
    if status in (401, 403):
        return RestorationError(f"{host} does not let us have {name} (HTTP {status}). Ask its owner for access.")
    return RestorationError(f"{host} answers with HTTP {status} instead of {name}. Check the address.")


def length(response: httpx2.Response) -> int | None:
    said = response.headers.get("Content-Length", "")
    return int(said) if said.isdigit() else None
