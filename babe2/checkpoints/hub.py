"""Checkpoints from the Hugging Face Hub: downloaded by its own client into its own cache, where other programs, too,
find them, and compared with the hash that the Hub gives.

The client brings addresses, tokens, HF_ENDPOINT, HF_HOME, locks between processes and the cache. Added here are an
answer within three seconds where there is no network, the comparison of hashes (the client compares sizes), and
sentences.

* A transfer that breaks is continued while the program runs. The client keeps no part of it for the next run.
* Cancelling takes effect when the next piece has arrived, which is up to 10 MB over plain HTTP. Where hf_xet makes the
  transfer, the file under way is finished first.
"""

from __future__ import annotations

import logging
import re
import threading
from collections.abc import Sequence
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from babe2.checkpoints.cache import Cache, disk_errors, file_hash
from babe2.checkpoints.manifest import COMMIT, REPO, leads_inside
from babe2.checkpoints.transfer import (
    ATTEMPTS,
    FIRST_ANSWER,
    Caller,
    NoAnswer,
    OnTransfer,
    Polled,
    Progress,
    check_size,
    promptly,
    refusal,
    retried,
    wrong_hash,
)
from babe2.errors import RestorationError
from babe2.extras import require

if TYPE_CHECKING:
    from huggingface_hub import HFCacheInfo, HfFileMetadata
    from huggingface_hub.errors import HfHubHTTPError

log = logging.getLogger(__name__)


def fetch_from_hub(
    repo: str,
    revision: str | None,
    files: Sequence[str],
    cache: Cache,
    caller: Caller,
    *,
    offline: bool = False,
) -> Path:
    """Returns the folder that holds `files` of one commit, after downloading what is not in the cache. The folder is
    called by the commit. `revision`: a commit, a branch or a tag; None is the branch main.

    A commit that is in the cache needs no network. For a branch or tag the Hub is asked first, and the cached copy is
    used when it does not answer.
    """
    require("hub")
    from huggingface_hub import is_offline_mode

    revision = revision or "main"
    cached = cached_from_hub(repo, revision, files, cache)
    if cached is not None and _is_commit(revision):
        return cached
    if offline or is_offline_mode():
        if cached is not None:
            return cached
        raise RestorationError(
            f"{repo} at revision {revision} is not in the cache at {cache.hub}, and no network may be used now. "
            f"Fetch it once with a network, or give the path of a folder that holds {' and '.join(files)}."
        )
    try:
        attempts = ATTEMPTS if cached is None else 1
        commit = str(retried(lambda: _ask(repo, revision, files[0]), caller, attempts).commit_hash)
    except NoAnswer as error:
        if cached is None:
            raise
        log.warning(
            "%s Until then the cached copy of %s is used, which may be older than its %s.", error, repo, revision
        )
        return cached
    if cached is not None and cached.name == commit:
        return cached
    with disk_errors(cache):
        for file in files:
            path = _download(repo, commit, file, cache, caller)
        if revision != commit:  # only now, when all is there, does the cache note which commit the branch is
            _through_client(repo, revision, files[0], cache, caller)
    return _snapshot(path, file)


def latest_from_hub(
    repo: str,
    files: Sequence[str],
    cancelled: Polled,
    *,
    cache_dir: str | Path | None = None,
    offline: bool = False,
    on_transfer: OnTransfer | None = None,
) -> Path:
    """The folder that holds `files` of a repository's branch main; `cache_dir` as in `Cache.at`."""
    return fetch_from_hub(repo, None, files, Cache.at(cache_dir), Caller(on_transfer, cancelled), offline=offline)


def cached_from_hub(repo: str, revision: str | None, files: Sequence[str], cache: Cache) -> Path | None:
    """The folder that holds `files` of one commit, if all of them are in the cache; uses no network."""
    revision = revision or "main"
    if not REPO.fullmatch(repo):
        raise RestorationError(f"{repo!r:.200} is not the name of a repository. Give it as owner/name.")
    for path, what in ((revision, "revision"), *((file, "file name") for file in files)):
        if not leads_inside(path):
            raise RestorationError(f"{path!r:.200} is not a {what} that can be used: it could lead out of the cache.")
    if not _has_anything_of(repo, cache):
        return None  # known without the client, which takes its time to be imported and may not be installed
    require("hub")
    from huggingface_hub import try_to_load_from_cache

    with disk_errors(cache):
        found = [try_to_load_from_cache(repo, file, cache_dir=cache.hub, revision=revision) for file in files]
    paths = [Path(path) for path in found if isinstance(path, str)]  # else it is known to be missing, or unknown
    if len(paths) < len(files):
        return None
    return _snapshot(paths[0], files[0])


def _has_anything_of(repo: str, cache: Cache) -> bool:
    """Whether the client's folder for a repository is there."""
    return (cache.hub / f"models--{repo.replace('/', '--')}").is_dir()


def _snapshot(path: Path, file: str) -> Path:
    """The folder of a commit, of which `path` is one file."""
    return path.parents[len(PurePosixPath(file).parts) - 1]


def remove_from_hub_cache(repo: str, revision: str | None, files: Sequence[str], cache: Cache) -> int:
    """Deletes `files` of one commit from the cache, but not what another commit shares with it. Returns how many bytes
    that frees."""
    if not _has_anything_of(repo, cache):
        return 0
    require("hub")
    from huggingface_hub import scan_cache_dir

    with disk_errors(cache):
        content = scan_cache_dir(cache.hub)
        freed, strategy = 0, _deletion(content, repo, revision or "main", files)
        if strategy is not None:
            freed = strategy.expected_freed_size
            strategy.execute()
        return freed


def _deletion(content: HFCacheInfo, repo: str, revision: str, files: Sequence[str]) -> Any:
    """The client's plan for deleting `files` of a commit; None where none of them is there."""
    of_repo = (one for one in content.repos if (one.repo_type, one.repo_id) == ("model", repo))
    commits = (one for known in of_repo for one in known.revisions if revision in (one.commit_hash, *one.refs))
    if (commit := next(commits, None)) is None:
        return None
    chosen = [one for one in commit.files if one.file_path.relative_to(commit.snapshot_path).as_posix() in files]
    if len(chosen) == len(commit.files):
        return content.delete_revisions(commit.commit_hash)
    return content.delete_files(*chosen)


# Asking


def _ask(repo: str, revision: str, file: str) -> HfFileMetadata:
    """What the Hub says of a file now: its commit, hash and size."""
    from huggingface_hub import get_hf_file_metadata, hf_hub_url
    from huggingface_hub.errors import HfHubHTTPError

    url, home = hf_hub_url(repo, file, revision=revision), _home(repo)
    host = urlsplit(home).netloc
    way_out = f"Try again with a network, or bring the files here from {home} by other means and give their folder."
    try:
        answer = promptly(lambda: get_hf_file_metadata(url, timeout=FIRST_ANSWER, library_name="babe2"), host, way_out)
    except HfHubHTTPError as error:
        raise _hub_refusal(error, repo, revision, file) from None
    if not _is_commit(answer.commit_hash or "") or not re.fullmatch(r"[0-9a-f]{40}|[0-9a-f]{64}", answer.etag or ""):
        raise RestorationError(
            f"{host} gives no commit or no hash for {file} of {repo}, so it could not be checked. "
            "Set HF_ENDPOINT to the Hub itself or to a complete mirror."
        )
    return answer


def _hub_refusal(error: HfHubHTTPError, repo: str, revision: str, file: str) -> Exception:
    """The Hub's no as a sentence, with the reason and the way out."""
    from huggingface_hub import errors

    home, status = _home(repo), error.response.status_code
    host, login = urlsplit(home).netloc, "put your token into HF_TOKEN or run `hf auth login`"
    if isinstance(error, errors.GatedRepoError):
        text = f"{repo} is open only to those whom its owner has let in. Ask for access at {home}, then {login}."
    elif isinstance(error, errors.RevisionNotFoundError):
        text = f"{repo} has no revision {revision}. Check its name at {home}, or leave it out to get main."
    elif isinstance(error, errors.RemoteEntryNotFoundError):
        text = f"{repo} holds no {file} at revision {revision}, so it is not a checkpoint of ours. Look at {home}."
    elif isinstance(error, errors.RepositoryNotFoundError):
        text = f"There is no repository {repo} at {host}, or it is private. Check its name; if it is private, {login}."
    elif status == 401:
        text = f"{host} does not accept the token. Renew it: {login}."
    else:
        return refusal(error.response, host, f"{file} of {repo}")
    return RestorationError(text)


def _home(repo: str) -> str:
    from huggingface_hub import constants

    return f"{constants.ENDPOINT}/{repo}"


def _is_commit(revision: str) -> bool:
    return COMMIT.fullmatch(revision) is not None


# Downloading


def _download(repo: str, commit: str, file: str, cache: Cache, caller: Caller) -> Path:
    """The file in the cache, after a comparison with the Hub's hash."""
    answer, name = retried(lambda: _ask(repo, commit, file), caller), f"{file} of {repo}"
    check_size(name, answer.size)
    path, expected = _through_client(repo, commit, file, cache, caller), str(answer.etag)
    if (found := file_hash(path, expected)) != expected:
        remove_from_hub_cache(repo, commit, [file], cache)
        raise wrong_hash(name, urlsplit(_home(repo)).netloc, found, expected)
    return path


def _through_client(repo: str, revision: str, file: str, cache: Cache, caller: Caller) -> Path:
    """The file where the client has put it."""
    import httpx2
    from huggingface_hub import hf_hub_download
    from huggingface_hub.errors import HfHubHTTPError, LocalEntryNotFoundError

    name = f"{file} of {repo}"
    broken = RestorationError(f"{name} did not arrive whole from the Hub, so it was not kept. Try again later.")
    try:
        return Path(
            hf_hub_download(
                repo,
                file,
                revision=revision,
                cache_dir=cache.hub,
                etag_timeout=FIRST_ANSWER,
                library_name="babe2",
                tqdm_class=_progress_bar(name, caller),
            )
        )
    except HfHubHTTPError as error:
        refused = _hub_refusal(error, repo, revision, file)
        raise (refused if isinstance(refused, RestorationError) else broken) from None
    except (httpx2.HTTPError, LocalEntryNotFoundError, ConnectionError, TimeoutError, RuntimeError):
        raise broken from None  # their own words may quote a header, and in it the token
    except OSError as error:
        if error.errno is not None:
            raise  # of the disk
        raise broken from None  # another size, or an error of hf_xet's


def _progress_bar(name: str, caller: Caller) -> Any:
    """A class that the client takes for a progress bar. It reports to the caller, and stops where the caller wishes."""
    thread = threading.get_ident()

    class Bar:
        def __init__(self, *, total: int | None = None, initial: int = 0, **_: Any) -> None:
            self.n, self.total, self.progress = initial, total, Progress(name, initial, total, caller)

        def update(self, more: int) -> None:
            if threading.get_ident() == thread:  # an error in a thread of hf_xet's would reach nobody
                caller.stop_if_cancelled()
            self.n += more
            self.progress(self.n)

        def nothing(self, *_: Any, **__: Any) -> None:
            pass

        # That there is an `update_transfer` tells hf_xet that this bar stands for the transfer as well.
        update_transfer = set_postfix_str = set_transfer_postfix_str = refresh = close = __exit__ = nothing

        def __enter__(self) -> Bar:
            return self

    return Bar
