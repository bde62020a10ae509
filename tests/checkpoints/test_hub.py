"""The Hub's real client against a real server on this machine. The client reads its environment when it is imported, so
each of these runs processes of its own."""

from __future__ import annotations

import hashlib
import json
import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
from hub_server import TOKEN, Hub, dropped, finished, refused, run_child, start_child, surroundings, unanswered

from babe2 import RestorationError
from babe2.checkpoints.cache import Cache
from babe2.checkpoints.hub import cached_from_hub, fetch_from_hub, remove_from_hub_cache
from babe2.checkpoints.transfer import Caller


def noise(size: int, seed: int = 0) -> bytes:
    return np.random.default_rng(seed).bytes(size)


WEIGHTS, CONFIG = noise(1_500_000), b'{"format": "babe2"}\n'
CHECKPOINT = {"model.safetensors": WEIGHTS, "config.json": CONFIG}
SHA256 = hashlib.sha256(WEIGHTS).hexdigest()
REPO, FILES = "listener/piano", ["model.safetensors", "config.json"]

FETCH = """
import json, sys, time
import huggingface_hub.file_download, huggingface_hub.utils
from babe2 import Cancelled, RestorationError
from babe2.checkpoints.cache import Cache
from babe2.checkpoints.hub import cached_from_hub, fetch_from_hub
from babe2.checkpoints.transfer import Caller

def attempt(repo, revision=None, files=("model.safetensors", "config.json"), caller=Caller()):
    start = time.monotonic()
    try:
        told = str(fetch_from_hub(repo, revision, files, Cache.at(None), caller))
    except RestorationError as error:
        told = str(error)
    return told, time.monotonic() - start
"""
FETCH_PIANO = FETCH + 'print(attempt("listener/piano", *sys.argv[1:])[0])'


@pytest.fixture
def hub() -> Iterator[Hub]:
    with Hub() as running:
        yield running


@pytest.fixture(scope="module")
def stock(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A home whose cache holds the checkpoint as main."""
    home = tmp_path_factory.mktemp("stock")
    with Hub() as hub:
        hub.commit(REPO, CHECKPOINT)
        run_child(FETCH_PIANO, surroundings(home, hub.url))
    return home


@pytest.fixture
def stocked(stock: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(stock, tmp_path / "home", symlinks=True))


def content(folder: str) -> dict[str, bytes]:
    return {file: (Path(folder) / file).read_bytes() for file in FILES}


def at_home(home: Path) -> Cache:
    """The cache of a child whose HF_HOME is `home`."""
    return Cache(home / "hub", home / "assets" / "babe2")


def test_what_is_fetched_is_where_every_other_program_looks(hub: Hub, tmp_path: Path) -> None:
    commit = hub.commit(REPO, CHECKPOINT, ref="refs/pr/1")
    told = """
transfers = []
first = fetch_from_hub("listener/piano", "refs/pr/1", files := sys.argv[1:], Cache.at(None), Caller(transfers.append))
for revision in ("refs/pr/1", first.name):
    assert cached_from_hub("listener/piano", revision, files, Cache.at(None)) == first
    for file in files:
        path = huggingface_hub.hf_hub_download("listener/piano", file, revision=revision, local_files_only=True)
        assert path == str(first / file)
print(json.dumps([str(first), [[one.name, one.done, one.total] for one in transfers]]))
"""
    said = run_child(FETCH + told, surroundings(tmp_path, hub.url, TOKEN), *FILES)
    folder, transfers = json.loads(said)
    assert folder == str(tmp_path / "hub" / "models--listener--piano" / "snapshots" / commit)
    assert content(folder) == CHECKPOINT
    assert [f"model.safetensors of {REPO}", len(WEIGHTS), len(WEIGHTS)] in transfers
    # The token stays with the Hub.
    assert all(request.headers.get("authorization") == f"Bearer {TOKEN}" for request in hub.asked("/resolve/"))
    assert [(one.host, one.headers.get("authorization")) for one in hub.asked("/lfs/")] == [("storage", None)]


def test_a_branch_is_followed_and_what_has_not_changed_is_kept(hub: Hub, stocked: Path) -> None:
    hub.commit(REPO, CHECKPOINT)
    commit = hub.commit(REPO, {"config.json": b"{}"})
    folder = run_child(FETCH_PIANO, surroundings(stocked, hub.url)).strip()
    assert Path(folder).name == commit and content(folder) == {**CHECKPOINT, "config.json": b"{}"}
    assert hub.asked("/lfs/") == []
    cache = at_home(stocked)
    assert cached_from_hub(REPO, None, FILES, cache) == Path(folder)

    # What commits share goes with the last of them.
    (first,) = [other for other in Path(folder).parent.iterdir() if other.name != commit]
    assert remove_from_hub_cache(REPO, None, FILES, cache) == len(b"{}")  # main is the second one
    assert cached_from_hub(REPO, commit, FILES, cache) is None
    assert content(str(first)) == CHECKPOINT
    assert remove_from_hub_cache(REPO, first.name, FILES, cache) >= len(WEIGHTS)
    assert list(cache.hub.glob("models--*")) == []
    assert remove_from_hub_cache(REPO, first.name, FILES, cache) == 0


def test_a_cache_that_an_older_babe2_has_written_is_found(stocked: Path) -> None:
    """It wrote the same layout itself, without the client's further files."""
    cache = at_home(stocked)
    folder = cached_from_hub(REPO, None, FILES, cache)
    assert folder is not None
    older = stocked / "older" / "models--listener--piano"
    for name, text in (("model.safetensors", WEIGHTS), ("config.json", CONFIG)):
        blob = older / "blobs" / (folder / name).resolve().name
        blob.parent.mkdir(parents=True, exist_ok=True)
        blob.write_bytes(text)
        (older / "snapshots" / folder.name).mkdir(parents=True, exist_ok=True)
        (older / "snapshots" / folder.name / name).symlink_to(f"../../blobs/{blob.name}")
    (older / "refs").mkdir()
    (older / "refs" / "main").write_text(folder.name)
    found = fetch_from_hub(REPO, None, FILES, Cache(stocked / "older", cache.own), Caller(), offline=True)
    assert found == older / "snapshots" / folder.name
    assert remove_from_hub_cache(REPO, None, FILES, Cache(stocked / "older", cache.own)) >= len(WEIGHTS)


REFUSED = {  # by repository: what is asked of it beside main and both files, and what is told
    "listener/missing": ({}, r"no repository listener/missing at 127.0.0.1:\d+, or it is private. .*HF_TOKEN"),
    "listener/private": ({}, "no repository listener/private .*or it is private"),
    "listener/gated": ({}, r"open only to those whom its owner has let in. Ask for access at \S+/listener/gated, then"),
    "listener/old": ({"revision": "v9"}, "listener/old has no revision v9. Check its name"),
    "listener/far": ({"revision": "0" * 40}, "listener/far has no revision 0{40}"),
    "listener/bare": ({"files": ["model.pt"]}, "listener/bare holds no model.pt at revision main"),
    "listener/busy": ({}, "asked too often .HTTP 429.*Try again later"),
    "listener/damaged": ({}, r"model.safetensors of listener/damaged came from .* was deleted"),
    "listener/short": ({}, "model.safetensors of listener/short did not arrive whole"),
    "listener/long": ({}, "model.safetensors of listener/long did not arrive whole"),
    "listener/lost": ({}, "There is no model.safetensors of listener/lost at"),
    "listener/untold": ({}, "gives no commit or no hash for model.safetensors of listener/untold"),
    "listener/traversing": ({}, "gives no commit or no hash for model.safetensors of listener/traversing"),
    "listener/full": ({}, "The cache cannot be used at .*: File too large. Make room there"),
}


def troubled(hub: Hub) -> None:
    """A Hub where something is wrong with each repository."""
    weights = {name: noise(1000, seed) for seed, name in enumerate(REFUSED)}
    for name in weights.keys() - {"listener/missing"}:
        hub.add_repo(name, private=name.endswith("private"), gated=name.endswith("gated"))
        hub.commit(name, {"config.json": CONFIG, "model.safetensors": weights[name]})
    stored = {name: f"/lfs/{hashlib.sha256(content).hexdigest()}" for name, content in weights.items()}
    hub.order("listener/busy", method="HEAD", status=429)
    hub.order(stored["listener/damaged"], content=noise(1000, seed=99))
    hub.order(stored["listener/short"], content=noise(999, seed=99))
    hub.order(stored["listener/long"], content=noise(1001, seed=99))
    hub.order(stored["listener/lost"], status=404)
    hub.order("listener/untold", method="HEAD", headers={"X-Repo-Commit": ""})
    hub.order("listener/traversing", method="HEAD", headers={"X-Linked-Etag": '"../../../../escaped"'})
    hub.commit("listener/full", CHECKPOINT)


@pytest.fixture(scope="module")
def refusals(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    home, answers = tmp_path_factory.mktemp("refusals"), "\nprint(json.dumps(said))"
    loop = "\nsaid = {repo: attempt(repo, **more)[0] for repo, more in json.loads(sys.argv[1]).items()}"
    # A disk that is full cannot be had here, but a file that may not grow can.
    small = "\nimport resource; resource.setrlimit(resource.RLIMIT_FSIZE, (1_000_000, 1_000_000))"
    with Hub() as hub:
        troubled(hub)
        asked = json.dumps({repo: more for repo, (more, _) in REFUSED.items()})
        said = json.loads(run_child(FETCH + small + loop + answers, surroundings(home, hub.url), asked))
    left = [path.name for path in home.rglob("blobs/*") if path.is_file()]
    return {**said, "left": left, "escaped": str((home / "escaped").exists())}


@pytest.mark.parametrize("repo", REFUSED)
def test_what_the_hub_refuses_is_said_in_a_sentence(refusals: dict[str, Any], repo: str) -> None:
    assert re.search(REFUSED[repo][1], refusals[repo]), refusals[repo]
    assert "\n" not in refusals[repo]


def test_a_refusal_leaves_nothing_behind(refusals: dict[str, Any]) -> None:
    assert refusals["left"] == [] and refusals["escaped"] == "False"


TOKENS = {  # by token: repositories and what is told of them
    TOKEN: {"listener/gated": "open only to those whom", "listener/missing": "There is no repository"},
    "hf_outdated": {"listener/open": "does not accept the token. Renew it", "listener/cut": "broke before it answered"},
    "hf_öutdated": {"listener/open": "The token in HF_TOKEN holds letters that no token has"},
}


@pytest.mark.parametrize("token", TOKENS)
def test_a_token_is_judged_and_never_shown(hub: Hub, tmp_path: Path, token: str) -> None:
    hub.add_repo("listener/gated", gated=True)
    for repo in ("listener/gated", "listener/open"):
        hub.commit(repo, CHECKPOINT)
    hub.order("listener/cut", method="HEAD", status=200, headers={"Content-Length": "no number"})
    snippet = FETCH + "for repo in sys.argv[1:]: print(attempt(repo)[0])"
    child = start_child(snippet, surroundings(tmp_path, hub.url, token), *TOKENS[token])
    said, complaints = child.communicate(timeout=60)
    assert token not in said + complaints
    for expected, line in zip(TOKENS[token].values(), said.splitlines(), strict=True):
        assert expected in line


def test_of_two_processes_at_once_one_transfers_and_both_have_it(hub: Hub, tmp_path: Path) -> None:
    hub.commit(REPO, CHECKPOINT)
    hub.order("/lfs/", pace=0.1)
    environment = surroundings(tmp_path, hub.url)
    children = [start_child(FETCH_PIANO, environment) for _ in range(2)]
    first, second = (finished(child).strip() for child in children)
    assert first == second and content(first) == CHECKPOINT
    assert len(hub.asked("/lfs/")) == 1


def test_a_cancelled_transfer_leaves_nothing_and_the_next_one_is_whole(hub: Hub, tmp_path: Path) -> None:
    hub.commit(REPO, {**CHECKPOINT, "model.safetensors": noise(25_000_000)})
    hub.order("/lfs/", times=1, pace=0.002)
    cancel = """
told = []
try:
    attempt("listener/piano", caller=Caller(told.append, lambda: bool(told)))
except Cancelled:
    print(told[0].done)
"""
    arrived = int(run_child(FETCH + cancel, surroundings(tmp_path, hub.url)))
    assert arrived <= 11_000_000  # the client's pieces have 10 MiB
    assert [path for path in (tmp_path / "hub").rglob("blobs/*") if path.is_file()] == []
    assert Path(run_child(FETCH_PIANO, surroundings(tmp_path, hub.url)).strip(), "model.safetensors").is_file()


def test_offline_means_that_nobody_is_asked(hub: Hub, stocked: Path) -> None:
    hub.commit(REPO, CHECKPOINT)
    snippet = FETCH + 'print(attempt("listener/piano")[0]); print(attempt("listener/piano", "v2")[0])'
    here, elsewhere = run_child(snippet, surroundings(stocked, hub.url, HF_HUB_OFFLINE="1")).splitlines()
    assert content(here) == CHECKPOINT and hub.requests == []
    assert "v2 is not in the cache" in elsewhere and "no network may be used now" in elsewhere
    assert fetch_from_hub(REPO, None, FILES, at_home(stocked), Caller(), offline=True) == Path(here)


@pytest.mark.parametrize("nowhere", [refused, unanswered, dropped])
def test_without_a_network_the_answer_comes_soon(nowhere: Any, stocked: Path) -> None:
    both = '\nprint(json.dumps([attempt("listener/piano"), attempt("listener/voice")]))'
    with nowhere() as url:
        child = start_child(FETCH + both, surroundings(stocked, url, TOKEN))
        said, complaints = child.communicate(timeout=60)
    (folder, cached_seconds), (told, seconds) = json.loads(said)
    assert content(folder) == CHECKPOINT
    assert "the cached copy of listener/piano is used" in complaints
    assert "cannot be reached" in told and "give their folder" in told
    assert max(seconds, cached_seconds) < 10  # 2.5 s by the limit; the client alone needs more than twenty


def test_a_hub_in_trouble_is_done_without_where_there_is_a_copy(hub: Hub, stocked: Path) -> None:
    hub.order(REPO, method="HEAD", status=503)
    assert content(run_child(FETCH_PIANO, surroundings(stocked, hub.url)).strip()) == CHECKPOINT
    assert len(hub.requests) == 1


@pytest.mark.parametrize("file", ["", "/etc/passwd", "../x", "a/../../x", "a//b", "a\\b", "C:x", "a\0b", ".", "a\nb"])
def test_names_that_lead_elsewhere_are_no_names(tmp_path: Path, file: str) -> None:
    cache = Cache.at(tmp_path)
    with pytest.raises(RestorationError, match="it could lead out of the cache"):
        cached_from_hub(REPO, None, [file], cache)
    if file:
        with pytest.raises(RestorationError, match="is not a revision that can be used"):
            fetch_from_hub(REPO, file, FILES, cache, Caller())


@pytest.mark.parametrize("repo", ["", "piano", "a/b/c", "../b", "a/..", "a/b--c", "-a/b", "a/b.git", "a\\b/c", "a/b\n"])
def test_names_of_no_repository_are_refused(tmp_path: Path, repo: str) -> None:
    with pytest.raises(RestorationError, match="is not the name of a repository"):
        fetch_from_hub(repo, None, FILES, Cache.at(tmp_path), Caller())


def test_a_separator_is_fetched_to_where_checkpoints_are_and_offline_not_at_all(hub: Hub, tmp_path: Path) -> None:
    pytest.importorskip("demucs")
    hub.commit("adefossez/HTDemucs", {"955717e8.safetensors": b"no separator"})
    soundfile.write(tmp_path / "old.wav", np.full(800, 0.1), 8000)
    separate = """
import sys
from babe2.commands.main import main
for option in (["--offline"], [], ["--offline"]):
    assert main(["separate", sys.argv[1], "-o", sys.argv[2], "--cache-dir", sys.argv[3], *option]) == 1
"""
    places = [str(tmp_path / name) for name in ("old.wav", "tracks", "cache")]
    child = start_child(separate, surroundings(tmp_path, hub.url), *places)
    _, told = child.communicate(timeout=100)
    assert child.returncode == 0, told
    alone, fetched, again = [line for line in told.splitlines() if "HTDemucs at" in line or "damaged" in line]
    assert f"is not in the cache at {tmp_path / 'cache'}, and no network may be used now" in alone
    assert fetched == again and "955717e8.safetensors is damaged or no separator of ours" in again
    assert not (tmp_path / "hub").exists()
