"""What a built wheel holds, used from where it is installed: nothing of the checkout is at hand there."""

from __future__ import annotations

import json
import os
import shutil
import site
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import soundfile as sf
from music import music

import babe2

ROOT = Path(babe2.__file__).parents[1]
LEFT_OUT = shutil.ignore_patterns(".git", ".venv", "build", "dist", "runs", "*.egg-info", "__pycache__", ".*_cache")

pytestmark = pytest.mark.slow


def told(*command: object, folder: Path) -> str:
    """What a command prints, away from the checkout."""
    around = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    run = subprocess.run([*map(str, command)], cwd=folder, env=around, capture_output=True, text=True)
    assert run.returncode == 0, run.stdout + run.stderr
    return run.stdout


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The programs of an environment that holds babe2 from a wheel, and sees the packages of this one."""
    folder = tmp_path_factory.mktemp("installation")
    source = shutil.copytree(ROOT, folder / "source", ignore=LEFT_OUT)
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check"]
    told(*pip, "wheel", "--no-deps", "--no-build-isolation", "--wheel-dir", folder / "wheels", source, folder=folder)
    told(sys.executable, "-m", "venv", "--without-pip", folder / "venv", folder=folder)
    python = folder / "venv" / "bin" / "python"
    (wheel,) = (folder / "wheels").glob("babe2-*.whl")
    told(*pip, "--python", python, "install", "--no-deps", "--no-index", wheel, folder=folder)
    (packages,) = (folder / "venv" / "lib").glob("python*/site-packages")
    # Added to the path and no more: the packages' own .pth files, the checkout's among them, are not looked at.
    (packages / "others.pth").write_text("\n".join(site.getsitepackages()) + "\n")
    shutil.rmtree(source)
    yield folder / "venv" / "bin"


def test_the_command_tells_its_version_and_knows_its_checkpoints(installed: Path, tmp_path: Path) -> None:
    assert json.loads(told(installed / "babe2", "info", "--json", folder=tmp_path))["babe2"] == babe2.__version__
    listed = told(installed / "babe2", "checkpoints", "list", folder=tmp_path).splitlines()
    assert listed[0].startswith("piano-small") and "included in babe2" in listed[0]
    assert any(line.startswith("caruso") for line in listed)


def test_a_recording_is_restored_with_the_checkpoint_inside(installed: Path, tmp_path: Path) -> None:
    sf.write(tmp_path / "old.wav", music(1.0)[0], 8000)
    told(installed / "babe2", "restore", "old.wav", "--preset", "draft", folder=tmp_path)
    assert sf.info(tmp_path / "old.restored.wav").frames == 22_050  # room for what is generated


def test_every_room_and_every_file_beside_the_code_is_there(installed: Path, tmp_path: Path) -> None:
    script = "import babe2, pathlib; print(pathlib.Path(babe2.__file__).parent)"
    there = Path(told(installed / "python", "-c", script, folder=tmp_path).strip())
    assert there.is_relative_to(installed.parent)
    inside = {path.relative_to(there) for path in there.rglob("*") if path.is_file() and path.suffix != ".pyc"}
    source = ROOT / "babe2"
    assert inside == {
        path.relative_to(source) for path in source.rglob("*") if path.is_file() and path.suffix != ".pyc"
    }
