"""Files from plain web addresses, over real sockets on this machine."""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hub_server import Hub, dropped, refused, unanswered

from babe2 import Cancelled, RestorationError
from babe2.checkpoints.cache import Cache
from babe2.checkpoints.transfer import LARGEST, Caller, Transfer
from babe2.checkpoints.web import fetch_url, first_seen, path_of, remove_url


def noise(size: int, seed: int = 0) -> bytes:
    return np.random.default_rng(seed).bytes(size)


WEIGHTS = noise(1_500_000)
SHA256 = hashlib.sha256(WEIGHTS).hexdigest()


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    with Hub() as running:
        yield running


@pytest.fixture
def cache(tmp_path: Path) -> Cache:
    return Cache.at(tmp_path / "cache")


@pytest.fixture
def url(hub: Hub) -> str:
    return hub.add_file("piano.pt", WEIGHTS)


def fetch(url: str, cache: Cache, **expected: Any) -> bytes:
    return fetch_url(url, cache, Caller(), **expected).read_bytes()


def parts(cache: Cache) -> list[Path]:
    """What broken transfers have left."""
    return [path for path in (cache.own / "partial").glob("*") if path.suffix != ".validator"]


def test_a_file_is_fetched_once_and_known_ever_after(hub: Hub, cache: Cache) -> None:
    url = hub.add_file("checkpoints/piano 22kHz.pt", WEIGHTS).replace(" ", "%20")
    assert not path_of(url, cache).exists() and first_seen(url, cache) is None
    path = fetch_url(url, cache, Caller())
    assert path.read_bytes() == WEIGHTS and path.name == "piano_22kHz.pt" and path.is_relative_to(cache.own / "urls")
    asked = len(hub.requests)
    assert fetch(url, cache) == fetch(url, cache, offline=True) == WEIGHTS
    assert len(hub.requests) == asked
    assert first_seen(url, cache) == SHA256
    (entry,) = json.loads((cache.own / "first-seen.json").read_text()).values()
    assert entry["bytes"] == len(WEIGHTS) and len(entry["date"]) == 10
    assert list((cache.own / "partial").iterdir()) == []


def test_a_file_whose_hash_is_known_is_not_trusted_on_first_sight(url: str, cache: Cache) -> None:
    assert fetch(url, cache, size=len(WEIGHTS), sha256=SHA256) == WEIGHTS
    assert first_seen(url, cache) is None


def test_another_file_at_the_same_address_is_refused_until_the_first_is_removed(
    hub: Hub, url: str, cache: Cache
) -> None:
    fetch_url(url, cache, Caller()).unlink()
    other = noise(1000, seed=1)
    hub.add_file("piano.pt", other)
    now = hashlib.sha256(other).hexdigest()
    with pytest.raises(RestorationError, match=f"sha256 was {SHA256} and is now {now}.*babe2 checkpoints remove ID"):
        fetch(url, cache)
    assert not path_of(url, cache).exists() and parts(cache) == []
    assert first_seen(url, cache) == SHA256
    remove_url(url, cache)
    assert fetch(url, cache) == other
    assert remove_url(url, cache) == len(other) and not path_of(url, cache).parent.exists()


def test_a_file_that_was_damaged_on_disk_is_fetched_again(url: str, cache: Cache) -> None:
    fetch_url(url, cache, Caller()).write_bytes(b"damaged")
    with pytest.raises(RestorationError, match="not whole there, and no network may be used now"):
        fetch(url, cache, offline=True)
    assert fetch(url, cache) == WEIGHTS


def test_progress_is_told_now_and_then_and_at_the_end(hub: Hub, url: str, cache: Cache) -> None:
    told: list[tuple[float, Transfer]] = []
    hub.order("piano.pt", pace=0.02)
    fetch_url(url, cache, Caller(lambda transfer: told.append((time.monotonic(), transfer))))
    *before, (_, last) = told
    assert last == Transfer("piano.pt", len(WEIGHTS), len(WEIGHTS), 0.0)
    assert before and all(0 < transfer.done <= len(WEIGHTS) for _, transfer in before)
    assert all(transfer.seconds_left is not None for _, transfer in before)
    # A tenth of a second lies between two reports; a few milliseconds are the clock's own.
    assert all(later - earlier > 0.09 for (earlier, _), (later, _) in pairwise(before))


@pytest.mark.parametrize("fault", [{"cut_after": 600_000}, {"stall_after": 600_000}])
def test_a_transfer_that_breaks_asks_for_the_rest_and_only_of_the_same_file(
    hub: Hub, url: str, cache: Cache, fault: dict[str, Any]
) -> None:
    hub.order("piano.pt", times=1, **fault)
    assert fetch_url(url, cache, Caller(stall_seconds=0.5)).read_bytes() == WEIGHTS
    first, second = hub.asked("piano.pt")
    assert "range" not in first.headers
    assert second.headers["range"] == "bytes=600000-" and second.headers["if-range"].startswith('"')


def give_up(url: str, cache: Cache, hub: Hub) -> None:
    """A transfer that breaks off again and again, and leaves a part behind."""
    hub.order("piano.pt", times=1, cut_after=600_000)
    hub.order("piano.pt", status=503)
    with pytest.raises(RestorationError, match=r"out of order just now \(HTTP 503\).* What has arrived is kept"):
        fetch(url, cache)
    hub.faults.clear()
    hub.requests.clear()


def test_the_next_run_goes_on_where_a_transfer_was_given_up(hub: Hub, url: str, cache: Cache) -> None:
    give_up(url, cache, hub)
    assert [path.stat().st_size for path in parts(cache)] == [600_000]
    assert not path_of(url, cache).exists()
    assert fetch(url, cache) == WEIGHTS
    assert [request.headers["range"] for request in hub.asked("piano.pt")] == ["bytes=600000-"]


def test_a_transfer_begins_again_when_the_file_has_changed_meanwhile(hub: Hub, url: str, cache: Cache) -> None:
    other = noise(1_000_000, seed=1)
    give_up(url, cache, hub)
    hub.add_file("piano.pt", other)
    assert fetch(url, cache) == other
    assert parts(cache) == []


@pytest.mark.parametrize("fault", [{"without_range": True}, {"times": 1, "status": 416}])
def test_a_transfer_begins_again_when_the_host_cannot_continue(
    hub: Hub, url: str, cache: Cache, fault: dict[str, Any]
) -> None:
    give_up(url, cache, hub)
    hub.order("piano.pt", **fault)
    assert fetch(url, cache) == WEIGHTS


def test_a_part_of_something_else_is_fetched_afresh(hub: Hub, url: str, cache: Cache) -> None:
    give_up(url, cache, hub)
    parts(cache)[0].write_bytes(noise(600_000, seed=1))
    assert fetch(url, cache, sha256=SHA256) == WEIGHTS


def test_a_cancelled_transfer_keeps_what_has_arrived(hub: Hub, url: str, cache: Cache) -> None:
    told: list[Transfer] = []
    hub.order("piano.pt", times=1, pace=0.05)
    with pytest.raises(Cancelled):
        fetch_url(url, cache, Caller(told.append, lambda: len(told) > 1))
    (kept,) = [path.stat().st_size for path in parts(cache)]
    assert 0 < kept < len(WEIGHTS)
    assert fetch(url, cache) == WEIGHTS
    assert hub.asked("piano.pt")[-1].headers["range"] == f"bytes={kept}-"


@pytest.mark.parametrize("fault", [{"status": 429}, {"status": 503, "times": 2}, {"cut_after": 0}])
def test_passing_trouble_passes(hub: Hub, url: str, cache: Cache, fault: dict[str, Any]) -> None:
    hub.order("piano.pt", **{"times": 1, **fault})
    assert fetch(url, cache) == WEIGHTS


@pytest.mark.parametrize(
    ("fault", "expected", "told"),
    [
        ({"status": 404}, {}, r"There is no piano.pt at \S+ \(HTTP 404\). Check the address"),
        ({"status": 403}, {}, r"does not let us have piano.pt \(HTTP 403\)"),
        ({"status": 418}, {}, "answers with HTTP 418 instead of piano.pt"),
        ({"status": 429}, {}, "asked too often .* Try again later"),
        ({"cut_after": 0}, {}, "connection to .* broke while piano.pt was fetched. Try again later"),
        ({}, {"sha256": "0" * 64}, f"with the hash {SHA256} where {'0' * 64} is expected.* was deleted"),
        ({}, {"size": 5}, "offers 1500000 bytes for piano.pt where 5 are expected.* Nothing was loaded"),
        ({"content": WEIGHTS[:10], "length": 1_500_000, "without_range": True}, {}, "broke while piano.pt was fetched"),
        ({"headers": {"Content-Encoding": "gzip"}}, {}, "does not say how long piano.pt is"),
        ({"length": LARGEST + 1}, {}, f"would be {LARGEST + 1} bytes long, which no checkpoint is"),
    ],
)
def test_what_goes_wrong_is_said_in_a_sentence(
    hub: Hub, url: str, cache: Cache, fault: dict[str, Any], expected: dict[str, Any], told: str
) -> None:
    if fault:
        hub.order("piano.pt", **fault)
    with pytest.raises(RestorationError, match=told):
        fetch(url, cache, **expected)
    assert not path_of(url, cache).exists() and first_seen(url, cache) is None


@pytest.mark.parametrize(
    "address",
    [
        "",
        "piano.pt",
        "file:///etc/passwd",
        "http://",
        "http://host:99999999/piano.pt",
        "http://[half/piano.pt",
        "http://listener:secret@host/piano.pt",
        "http://host/piano.pt\r\nX: y",
        "http://host/piano.pt and more",
    ],
)
def test_what_is_no_plain_address_is_refused(cache: Cache, address: str) -> None:
    with pytest.raises(RestorationError, match="is not a plain http or https address"):
        fetch(address, cache)


@pytest.mark.parametrize(
    ("path", "name"),
    [
        ("..%2F..%2Fescaped", "_.._escaped"),
        ("piano.pt%00.txt", "piano.pt_.txt"),
        (".%2E", "file"),
        ("piano.pt?a=../../b", "piano.pt"),
        ("a" * 300, "a" * 100),
        ("", "file"),
    ],
)
def test_the_name_in_an_address_leads_nowhere_else(cache: Cache, path: str, name: str) -> None:
    found = path_of(f"http://host/{path}", cache)
    assert found.parent.parent == cache.own / "urls" and found.name == name


def test_a_link_that_leads_out_of_the_cache_is_not_followed(hub: Hub, url: str, cache: Cache, tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    cache.own.mkdir(parents=True)
    (cache.own / "urls").symlink_to(outside)
    with pytest.raises(RestorationError, match="is a link that leads out of the cache"):
        fetch(url, cache)
    (cache.own / "urls").unlink()
    give_up(url, cache, hub)
    (part,) = parts(cache)
    part.unlink()
    part.symlink_to(outside / "written")
    with pytest.raises(RestorationError, match="is a link that leads out of the cache"):
        fetch(url, cache)
    assert list(outside.iterdir()) == []


@pytest.mark.parametrize("content", ["nonsense", "[]", '{"http://host/a": {}}', '{"http://host/a": {"sha256": "0"}}'])
def test_hashes_that_cannot_be_read_are_not_taken_for_none(url: str, cache: Cache, content: str) -> None:
    cache.own.mkdir(parents=True)
    (cache.own / "first-seen.json").write_text(content)
    with pytest.raises(RestorationError, match=r"first-seen.json, which holds the hashes .* cannot be read. Repair it"):
        fetch(url, cache)


@pytest.mark.parametrize("nowhere", [refused, unanswered, dropped])
def test_a_host_out_of_reach_is_told_in_a_sentence(nowhere: Any, cache: Cache) -> None:
    with nowhere() as address, pytest.raises(RestorationError, match=r"cannot be reached.* Try again with a network"):
        fetch(f"{address}/piano.pt", cache)


def test_a_cache_that_cannot_be_one_is_told(url: str, tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(RestorationError, match=r"The cache cannot be used at .*file.* Make room there"):
        fetch(url, Cache.at(tmp_path / "file"))
