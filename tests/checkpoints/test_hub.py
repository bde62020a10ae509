"""Fetching, with the Hub's real client against a real server on this machine."""

import hashlib
import json
import os
import re
import shutil
import signal
import time
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hub_server import TOKEN, Hub, dropped, finished, refused, run_child, start_child, surroundings, unanswered

from babe2 import Cancelled, RestorationError
from babe2.checkpoints.cache import Cache
from babe2.checkpoints.hub import (
    cached_from_hub,
    fetch_from_hub,
    fetch_url,
    first_seen,
    forget_from_hub,
    forget_url,
    place,
)
from babe2.checkpoints.transfer import LARGEST, Transfer


def noise(size: int, seed: int = 0) -> bytes:
    return np.random.default_rng(seed).bytes(size)


WEIGHTS, CONFIG = noise(1_500_000), b'{"format": "babe2"}\n'
CHECKPOINT = {"model.safetensors": WEIGHTS, "config.json": CONFIG}
SHA256 = hashlib.sha256(WEIGHTS).hexdigest()
REPO, FILES = "listener/piano", ["model.safetensors", "config.json"]


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    with Hub() as running:
        yield running


@pytest.fixture
def cache(tmp_path: Path) -> Cache:
    return Cache.at(tmp_path / "cache")


def partial_files(cache: Cache) -> list[Path]:
    return sorted((cache.own / "partial").glob("*"))


# Plain addresses


def test_a_plain_file_is_fetched_once_and_known_ever_after(hub: Hub, cache: Cache) -> None:
    url = hub.add_file("checkpoints/piano 22kHz.pt", WEIGHTS).replace(" ", "%20")
    assert not place(url, cache).exists() and first_seen(url, cache) is None
    path = fetch_url(url, cache)
    assert path.read_bytes() == WEIGHTS and path.name == "piano_22kHz.pt" and path.is_relative_to(cache.own / "urls")
    asked = len(hub.requests)
    assert fetch_url(url, cache) == fetch_url(url, cache, offline=True) == place(url, cache) == path
    assert len(hub.requests) == asked
    assert first_seen(url, cache) == SHA256
    (entry,) = json.loads((cache.own / "first-seen.json").read_text()).values()
    assert entry["bytes"] == len(WEIGHTS) and len(entry["date"]) == 10
    assert partial_files(cache) == []


def test_a_file_whose_hash_is_known_is_not_trusted_on_first_sight(hub: Hub, cache: Cache) -> None:
    url = hub.add_file("piano.pt", WEIGHTS)
    assert fetch_url(url, cache, bytes=len(WEIGHTS), sha256=SHA256).read_bytes() == WEIGHTS
    assert first_seen(url, cache) is None


def test_another_file_at_the_same_address_is_refused_until_the_first_is_forgotten(hub: Hub, cache: Cache) -> None:
    url, other = hub.add_file("piano.pt", WEIGHTS), noise(1000, seed=1)
    fetch_url(url, cache).unlink()
    hub.add_file("piano.pt", other)
    now = hashlib.sha256(other).hexdigest()
    with pytest.raises(RestorationError, match=f"sha256 was {SHA256} and is now {now}.*babe2 checkpoints remove ID"):
        fetch_url(url, cache)
    assert not place(url, cache).exists() and partial_files(cache) == []
    assert first_seen(url, cache) == SHA256
    forget_url(url, cache)
    assert fetch_url(url, cache).read_bytes() == other
    assert forget_url(url, cache) == len(other) and not place(url, cache).parent.exists()


def test_a_file_that_was_damaged_on_disk_is_fetched_again(hub: Hub, cache: Cache) -> None:
    url = hub.add_file("piano.pt", WEIGHTS)
    path = fetch_url(url, cache)
    path.write_bytes(b"damaged")
    with pytest.raises(RestorationError, match="not whole there, and no network may be used now"):
        fetch_url(url, cache, offline=True)
    assert fetch_url(url, cache).read_bytes() == WEIGHTS


def test_progress_is_told_now_and_then_and_at_the_end(hub: Hub, cache: Cache) -> None:
    url, told = hub.add_file("piano.pt", WEIGHTS), []

    def tell(transfer: Transfer) -> None:
        told.append((time.monotonic(), transfer))

    hub.order("piano.pt", pace=0.02)
    fetch_url(url, cache, on_transfer=tell)
    *before, (_, last) = told
    assert last == Transfer("piano.pt", len(WEIGHTS), len(WEIGHTS), 0.0)
    assert before and all(0 < transfer.done <= len(WEIGHTS) for _, transfer in before)
    assert all(transfer.seconds_left is not None for _, transfer in before)
    # A tenth of a second lies between two reports; a few milliseconds are the clock's own.
    assert all(later - earlier > 0.09 for (earlier, _), (later, _) in pairwise(before))


def test_a_cut_transfer_asks_for_the_rest_and_only_of_the_same_file(hub: Hub, cache: Cache) -> None:
    url = hub.add_file("piano.pt", WEIGHTS)
    hub.order("piano.pt", times=1, cut_after=600_000)
    assert fetch_url(url, cache).read_bytes() == WEIGHTS
    first, second = hub.asked("piano.pt")
    assert "range" not in first.headers
    assert second.headers["range"] == "bytes=600000-" and second.headers["if-range"].startswith('"')


def test_a_stalled_transfer_counts_as_cut(hub: Hub, cache: Cache) -> None:
    url = hub.add_file("piano.pt", WEIGHTS)
    hub.order("piano.pt", times=1, stall_after=700_000)
    assert fetch_url(url, cache, stall_seconds=0.5).read_bytes() == WEIGHTS
    assert hub.asked("piano.pt")[1].headers["range"] == "bytes=700000-"


def give_up(url: str, cache: Cache, hub: Hub) -> None:
    """A transfer that breaks off again and again, and leaves a part behind."""
    hub.order("piano.pt", times=1, cut_after=600_000)
    hub.order("piano.pt", status=503)
    with pytest.raises(RestorationError, match=r"out of order just now \(HTTP 503\).* What has arrived is kept"):
        fetch_url(url, cache)
    hub.faults.clear()
    hub.requests.clear()


def test_a_transfer_that_was_given_up_is_taken_up_again(hub: Hub, cache: Cache) -> None:
    url = hub.add_file("piano.pt", WEIGHTS)
    give_up(url, cache, hub)
    assert [path.stat().st_size for path in partial_files(cache)] == [600_000]
    assert not place(url, cache).exists()
    assert fetch_url(url, cache).read_bytes() == WEIGHTS
    assert [request.headers["range"] for request in hub.asked("piano.pt")] == ["bytes=600000-"]


def test_a_transfer_begins_again_when_the_file_has_changed_meanwhile(hub: Hub, cache: Cache) -> None:
    url, other = hub.add_file("piano.pt", WEIGHTS), noise(1_000_000, seed=1)
    give_up(url, cache, hub)
    hub.add_file("piano.pt", other)
    assert fetch_url(url, cache).read_bytes() == other
    assert partial_files(cache) == []


@pytest.mark.parametrize("fault", [{"without_range": True}, {"times": 1, "status": 416}])
def test_a_transfer_begins_again_when_the_host_cannot_continue(hub: Hub, cache: Cache, fault: dict[str, Any]) -> None:
    url = hub.add_file("piano.pt", WEIGHTS)
    give_up(url, cache, hub)
    hub.order("piano.pt", **fault)
    assert fetch_url(url, cache).read_bytes() == WEIGHTS


def test_a_part_of_something_else_is_fetched_afresh(hub: Hub, cache: Cache) -> None:
    url = hub.add_file("piano.pt", WEIGHTS)
    give_up(url, cache, hub)
    (part,) = partial_files(cache)
    part.write_bytes(noise(600_000, seed=1))
    assert fetch_url(url, cache, sha256=SHA256).read_bytes() == WEIGHTS


def test_a_cancelled_transfer_keeps_what_has_arrived(hub: Hub, cache: Cache) -> None:
    url = hub.add_file("piano.pt", WEIGHTS)
    told: list[Transfer] = []
    hub.order("piano.pt", times=1, pace=0.05)
    with pytest.raises(Cancelled):
        fetch_url(url, cache, on_transfer=told.append, cancelled=lambda: len(told) > 1)
    (kept,) = [path.stat().st_size for path in partial_files(cache)]
    assert 0 < kept < len(WEIGHTS)
    assert fetch_url(url, cache).read_bytes() == WEIGHTS
    assert hub.asked("piano.pt")[-1].headers["range"] == f"bytes={kept}-"


@pytest.mark.parametrize(
    ("method", "fault"),
    [
        ("GET", {"status": 429, "headers": {"Retry-After": "1"}}),
        ("HEAD", {"status": 429, "headers": {"Retry-After": "0"}}),
        ("GET", {"status": 503, "times": 2}),
        ("HEAD", {"status": 500}),
        ("GET", {"cut_after": 0}),
        ("HEAD", {"status": 405}),  # a host that knows no HEAD
    ],
)
def test_passing_trouble_passes(hub: Hub, cache: Cache, method: str, fault: dict[str, Any]) -> None:
    url = hub.add_file("piano.pt", WEIGHTS)
    hub.order("piano.pt", method=method, **{"times": 1, **fault})
    assert fetch_url(url, cache).read_bytes() == WEIGHTS


@pytest.mark.parametrize(
    ("fault", "expected", "told"),
    [
        ({"method": "HEAD", "status": 404}, {}, r"There is no piano.pt at \S+ \(HTTP 404\). Check the address"),
        ({"status": 403}, {}, r"does not let us have piano.pt \(HTTP 403\)"),
        ({"status": 418}, {}, "answers with HTTP 418 instead of piano.pt"),
        ({"status": 429, "headers": {"Retry-After": "60"}}, {}, "asked too often .* Try again in 60 seconds"),
        ({"status": 503}, {}, r"out of order just now \(HTTP 503\).* Try again later"),
        ({"cut_after": 0}, {}, "connection to .* broke while piano.pt was fetched. Try again later"),
        ({}, {"sha256": "0" * 64}, f"with the hash {SHA256} where {'0' * 64} is expected.* was deleted"),
        ({}, {"bytes": 5}, "offers 1500000 bytes for piano.pt where 5 are expected.* Nothing was loaded"),
        ({"content": WEIGHTS[:-1]}, {}, "sends 1499999 bytes for piano.pt where 1500000 are expected"),
        ({"content": WEIGHTS + b"!"}, {}, "sends 1500001 bytes for piano.pt where 1500000 are expected"),
        ({"content": WEIGHTS + b"!", "without_length": True}, {}, "sends more than the 1500000 bytes"),
        ({"content": WEIGHTS[:-1], "without_length": True, "without_range": True}, {}, "ended piano.pt after 1499999"),
        ({"length": 1_500_000, "content": WEIGHTS[:10], "without_range": True}, {}, "broke while piano.pt was fetched"),
        ({"headers": {"Content-Encoding": "gzip"}}, {}, "sends piano.pt packed, which was not asked for"),
    ],
)
def test_what_goes_wrong_is_said_in_a_sentence(
    hub: Hub, cache: Cache, fault: dict[str, Any], expected: dict[str, Any], told: str
) -> None:
    url = hub.add_file("piano.pt", WEIGHTS)
    if fault:
        hub.order("piano.pt", **fault)
    with pytest.raises(RestorationError, match=told):
        fetch_url(url, cache, **expected)
    assert not place(url, cache).exists() and first_seen(url, cache) is None


def test_a_file_beyond_all_measure_is_not_begun(hub: Hub, cache: Cache) -> None:
    url = hub.add_file("piano.pt", WEIGHTS)
    for method in ("HEAD", "GET"):
        hub.order("piano.pt", method=method, length=LARGEST + 1)
    with pytest.raises(RestorationError, match=f"would be {LARGEST + 1} bytes long, which no checkpoint is"):
        fetch_url(url, cache)
    assert partial_files(cache) == []


def test_a_file_of_unknown_length_needs_a_known_hash(hub: Hub, cache: Cache) -> None:
    url = hub.add_file("piano.pt", WEIGHTS)
    for method in ("HEAD", "GET"):
        hub.order("piano.pt", method=method, without_length=True)
    with pytest.raises(RestorationError, match="a broken transfer could not be told from a whole one"):
        fetch_url(url, cache)
    assert fetch_url(url, cache, sha256=SHA256).read_bytes() == WEIGHTS


@pytest.mark.parametrize(
    "url",
    [
        "",
        "piano.pt",
        "file:///etc/passwd",
        "ftp://host/piano.pt",
        "http://",
        "http://host:99999/piano.pt",
        "http://[half/piano.pt",
        "http://listener:secret@host/piano.pt",
        "http://host/piano.pt\r\nX: y",
        "http://host/piano.pt and more",
    ],
)
def test_what_is_no_plain_address_is_refused(cache: Cache, url: str) -> None:
    with pytest.raises(RestorationError, match="is not a plain http or https address"):
        fetch_url(url, cache)


@pytest.mark.parametrize(
    ("path", "name"),
    [
        ("..%2F..%2Fescaped", "_.._escaped"),
        ("%2Fetc%2Fpasswd", "_etc_passwd"),
        ("piano.pt%00.txt", "piano.pt_.txt"),
        (".%2E", "file"),
        ("piano.pt?a=../../b", "piano.pt"),
        ("a" * 300, "a" * 100),
        ("", "file"),
    ],
)
def test_the_name_in_an_address_leads_nowhere_else(cache: Cache, path: str, name: str) -> None:
    found = place(f"http://host/{path}", cache)
    assert found.parent.parent == cache.own / "urls" and found.name == name


def test_a_link_that_leads_out_of_the_cache_is_not_followed(hub: Hub, cache: Cache, tmp_path: Path) -> None:
    url, outside = hub.add_file("piano.pt", WEIGHTS), tmp_path / "outside"
    outside.mkdir()
    cache.own.mkdir(parents=True)
    (cache.own / "urls").symlink_to(outside)
    with pytest.raises(RestorationError, match="is a link that leads out of the cache"):
        fetch_url(url, cache)
    (cache.own / "urls").unlink()
    give_up(url, cache, hub)
    (part,) = partial_files(cache)
    part.unlink()
    part.symlink_to(outside / "written")
    with pytest.raises(RestorationError, match="is a link that leads out of the cache"):
        fetch_url(url, cache)
    assert list(outside.iterdir()) == []


@pytest.mark.parametrize("content", ["nonsense", "[]", '{"http://host/a": {}}', '{"http://host/a": {"sha256": "0"}}'])
def test_hashes_that_cannot_be_read_are_not_taken_for_none(hub: Hub, cache: Cache, content: str) -> None:
    cache.own.mkdir(parents=True)
    (cache.own / "first-seen.json").write_text(content)
    with pytest.raises(RestorationError, match=r"first-seen.json, which holds the hashes .* cannot be read. Repair it"):
        fetch_url(hub.add_file("piano.pt", WEIGHTS), cache)


@pytest.mark.parametrize("nowhere", [refused, unanswered, dropped])
def test_a_plain_host_out_of_reach_is_told_within_three_seconds(nowhere: Any, cache: Cache, hub: Hub) -> None:
    fetch_url(hub.add_file("piano.pt", CONFIG), cache)  # so that everything is imported
    with nowhere() as url:
        start = time.monotonic()
        with pytest.raises(RestorationError, match=r"cannot be reached.* Try again with a network, or bring http"):
            fetch_url(f"{url}/piano.pt", cache)
        assert time.monotonic() - start < 3


def test_a_cache_that_cannot_be_one_is_told(hub: Hub, tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(RestorationError, match=r"The cache cannot be used at .*file.* Make room there"):
        fetch_url(hub.add_file("piano.pt", WEIGHTS), Cache.at(tmp_path / "file"))


# The Hub: its client reads the environment when it is imported, so each of these runs processes of its own

FETCH = """
import json, sys, time
import huggingface_hub.file_download, huggingface_hub.utils
from babe2 import RestorationError
from babe2.checkpoints.cache import Cache
from babe2.checkpoints.hub import fetch_from_hub

def attempt(repo, revision=None, files=("model.safetensors", "config.json"), **more):
    start = time.monotonic()
    try:
        told = str(fetch_from_hub(repo, revision, files, Cache.at(None), **more))
    except RestorationError as error:
        told = str(error)
    return told, time.monotonic() - start
"""
FETCH_PIANO = FETCH + 'print(attempt("listener/piano", *sys.argv[1:])[0])'


def held(folder: str) -> dict[str, bytes]:
    return {file: (Path(folder) / file).read_bytes() for file in FILES}


def at_home(tmp_path: Path) -> Cache:
    """The cache of a child whose HF_HOME is `tmp_path`."""
    return Cache(tmp_path / "hub", tmp_path / "assets" / "babe2")


def test_what_is_fetched_is_where_every_other_program_looks(hub: Hub, tmp_path: Path) -> None:
    commit = hub.commit(REPO, CHECKPOINT, ref="refs/pr/1")
    again = """
        import sys, babe2.fetching
        assert "huggingface_hub" not in sys.modules  # it takes long to import, and is not always needed
        from babe2.checkpoints.cache import Cache
        from babe2.checkpoints.hub import cached_from_hub, fetch_from_hub
        cache, files = Cache.at(None), ["model.safetensors", "config.json"]
        assert cached_from_hub("listener/piano", "refs/pr/1", files, cache) is None
        first = fetch_from_hub("listener/piano", "refs/pr/1", files, cache)
        commit = first.name
        assert fetch_from_hub("listener/piano", commit, files, cache) == first
        assert cached_from_hub("listener/piano", "refs/pr/1", files, cache) == first

        from huggingface_hub import hf_hub_download, scan_cache_dir
        for file in files:
            for revision in ("refs/pr/1", commit):
                found = hf_hub_download("listener/piano", file, revision=revision, local_files_only=True)
                assert found == str(first / file)
        scanned = scan_cache_dir()
        (repo,), warnings = scanned.repos, scanned.warnings
        (revision,) = repo.revisions
        assert (repo.repo_id, revision.commit_hash, revision.refs) == ("listener/piano", commit, {"refs/pr/1"})
        assert repo.size_on_disk == sum((first / file).stat().st_size for file in files) and not warnings
        print(first)
    """
    snippet = "\n".join(line.removeprefix("        ") for line in again.splitlines())
    folder = run_child(snippet, surroundings(tmp_path, hub.url, TOKEN)).strip()
    assert folder == str(tmp_path / "hub" / "models--listener--piano" / "snapshots" / commit)
    assert held(folder) == CHECKPOINT
    assert os.readlink(f"{folder}/model.safetensors") == f"../../blobs/{SHA256}"
    # One question and one transfer for each file; the token stays with the Hub.
    assert len(hub.asked("/resolve/", "HEAD")) == len(hub.asked("/resolve/")) == 2
    assert all(request.headers.get("authorization") == f"Bearer {TOKEN}" for request in hub.asked("/resolve/"))
    stored = hub.asked("/lfs/")
    assert [request.host for request in stored] == ["storage"] and "authorization" not in stored[0].headers
    assert partial_files(at_home(tmp_path)) == []


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


def test_a_branch_is_followed_and_what_has_not_changed_is_kept(hub: Hub, stocked: Path) -> None:
    hub.commit(REPO, CHECKPOINT)
    commit = hub.commit(REPO, {"config.json": b"{}"})
    folder = run_child(FETCH_PIANO, surroundings(stocked, hub.url)).strip()
    assert Path(folder).name == commit and held(folder) == {**CHECKPOINT, "config.json": b"{}"}
    assert hub.asked("/lfs/") == [] and len(hub.asked("config.json")) == 2  # it is redirected once
    assert len(list(Path(folder).parent.iterdir())) == 2
    assert (Path(folder).parents[1] / "refs" / "main").read_text() == commit


def test_what_commits_share_goes_with_the_last_of_them(hub: Hub, stocked: Path) -> None:
    hub.commit(REPO, CHECKPOINT)
    commit = hub.commit(REPO, {"config.json": b"{}"})
    run_child(FETCH_PIANO, surroundings(stocked, hub.url))
    cache = at_home(stocked)
    assert forget_from_hub(REPO, None, FILES, cache) == len(b"{}")  # main is the second one
    assert cached_from_hub(REPO, commit, FILES, cache) is None
    (left,) = (cache.hub / "models--listener--piano" / "snapshots").glob("*/config.json")
    assert held(str(left.parent)) == CHECKPOINT
    assert forget_from_hub(REPO, left.parent.name, FILES, cache) > len(WEIGHTS)
    assert list(cache.hub.glob("models--*")) == []
    assert forget_from_hub(REPO, left.parent.name, FILES, cache) == 0


def test_without_links_there_are_copies_and_the_client_finds_them(hub: Hub, tmp_path: Path) -> None:
    hub.commit(REPO, CHECKPOINT)
    ask = (
        '; from huggingface_hub import hf_hub_download as d; d("listener/piano", "config.json", local_files_only=True)'
    )
    environment = surroundings(tmp_path, hub.url, HF_HUB_DISABLE_SYMLINKS="1")
    folder = run_child(FETCH_PIANO + ask, environment).strip()
    assert held(folder) == CHECKPOINT and not (Path(folder) / "model.safetensors").is_symlink()


REFUSED = {  # by repository: what is asked of it beside main and both files, and what is told
    "listener/missing": ({}, r"no repository listener/missing at 127.0.0.1:\d+, or it is private. .*HF_TOKEN"),
    "listener/private": ({}, "no repository listener/private .*or it is private"),
    "listener/gated": ({}, r"open only to those whom its owner has let in. Ask for access at \S+/listener/gated, then"),
    "listener/old": ({"revision": "v9"}, "listener/old has no revision v9. Check its name"),
    "listener/far": ({"revision": "0" * 40}, "listener/far has no revision 0{40}"),
    "listener/bare": ({"files": ["model.pt"]}, "listener/bare holds no model.pt at revision main"),
    "listener/busy": ({}, "asked too often .HTTP 429.*Try again in 60 seconds"),
    "listener/broken": ({}, "out of order just now .HTTP 500.* Try again later"),
    "listener/damaged": ({}, r"model.safetensors of listener/damaged came from .* was deleted"),
    "listener/short": ({}, "sends 999 bytes for model.safetensors of listener/short where 1000 are expected"),
    "listener/long": ({}, "sends 1001 bytes for model.safetensors of listener/long where 1000 are expected"),
    "listener/untold": ({}, "gives no commit or no hash for model.safetensors of listener/untold"),
    "listener/traversing": ({}, "gives no commit or no hash for model.safetensors of listener/traversing"),
    "listener/linked": ({}, "is a link that leads out of the cache"),
    "listener/full": ({}, "The cache cannot be used at .*: File too large. Make room there"),
}


def troubled(hub: Hub, home: Path) -> None:
    """A Hub where something is wrong with each repository."""
    weights = {name: noise(1000, seed) for seed, name in enumerate(REFUSED)}
    for name in weights.keys() - {"listener/missing"}:
        hub.add_repo(name, private=name.endswith("private"), gated=name.endswith("gated"))
        hub.commit(name, {"config.json": CONFIG, "model.safetensors": weights[name]})
    stored = {name: f"/lfs/{hashlib.sha256(content).hexdigest()}" for name, content in weights.items()}
    hub.order("listener/busy", method="HEAD", status=429, headers={"Retry-After": "60"})
    hub.order("listener/broken", method="HEAD", status=500)
    hub.order(stored["listener/damaged"], content=noise(1000, seed=99))
    hub.order(stored["listener/short"], content=noise(999, seed=99))
    hub.order(stored["listener/long"], content=noise(1001, seed=99))
    hub.order("listener/untold", method="HEAD", headers={"X-Repo-Commit": ""})
    hub.order("listener/traversing", method="HEAD", headers={"X-Linked-Etag": '"../../../../escaped"'})
    blobs = home / "hub" / "models--listener--linked" / "blobs"
    blobs.mkdir(parents=True)
    (blobs / stored["listener/linked"].removeprefix("/lfs/")).symlink_to(home / "escaped")
    hub.commit("listener/full", CHECKPOINT)


@pytest.fixture(scope="module")
def refusals(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    home, answers = tmp_path_factory.mktemp("refusals"), "\nprint(json.dumps(said))"
    loop = "\nsaid = {repo: attempt(repo, **more)[0] for repo, more in json.loads(sys.argv[1]).items()}"
    # A disk that is full cannot be had here, but a file that may not grow can.
    small = "\nimport resource; resource.setrlimit(resource.RLIMIT_FSIZE, (1_000_000, 1_000_000))"
    with Hub() as hub:
        troubled(hub, home)
        asked = json.dumps({repo: more for repo, (more, _) in REFUSED.items()})
        said = json.loads(run_child(FETCH + small + loop + answers, surroundings(home, hub.url), asked))
    left = [path.name for path in home.rglob("*") if path.is_file() and path.suffix != ".lock"]
    return {**said, "left": left, "escaped": str((home / "escaped").exists())}


@pytest.mark.parametrize("repo", REFUSED)
def test_what_the_hub_refuses_is_said_in_a_sentence(refusals: dict[str, str], repo: str) -> None:
    assert re.search(REFUSED[repo][1], refusals[repo]), refusals[repo]


def test_a_refusal_leaves_nothing_behind_but_what_can_be_continued(refusals: dict[str, str]) -> None:
    assert len(refusals["left"]) == 1  # of the file that found no room
    assert refusals["escaped"] == "False"


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


def test_a_killed_process_leaves_no_lock_and_the_next_asks_for_the_rest(hub: Hub, tmp_path: Path) -> None:
    hub.commit(REPO, CHECKPOINT)
    hub.order("/lfs/", times=1, stall_after=800_000)
    environment = surroundings(tmp_path, hub.url)
    child = start_child(FETCH_PIANO, environment)
    arrived: list[int] = []
    for _ in range(600):
        arrived = [path.stat().st_size for path in partial_files(at_home(tmp_path))]
        if sum(arrived) > 700_000:
            break
        time.sleep(0.1)
    child.send_signal(signal.SIGKILL)
    child.communicate()
    (arrived_bytes,) = [path.stat().st_size for path in partial_files(at_home(tmp_path))]
    assert 700_000 < arrived_bytes <= 800_000
    assert held(run_child(FETCH_PIANO, environment).strip()) == CHECKPOINT
    first, second = hub.asked("/lfs/")
    assert "range" not in first.headers and second.headers["range"] == f"bytes={arrived_bytes}-"


def test_of_two_processes_at_once_one_transfers_and_both_have_it(hub: Hub, tmp_path: Path) -> None:
    hub.commit(REPO, CHECKPOINT)
    hub.order("/lfs/", pace=0.1)
    environment = surroundings(tmp_path, hub.url)
    children = [start_child(FETCH_PIANO, environment) for _ in range(2)]
    first, second = (finished(child).strip() for child in children)
    assert first == second and held(first) == CHECKPOINT
    assert len(hub.asked("/lfs/")) == 1 and len(hub.asked("/resolve/", "HEAD")) >= 3


def test_offline_means_that_nobody_is_asked(hub: Hub, stocked: Path) -> None:
    hub.commit(REPO, CHECKPOINT)
    snippet = FETCH + 'print(attempt("listener/piano")[0]); print(attempt("listener/piano", "v2")[0])'
    here, elsewhere = run_child(snippet, surroundings(stocked, hub.url, HF_HUB_OFFLINE="1")).splitlines()
    assert held(here) == CHECKPOINT and hub.requests == []
    assert "v2 is not in the cache" in elsewhere and "no network may be used now" in elsewhere
    assert fetch_from_hub(REPO, None, FILES, at_home(stocked), offline=True) == Path(here)


@pytest.mark.parametrize("nowhere", [refused, unanswered, dropped])
def test_without_a_network_the_answer_comes_within_three_seconds(nowhere: Any, stocked: Path) -> None:
    both = '\nprint(json.dumps([attempt("listener/piano"), attempt("listener/voice")]))'
    with nowhere() as url:
        child = start_child(FETCH + both, surroundings(stocked, url, TOKEN))
        said, complaints = child.communicate(timeout=60)
    (folder, cached_seconds), (told, seconds) = json.loads(said)
    assert held(folder) == CHECKPOINT and cached_seconds < 3
    assert "the cached copy of listener/piano is used" in complaints
    assert "cannot be reached" in told and "give the path of their folder" in told and seconds < 3


def test_a_hub_in_trouble_is_done_without_where_there_is_a_copy(hub: Hub, stocked: Path) -> None:
    hub.order(REPO, method="HEAD", status=503)
    assert held(run_child(FETCH_PIANO, surroundings(stocked, hub.url)).strip()) == CHECKPOINT
    assert len(hub.requests) == 1


@pytest.mark.parametrize("file", ["", "/etc/passwd", "../x", "a/../../x", "a//b", "a\\b", "C:x", "a\0b", ".", "a\nb"])
def test_names_that_lead_elsewhere_are_no_names(cache: Cache, file: str) -> None:
    for look in (cached_from_hub, fetch_from_hub):
        with pytest.raises(RestorationError, match="it could lead out of the cache"):
            look(REPO, None, [file], cache)
        if file:
            with pytest.raises(RestorationError, match="is not a revision that can be used"):
                look(REPO, file, FILES, cache)


@pytest.mark.parametrize("repo", ["", "piano", "a/b/c", "../b", "a/..", "a/b--c", "-a/b", "a/b.git", "a\\b/c", "a/b\n"])
def test_names_of_no_repository_are_refused(cache: Cache, repo: str) -> None:
    with pytest.raises(RestorationError, match="is not the name of a repository"):
        fetch_from_hub(repo, None, FILES, cache)


@pytest.mark.parametrize("link", ["snapshots", "snapshots/{commit}", "snapshots/{commit}/config.json", "refs"])
def test_a_snapshot_that_leads_out_of_the_cache_is_refused(stocked: Path, tmp_path: Path, link: str) -> None:
    cache = at_home(stocked)
    folder = cached_from_hub(REPO, "main", FILES, cache)
    assert folder is not None
    original = folder.parents[1] / link.format(commit=folder.name)
    outside = tmp_path / "outside"
    original.rename(outside)
    original.symlink_to(outside)
    with pytest.raises(RestorationError, match="is a link that leads out of the cache"):
        cached_from_hub(REPO, "main", FILES, cache)
