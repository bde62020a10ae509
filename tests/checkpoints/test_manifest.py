"""What checkpoints there are is told rightly, and every mistake in a manifest by its line."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest
import yaml

from babe2 import RestorationError, checkpoints
from babe2.checkpoints import manifest
from babe2.checkpoints.manifest import Entry, Source, collection, house, read
from babe2.config import COLUMNS

IDS = ["piano-small", "piano", "voice", "caruso", "melba", "gigli", "patti"]
GOOD = """
my-piano:
  title: Mine
  description: My own piano.
  sources:
    - {repo: me/my-piano, revision: 0123456789abcdef0123456789abcdef01234567, file: model.safetensors}
    - url: http://localhost/my-piano.pt
  sha256: null
  bytes: null
  sample_rate: 22050
  segment: 45056
  settings: compact
  parameters: 4000000
  licence: CC BY 4.0
  credit: me
  training_data: my recordings
  intended: my piano
"""


def written(folder: Path, text: str) -> Path:
    path = folder / "more.yaml"
    path.write_text(text, "utf-8")
    return path


def mistakes(folder: Path, text: str) -> str:
    with pytest.raises(RestorationError) as told:
        read(written(folder, text), folder)
    return str(told.value)


def test_the_house_names_what_it_has() -> None:
    assert list(collection()) == IDS


def test_what_comes_along_is_what_the_manifest_says() -> None:
    entry = collection()["piano-small"]
    folder = entry.bundled()
    assert folder is not None
    weights = (folder / "model.safetensors").read_bytes()
    assert (hashlib.sha256(weights).hexdigest(), len(weights)) == (entry.sha256, entry.bytes)
    checkpoint = checkpoints.load("piano-small")
    model = checkpoint.model
    assert (model.sample_rate, model.segment, model.column) == (entry.sample_rate, entry.segment, entry.settings)
    assert sum(value.numel() for value in checkpoint.weights.values()) == entry.parameters
    assert checkpoint.verified


def test_published_ones_come_from_their_authors_and_nowhere_else() -> None:
    for name, entry in collection().items():
        if name != "piano-small":
            (source,) = entry.sources
            assert source.url is not None and source.url.startswith("http://research.spa.aalto.fi/publications/")
            assert entry.sha256 is None and entry.bytes is None  # nobody has published them
            assert COLUMNS[entry.settings].segment_length == entry.segment


def test_a_manifest_of_ones_own_is_added(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    more = written(tmp_path, GOOD)
    expected = [*IDS, "my-piano"]
    assert list(collection(more)) == expected
    monkeypatch.setenv(manifest.ENVIRONMENT, str(more))
    assert list(collection()) == expected
    assert [source.kind for source in collection()["my-piano"].sources] == ["hub", "url"]


def test_a_name_is_given_once(tmp_path: Path) -> None:
    more = written(tmp_path, GOOD.replace("my-piano:", "melba:"))
    with pytest.raises(RestorationError, match="'melba' a second time"):
        collection(more)


@pytest.mark.parametrize(
    ("wrong", "right", "line", "told"),
    [
        ("sample_rate: fast", "sample_rate: 22050", 10, "my-piano.sample_rate must be a whole number"),
        ("sample_rate: 5", "sample_rate: 22050", 10, "must be a rate in Hz, not 5"),
        ("segment: -1", "segment: 45056", 11, "must be a number of samples"),
        ("settings: harp", "settings: compact", 12, "must be one of piano, voice, compact, not 'harp'"),
        ("bytes: 1.5", "bytes: null", 9, "must be a whole number or null"),
        ("sha256: abc", "sha256: null", 8, "must be 64 hexadecimal digits, or null"),
        ("licence: ''", "licence: CC BY 4.0", 14, "must be a text"),
        ("credit: [me, you]", "credit: me", 15, "must be a text"),
        ("colour: red", "intended: my piano", 17, "has no field 'colour'"),
        ("  - url: ftp://localhost/x", "  - url: http://localhost/my-piano.pt", 7, "an http or https address"),
        ("  - url: http://me:pass@localhost/x", "  - url: http://localhost/my-piano.pt", 7, "an http or https address"),
        ("  - path: x", "  - url: http://localhost/my-piano.pt", 7, "has no field 'path'"),
        ("  - bundled: ../../elsewhere", "  - url: http://localhost/my-piano.pt", 7, "within the manifest's own"),
        ("  - bundled: /etc", "  - url: http://localhost/my-piano.pt", 7, "within the manifest's own"),
        ("revision: main", "revision: 0123456789abcdef0123456789abcdef01234567", 6, "must be a commit"),
        ("repo: me/../you", "repo: me/my-piano", 6, "must be owner/name"),
        ("file: ../model.safetensors", "file: model.safetensors", 6, "must be a file's name in the repository"),
        ("My piano:", "my-piano:", 2, "cannot be an id"),
        ("title: !!python/name:os.system", "title: Mine", 3, "must be a text"),
    ],
)
def test_a_mistake_is_named_by_its_line(tmp_path: Path, wrong: str, right: str, line: int, told: str) -> None:
    assert right in GOOD
    found = mistakes(tmp_path, GOOD.replace(right, wrong))
    assert f"Line {line}: " in found and told in found


def test_all_mistakes_are_named_at_once(tmp_path: Path) -> None:
    found = mistakes(tmp_path, GOOD.replace("segment: 45056", "segment: 0").replace("  credit: me\n", ""))
    assert "segment" in found and "lacks credit" in found


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("- a list", "must be a mapping"),
        ("a: {b: [", "not YAML"),
        ("a: 1\na: 2", "a second time"),
        ("a: *nothing", "not YAML"),
        ("x" * 2_000_000, "too large"),
        ("[" * 20_000, "not YAML"),
    ],
)
def test_what_is_no_manifest_is_told_in_a_sentence(tmp_path: Path, text: str, told: str) -> None:
    assert told in mistakes(tmp_path, text)


def test_a_missing_manifest_is_told(tmp_path: Path) -> None:
    with pytest.raises(RestorationError, match="cannot be read: No such file"):
        collection(tmp_path / "none.yaml")


def test_an_empty_manifest_adds_nothing(tmp_path: Path) -> None:
    assert read(written(tmp_path, ""), tmp_path) == {}


def test_fields_stand_in_the_order_of_their_definition() -> None:
    described = yaml.safe_load(house().read_text("utf-8"))
    names = [name for name in Entry.__dataclass_fields__ if name not in manifest.OF_THE_READER]
    for entry in described.values():
        assert list(entry) == names


def test_a_text_is_told_in_one_line_and_in_plain_letters(tmp_path: Path) -> None:
    folded = GOOD.replace("description: My own piano.", "description: >\n    My own\n    piano.")
    assert read(written(tmp_path, folded), tmp_path)["my-piano"].description == "My own piano."
    assert "my-piano.title must be a text" in mistakes(tmp_path, GOOD.replace("Mine", r'"\e[2J"'))


def test_a_folder_may_be_called_as_people_call_folders(tmp_path: Path) -> None:
    (tmp_path / "My Flügel").mkdir()
    bundled = GOOD.replace("  - url: http://localhost/my-piano.pt", "  - bundled: My Flügel")
    assert read(written(tmp_path, bundled), tmp_path)["my-piano"].bundled() == tmp_path / "My Flügel"


def test_the_manifest_is_found_where_an_installation_into_a_folder_puts_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    installed = tmp_path / "share" / "babe2" / manifest.NAME
    monkeypatch.setattr(manifest, "PACKAGE", tmp_path / "babe2")
    monkeypatch.setattr(manifest.importlib.metadata, "files", lambda _: None)
    monkeypatch.setattr(manifest.sys, "prefix", str(tmp_path / "elsewhere"))
    with pytest.raises(RestorationError, match="is missing from this installation"):
        house()
    installed.parent.mkdir(parents=True)
    installed.write_text("")
    assert house() == installed


def test_a_source_is_of_one_kind() -> None:
    assert Source(url="http://localhost/x", repo="a/b").kind == ""
