"""The driver of the long attacks counts what its attacks do, whatever they do."""

from __future__ import annotations

from pathlib import Path

import pytest
from soak.__main__ import attack, table

ATTACKS = {
    "tame": "def run(count, seed):\n    print('chatter')\n    return {'tried': count, 'ok': count - seed}\n",
    "wrong": "def run(count, seed):\n    return {'tried': count, 'differences': 2}\n",
    "raising": "def run(count, seed):\n    raise ValueError\n",
    "dying": "import os\ndef run(count, seed):\n    os.abort()\n",
}


@pytest.mark.parametrize(
    ("name", "counts"),
    [
        ("tame", {"tried": 5, "ok": 3}),
        ("wrong", {"tried": 5, "differences": 2}),
        ("raising", {"tracebacks": 1}),
        ("dying", {"crashes": 1}),
    ],
)
def test_what_an_attack_did_is_counted(name: str, counts: dict[str, int], tmp_path: Path) -> None:
    (tmp_path / f"{name}.py").write_text(ATTACKS[name])
    assert attack(name, 5, 2, seconds=60, folder=tmp_path) == counts


def test_an_attack_that_never_ends_is_a_hang(tmp_path: Path) -> None:
    (tmp_path / "endless.py").write_text("import time\ndef run(count, seed):\n    time.sleep(1e6)\n")
    assert attack("endless", 5, 2, seconds=1, folder=tmp_path) == {"hangs": 1}


def test_the_table_shows_what_must_be_zero_last() -> None:
    told = table({"files": {"tried": 5, "ok": 5}, "journals": {"tried": 3, "hangs": 1}}).splitlines()
    assert " ".join(told[0].split()) == "attack tried ok tracebacks crashes hangs leftovers differences"
    assert " ".join(told[1].split()) == "files 5 5 0 0 0 0 0"
    assert " ".join(told[2].split()) == "journals 3 0 0 0 1 0 0"
