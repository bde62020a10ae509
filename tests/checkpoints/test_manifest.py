"""What checkpoints there are is told rightly, and every mistake in a manifest by its field."""

from __future__ import annotations

import hashlib
import re
from pathlib import Path

import pytest
import yaml
from my_piano import manifest_entry

from babe2 import RestorationError, checkpoints
from babe2.checkpoints import manifest
from babe2.checkpoints.manifest import Entry, collection, own_manifest, read
from babe2.config import COLUMNS
from babe2.networks.models import MODELS

PRIORS = ["piano-small", "piano", "voice-small", "voice", "caruso", "melba", "gigli", "patti"]
PRIORS += ["strings", "brass", "woodwind", "cqtdiff-22k", "cqtdiff-44k"]
# The published file that each is, and its size.
RELEASED = {"two-stage-denoiser": ("checkpoint_denoiser", 290_491_831)} | {
    f"behm-gan-{music}": (f"checkpoint_{music}", 329_972_495) for music in ("piano", "strings", "orchestra")
}
IDS = [*PRIORS, "denoiser-small", *RELEASED]
RELEASE = "https://github.com/eloimoliner/bwe_historical_recordings/releases/download/v0.0-alpha"
AUTHORS = (
    "http://research.spa.aalto.fi/publications/",
    "https://github.com/eloimoliner/CQTdiff/releases/download/",
    "https://www02.smt.ufrj.br/~bernardo.miranda/",
)
GOOD = manifest_entry()


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


@pytest.mark.parametrize("name", ["piano-small", "voice-small"])
def test_what_comes_along_is_what_the_manifest_says(name: str) -> None:
    entry = collection()[name]
    folder = entry.bundled()
    assert folder is not None
    weights = (folder / "model.safetensors").read_bytes()
    assert (hashlib.sha256(weights).hexdigest(), len(weights)) == (entry.sha256, entry.bytes)
    checkpoint = checkpoints.load(name)
    model = checkpoint.model
    assert (model.sample_rate, model.segment, model.column) == (entry.sample_rate, entry.segment, entry.settings)
    assert sum(value.numel() for value in checkpoint.weights.values()) == entry.parameters
    assert checkpoint.verified


def test_published_ones_come_from_their_authors_and_nowhere_else() -> None:
    for name, entry in collection().items():
        if name.endswith("-small"):
            continue
        assert entry.sha256 is None  # nobody has published them
        if name in RELEASED:
            (source,) = entry.sources
            file, size = RELEASED[name]
            assert source.url == f"{RELEASE}/{file}"
            assert (entry.bytes, entry.settings) == (size, None)
            continue
        for source in entry.sources:
            assert source.repo == "Eloimoliner/babe" or (source.url and source.url.startswith(AUTHORS))
        if entry.settings != "instruments":
            assert entry.settings is not None
            model = MODELS[name if name in MODELS else entry.settings]
            assert (model.sample_rate, model.segment) == (entry.sample_rate, entry.segment)
            assert entry.sigma_data in (None, model.sigma_data)


def test_instruments_of_babe_are_the_pianos_network_at_their_own_rate_and_level() -> None:
    for name in ("strings", "brass", "woodwind"):
        entry, piano = collection()[name], collection()["piano"]
        said = {"sample_rate": 16000, "segment": 184184, "sigma_data": 0.15, "column": "instruments"}
        assert (entry.stated(), entry.parameters) == (said, piano.parameters)
        (source,) = entry.sources
        assert source.revision is None and source.file is not None and source.file.startswith(f"COCOChorales_{name}_")


def test_a_manifest_of_ones_own_is_added(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    more = written(tmp_path, GOOD)
    expected = [*IDS, "my-piano"]
    assert list(collection(more)) == expected
    monkeypatch.setenv(manifest.ENVIRONMENT, str(more))
    assert list(collection()) == expected
    hub, web = collection()["my-piano"].sources
    assert (hub.repo, web.url) == ("me/my-piano", "http://localhost/my-piano.pt")


def test_a_name_is_given_once(tmp_path: Path) -> None:
    more = written(tmp_path, GOOD.replace("my-piano:", "melba:"))
    with pytest.raises(RestorationError, match="'melba' a second time"):
        collection(more)


@pytest.mark.parametrize(
    ("wrong", "right", "told"),
    [
        ("sample_rate: fast", "sample_rate: 22050", "my-piano.sample_rate must be a rate in Hz, not 'fast'"),
        ("sample_rate: 5", "sample_rate: 22050", "must be a rate in Hz, not '5'"),
        ("segment: -1", "segment: 45056", "must be a number of samples"),
        ("settings: harp", "settings: compact", f"must be one of {', '.join(COLUMNS)} or null, not 'harp'"),
        ("bytes: 1.5", "bytes: null", "must be a positive whole number or null"),
        ("sha256: abc", "sha256: null", "must be 64 hexadecimal digits or null"),
        ("licence: ''", "licence: CC BY 4.0", "must be a text"),
        ("credit: [me, you]", "credit: me", "must be a text"),
        ("colour: red", "intended: my piano", "has no field 'colour'"),
        ("  - url: ftp://localhost/x", "  - url: http://localhost/my-piano.pt", "an http or https address"),
        ("  - url: http://h:99999999/x", "  - url: http://localhost/my-piano.pt", "an http or https address"),
        ("  - url: http://me:pass@localhost/x", "  - url: http://localhost/my-piano.pt", "an http or https address"),
        ("  - path: x", "  - url: http://localhost/my-piano.pt", "has no field 'path'"),
        ("  - {url: http://h/x, repo: a/b}", "  - url: http://localhost/my-piano.pt", "must be {bundled}, {repo,"),
        ("  - bundled: ../../elsewhere", "  - url: http://localhost/my-piano.pt", "within the manifest's own"),
        ("  - bundled: /etc", "  - url: http://localhost/my-piano.pt", "within the manifest's own"),
        ("revision: main", "revision: 0123456789abcdef0123456789abcdef01234567", "must be a commit"),
        ("sigma_data: 0", "sigma_data: 0.08", "must be a number above 0"),
        ("sigma_data: 1e3", "sigma_data: 0.08", "must be a number above 0"),
        ("spectrum: Piano!", "spectrum: piano-small", "must be another checkpoint's id or null"),
        ("repo: me/../you", "repo: me/my-piano", "must be owner/name"),
        ("file: ../model.safetensors", "file: model.safetensors", "must be a file's name in the repository"),
        ("My piano:", "my-piano:", "cannot be an id"),
        ("a" * 500 + ":", "my-piano:", "cannot be an id"),
        ("  - bundled: " + "a" * 5000, "  - url: http://localhost/my-piano.pt", "within the manifest's own"),
        ("title: !!python/name:os.system", "title: Mine", "must be a text"),
        ("title: Mine\n  title: Mine", "title: Mine", "a name stands a second time"),
        (r'title: "\e[2J"', "title: Mine", "my-piano.title must be a text"),
    ],
)
def test_a_mistake_is_named_by_its_field(tmp_path: Path, wrong: str, right: str, told: str) -> None:
    good = f"{GOOD}  sigma_data: 0.08\n  spectrum: piano-small\n"
    assert right in good
    assert told in mistakes(tmp_path, good.replace(right, wrong))


def test_several_mistakes_are_named_at_once_and_many_are_counted(tmp_path: Path) -> None:
    found = mistakes(tmp_path, GOOD.replace("segment: 45056", "segment: 0").replace("  credit: me\n", ""))
    assert "segment" in found and "lacks credit" in found
    many = mistakes(tmp_path, "\n".join(f"k{i}: 1" for i in range(5000)))
    assert many.endswith(
        "has mistakes: k0 must be a mapping; k1 must be a mapping; k2 must be a mapping; and 4997 more."
    )


FIELDS = [name for name in Entry.__dataclass_fields__ if name not in ("id", "base")]
OF_YAML = {
    "a truth that is none": "!!bool x",
    "a number that is none": "!!int ''",
    "a day that is none": "!!timestamp x",
    "a number without end": "0x" + "f" * 50_000,
    "minutes without end": "9" + ":59" * 15_000,
    "a set": "!!set {a, b}",
    "a pair": "!!omap [a: b]",
    "bytes": "!!binary '===='",
    "an object": "!!python/object/apply:os.system [true]",
    "a list in a list": "[[[]]]",
    "a mapping": "{a: {b: c}}",
    "a list": "[1, x, null]",
    "nothing": "",
}


@pytest.mark.parametrize("odd", OF_YAML)
def test_what_yaml_knows_besides_is_refused_in_every_field(tmp_path: Path, odd: str) -> None:
    for name in FIELDS:
        described = yaml.safe_load(GOOD)
        described["my-piano"][name] = "ODD"
        text = yaml.safe_dump(described).replace("ODD", OF_YAML[odd])
        try:
            read(written(tmp_path, text), tmp_path)
        except RestorationError as refusal:
            assert len(str(refusal)) < 500 and str(refusal).isprintable()
        else:  # a text is a text, however it is tagged
            texts = ("title", "description", "licence", "credit", "training_data", "intended")
            assert name in (*texts, "sha256", "bytes", "sigma_data", "spectrum", "settings")


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("- a list", "must be a mapping"),
        ("a: {b: [", "is not YAML"),
        ("a: 1\na: 2", "a second time"),
        ("a: *nothing", "is not YAML"),
        ("a: &a {b: *a}", "is not YAML"),
        ("{a: 1}: 2", "is not YAML"),
        ("a: \0", "is not YAML"),
        ("a: 1\n--- b", "is not YAML"),
        ("x" * 2_000_000, "too large"),
        ("\n".join(f"k{i}: 1" for i in range(60_000)), "too large"),
        ("[" * 20_000, "is not YAML"),
        ("- " * 20_000, "is not YAML"),
        ("".join(" " * i + "a:\n" for i in range(300)), "a must be a mapping|a lacks|has no field"),
        # Each list holds the one before it four times: small in the file, and 4 ** 30 texts when written out.
        (
            "a: &a [x]\nb0: &b0 [*a]\n" + "".join(f"b{i}: &b{i} [{f'*b{i - 1},' * 4}]\n" for i in range(1, 30)),
            "and 28 more",
        ),
    ],
)
def test_what_is_no_manifest_is_told_in_a_sentence(tmp_path: Path, text: str, told: str) -> None:
    found = mistakes(tmp_path, text)
    assert re.search(told, found) and len(found) < 1000 and found.isprintable()


def test_a_missing_manifest_is_told(tmp_path: Path) -> None:
    with pytest.raises(RestorationError, match="cannot be read: No such file"):
        collection(tmp_path / "none.yaml")


def test_an_empty_manifest_adds_nothing(tmp_path: Path) -> None:
    assert read(written(tmp_path, ""), tmp_path) == {}


def test_fields_stand_in_the_order_of_their_definition() -> None:
    described = yaml.safe_load(own_manifest().read_text("utf-8"))
    for entry in described.values():
        assert list(entry) == [name for name in manifest.OF_AN_ENTRY if name in entry]
        assert set(manifest.OF_AN_ENTRY) - set(entry) <= set(manifest.MAY_LACK)


def test_a_text_is_told_in_one_line(tmp_path: Path) -> None:
    folded = GOOD.replace("description: My own piano.", "description: >\n    My own\n    piano.")
    assert read(written(tmp_path, folded), tmp_path)["my-piano"].description == "My own piano."


def test_a_folder_may_be_called_as_people_call_folders(tmp_path: Path) -> None:
    (tmp_path / "My Flügel").mkdir()
    bundled = GOOD.replace("  - url: http://localhost/my-piano.pt", "  - bundled: My Flügel")
    assert read(written(tmp_path, bundled), tmp_path)["my-piano"].bundled() == tmp_path / "My Flügel"


def test_the_manifest_in_the_package_is_the_one_beside_it() -> None:
    """The first is what an installation has, and the second what a reader of the repository finds."""
    assert own_manifest() == manifest.PACKAGE.parent / manifest.NAME
    assert (manifest.PACKAGE / manifest.NAME).read_text("utf-8") == own_manifest().read_text("utf-8")
