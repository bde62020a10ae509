import hashlib
import json
import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from classroom import COMPACT, compact_network
from conftest import REFERENCE
from hub_server import OWNER, TOKEN, Hub, refused, run_child, surroundings

from babe2 import RestorationError
from babe2.checkpoints.card import A_PATH, model_card
from babe2.checkpoints.checkpoint import Checkpoint, save
from babe2.checkpoints.loading import load
from babe2.checkpoints.manifest import read
from babe2.checkpoints.published import convert
from babe2.checkpoints.publishing import REPO, plan

PUBLISHED = REFERENCE / "small_ckpt_original_format.pt"
SAID = {
    "title": "A small piano",
    "licence": "CC BY 4.0",
    "description": "A prior of one piano",
    "credit": "The pianist",
    "training_data": "An hour of one piano",
}


@pytest.fixture(scope="session")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("made") / "small"
    convert(PUBLISHED, folder)
    return folder


@pytest.fixture
def folder(made: Path, tmp_path: Path) -> Path:
    """A converted checkpoint, and beside it what is nobody's business."""
    (tmp_path / "small").mkdir()
    for file in made.iterdir():
        (tmp_path / "small" / file.name).write_bytes(file.read_bytes())
    (tmp_path / "small" / "state").mkdir()
    (tmp_path / "small" / "log.jsonl").write_text("secret")
    return tmp_path / "small"


@pytest.fixture
def hub() -> Iterator[Hub]:
    with Hub() as hub:
        yield hub


def front(card: str) -> dict[str, Any]:
    return yaml.safe_load(card.split("---\n")[1])


def trained(**provenance: Any) -> Checkpoint:
    model = replace(COMPACT, column="compact")
    return Checkpoint(model, compact_network().state_dict(), torch.ones(513), "mine", "0" * 64, provenance)


# The card


def test_a_card_tells_the_hub_what_it_is() -> None:
    assert front(model_card(load(PUBLISHED), **SAID, datasets=["someone/pianos"])) == {
        "license": "cc-by-4.0",
        "library_name": "babe2",
        "pipeline_tag": "audio-to-audio",
        "tags": [
            "audio",
            "music-restoration",
            "bandwidth-extension",
            "diffusion",
            "historical-recordings",
            "babe2",
            "arxiv:2403.18636",
            "arxiv:2306.01433",
        ],
        "datasets": ["someone/pianos"],
    }


@pytest.mark.parametrize(
    ("licence", "identifier"),
    [
        ("CC BY 4.0", {"license": "cc-by-4.0"}),
        ("cc-by-nc-sa-4.0", {"license": "cc-by-nc-sa-4.0"}),
        ("CC0 1.0", {"license": "cc0-1.0"}),
        ("MIT License", {"license": "mit"}),
        ("not stated", {"license": "unknown"}),
        ("", {"license": "unknown"}),
        ("CC BY 9.0", {"license": "other", "license_name": "cc-by-9.0"}),
        ("Ask the archive, please", {"license": "other", "license_name": "ask-the-archive-please"}),
        ("???", {"license": "other", "license_name": "other"}),
    ],
)
def test_a_licence_has_the_hubs_name_or_its_own(licence: str, identifier: dict[str, str]) -> None:
    said = front(model_card(load(PUBLISHED), **SAID | {"licence": licence}))
    assert {key: value for key, value in said.items() if key.startswith("license")} == identifier


def test_a_card_tells_people_what_they_ask() -> None:
    data = {"files": 12, "hours": 1.5, "credit": ["A. Pianist (CC0)", "/home/me/secret.wav"]}
    checkpoint = trained(iterations=4600, hours_heard=20.888, data=data, parent={"name": "piano", "sha256": "a" * 64})
    card = model_card(checkpoint, **SAID, intended="Solo piano", repo="owner/piano", results="| LSD | 3.2 dB |")
    for told in (
        "# A small piano",
        "A prior of one piano",
        "Intended for: Solo piano.",
        'Restorer.from_checkpoint("owner/piano")',
        "## What is missing is imagined",
        "8000 Hz, trained on segments of 0.51 s",
        "compact, ",
        "513 bins",
        "iterations: 4,600",
        "heard: 20.9 hours of excerpts",
        f"trained further from: `piano`, sha256 `{'a' * 64}`",
        "| LSD | 3.2 dB |",
        "Licence of the weights: CC BY 4.0.",
        "Credit: The pianist.",
        "* A. Pianist (CC0)",
    ):
        assert told in card
    assert "secret" not in card and "base_model" not in front(card)  # `piano` is no repository on the Hub


def test_a_parent_on_the_hub_is_linked_to() -> None:
    said = front(model_card(trained(parent={"name": "owner/voice@main", "sha256": "a" * 64}), **SAID))
    assert said["base_model"] == "owner/voice" and said["base_model_relation"] == "finetune"
    assert front(model_card(trained(), **SAID, base_model="owner/other"))["base_model"] == "owner/other"


@pytest.mark.parametrize(
    "provenance",
    [
        {"iterations": "/scratch/x", "hours_heard": float("nan"), "data": "/home/me", "parent": ["/home/me"]},
        {"data": {"files": -1, "hours": "many", "credit": "/home/me"}, "parent": {"name": "/home/me/piano"}},
        {"data": {"credit": [3, None, r"C:\Users\me"]}, "parent": {"name": "~/piano"}, "converted": {"file": "./x"}},
    ],
)
def test_an_odd_provenance_leaves_a_card_whole_and_names_no_path(provenance: dict[str, Any]) -> None:
    card = model_card(trained(**provenance), **SAID)
    assert "## Licence and credit" in card and not re.search(r"/home|scratch|Users|nan|~|`\./x", card)


def test_what_a_person_writes_cannot_break_the_card() -> None:
    said = {key: f'---\n{key}: "[oops]"\n---\n\x1b[2J # ' for key in SAID}
    card = model_card(load(PUBLISHED), **said, datasets=["a: b\n---\n"], base_model="- x")
    parsed = yaml.safe_load(re.fullmatch(r"---\n(.*?)\n---\n.*", card, re.DOTALL)[1])  # type: ignore[index]
    assert parsed["base_model"] == "- x" and parsed["datasets"] == ["a: b\n---\n"] and "\x1b" not in card
    assert [line for line in card.splitlines() if line == "---"] == ["---", "---"]


@pytest.mark.parametrize(
    "text",
    ["/scratch/x", "from ~/music", "~me/x", r"C:\x", "d:/x", r"\\server\x", "file:///x", "(../x)", "./x", "a=/b"],
)
def test_what_means_something_on_one_machine_only_is_a_path(text: str) -> None:
    assert A_PATH.search(text)


@pytest.mark.parametrize(
    "text", ["https://a.org/b", "owner/name", "CC BY 4.0", "and/or", "Piano / voice", "1/2", "a: b"]
)
def test_other_words_are_not(text: str) -> None:
    assert not A_PATH.search(text)


# The plan


def test_a_plan_holds_three_files_and_nothing_else(folder: Path) -> None:
    publication = plan(folder, "listener/small-piano")
    assert publication.sizes == {
        "model.safetensors": (folder / "model.safetensors").stat().st_size,
        "config.json": (folder / "config.json").stat().st_size,
        "README.md": len(publication.card.encode()),
    }
    assert "listener/small-piano" in publication.as_text() and "log.jsonl" not in publication.as_text()
    assert json.loads(json.dumps(publication.as_dict()))["files"] == publication.sizes
    assert 'from_checkpoint("listener/small-piano")' in publication.card


def test_a_card_that_a_person_wrote_is_completed_and_otherwise_kept(folder: Path) -> None:
    body = "\n# Mine\n\nMy words --- mine.\n\n---\n\nMore.\n"
    (folder / "README.md").write_text(f"---\nlicense: My Licence\ntags: [piano]\nlanguage: fi\n---\n{body}")
    card = plan(folder, "listener/small").card
    assert card.endswith(f"---\n{body}")
    said = front(card)
    assert said["license"] == "other" and said["license_name"] == "my-licence" and said["language"] == "fi"
    assert said["library_name"] == "babe2" and said["tags"][:2] == ["piano", "audio"]
    (folder / "README.md").write_text(card)
    assert plan(folder, "listener/small").card == card
    (folder / "README.md").write_text("# No front matter\n")
    assert plan(folder, "listener/small", licence="mit").card.endswith("---\n# No front matter\n")
    (folder / "README.md").write_bytes(b"\xff\xfe")
    with pytest.raises(RestorationError, match=r"README.md is not UTF-8 text"):
        plan(folder, "listener/small")


def test_a_card_that_nobody_wrote_is_made_with_what_is_said_now(folder: Path) -> None:
    unsaid = (folder / "README.md").read_text()
    assert "Licence of the weights: not stated" in unsaid and 'from_checkpoint("owner/name")' in unsaid
    card = plan(folder, "listener/small", **SAID).card
    assert front(card)["license"] == "cc-by-4.0" and "# A small piano" in card and "not stated" not in card
    (folder / "README.md").unlink()
    assert plan(folder, "listener/small", **SAID).card == card
    (folder / "README.md").write_text(unsaid + "My words.\n")
    kept = plan(folder, "listener/small", **SAID).card
    assert front(kept)["license"] == "cc-by-4.0" and kept.endswith("not stated.\nMy words.\n")


@pytest.mark.parametrize("text", ["---\n[\n---\n", "---\n- a\n---\n", "---\ntags: 3\n---\n", "---\ntags: [3]\n---\n"])
def test_a_card_that_no_one_can_read_is_refused(folder: Path, text: str) -> None:
    (folder / "README.md").write_text(text)
    with pytest.raises(RestorationError, match=r"README.md cannot be read as a model card's YAML. Mend it"):
        plan(folder, "listener/small")


@pytest.mark.parametrize(
    "repo", ["small", "a/b/c", "/small", "me/", "me/../x", "me/a--b", "-me/a", "me/a b", "", "me/é"]
)
def test_a_repository_is_called_owner_and_name(folder: Path, repo: str) -> None:
    assert not REPO.fullmatch(repo)
    with pytest.raises(RestorationError, match=r"is not the name of a repository on the Hub. It is written owner/name"):
        plan(folder, repo)


def test_a_path_of_this_machine_is_not_published(folder: Path) -> None:
    described = json.loads((folder / "config.json").read_text())
    described["provenance"]["data"] = {"folders": ["fine", "/home/me/music"]}
    (folder / "config.json").write_text(json.dumps(described))
    with pytest.raises(RestorationError, match=r"names a path of this machine \(provenance.data.folders.1\)"):
        plan(folder, "listener/small")


def test_a_checkpoint_that_does_not_fit_is_not_published(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(RestorationError, match=r"holds no model.safetensors. Convert or train"):
        plan(tmp_path, "listener/small")
    good = load(folder)
    save(replace(good, weights={"extra": torch.zeros(1)} | good.weights), folder)
    with pytest.raises(RestorationError, match="surplus: extra"):
        plan(folder, "listener/small")


# The upload: the real client, in a process of its own because it reads the Hub's address once, when it is imported

PUBLISH = """
import json, sys
from pathlib import Path
from babe2 import RestorationError
from babe2.checkpoints.publishing import plan, publish

folder, repo, about, tokens = sys.argv[1:]
publication, outcomes = plan(Path(folder), repo, **json.loads(about)), []
for token in json.loads(tokens):
    try:
        outcomes.append(publish(publication, private=True, token=token).as_dict())
    except RestorationError as error:
        outcomes.append(str(error))
print(json.dumps(outcomes))
"""
FETCH = """
import sys
from huggingface_hub import hf_hub_download
for name in ("config.json", "README.md", "model.safetensors"):
    path = hf_hub_download(sys.argv[1], name, revision=sys.argv[2])
print(path)
"""


def published(folder: Path, home: Path, endpoint: str, *tokens: str | None, **more: str) -> list[Any]:
    """What becomes of publishing once with each token; None is the one that the surroundings hold."""
    said = json.dumps(SAID | {"intended": "Solo piano"})
    around = surroundings(home, endpoint, **more)
    return json.loads(run_child(PUBLISH, around, str(folder), f"{OWNER}/small", said, json.dumps(tokens)))


def test_what_is_published_comes_back_to_the_bit(hub: Hub, folder: Path, tmp_path: Path) -> None:
    told, again = published(folder, tmp_path / "home", hub.url, None, TOKEN, HF_TOKEN=TOKEN)
    assert again["commit"] == told["commit"]  # nothing is new
    there = hub.repositories[f"{OWNER}/small"]
    assert there.private and there.refs["main"] == told["commit"] and told["url"].endswith(told["commit"])
    assert set(there.commits[told["commit"]]) == {"model.safetensors", "config.json", "README.md"}
    around = surroundings(tmp_path / "other", hub.url, TOKEN)
    weights = Path(run_child(FETCH, around, f"{OWNER}/small", told["commit"]).strip())
    content = (folder / "model.safetensors").read_bytes()
    assert weights.read_bytes() == content
    original, found = load(folder), load(weights)
    assert found.model == original.model and found.provenance == original.provenance
    assert all(torch.equal(found.weights[key], value) for key, value in original.weights.items())
    assert 'from_checkpoint("listener/small")' in weights.with_name("README.md").read_text()

    # What it printed is an entry of a manifest.
    (tmp_path / "manifest.yaml").write_text(told["manifest_lines"])
    entry = read(tmp_path / "manifest.yaml", tmp_path)["small"]
    source = entry.sources[0]
    assert (source.repo, source.revision, source.file) == (f"{OWNER}/small", told["commit"], "model.safetensors")
    assert entry.sha256 == hashlib.sha256(content).hexdigest() and entry.bytes == len(content)
    assert (entry.sample_rate, entry.segment, entry.settings) == (8000, 13000, "piano")
    assert {name: getattr(entry, name) for name in SAID} == SAID and entry.intended == "Solo piano"


REFUSALS = {
    401: "does not know who wants to publish",
    403: "does not let this account write",
    404: "knows no listener/small",
    400: "refused listener/small (400)",
    409: "refused listener/small (409)",
    501: "has trouble of its own (501)",
}


def test_a_refusal_is_a_sentence_without_the_token(hub: Hub, folder: Path, tmp_path: Path) -> None:
    for status in REFUSALS:
        hub.order("/commit/", method="POST", times=1, status=status, content=TOKEN.encode())
    told = published(folder, tmp_path / "home", hub.url, *[TOKEN] * len(REFUSALS))
    for error, expected in zip(told, REFUSALS.values(), strict=True):
        assert isinstance(error, str) and expected in error and TOKEN not in error
        assert error.count(". ") <= 1 and "\n" not in error


def test_a_stranger_and_a_wrong_token_are_told_how_to_log_in(hub: Hub, folder: Path, tmp_path: Path) -> None:
    for told in published(folder, tmp_path / "home", hub.url, None, "hf_wrong", "hf_wröng", "hf_wr\nong"):
        assert "Run `hf auth login`, or set HF_TOKEN" in told and "hf_" not in told
    assert not hub.repositories


def test_without_a_network_it_is_said(folder: Path, tmp_path: Path) -> None:
    with refused() as endpoint:
        assert "The Hub cannot be reached" in published(folder, tmp_path / "home", endpoint, TOKEN)[0]
        off = published(folder, tmp_path / "home", endpoint, TOKEN, HF_HUB_OFFLINE="1")
    assert "switched off by HF_HUB_OFFLINE" in off[0]
