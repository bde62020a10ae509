"""From a name to a file one may trust, over real sockets where it is not here yet."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from conftest import REFERENCE
from hub_server import Hub, refused, run_child, surroundings

from babe2 import RestorationError, Restorer, checkpoints
from babe2.shelf import ORIGIN, Shelf
from babe2.transfer import Transfer

PUBLISHED = REFERENCE / "small_ckpt_original_format.pt"
SMALL = Path(__file__).parent / "reference" / "small_checkpoint"
ENTRY = """
tiny:
  title: Tiny
  description: A published file for a test.
  sources: [{source}]
  sha256: {sha256}
  bytes: {size}
  sample_rate: 8000
  segment: 13000
  settings: piano
  parameters: 1
  licence: not stated
  credit: nobody
  training_data: noise
  intended: tests
"""


@pytest.fixture
def hub() -> Iterator[Hub]:
    with Hub() as hub:
        yield hub


def manifest_for(folder: Path, source: str, sha256: str = "null", size: str = "null") -> Path:
    path = folder / "manifest.yaml"
    path.write_text(ENTRY.format(source=source, sha256=sha256, size=size), "utf-8")
    return path


@pytest.fixture
def authors(hub: Hub, tmp_path: Path) -> Path:
    """A manifest of one checkpoint at its authors' address."""
    return manifest_for(tmp_path, f"{{url: '{hub.add_file('tiny.pt', PUBLISHED.read_bytes())}'}}")


def load(manifest: Path, cache: Path, **options: object) -> checkpoints.Checkpoint:
    return checkpoints.load("tiny", manifest=manifest, cache_dir=cache, **options)  # type: ignore[arg-type]


def test_a_published_file_is_fetched_once_and_converted_on_arrival(hub: Hub, authors: Path, tmp_path: Path) -> None:
    told: list[Transfer] = []
    first = load(authors, tmp_path / "cache", on_transfer=told.append)
    assert told[-1].done == told[-1].total == PUBLISHED.stat().st_size
    asked = len(hub.requests)
    again = load(authors, tmp_path / "cache", offline=True)
    assert len(hub.requests) == asked
    as_published = checkpoints.load(PUBLISHED)
    for checkpoint in (first, again):
        assert checkpoint.name == "tiny" and not checkpoint.verified  # nobody has said what it should be
        assert checkpoint.model == as_published.model
        assert all((value == as_published.weights[key]).all() for key, value in checkpoint.weights.items())
    assert not list((tmp_path / "cache").rglob("*.pt"))  # the optimiser's share of the download is not kept


def test_what_was_no_checkpoint_may_be_mended_at_its_source(hub: Hub, authors: Path, tmp_path: Path) -> None:
    hub.add_file("tiny.pt", b"<html>moved</html>")
    with pytest.raises(RestorationError):
        load(authors, tmp_path / "cache")
    hub.add_file("tiny.pt", PUBLISHED.read_bytes())
    assert load(authors, tmp_path / "cache").name == "tiny"


def test_the_report_says_whether_its_source_was_verified(authors: Path, tmp_path: Path) -> None:
    restorer = Restorer.from_checkpoint("tiny", manifest=authors, cache_dir=tmp_path / "cache")
    assert (restorer.name, restorer.verified) == ("tiny", False)
    assert Restorer.from_checkpoint("piano-small").verified


def test_a_known_hash_verifies_a_published_file(hub: Hub, tmp_path: Path) -> None:
    import hashlib

    content = PUBLISHED.read_bytes()
    digest, source = hashlib.sha256(content).hexdigest(), f"{{url: '{hub.add_file('tiny.pt', content)}'}}"
    right = manifest_for(tmp_path, source, digest, str(len(content)))
    assert load(right, tmp_path / "cache").verified
    wrong = manifest_for(tmp_path, source, "0" * 64, str(len(content)))
    with pytest.raises(RestorationError):
        load(wrong, tmp_path / "elsewhere")
    assert not list((tmp_path / "elsewhere").rglob("*.safetensors"))


def test_a_file_that_changed_at_its_source_is_refused(hub: Hub, authors: Path, tmp_path: Path) -> None:
    load(authors, tmp_path / "cache")
    for converted in (tmp_path / "cache").rglob("checkpoints/*"):
        for file in converted.iterdir():
            file.unlink()
        converted.rmdir()
    hub.add_file("tiny.pt", PUBLISHED.read_bytes()[:-1] + b"x")
    with pytest.raises(RestorationError, match="remove"):
        load(authors, tmp_path / "cache")
    shelf = Shelf.at(tmp_path / "cache", authors)
    shelf.remove(shelf.entry("tiny"))
    hub.add_file("tiny.pt", PUBLISHED.read_bytes())
    load(authors, tmp_path / "cache")


def test_a_checkpoint_changed_on_this_machine_is_refused(authors: Path, tmp_path: Path) -> None:
    load(authors, tmp_path / "cache")
    (weights,) = (tmp_path / "cache").rglob("model.safetensors")
    weights.write_bytes(weights.read_bytes()[:-1] + b"\1")
    with pytest.raises(RestorationError, match="not the file it should be"):
        load(authors, tmp_path / "cache")
    shelf = Shelf.at(tmp_path / "cache", authors)
    assert shelf.verify(shelf.entry("tiny"))[0] is False


def test_state_size_and_removal(authors: Path, tmp_path: Path) -> None:
    shelf = Shelf.at(tmp_path / "cache", authors)
    tiny, small = shelf.entry("tiny"), shelf.entry("piano-small")
    assert shelf.state(tiny)[0] == "remote" and shelf.state(small)[0] == "bundled"
    load(authors, tmp_path / "cache")
    assert shelf.state(tiny)[0] == "cached"
    assert shelf.remove(tiny) >= shelf.size(tiny)
    assert shelf.state(tiny)[0] == "remote"
    assert shelf.remove(small) == 0 and shelf.state(small)[0] == "bundled"


def test_the_first_source_that_works_is_taken(hub: Hub, tmp_path: Path) -> None:
    with refused() as nowhere:
        sources = f"{{url: '{nowhere}/tiny.pt'}}, {{url: '{hub.add_file('tiny.pt', PUBLISHED.read_bytes())}'}}"
        manifest = manifest_for(tmp_path, sources)
        assert load(manifest, tmp_path / "cache").name == "tiny"


def test_a_checkpoint_that_cannot_be_had_says_why(tmp_path: Path) -> None:
    with refused() as nowhere:
        manifest = manifest_for(tmp_path, f"{{url: '{nowhere}/tiny.pt'}}")
        with pytest.raises(RestorationError, match=r"tiny cannot be had.*cannot be reached"):
            load(manifest, tmp_path / "cache")


def test_what_is_no_checkpoint_is_not_kept(hub: Hub, tmp_path: Path) -> None:
    manifest = manifest_for(tmp_path, f"{{url: '{hub.add_file('tiny.pt', b'<html>moved</html>')}'}}")
    with pytest.raises(RestorationError, match="damaged or not"):
        load(manifest, tmp_path / "cache")
    assert not list((tmp_path / "cache").rglob(ORIGIN))


def test_hub_repositories_are_loaded_by_their_names(hub: Hub, tmp_path: Path) -> None:
    files = {name: (SMALL / name).read_bytes() for name in ("model.safetensors", "config.json")}
    commit = hub.commit("me/tiny", files)
    snippet = """if True:
        import json, sys
        from babe2 import Restorer
        found = [Restorer.from_checkpoint(spec) for spec in sys.argv[1:]]
        print(json.dumps([[one.name, one.verified, one.sha256] for one in found]))
    """
    around = surroundings(tmp_path, hub.url)
    found = json.loads(run_child(snippet, around, "me/tiny", f"me/tiny@{commit}"))
    sha256 = checkpoints.load(SMALL).sha256
    assert found == [["me/tiny", True, sha256]] * 2
    offline = json.loads(run_child(snippet, around | {"HF_HUB_OFFLINE": "1"}, "me/tiny", f"me/tiny@{commit}"))
    assert offline == found


@pytest.mark.parametrize(
    ("spec", "told"),
    [
        ("piano-smal", "Did you mean piano-small?"),
        ("nothing here", "There is no checkpoint at nothing here"),
        ("", "empty"),
        ("../nothing/at/all", "no checkpoint at"),
        ("/dev/null", "no ordinary file"),
    ],
)
def test_a_name_that_means_nothing_is_told(spec: str, told: str) -> None:
    with pytest.raises(RestorationError) as error:
        checkpoints.load(spec)
    assert told in str(error.value)
