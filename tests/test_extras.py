"""What a plain install leaves out is named in a sentence, and everything that is imported is declared."""

from __future__ import annotations

import ast
import re
import runpy
import sys
import tomllib
from importlib.metadata import packages_distributions, version
from pathlib import Path

import pytest
import soundfile as sf
from conftest import CHECKPOINT
from music import chord
from packaging.requirements import Requirement

import babe2
from babe2.commands.main import main
from babe2.extras import EXTRAS

ROOT = Path(babe2.__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
# What each room may import beyond the core; all others import the core alone.
ROOMS = {
    "checkpoints": "hub",
    "recordings": "formats",
    "evaluation": "evaluation quality",
    "generation": "generation",
    "report": "plots",
    "stages": "separation",
    "page": "zerogpu",
    "app.py": "page",
}


CALLED = {"visqol": "visqol-python"}  # distributions that are called otherwise than their module


def plain(name: str) -> str:
    """A distribution's name as every spelling of it is compared."""
    return re.sub(r"[-_.]+", "-", name).lower()


def declared(extra: str | None = None) -> set[str]:
    """The distributions that babe2 needs, with an extra or without, the core included."""
    lines = PROJECT["dependencies"] if extra is None else PROJECT["optional-dependencies"][extra]
    found = set() if extra is None else declared()
    for requirement in map(Requirement, lines):
        found |= set().union(*map(declared, requirement.extras)) if requirement.name == "babe2" else {requirement.name}
    return {plain(name) for name in found}


def imported(path: Path) -> set[tuple[str, int]]:
    """The modules of other projects that a file imports, also inside functions, and in which line."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
        names += [node.module] if isinstance(node, ast.ImportFrom) and node.module else []
        found |= {(name.split(".")[0], node.lineno) for name in names}
    return {(name, line) for name, line in found if name not in sys.stdlib_module_names and name != "babe2"}


def test_every_import_is_declared_where_its_room_belongs() -> None:
    distributions = packages_distributions()
    for path in (ROOT / "app.py", *(ROOT / "babe2").rglob("*.py")):
        place = path.relative_to(ROOT)
        extras = ROOMS.get(place.parts[1] if len(place.parts) > 2 else place.name, "").split()
        for module, line in imported(path):
            names = {plain(name) for name in distributions.get(module, [CALLED.get(module, module)])}
            told = f"the extra {' or '.join(extras)}" if extras else "dependencies"
            assert any(names & declared(extra) for extra in extras or [None]), (
                f"{place}:{line} imports {module}, which {told} in pyproject.toml lacks."
            )


def test_a_recipe_installs_what_it_imports() -> None:
    for folder in (path for path in (ROOT / "recipes").iterdir() if (path / "requirements.txt").exists()):
        lines = [
            line.partition("#")[0].strip() for line in (folder / "requirements.txt").read_text("utf-8").splitlines()
        ]
        installed = declared() | {plain(Requirement(line).name) for line in lines if line}
        own = {path.stem for path in folder.glob("*.py")}
        for path in folder.glob("*.py"):
            for module, line in imported(path):
                assert module in own or plain(module) in installed, f"{path.relative_to(ROOT)}:{line} imports {module}."


def test_the_modules_of_an_extra_are_those_it_installs() -> None:
    distributions = packages_distributions()
    for extra, (_, modules) in EXTRAS.items():
        assert {plain(distributions.get(module, [CALLED.get(module, module)])[0]) for module in modules} <= declared(
            extra
        ) - declared()


def test_a_space_installs_everything_for_the_page_within_the_ranges() -> None:
    lines = [line.partition("#")[0].strip() for line in (ROOT / "requirements.txt").read_text("utf-8").splitlines()]
    pinned = {plain(one.name): one for one in map(Requirement, filter(None, lines))}
    assert declared("page") <= pinned.keys()
    for requirement in map(Requirement, PROJECT["dependencies"]):
        here = version(requirement.name)
        assert requirement.specifier.contains(here) and pinned[plain(requirement.name)].specifier.contains(here)


@pytest.mark.parametrize(
    ("arguments", "extra", "missing"),
    [
        (["restore", "old.wav", "--plots", "plots"], "plots", "matplotlib"),
        (["analyse", "memo.m4a"], "formats", "av"),
        (["evaluate", "synthetic", "old.wav", "--sheets", "sheets"], "plots", "matplotlib"),
        (["evaluate", "synthetic", "old.wav", "--visqol"], "quality", "visqol"),
        (["compare", "old.wav", "old.wav", "--plots", "plots"], "plots", "matplotlib"),
        (["generate-test-clips", "-o", "clips", "--model", "musicgen-small"], "generation", "transformers"),
        (["checkpoints", "fetch", "somebody/something"], "hub", "huggingface_hub"),
        (["checkpoints", "publish", CHECKPOINT, "--repo", "me/mine", "--yes"], "hub", "huggingface_hub"),
    ],
)
def test_what_a_plain_install_lacks_is_told_with_the_line_that_brings_it(
    arguments: list[str],
    extra: str,
    missing: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    sf.write("old.wav", chord(), 8000)
    Path("memo.m4a").write_bytes(b"\0\0\0\x20ftypM4A " + bytes(1000))
    monkeypatch.setitem(sys.modules, missing, None)  # as Python has it where a package is not there
    assert main(arguments) == 1
    told = capsys.readouterr()
    assert missing in told.err and f'pip install "babe2[{extra}]"' in told.err and told.err.count("\n") == 1
    assert sorted(path.name for path in tmp_path.iterdir()) == ["memo.m4a", "old.wav"]


def test_the_page_without_gradio_ends_with_the_line_that_brings_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "gradio", None)
    with pytest.raises(SystemExit, match=r'pip install "\.\[page\]"'):
        runpy.run_path(str(ROOT / "app.py"))


def test_a_plain_install_restores_with_what_is_included(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for missing in (module for _, modules in EXTRAS.values() for module in modules):
        monkeypatch.setitem(sys.modules, missing, None)
    sf.write(tmp_path / "old.wav", chord(1.0), 8000)
    assert main(["restore", str(tmp_path / "old.wav"), "--preset", "draft"]) == 0
    assert main(["checkpoints", "list"]) == 0
    assert "piano-small" in capsys.readouterr().out
