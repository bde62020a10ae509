import json
import os
import pickle
import shutil
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from conftest import REFERENCE, SMALL, SMALL_LENGTH, SMALL_RATE, Vectors, deviation, ready
from safetensors.torch import load_file, save_file

from babe2 import RestorationError, Restorer
from babe2.checkpoints import load, save
from babe2.config import Model
from babe2.cqt import ConstantQ

PUBLISHED = REFERENCE / "small_ckpt_original_format.pt"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    save(load(PUBLISHED), tmp_path / "small")
    return tmp_path / "small"


def test_a_published_file_gives_its_averaged_weights_and_its_own_words() -> None:
    checkpoint = load(PUBLISHED)
    averaged = load_file(REFERENCE / "small_ckpt_ema.safetensors")
    assert checkpoint.weights.keys() == averaged.keys()
    assert all(torch.equal(checkpoint.weights[key], value) for key, value in averaged.items())
    assert checkpoint.model == Model(SMALL, SMALL_RATE, SMALL_LENGTH, sigma_data=0.063, column="piano")
    assert checkpoint.ltas is not None and checkpoint.ltas.shape == (513,)
    assert checkpoint.provenance == {"iterations": 4}


def test_its_network_answers_as_recorded() -> None:
    recorded = Vectors("small_ckpt_forward")
    network, transform = ready(load(PUBLISHED).network()), ConstantQ(SMALL_RATE, SMALL_LENGTH, 4, 16)
    found = transform.inverse(network(transform(recorded["x"]), recorded["cnoise"]))
    assert deviation(found, recorded["out"]) < 1e-5  # as stated


@pytest.mark.parametrize("spec", ["", "model.safetensors"])
def test_saved_checkpoints_load_from_folder_and_file(folder: Path, spec: str) -> None:
    original, found = load(PUBLISHED), load(folder / spec)
    assert found.model == original.model and found.provenance == original.provenance
    assert all(torch.equal(found.weights[key], value) for key, value in original.weights.items())
    assert found.ltas is not None and original.ltas is not None and torch.equal(found.ltas, original.ltas)


def test_no_path_of_the_training_machine_is_kept(folder: Path) -> None:
    assert "/" not in (folder / "config.json").read_text()


def test_the_front_door_takes_all_three(folder: Path) -> None:
    for spec in (PUBLISHED, folder, str(folder / "model.safetensors")):
        restorer = Restorer.from_checkpoint(spec, device="cpu")
        assert len(restorer.sha256) == 64 and not restorer.verified


# What is wrong with a checkpoint is said in a sentence


def rewritten(folder: Path, change: Callable[[dict[str, Any]], None]) -> None:
    described = json.loads((folder / "config.json").read_text())
    change(described)
    (folder / "config.json").write_text(json.dumps(described))


def reweighted(folder: Path, change: Callable[[dict[str, torch.Tensor]], None]) -> None:
    weights = load_file(folder / "model.safetensors")
    change(weights)
    save_file(weights, folder / "model.safetensors")


def test_missing_surplus_and_misshapen_weights_are_named(folder: Path) -> None:
    def change(weights: dict[str, torch.Tensor]) -> None:
        del weights["downs.0.1.weight"]
        weights["extra"] = torch.zeros(1)
        weights["embedding.MLP.0.bias"] = torch.zeros(3)

    reweighted(folder, change)
    with pytest.raises(
        RestorationError, match=r"missing: downs.0.1.weight; surplus: extra; misshapen: embedding.MLP.0"
    ):
        Restorer.from_checkpoint(folder)


def test_weights_that_are_no_numbers_are_refused(folder: Path) -> None:
    reweighted(folder, lambda weights: weights["embedding.MLP.0.bias"].fill_(float("nan")))
    with pytest.raises(RestorationError, match=r"NaN or infinity \(embedding.MLP.0.bias\)"):
        Restorer.from_checkpoint(folder)


@pytest.mark.parametrize(
    "change",
    [
        lambda described: described.pop("model"),
        lambda described: described["model"].update(segment="long"),
        lambda described: described["model"].update(segment=2**40),
        lambda described: described["model"].update(column="flute"),
        lambda described: described["model"].update(sigma_data=-1),
        lambda described: described["model"].update(surprise=1),
        lambda described: described["model"]["architecture"].update(channels=[8, 8, 16, 7]),
        lambda described: described["model"]["architecture"].update(channels=[2**30] * 4),
        lambda described: described["model"]["architecture"].update(dilations=[1]),
    ],
)
def test_a_configuration_that_makes_no_sense_is_refused(folder: Path, change: Callable[[dict[str, Any]], None]) -> None:
    rewritten(folder, change)
    with pytest.raises(RestorationError, match="not a babe2 configuration"):
        Restorer.from_checkpoint(folder)


def lying_header(path: Path) -> None:
    path.write_bytes((2**60).to_bytes(8, "little") + b"{}")


@pytest.mark.parametrize(
    "harm",
    [
        lying_header,
        lambda path: path.write_bytes(b""),
        lambda path: path.write_bytes(b"not a checkpoint at all"),
        lambda path: path.write_bytes(path.read_bytes()[:1000]),
        lambda path: path.write_bytes(path.read_bytes()[:-1000]),
    ],
    ids=["lying header", "empty", "text", "header only", "truncated"],
)
def test_damaged_weights_are_refused(folder: Path, harm: Callable[[Path], object]) -> None:
    harm(folder / "model.safetensors")
    with pytest.raises(RestorationError, match="damaged or not a safetensors file"):
        Restorer.from_checkpoint(folder)


def test_a_lonely_weights_file_asks_for_its_configuration(folder: Path) -> None:
    (folder / "config.json").unlink()
    with pytest.raises(RestorationError, match=r"needs its config.json beside it"):
        Restorer.from_checkpoint(folder)


def test_a_checkpoint_that_is_not_there_says_what_would_be_one(tmp_path: Path) -> None:
    with pytest.raises(RestorationError, match="There is no checkpoint at"):
        Restorer.from_checkpoint(tmp_path / "nowhere.pt")
    with pytest.raises(RestorationError, match="There is no checkpoint at"):
        Restorer.from_checkpoint(tmp_path)  # a folder without one


# Nothing in a file is ever run


class Hostile:
    """A pickle that leaves a trace when it is run."""

    def __init__(self, trace: Path) -> None:
        self.trace = trace

    def __reduce__(self) -> tuple[Callable[..., Any], tuple[Any, ...]]:
        return os.mkdir, (str(self.trace),)


def hostile_zip(path: Path, trace: Path) -> None:
    torch.save({"ema": {}, "it": 1, "args": Hostile(trace)}, path)


def hostile_bare_pickle(path: Path, trace: Path) -> None:
    path.write_bytes(pickle.dumps(Hostile(trace)))


def hostile_old_layout(path: Path, trace: Path) -> None:
    torch.save({"args": Hostile(trace)}, path, _use_new_zipfile_serialization=False)


def swollen(path: Path, trace: Path) -> None:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("bomb/data.pkl", b"\0" * 2**26)


def cut_short(path: Path, trace: Path) -> None:
    path.write_bytes(PUBLISHED.read_bytes()[:-5000])


def something_else(path: Path, trace: Path) -> None:
    torch.save({"weights": torch.zeros(3)}, path)


@pytest.mark.parametrize(
    "make", [hostile_zip, hostile_bare_pickle, hostile_old_layout, swollen, cut_short, something_else]
)
def test_hostile_and_broken_files_are_refused_and_not_run(tmp_path: Path, make: Callable[[Path, Path], None]) -> None:
    trace = tmp_path / "trace"
    make(tmp_path / "evil.pt", trace)
    with pytest.raises(RestorationError, match=r"evil.pt is damaged or not a published BABE-2 checkpoint"):
        Restorer.from_checkpoint(tmp_path / "evil.pt")
    assert not trace.exists()


def test_the_refusal_names_what_the_pickle_asked_for(tmp_path: Path) -> None:
    hostile_zip(tmp_path / "evil.pt", tmp_path / "trace")
    with pytest.raises(RestorationError, match=r"Nothing in it was run. It asks for \S*mkdir"):
        load(tmp_path / "evil.pt")


def test_exactly_the_published_names_are_understood() -> None:
    """Every name that the published pickle refers to is either torch's own or one of the inert stand-ins."""
    from babe2.checkpoints import _published_globals

    known = {entry[1] if isinstance(entry, tuple) else f"builtins.{entry.__name__}" for entry in _published_globals()}
    recorded = json.loads((REFERENCE / "checkpoint_pickle_globals.json").read_text())
    in_python_3 = {"__builtin__ dict": "builtins.dict", "__builtin__ list": "builtins.list"}
    in_python_3 |= {"__builtin__ long": "builtins.int"}
    asked = {in_python_3.get(name, name.replace(" ", ".")) for name in recorded}
    of_torch = {"collections.OrderedDict", "torch.FloatStorage", "torch._utils._rebuild_tensor_v2"}
    assert known == asked - of_torch


def test_loading_leaves_the_global_state_of_torch_alone() -> None:
    before = set(map(str, torch.serialization.get_safe_globals()))
    load(PUBLISHED)
    assert set(map(str, torch.serialization.get_safe_globals())) == before


def test_a_file_under_another_name_is_still_read(tmp_path: Path) -> None:
    shutil.copy(PUBLISHED, tmp_path / "MAESTRO-850kits")
    assert load(tmp_path / "MAESTRO-850kits").model.sample_rate == SMALL_RATE
