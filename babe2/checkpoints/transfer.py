"""What every download has: progress reports, retries, an answer in time, and sentences for what hosts refuse."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

from babe2.errors import Cancelled, RestorationError

if TYPE_CHECKING:
    import httpx2

log = logging.getLogger(__name__)

FIRST_ANSWER = 2.5  # seconds without a word after which a host counts as out of reach
ATTEMPTS = 4  # in a row, none of which brings a byte more
LARGEST = 4 * 2**30  # bytes: no checkpoint comes near, and a lying host shall not fill the disk

T = TypeVar("T")


@dataclass(frozen=True)
class Transfer:
    """How far the transfer of one file has come."""

    name: str
    done: int  # bytes, those of an earlier attempt included
    total: int | None  # bytes, where the host says
    seconds_left: float | None


OnTransfer = Callable[[Transfer], None]
Polled = Callable[[], bool]


@dataclass(frozen=True)
class Caller:
    """Who waits for a file: how to report to them, and whether they want to stop."""

    on_transfer: OnTransfer | None = None
    cancelled: Polled | None = None
    stall_seconds: float = 20.0  # of silence, after which a transfer counts as cut

    def stop_if_cancelled(self) -> None:
        if self.cancelled is not None and self.cancelled():
            raise Cancelled

    def pause(self, seconds: float) -> None:
        end = time.monotonic() + seconds
        while (left := end - time.monotonic()) > 0:
            self.stop_if_cancelled()
            time.sleep(min(left, 0.1))


class Progress:
    """Reports to the caller how far a file has come, at most ten times a second and at the end."""

    def __init__(self, name: str, start: int, total: int | None, caller: Caller) -> None:
        self.name, self.start, self.total, self.report = name, start, total, caller.on_transfer
        self.began = self.reported = time.monotonic()

    def __call__(self, done: int) -> None:
        now, last = time.monotonic(), done == self.total
        if self.report is None or (now < self.reported + 0.1 and not last):
            return
        self.reported, left = now, None
        if self.total is not None and done > self.start:
            left = (self.total - done) * (now - self.began) / (done - self.start)
        self.report(Transfer(self.name, done, self.total, left))


class NoAnswer(RestorationError):
    """The host is out of reach or out of order, and a copy that is already here may do."""


class Interrupted(Exception):
    """One attempt failed and another may not; `reached` is how many bytes had arrived."""

    def __init__(self, reason: str, reached: int = 0) -> None:
        super().__init__(reason)
        self.reached = reached


def refusal(response: httpx2.Response, host: str, name: str) -> Exception:
    """What a host's no means: busy hosts are asked again (Interrupted), other answers are sentences."""
    status = response.status_code
    if status in (408, 429) or status >= 500:
        trouble = "is asked too often" if status == 429 else "is out of order just now"
        return Interrupted(f"{host} {trouble} (HTTP {status}), so {name} could not be fetched.")
    if status in (404, 410):
        return RestorationError(f"There is no {name} at {host} (HTTP {status}). Check the address.")
    if status in (401, 403):
        return RestorationError(f"{host} does not let us have {name} (HTTP {status}). Ask its owner for access.")
    return RestorationError(f"{host} answers with HTTP {status} instead of {name}. Check the address.")


def check_size(name: str, size: int | None) -> None:
    """Refuses, before anything is loaded, a file that is larger than any checkpoint."""
    if size is not None and size > LARGEST:
        raise RestorationError(f"{name} would be {size} bytes long, which no checkpoint is. Nothing was loaded.")


def wrong_hash(name: str, host: str, found: str, expected: str) -> RestorationError:
    return RestorationError(
        f"{name} came from {host} with the hash {found} where {expected} is expected, so it is damaged or another "
        "file, and was deleted. Try again; if it stays so, write to those who offer it."
    )


def retried(attempt: Callable[[], T], caller: Caller, attempts: int = ATTEMPTS) -> T:
    """What `attempt` returns in the end. It is made again after each interruption as long as there is progress."""
    best = failures = 0
    while True:
        caller.stop_if_cancelled()
        try:
            return attempt()
        except Interrupted as cut:
            best, failures = max(best, cut.reached), 0 if cut.reached > best else failures + 1
            if failures >= attempts:
                raise NoAnswer(f"{cut} Try again later.{' What has arrived is kept.' if best else ''}") from None
            log.info("%s Another attempt follows.", cut)
            caller.pause(0.2 * 2**failures)


def promptly(ask: Callable[[], T], host: str, way_out: str, seconds: float = FIRST_ANSWER) -> T:
    """What `ask` gets from a host, if that begins to answer within so many seconds.

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
