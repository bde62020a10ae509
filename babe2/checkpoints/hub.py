"""Files from the Hub and from plain addresses: fetched once, resumed when broken off, checked before they count.

What comes from the Hub lands in the Hub's own cache layout, where every other program finds it too. The Hub's client
knows addresses, commits and tokens, but keeps no partial file and hashes nothing, so the bytes are streamed here.
"""

from __future__ import annotations

import json
import logging
import re
import shutil
from collections.abc import Sequence
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote, urlsplit

from babe2.checkpoints.cache import Cache, digest, disk, key, land, lock, point, size_of, within, write
from babe2.checkpoints.manifest import COMMIT, REPO, leads_inside
from babe2.checkpoints.transfer import (
    ATTEMPTS,
    FIRST_ANSWER,
    STALL,
    Another,
    Caller,
    NoAnswer,
    Offer,
    OnTransfer,
    Polled,
    checked,
    length,
    partials,
    patiently,
    promptly,
    refusal,
)
from babe2.errors import RestorationError
from babe2.extras import require

if TYPE_CHECKING:
    from huggingface_hub.errors import HfHubHTTPError

log = logging.getLogger(__name__)

FIRST_SEEN = "first-seen.json"


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
    caller = Caller(on_transfer, cancelled, stall_seconds)
    try:
        attempts = ATTEMPTS if kept is None else 1
        commit, first = patiently(lambda: _ask_hub(repo, revision, files[0], files), caller, attempts)
    except NoAnswer as error:
        if kept is None:
            raise
        log.warning(
            "%s Until then the cached copy of %s is used, which may be older than its %s.", error, repo, revision
        )
        return kept
    with disk(cache):
        return _fetch_snapshot(repo, revision, commit, first, files, cache, caller)


def cached_from_hub(repo: str, revision: str | None, files: Sequence[str], cache: Cache) -> Path | None:
    """The snapshot folder when all of `files` are in it; no network is used."""
    revision = revision or "main"
    _check_repo(repo)
    _check_path(revision, "revision")
    for file in files:
        _check_path(file, "file name")
    store = _store(repo, cache)
    with disk(cache):
        if (commit := _commit_of(revision, store, cache)) is None:
            return None
        snapshot = store / "snapshots" / commit
        return snapshot if all(within(cache.hub, snapshot / file).is_file() for file in files) else None


def forget_from_hub(repo: str, revision: str | None, files: Sequence[str], cache: Cache) -> int:
    """Deletes `files` of one commit, what no other commit shares with it, and what broken transfers of them left.
    Returns how many bytes that frees.
    """
    caller, store, freed = Caller(None, None, STALL), _store(repo, cache), 0
    snapshot = cached_from_hub(repo, revision, (), cache)
    with disk(cache):
        before = size_of(store)
        for file in files:
            with lock(cache, _key(repo, file), caller.stop_if_cancelled):
                freed += _forget_partials(_key(repo, file), cache)
                if snapshot is not None:
                    _forget_pointer(within(cache.hub, snapshot / file), store)
        if store.is_dir() and not any(file.is_file() for file in (store / "snapshots").rglob("*")):
            shutil.rmtree(within(cache.hub, store))
        return freed + before - size_of(store)


def _forget_pointer(pointer: Path, store: Path) -> None:
    blob = pointer.resolve()
    pointer.unlink(missing_ok=True)
    if not any(other.resolve() == blob for other in (store / "snapshots").rglob("*")):
        blob.unlink(missing_ok=True)


def _key(repo: str, file: str) -> str:
    return f"{repo}/{file}"


def _fetch_snapshot(
    repo: str, revision: str, commit: str, first: Offer, files: Sequence[str], cache: Cache, caller: Caller
) -> Path:
    store = _store(repo, cache)
    snapshot = store / "snapshots" / commit
    for file in files:
        pointer = within(cache.hub, snapshot / file)
        if pointer.is_file():
            continue
        offer = first if file == files[0] else _ask_for(repo, commit, file, files, caller)
        assert offer.digest is not None
        blob = within(cache.hub, store / "blobs" / offer.digest)
        with lock(cache, offer.key, caller.stop_if_cancelled):
            if not blob.is_file() or (offer.bytes is not None and blob.stat().st_size != offer.bytes):
                land(checked(offer, cache, caller), blob)
            point(pointer, blob)
    if _commit_of(revision, store, cache) != commit:  # a cache that nobody may write to is as good when all is there
        write(within(cache.hub, store / "refs" / revision), commit)
    return snapshot


def _commit_of(revision: str, store: Path, cache: Cache) -> str | None:
    """The commit that `revision` was when it was last fetched."""
    if _is_commit(revision):
        return revision
    ref = within(cache.hub, store / "refs" / revision)
    commit = ref.read_text("utf-8", "replace").strip() if ref.is_file() else ""
    return commit if _is_commit(commit) else None


def _ask_for(repo: str, commit: str, file: str, files: Sequence[str], caller: Caller) -> Offer:
    found, offer = patiently(lambda: _ask_hub(repo, commit, file, files), caller)
    if found != commit:
        raise RestorationError(f"{offer.host} answers for commit {found} of {repo} where {commit} was asked for.")
    return offer


def _ask_hub(repo: str, revision: str, file: str, files: Sequence[str]) -> tuple[str, Offer]:
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
        told = promptly(
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
    return commit, Offer(pinned, name, _key(repo, file), digest, told.size, digest, way_out, headers)


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
        return refusal(error.response, host, f"{file} of {repo}")
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
    target = place(url, cache)
    caller = Caller(on_transfer, cancelled, stall_seconds)
    if _is_whole(url, target, sha256, cache):
        return target
    with disk(cache), lock(cache, url, caller.stop_if_cancelled):
        if _is_whole(url, target, sha256, cache):  # now that another process is done with it
            return target
        if _is_offline(offline):
            raise RestorationError(
                f"{url} is not in the cache at {cache.own} or not whole there, and no network may be used now. "
                "Fetch it once with a network, or give the path of a copy."
            )
        expected = sha256 or first_seen(url, cache)
        offer = patiently(lambda: _ask_host(url, bytes, expected), caller)
        try:
            part = checked(offer, cache, caller)
        except Another as error:
            raise error if sha256 else _changed(url, cache, error) from None
        if expected is None:
            _remember(url, part, cache, caller)
        land(part, target)
        return target


def _is_whole(url: str, target: Path, sha256: str | None, cache: Cache) -> bool:
    with disk(cache):
        expected = sha256 or first_seen(url, cache)
        return target.is_file() and expected is not None and digest(target, expected) == expected


def first_seen(url: str, cache: Cache) -> str | None:
    """The sha256 that the file at `url` had when it was first fetched."""
    with disk(cache):
        seen = _all_first_seen(cache).get(url)
        return seen["sha256"] if seen else None


def forget_url(url: str, cache: Cache) -> int:
    """Deletes the file from a plain address, what a broken transfer left of it, and the hash that was seen first.
    Returns how many bytes that frees.
    """
    caller, folder = Caller(None, None, STALL), place(url, cache).parent
    with disk(cache), lock(cache, url, caller.stop_if_cancelled):
        freed = _forget_partials(url, cache) + size_of(folder)
        if folder.is_dir():
            shutil.rmtree(folder)
        with lock(cache, FIRST_SEEN, caller.stop_if_cancelled):
            seen = _all_first_seen(cache)
            if seen.pop(url, None) is not None:
                write(cache.own / FIRST_SEEN, json.dumps(seen, indent=2) + "\n")
        return freed


def _forget_partials(file: str, cache: Cache) -> int:
    freed = 0
    for part in partials(file, cache):
        freed += part.stat().st_size
        part.unlink()
    return freed


def place(url: str, cache: Cache) -> Path:
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
    return within(cache.own, cache.own / "urls" / key(url) / name)


def _ask_host(url: str, size: int | None, digest: str | None) -> Offer:
    """What the host says of the file; a host that knows no HEAD says nothing yet."""
    from huggingface_hub import get_session

    host, name = urlsplit(url).netloc, unquote(urlsplit(url).path.rpartition("/")[2])
    way_out = f"Try again with a network, or bring {url} here by other means and give the path of the file."
    headers = {"Accept-Encoding": "identity"}  # the length of the file and not of a packed form
    response = promptly(
        lambda: get_session().head(url, headers=headers, timeout=FIRST_ANSWER, follow_redirects=True), host, way_out
    )
    if response.status_code in (405, 501):
        return Offer(url, name, url, digest, size, digest, way_out)
    if response.status_code != 200:
        raise refusal(response, host, name)
    said = length(response)
    if size is not None and said is not None and said != size:
        raise RestorationError(
            f"{host} offers {said} bytes for {name} where {size} are expected, so it is not the file that is meant. "
            "Nothing was loaded."
        )
    etag = response.headers.get("ETag", "")
    strong = etag if etag.startswith('"') else None  # a weak one does not vouch for the bytes
    validator = strong or response.headers.get("Last-Modified")
    size = said if size is None else size
    return Offer(url, name, url, validator or digest, size, digest, way_out, validator=validator)


def _changed(url: str, cache: Cache, error: Another) -> RestorationError:
    seen = _all_first_seen(cache)[url]
    return RestorationError(
        f"{url} is no longer the file that was fetched first, on {seen['date']}: its sha256 was {seen['sha256']} "
        f"and is now {error.found}. To accept the new file on purpose, remove the entry with "
        "`babe2 checkpoints remove ID` and fetch it again."
    )


def _remember(url: str, file: Path, cache: Cache, caller: Caller) -> None:
    with lock(cache, FIRST_SEEN, caller.stop_if_cancelled):
        seen = _all_first_seen(cache)
        seen[url] = {"sha256": digest(file, "sha256"), "bytes": file.stat().st_size, "date": date.today().isoformat()}
        write(cache.own / FIRST_SEEN, json.dumps(seen, indent=2) + "\n")


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


def _store(repo: str, cache: Cache) -> Path:
    return cache.hub / f"models--{repo.replace('/', '--')}"


def _check_repo(repo: str) -> None:
    if not REPO.fullmatch(repo):
        raise RestorationError(f"{repo!r:.200} is not the name of a repository. Give it as owner/name.")


def _check_path(path: str, what: str) -> None:
    if not leads_inside(path):
        raise RestorationError(f"{path!r:.200} is not a {what} that can be used: it could lead out of the cache.")


def _is_commit(revision: str) -> bool:
    return COMMIT.fullmatch(revision) is not None


def _is_offline(offline: bool) -> bool:
    require("hub")
    from huggingface_hub import constants

    return offline or constants.HF_HUB_OFFLINE


def _and(files: Sequence[str]) -> str:
    return " and ".join(files)
