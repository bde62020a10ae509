"""Files from plain web addresses, as the published checkpoints are offered: fetched once, checked, and continued by the
next run when a transfer breaks. Of a file whose hash nobody has published, the first one seen is remembered."""

from __future__ import annotations

import json
import os
import re
from contextlib import closing
from dataclasses import dataclass
from datetime import date
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote, urlsplit

from babe2.checkpoints.cache import Cache, disk_errors, file_hash, inside, lock, remove_folder, short_hash, size_of
from babe2.checkpoints.manifest import is_web_address
from babe2.checkpoints.transfer import (
    FIRST_ANSWER,
    Caller,
    Interrupted,
    Progress,
    check_size,
    promptly,
    refusal,
    retried,
    wrong_hash,
)
from babe2.errors import RestorationError
from babe2.extras import require
from babe2.replacing import write_text

if TYPE_CHECKING:
    import httpx2

FIRST_SEEN = "first-seen.json"


def fetch_url(
    url: str, cache: Cache, caller: Caller, *, size: int | None = None, sha256: str | None = None, offline: bool = False
) -> Path:
    """Returns the file from a plain http address, after downloading it where it is not whole in the cache.

    Where no `sha256` is given, the one that was seen first is written down and every later file must have it.
    """
    require("hub")
    from huggingface_hub import is_offline_mode

    target = path_of(url, cache)
    if _is_whole(url, target, sha256, cache):
        return target
    with disk_errors(cache), lock(cache, url, caller.stop_if_cancelled):
        if _is_whole(url, target, sha256, cache):  # now that another process is done with it
            return target
        if offline or is_offline_mode():
            raise RestorationError(
                f"{url} is not in the cache at {cache.own} or not whole there, and no network may be used now. "
                "Fetch it once with a network, or give the path of a copy."
            )
        part = inside(cache.own, cache.own / "partial" / short_hash(url))
        part.parent.mkdir(parents=True, exist_ok=True)
        expected = sha256 or first_seen(url, cache)
        found = _download(_File(url, size), part, expected, caller)
        if expected not in (None, found):
            raise _wrong_hash(url, found, str(expected), None if sha256 else _all_first_seen(cache)[url]["date"])
        if expected is None:
            entry = {"sha256": found, "bytes": part.stat().st_size, "date": date.today().isoformat()}
            _remember(url, entry, cache, caller)
        target.parent.mkdir(parents=True, exist_ok=True)
        part.replace(target)
        return target


def path_of(url: str, cache: Cache) -> Path:
    """Where the file from `url` is kept; the address decides on the folder, and little of it on the name."""
    if not is_web_address(url):
        raise RestorationError(
            f"{url!r:.200} is not a plain http or https address. Give one without a name and password."
        )
    name = re.sub(r"[^A-Za-z0-9._-]", "_", _name(url)).lstrip(".")[-100:] or "file"
    return inside(cache.own, cache.own / "urls" / short_hash(url) / name)


def remove_url(url: str, cache: Cache) -> int:
    """Deletes the file from a plain address, what a broken transfer left of it, and the hash that was seen first.
    Returns how many bytes that frees.
    """
    caller, folder = Caller(), path_of(url, cache).parent
    with disk_errors(cache), lock(cache, url, caller.stop_if_cancelled):
        freed = size_of(folder)
        remove_folder(folder)
        for part in (cache.own / "partial").glob(f"{short_hash(url)}*"):
            freed += part.stat().st_size
            part.unlink()
        _remember(url, None, cache, caller)
        return freed


def _is_whole(url: str, target: Path, sha256: str | None, cache: Cache) -> bool:
    expected = sha256 or first_seen(url, cache)
    with disk_errors(cache):
        return target.is_file() and expected is not None and file_hash(target) == expected


def _wrong_hash(url: str, found: str, expected: str, date: str | None) -> RestorationError:
    """`date`: when `expected` was seen first; None where a manifest says it."""
    if date is None:
        return wrong_hash(_name(url), urlsplit(url).netloc, found, expected)
    return RestorationError(
        f"{url} is no longer the file that was fetched first, on {date}: its sha256 was {expected} and is now {found}. "
        "To accept the new file on purpose, remove the entry with `babe2 checkpoints remove ID` and fetch it again."
    )


def _name(url: str) -> str:
    return unquote(urlsplit(url).path.rpartition("/")[2])


# The hashes seen first


def first_seen(url: str, cache: Cache) -> str | None:
    """The sha256 that the file at `url` had when it was first fetched."""
    with disk_errors(cache):
        seen = _all_first_seen(cache).get(url)
        return seen["sha256"] if seen else None


def _remember(url: str, entry: dict[str, Any] | None, cache: Cache, caller: Caller) -> None:
    with lock(cache, FIRST_SEEN, caller.stop_if_cancelled):
        seen = _all_first_seen(cache)
        if entry is None and url not in seen:
            return
        others = {known: other for known, other in seen.items() if known != url}
        seen = others | ({url: entry} if entry else {})
        write_text(cache.own / FIRST_SEEN, json.dumps(seen, indent=2) + "\n")


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


# The transfer


@dataclass(frozen=True)
class _File:
    """A file to be transferred."""

    url: str
    size: int | None  # bytes, where a manifest says

    @property
    def host(self) -> str:
        return urlsplit(self.url).netloc

    @property
    def name(self) -> str:
        return _name(self.url)


def _download(file: _File, part: Path, expected: str | None, caller: Caller) -> str:
    """Makes `part` the whole file and returns its sha256; where that is not the `expected` one, `part` is deleted."""
    while True:
        resumed = part.is_file()
        retried(lambda: _stream(file, part, caller), caller)
        found = file_hash(part)
        if expected in (None, found):
            _validator_file(part).unlink(missing_ok=True)
            return found
        part.unlink()
        if not resumed:  # otherwise what an earlier process left behind may be at fault
            return found


def _stream(file: _File, part: Path, caller: Caller) -> None:
    """Makes one request for what is still missing, and writes what arrives."""
    import httpx2

    validator = _validator_of(part)
    have = part.stat().st_size if validator else 0
    with closing(_open(file, have, validator, caller)) as response:
        if response.status_code == 206 and _continues(response, have, validator):
            start = have
        elif response.status_code == 200:
            start = 0
        elif response.status_code in (206, 416):
            part.unlink()
            raise Interrupted(f"{file.host} does not continue {file.name} where it broke off.")
        else:
            raise refusal(response, file.host, file.name)
        total = _promised_size(file, response, start)
        _validator_file(part).write_text(_validator(response), "utf-8")
        progress, done = Progress(file.name, start, total, caller), start
        with part.open("r+b" if start else "wb") as written:
            written.seek(start)
            try:
                for piece in response.iter_raw():
                    caller.stop_if_cancelled()
                    done += written.write(piece)
                    progress(done)
            except httpx2.RequestError:
                raise Interrupted(f"The connection to {file.host} broke while {file.name} was fetched.", done) from None
            os.fsync(written.fileno())


def _open(file: _File, have: int, validator: str, caller: Caller) -> httpx2.Response:
    """The answer to a request for everything from byte `have` on, its body still to be read."""
    import httpx2
    from huggingface_hub import get_session

    headers = {"Accept-Encoding": "identity"}  # the file itself and not a packed form
    if have:
        headers |= {"Range": f"bytes={have}-", "If-Range": validator}
    session, timeout = get_session(), httpx2.Timeout(caller.stall_seconds, connect=FIRST_ANSWER)
    request = session.build_request("GET", file.url, headers=headers, timeout=timeout)
    send = partial(session.send, request, stream=True, follow_redirects=True)
    way_out = f"Try again with a network, or bring {file.url} here by other means and give the path of the file."
    return promptly(send, file.host, way_out)


def _continues(response: httpx2.Response, have: int, validator: str) -> bool:
    """Whether the answer goes on where the part ends: some hosts ignore If-Range, and send of what is there now."""
    first = re.match(r"bytes (\d+)-", response.headers.get("Content-Range", ""))
    return first is not None and int(first[1]) == have and _validator(response) in (validator, "")


def _validator(response: httpx2.Response) -> str:
    """By what the host knows whether a part is still of the same file; empty where it gives nothing."""
    etag = response.headers.get("ETag", "")
    strong = etag if etag.startswith('"') else ""  # a weak one does not vouch for the bytes
    found = str(strong or response.headers.get("Last-Modified", ""))
    return found if found.isascii() else ""


def _validator_file(part: Path) -> Path:
    return part.with_suffix(".validator")


def _validator_of(part: Path) -> str:
    """The validator of what an earlier attempt left; empty where there is nothing that could be continued."""
    beside = _validator_file(part)
    return beside.read_text("utf-8", "replace") if part.is_file() and beside.is_file() else ""


def _promised_size(file: _File, response: httpx2.Response, start: int) -> int:
    """How long the whole file will be; refuses what cannot be right before anything is loaded."""
    said = response.headers.get("Content-Length", "")
    if not said.isdigit() or response.headers.get("Content-Encoding", "identity") != "identity":
        raise RestorationError(
            f"{file.host} does not say how long {file.name} is, so a broken transfer could not be told from a whole "
            "one. Bring the file here by other means and give its path."
        )
    total = start + int(said)
    if file.size not in (None, total):
        raise RestorationError(
            f"{file.host} offers {total} bytes for {file.name} where {file.size} are expected, so it is not the file "
            "that is meant. Nothing was loaded."
        )
    check_size(file.name, total)
    return total
