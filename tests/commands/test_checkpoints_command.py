"""`babe2 checkpoints` from the outside: what it prints, what it leaves behind, and with which status it ends."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import programs
import pytest
from conftest import REFERENCE
from hub_server import TOKEN, Hub, refused, surroundings

from babe2 import checkpoints
from babe2.checkpoints.listing import table
from babe2.checkpoints.manifest import collection
from babe2.commands.main import main

PUBLISHED = REFERENCE / "small_ckpt_original_format.pt"
SMALL = Path(__file__).parents[1] / "reference" / "small_checkpoint"
PAGE = Path(__file__).parents[2] / "docs" / "checkpoints.md"


@pytest.fixture
def hub() -> Iterator[Hub]:
    with Hub() as hub:
        yield hub


def babe2(*arguments: object, environment: dict[str, str]) -> subprocess.CompletedProcess[str]:
    return programs.run("-m", "babe2", "checkpoints", *arguments, env=environment, timeout=100)


def test_the_page_on_checkpoints_shows_the_manifest() -> None:
    assert table(collection()) in PAGE.read_text("utf-8")


def test_list_tells_what_is_here(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    assert main(["checkpoints", "list", "--cache-dir", str(tmp_path)]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert "included in babe2" in lines[0] and lines[0].startswith("piano-small")
    assert "to be fetched, unverified source" in lines[1]
    assert main(["checkpoints", "list", "--json", "--cache-dir", str(tmp_path)]) == 0
    rows = json.loads(capsys.readouterr().out)
    assert {row["id"]: row["state"] for row in rows}["caruso"] == "remote"


def test_show_tells_all_of_one(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["checkpoints", "show", "melba"]) == 0
    told = capsys.readouterr().out
    assert "Nellie Melba" in told and "44100 Hz" in told and "not stated" in told


def test_an_unknown_one_is_told_with_a_guess(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["checkpoints", "show", "melbar"]) == 1
    assert "Did you mean melba?" in capsys.readouterr().err


def test_fetch_verify_and_remove(capsys: pytest.CaptureFixture[str], hub: Hub, tmp_path: Path) -> None:
    manifest = tmp_path / "more.yaml"
    url = hub.add_file("tiny.pt", PUBLISHED.read_bytes())
    manifest.write_text(
        f"tiny: {{title: Tiny, description: For tests., sources: [{{url: '{url}'}}], sha256: null, bytes: null, "
        "sample_rate: 8000, segment: 13000, settings: piano, parameters: 1, licence: none, credit: nobody, "
        "training_data: noise, intended: tests}\n"
    )
    places = ["--manifest", str(manifest), "--cache-dir", str(tmp_path / "cache")]
    assert main(["checkpoints", "fetch", "tiny", *places]) == 0
    assert "(unverified source)" in capsys.readouterr().out
    assert main(["checkpoints", "verify", *places]) == 0
    assert "tiny: as first fetched, from an unverified source" in capsys.readouterr().out
    (weights,) = (tmp_path / "cache").rglob("model.safetensors")
    weights.write_bytes(b"something else")
    assert main(["checkpoints", "verify", *places]) == 1
    assert "not what it should be" in capsys.readouterr().err
    assert main(["checkpoints", "remove", "tiny", *places]) == 0
    assert "freed" in capsys.readouterr().out
    assert main(["checkpoints", "fetch", "tiny", "--offline", *places]) == 1


def test_what_comes_along_is_not_removed(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    assert main(["checkpoints", "remove", "piano-small", "--cache-dir", str(tmp_path)]) == 0
    assert "stays" in capsys.readouterr().out
    assert checkpoints.load("piano-small").verified


def test_convert_tells_what_it_left_out(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    assert main(["checkpoints", "convert", str(PUBLISHED), "-o", str(tmp_path / "mine")]) == 0
    assert "left out: " in capsys.readouterr().out
    assert checkpoints.load(tmp_path / "mine").model == checkpoints.load(PUBLISHED).model
    assert main(["checkpoints", "convert", str(PUBLISHED), "-o", str(tmp_path / "mine")]) == 1
    assert "overwrite" in capsys.readouterr().err


def test_half_precision_is_half_the_size(tmp_path: Path) -> None:
    for name, *options in (("whole",), ("half", "--half")):
        assert main(["checkpoints", "convert", str(SMALL), "-o", str(tmp_path / name), *options]) == 0
    sizes = [(tmp_path / name / "model.safetensors").stat().st_size for name in ("whole", "half")]
    assert sizes[1] < 0.6 * sizes[0]
    checkpoints.load(tmp_path / "half").network()


def test_publishing_asks_first_and_then_can_be_fetched_by_anyone(hub: Hub, tmp_path: Path) -> None:
    shutil.copytree(SMALL, tmp_path / "mine")
    around = surroundings(tmp_path / "home", hub.url, TOKEN)
    arguments = ("publish", tmp_path / "mine", "--repo", "listener/mine", "--title", "Mine", "--licence", "cc0-1.0")
    planned = babe2(*arguments, environment=around)
    assert planned.returncode == 0 and "nothing was uploaded" in planned.stderr
    assert not hub.asked("/commit/", "POST")
    published = babe2(*arguments, "--yes", environment=around)
    assert published.returncode == 0, published.stderr
    assert "sources:" in published.stdout and TOKEN not in published.stdout + published.stderr
    manifest = tmp_path / "theirs.yaml"
    manifest.write_text(published.stdout.split("For a manifest:\n\n")[1], "utf-8")
    theirs = surroundings(tmp_path / "another home", hub.url)
    fetched = babe2("fetch", "mine", "--manifest", manifest, "--json", environment=theirs)
    assert fetched.returncode == 0, fetched.stderr
    (found,) = json.loads(fetched.stdout)
    assert found["verified"]
    assert Path(found["path"]).read_bytes() == (SMALL / "model.safetensors").read_bytes()


def test_without_a_network_the_command_says_what_to_do(tmp_path: Path) -> None:
    with refused() as nowhere:
        missing = babe2("fetch", "somebody/something", environment=surroundings(tmp_path, nowhere))
    assert missing.returncode == 1
    assert missing.stderr.count("\n") == 1 and "Try again with a network" in missing.stderr
