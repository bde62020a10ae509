"""From a name to a file one may trust, over real sockets where it is not here yet."""

from __future__ import annotations

import errno
import hashlib
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NoReturn

import pytest
import torch
from conftest import REFERENCE
from hub_server import Hub, finished, refused, run_child, start_child, surroundings

from babe2 import RestorationError, Restorer, checkpoints
from babe2.checkpoints import published
from babe2.checkpoints.checkpoint import Unfilled
from babe2.checkpoints.shelf import ORIGIN, Shelf
from babe2.checkpoints.transfer import Transfer
from babe2.config import Architecture
from babe2.network import CQTDiffPlus
from babe2.networks.models import MODELS

PUBLISHED = REFERENCE / "small_ckpt_original_format.pt"
SMALL = Path(__file__).parents[1] / "reference" / "small_checkpoint"
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


def sha256_of(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


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
    for found in (first, again):
        assert found.name == "tiny" and not found.verified  # nobody has said what it should be
        assert found.model == as_published.model
        assert all((value == as_published.weights[key]).all() for key, value in found.weights.items())
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
    content = PUBLISHED.read_bytes()
    digest, source = sha256_of(content), f"{{url: '{hub.add_file('tiny.pt', content)}'}}"
    right = manifest_for(tmp_path, source, digest, str(len(content)))
    assert load(right, tmp_path / "cache").verified
    wrong = manifest_for(tmp_path, source, "0" * 64, str(len(content)))
    with pytest.raises(RestorationError):
        load(wrong, tmp_path / "elsewhere")
    assert not list((tmp_path / "elsewhere").rglob("*.safetensors"))


def test_of_two_processes_at_once_one_fetches_and_converts(hub: Hub, authors: Path, tmp_path: Path) -> None:
    hub.order("tiny.pt", pace=0.1)
    load_it = """if True:
        import sys
        from babe2.checkpoints.loading import load
        print(load("tiny", manifest=sys.argv[1], cache_dir=sys.argv[2]).sha256)
    """
    arguments = str(authors), str(tmp_path / "cache")
    children = [start_child(load_it, surroundings(tmp_path / "home"), *arguments) for _ in range(2)]
    first, second = (finished(child) for child in children)
    assert first == second and len(hub.asked("tiny.pt")) == 1


def harm(home: Path, what: str) -> None:
    if what == "of another file":
        (home / ORIGIN).write_text(json.dumps(json.loads((home / ORIGIN).read_text()) | {"source": "0" * 64}))
    elif what == "without an origin":
        (home / ORIGIN).write_text("no JSON")
    else:
        (home / what).unlink()


@pytest.mark.parametrize("what", ["of another file", "without an origin", "config.json", "model.safetensors"])
def test_a_conversion_that_is_not_whole_is_made_anew(hub: Hub, tmp_path: Path, what: str) -> None:
    content = PUBLISHED.read_bytes()
    manifest = manifest_for(tmp_path, f"{{url: '{hub.add_file('tiny.pt', content)}'}}", sha256_of(content))
    whole = load(manifest, tmp_path / "cache").sha256
    (weights,) = (tmp_path / "cache").rglob("model.safetensors")
    harm(weights.parent, what)
    assert load(manifest, tmp_path / "cache").sha256 == whole
    assert [path.name for path in weights.parent.parent.iterdir()] == [weights.parent.name]


def test_a_full_disk_does_not_cost_the_download(
    hub: Hub, authors: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> NoReturn:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patch:
        patch.setattr(published, "save", full)
        with pytest.raises(
            RestorationError, match=r"^tiny cannot be had: .* cannot be converted into .*: No space left"
        ):
            load(authors, tmp_path / "cache")
    load(authors, tmp_path / "cache")
    assert len(hub.asked("tiny.pt")) == 1
    assert list(tmp_path.rglob("*.pt")) == []


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
    shelf.remove("tiny")
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
    (shelf.cache.own / "partial").mkdir(exist_ok=True)
    (shelf.cache.own / "partial" / "broken off").write_bytes(bytes(10**6))
    assert shelf.size() > shelf.size_of(tiny) + 10**6
    assert shelf.remove("tiny") >= shelf.size_of(tiny)
    assert shelf.state(tiny)[0] == "remote"
    assert shelf.remove("piano-small") == 0 and shelf.state(small)[0] == "bundled"


def test_the_first_source_that_works_is_taken(hub: Hub, tmp_path: Path) -> None:
    with refused() as nowhere:
        sources = f"{{url: '{nowhere}/tiny.pt'}}, {{url: '{hub.add_file('tiny.pt', PUBLISHED.read_bytes())}'}}"
        manifest = manifest_for(tmp_path, sources)
        assert load(manifest, tmp_path / "cache").name == "tiny"


def test_a_checkpoint_that_cannot_be_had_says_why(tmp_path: Path) -> None:
    with refused() as nowhere:
        manifest = manifest_for(tmp_path, f"{{url: '{nowhere}/tiny.pt'}}")
        with pytest.raises(RestorationError, match=r"tiny cannot be had.*cannot be reached") as told:
            load(manifest, tmp_path / "cache")
    assert str(told.value).count(". ") == 1  # two sentences
    lost = manifest_for(tmp_path, "{bundled: lost and found}")
    with pytest.raises(
        RestorationError, match=r"^tiny cannot be had: .*lost and found is missing\. Install babe2 again\."
    ):
        load(lost, tmp_path / "cache")


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
    found = json.loads(run_child(snippet, around, "me/tiny", "me/tiny@main", f"me/tiny@{commit}"))
    sha256 = checkpoints.load(SMALL).sha256
    # The commit is in the name, so that a report and its recipe tell what was used.
    assert found == [[f"me/tiny@{commit}", True, sha256]] * 3
    offline = json.loads(
        run_child(snippet, around | {"HF_HUB_OFFLINE": "1"}, "me/tiny", "me/tiny@main", f"me/tiny@{commit}")
    )
    assert offline == found


def test_a_damaged_repository_is_removed_as_it_is_told(hub: Hub, tmp_path: Path) -> None:
    hub.commit("me/tiny", {name: (SMALL / name).read_bytes() for name in ("model.safetensors", "config.json")})
    snippet = """if True:
        import json, sys
        from pathlib import Path
        from babe2 import RestorationError, checkpoints
        from babe2.commands.main import main
        told, sha256 = [], checkpoints.load("me/tiny").sha256
        for spec in ("me/tiny", "me/tiny@main"):
            (weights,) = Path(sys.argv[1]).rglob("model.safetensors")
            content = weights.read_bytes()
            weights.resolve().write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
            try:
                checkpoints.load(spec)
            except RestorationError as error:
                told.append(str(error))
            main(told[-1].split("(babe2 ")[1].split(")")[0].split())
            assert checkpoints.load(spec).sha256 == sha256
        print(json.dumps(told))
    """
    said = run_child(snippet, surroundings(tmp_path, hub.url), str(tmp_path)).splitlines()
    assert [line.split(":")[0] for line in said[:-1]] == ["me/tiny", "me/tiny@main"]
    assert all("is not the file it should be" in told for told in json.loads(said[-1]))


def test_of_two_checkpoints_in_one_repository_one_is_removed(hub: Hub, tmp_path: Path) -> None:
    files = {name: (SMALL / name).read_bytes() for name in ("model.safetensors", "config.json")}
    # Of the two, one weight differs in its last bit.
    others = files | {
        "model.safetensors": files["model.safetensors"][:-1] + bytes([files["model.safetensors"][-1] ^ 1])
    }
    commit = hub.commit("me/two", {f"a/{n}": c for n, c in files.items()} | {f"b/{n}": c for n, c in others.items()})
    manifest = tmp_path / "manifest.yaml"
    sources = [f"{{repo: me/two, revision: {commit}, file: {name}/model.safetensors}}" for name in "ab"]
    entries = [ENTRY.format(source=source, sha256="null", size="null") for source in sources]
    manifest.write_text(entries[0] + entries[1].replace("tiny:", "tiny-too:"), "utf-8")
    snippet = """if True:
        import sys
        from babe2.checkpoints.shelf import Shelf
        shelf = Shelf.at(None, sys.argv[1])
        kept = [shelf.find(name).path.stat().st_size for name in ("tiny", "tiny-too")]
        freed = shelf.remove("tiny")
        print([shelf.state(shelf.entry(name))[0] for name in ("tiny", "tiny-too")], freed >= kept[0])
        print(shelf.remove("tiny-too") > kept[1], shelf.remove("tiny-too"), [*shelf.cache.hub.glob("models--*")])
    """
    said = run_child(snippet, surroundings(tmp_path / "home", hub.url), str(manifest)).splitlines()
    assert said == ["['remote', 'cached'] True", "True 0 []"]


def test_a_path_means_a_path_and_a_text_a_name_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("piano", "piano-small", "mine"):
        shutil.copytree(SMALL, name)
    small = checkpoints.load(SMALL).sha256
    for spec in (Path("piano"), "./piano", "mine", Path("piano-small"), "piano/model.safetensors"):
        assert checkpoints.load(spec).sha256 == small
    assert checkpoints.load("piano-small").sha256 != small
    with pytest.raises(RestorationError, match=r"There is no checkpoint at runs/mine\. Give a \.safetensors file"):
        checkpoints.load(Path("runs/mine"))
    for spec in ("runs/mine.pt", "runs/model.safetensors"):  # no repositories, so nobody is asked
        with pytest.raises(RestorationError, match=f"There is no checkpoint at {spec}"):
            checkpoints.load(spec)


def run_cold(snippet: str, environment: dict[str, str], *arguments: str) -> str:
    """As run_child does, where nothing was loaded before."""
    command = [sys.executable, "-c", snippet, *arguments]
    return subprocess.run(command, env=environment, check=True, capture_output=True, text=True).stdout


def test_a_machine_without_the_hubs_client_loads_from_paths(tmp_path: Path) -> None:
    shutil.copytree(SMALL, tmp_path / "mine")
    snippet = """if True:
        import os, sys
        sys.modules |= dict.fromkeys(("yaml", "huggingface_hub", "filelock", "httpx2"))
        os.chdir(sys.argv[1])
        from babe2 import RestorationError, checkpoints
        print(checkpoints.load("mine").name, checkpoints.load("./mine").name)
        try:
            checkpoints.load("piano-small")
        except RestorationError as error:
            print(error)
    """
    loaded, told = run_cold(snippet, surroundings(tmp_path), str(tmp_path)).splitlines()
    assert loaded == "mine mine"
    assert told.endswith("is needed and not installed. Install it, or give the path of the checkpoint's folder.")


def test_what_comes_along_is_loaded_without_the_hubs_client_and_the_compiler(tmp_path: Path) -> None:
    snippet = """if True:
        import sys
        from babe2.checkpoints.loading import load
        load("piano-small").network()
        heavy = ("huggingface_hub.file_download", "httpx2", "filelock", "torch._dynamo")
        print([name for name in heavy if name in sys.modules])
    """
    assert run_cold(snippet, surroundings(tmp_path)).strip() == "[]"


def test_a_file_is_hashed_once(tmp_path: Path) -> None:
    """What reads the weights does not open them in Python; what hashes them does."""
    snippet = """if True:
        import sys
        from pathlib import Path
        from babe2 import checkpoints
        for spec in sys.argv[1:]:
            opened = []
            sys.addaudithook(lambda event, about, to=opened: event == "open" and to.append(str(about[0])))
            checkpoints.load(spec)
            print(sum(name.endswith("model.safetensors") for name in opened))
    """
    assert run_child(snippet, surroundings(tmp_path), "piano-small", str(SMALL)).split() == ["1", "1"]


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


def test_a_published_file_on_the_hub_is_taken_at_the_manifests_word(hub: Hub, tmp_path: Path) -> None:
    """As BABE's are: bare .pt files, which say neither rate nor level, at a commit that the manifest does not name."""
    size = MODELS["piano"].architecture
    assert isinstance(size, Architecture)
    with torch.device("meta"), Unfilled():
        shapes = {key: value.shape for key, value in CQTDiffPlus(size).state_dict().items()}
    torch.save(
        {"it": 190_000, "ema": {key: torch.zeros(shape, dtype=torch.bfloat16) for key, shape in shapes.items()}},
        tmp_path / "strings.pt",
    )
    commit = hub.commit("me/babe", {"strings.pt": (tmp_path / "strings.pt").read_bytes()})
    manifest = manifest_for(tmp_path, "{repo: me/babe, revision: null, file: strings.pt}")
    text = manifest.read_text("utf-8").replace("settings: piano", "settings: instruments").replace("13000", "184184")
    manifest.write_text(f"{text}  sigma_data: 0.15\n  spectrum: piano-small\n", "utf-8")
    snippet = """if True:
        import json, sys
        from dataclasses import asdict
        from babe2.checkpoints.loading import load
        from babe2.checkpoints.shelf import Shelf
        shelf = Shelf.at(None, sys.argv[1])
        states = [shelf.state(shelf.entry("tiny"))[0]]
        found = load("tiny", manifest=sys.argv[1])
        states += [shelf.state(shelf.entry("tiny"))[0], shelf.verify(shelf.entry("tiny"))[1]]
        model = {name: value for name, value in asdict(found.model).items() if name != "architecture"}
        print(json.dumps([states, model, found.doubts(), found.ltas_of, found.verified, found.sha256]))
    """
    around = surroundings(tmp_path / "home", hub.url)
    first = json.loads(run_child(snippet, around, str(manifest)))
    states, model, doubts, ltas_of, verified, sha256 = first
    assert states == ["remote", "cached", "verified"]
    said = {"sample_rate": 8000, "segment": 184184, "sigma_data": 0.15, "column": "instruments", "window_beta": 1.0}
    assert (model, doubts, ltas_of) == (said, [], "piano-small")
    assert verified and sha256 == sha256_of((tmp_path / "strings.pt").read_bytes())  # which the Hub says
    asked, again = len(hub.requests), json.loads(run_child(snippet, around, str(manifest)))
    assert again[1:] == first[1:] and len(hub.requests) == asked  # what is here is used without a network
    assert [path.name for path in (tmp_path / "home").rglob(f"snapshots/{commit}/*")] == ["strings.pt"]
