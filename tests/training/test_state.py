"""A state on disk: whole, or the one before it."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from babe2 import RestorationError
from babe2.training.state import DESCRIPTION, FORMAT, State, differences, digest, load, save


def state(iteration: int) -> State:
    tensors = {"weight": torch.full((3, 2), float(iteration)), "count": torch.tensor(iteration)}
    return State(iteration, {"network": tensors, "empty": {}}, {"settings": {"batch": 4}})


def test_a_state_comes_back_as_it_was(tmp_path: Path) -> None:
    assert load(tmp_path / "state") is None
    save(state(7), tmp_path / "state")
    found = load(tmp_path / "state")
    assert found is not None and found.iteration == 7 and found.about == {"settings": {"batch": 4}}
    assert torch.equal(found.tensors["network"]["weight"], torch.full((3, 2), 7.0))
    assert found.tensors["network"]["count"].shape == ()


def test_only_the_last_is_kept(tmp_path: Path) -> None:
    for iteration in (1, 2, 3):
        save(state(iteration), tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["000000003"]


def test_the_one_before_stays_until_the_new_one_is_whole(tmp_path: Path) -> None:
    save(state(1), tmp_path)
    broken = State(2, state(2).tensors | {"optimiser": {"cannot be written": torch.eye(2).to_sparse()}}, {})
    with pytest.raises((RuntimeError, ValueError, NotImplementedError)):
        save(broken, tmp_path)
    assert len(list(tmp_path.iterdir())) == 2
    found = load(tmp_path)
    assert found is not None and found.iteration == 1
    save(state(3), tmp_path)  # and what was begun is cleared away
    assert [path.name for path in tmp_path.iterdir()] == ["000000003"]


def test_a_damaged_state_gives_way_to_the_one_before(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    save(state(1), tmp_path / "a")
    save(state(2), tmp_path / "b")
    os.rename(tmp_path / "b" / "000000002", tmp_path / "a" / "000000002")
    weights = tmp_path / "a" / "000000002" / "network.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1])
    found = load(tmp_path / "a")
    assert found is not None and found.iteration == 1 and "damaged" in caplog.text
    (tmp_path / "a" / "000000001" / DESCRIPTION).write_text("{}")
    with pytest.raises(RestorationError, match=r"No state .* is complete"):
        load(tmp_path / "a")


def test_each_kind_of_tensor_is_one_file(tmp_path: Path) -> None:
    save(state(7), tmp_path)
    names = {path.name for path in (tmp_path / "000000007").iterdir()}
    assert names == {"network.safetensors", "empty.safetensors", DESCRIPTION}


def test_a_state_of_an_older_run_whose_kinds_are_in_several_files_is_read(tmp_path: Path) -> None:
    older = tmp_path / "000000007"
    older.mkdir()
    parts = {"network-00": {"weight": torch.ones(3)}, "network-01": {"count": torch.tensor(7)}}
    for name, tensors in parts.items():
        save_file(tensors, older / f"{name}.safetensors")
    files = {path.name: {"sha256": digest(path)} for path in older.iterdir()}
    (older / DESCRIPTION).write_text(json.dumps({"format": FORMAT, "iteration": 7, "files": files}))
    found = load(tmp_path)
    assert found is not None and found.tensors.keys() == {"network"}
    assert found.tensors["network"].keys() == {"weight", "count"}


def test_what_differs_is_named() -> None:
    before = {"settings": {"batch": 4, "noise": {"lowest": 1}}, "parent": None}
    now = {"settings": {"batch": 8, "noise": {"lowest": 1}}, "parent": {"name": "x"}}
    assert differences(before, now) == ["settings.batch was 4, is 8", "parent was None, is {'name': 'x'}"]
    assert differences(now, now) == []
