import json
import math
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from classroom import COMPACT, compact_network
from conftest import REFERENCE
from safetensors.torch import load_file, save_file

from babe2 import RestorationError, Restorer
from babe2.checkpoints.checkpoint import Checkpoint, model_of, save
from babe2.checkpoints.loading import load
from babe2.config import BandwiseArchitecture, SpectralArchitecture
from babe2.networks.bandwise import BandwiseUNet

PUBLISHED = REFERENCE / "small_ckpt_original_format.pt"


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("saved") / "small"
    save(load(PUBLISHED), folder)
    return folder


@pytest.fixture
def folder(saved: Path, tmp_path: Path) -> Path:
    """A checkpoint's folder to be spoiled."""
    return Path(shutil.copytree(saved, tmp_path / "small"))


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


# Compact checkpoints


@pytest.fixture
def compact(tmp_path: Path) -> Path:
    model = replace(COMPACT, column="compact")
    weights = compact_network().state_dict()
    save(Checkpoint(model, weights, torch.ones(513), "", "", {"iterations": 7}), tmp_path / "compact")
    return tmp_path / "compact"


def test_a_compact_checkpoint_comes_back_as_it_was(compact: Path) -> None:
    found, network = load(compact), compact_network()
    assert found.model == replace(COMPACT, column="compact") and found.provenance == {"iterations": 7}
    assert json.loads((compact / "config.json").read_text())["network"] == "bandwise"
    loaded = found.network()
    assert isinstance(loaded, BandwiseUNet) and not loaded.training
    assert loaded.state_dict().keys() == network.state_dict().keys()
    assert torch.equal(loaded.spread, network.spread)
    assert not any(parameter.requires_grad for parameter in loaded.parameters())


def test_a_configuration_without_a_kind_is_the_published_one(folder: Path, compact: Path) -> None:
    rewritten(folder, lambda described: described.pop("network"))
    assert load(folder).model == load(PUBLISHED).model
    rewritten(compact, lambda described: described.pop("network"))
    with pytest.raises(RestorationError, match="not a babe2 configuration"):
        load(compact)


def test_half_precision_weights_are_read_as_full(compact: Path) -> None:
    reweighted(compact, lambda weights: weights.update({key: value.half() for key, value in weights.items()}))
    assert {value.dtype for value in load(compact).network().state_dict().values()} == {torch.float32}


@pytest.mark.parametrize(
    "change",
    [
        lambda described: described.update(network="cqtdiff+"),
        lambda described: described.update(network="transformer"),
        lambda described: described.update(network=["bandwise"]),
        lambda described: described["model"].update(segment=4095),
        lambda described: described["model"].update(segment=0),
        lambda described: described["model"].update(sample_rate=22050),  # 7 octaves end at 86 Hz
        lambda described: described["model"]["architecture"].update(channels=[]),
        lambda described: described["model"]["architecture"].update(channels=[16], blocks=[1, 1]),
        lambda described: described["model"]["architecture"].update(channels=[16] * 4, blocks=[1] * 4),
        lambda described: described["model"]["architecture"].update(channels=[16, 2**20]),
        lambda described: described["model"]["architecture"].update(channels=16),
        lambda described: described["model"]["architecture"].update(blocks=[1, 9]),
        lambda described: described["model"]["architecture"].update(blocks=[1, 0]),
        lambda described: described["model"]["architecture"].update(octaves=0),
        lambda described: described["model"]["architecture"].update(octaves=2**20),
        lambda described: described["model"]["architecture"].update(bins_per_octave=2),
        lambda described: described["model"]["architecture"].update(bins_per_octave=18),
        lambda described: described["model"]["architecture"].update(bins_per_octave=12.0),
        lambda described: described["model"]["architecture"].update(bins_per_octave=4),  # 7 rows cannot be halved
        lambda described: described["model"]["architecture"].update(embedding=True),
        lambda described: described["model"]["architecture"].update(layers=[1, 1]),
    ],
)
def test_a_compact_configuration_that_makes_no_sense_is_refused(
    compact: Path, change: Callable[[dict[str, Any]], None]
) -> None:
    rewritten(compact, change)
    with pytest.raises(RestorationError, match="not a babe2 configuration"):
        Restorer.from_checkpoint(compact)


@pytest.mark.parametrize("spread", [0.0, -0.1])
def test_music_without_a_spread_is_refused(compact: Path, spread: float) -> None:
    reweighted(compact, lambda weights: weights["spread"][3:4].fill_(spread))
    with pytest.raises(RestorationError, match="spread of music that is not above zero"):
        Restorer.from_checkpoint(compact)


def test_weights_of_another_size_are_named(compact: Path) -> None:
    rewritten(compact, lambda described: described["model"]["architecture"].update(channels=[16, 24]))
    with pytest.raises(RestorationError, match=r"do not fit its configuration .*misshapen: .*shrink.0.weight"):
        Restorer.from_checkpoint(compact)


def test_the_one_that_comes_along_is_found_by_its_name() -> None:
    restorer = Restorer.from_checkpoint("piano-small", device="cpu")
    assert restorer.name == "piano-small" and restorer.verified and restorer.reference is not None
    assert isinstance(restorer.model.architecture, BandwiseArchitecture) and restorer.model.column == "compact"


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
        lambda described: described["model"]["architecture"].update(layers=[1]),
        lambda described: described.pop("format"),
        lambda described: described.update(format="another"),
        lambda described: described["model"].update(sample_rate=999),
        lambda described: described["model"].update(sample_rate=768_001),
        lambda described: described["model"].update(sample_rate=8000.0),
        lambda described: described["model"].update(segment=True),
        lambda described: described["model"].update(segment=12000),  # no legal length
        lambda described: described["model"].update(sigma_data=math.nan),
        lambda described: described["model"].update(sigma_data=math.inf),
        lambda described: described["model"].update(sigma_data=True),
        lambda described: described["model"].update(window_beta=math.nan),
        lambda described: described["model"].update(window_beta=-0.1),
        lambda described: described["model"].update(window_beta=101),
        lambda described: described["model"].update(window_beta=10**400),
        lambda described: described["model"].update(window_beta="1"),
        lambda described: described["model"]["architecture"].update(channels=8),
        lambda described: described["model"]["architecture"].update(channels=[True] * 4),
        lambda described: described["model"]["architecture"].update(bins_per_octave=1),
        lambda described: described["model"]["architecture"].update(bins_per_octave=2**30),
        lambda described: described["model"]["architecture"].update(embedding=2**30),
        lambda described: described["model"]["architecture"].update(attention=[1, 0, 0, 0]),
        lambda described: described["model"]["architecture"].update(attention=[True]),
        lambda described: described["model"]["architecture"].update(attention=[True] * 4, attention_buckets=3),
        lambda described: described["model"]["architecture"].update(attention_heads=0),
    ],
)
def test_a_configuration_that_makes_no_sense_is_refused(folder: Path, change: Callable[[dict[str, Any]], None]) -> None:
    rewritten(folder, change)
    with pytest.raises(RestorationError, match="not a babe2 configuration"):
        Restorer.from_checkpoint(folder)


@pytest.mark.parametrize("content", ["[]", "nonsense", "[" * 100_000, '"babe2"'])
def test_a_configuration_that_is_none_is_refused(folder: Path, content: str) -> None:
    (folder / "config.json").write_text(content)
    with pytest.raises(RestorationError, match="not a babe2 configuration"):
        load(folder)


@pytest.mark.parametrize("kind", [torch.int64, torch.bool, torch.complex64])
def test_weights_of_another_kind_are_refused(folder: Path, kind: torch.dtype) -> None:
    reweighted(folder, lambda weights: weights.update(odd=torch.ones(3).to(kind)))
    with pytest.raises(RestorationError, match=r"not all plain numbers with a fraction \(odd\)"):
        load(folder)


SPECTRA = {
    "two rows": torch.ones(2, 513),
    "short": torch.ones(31),
    "long": torch.ones(2**17 + 1),
    "even": torch.ones(512),
    "not finite": torch.full((513,), math.nan),
    "infinite": torch.full((513,), math.inf),
    "negative": -torch.ones(513),
    "silent": torch.zeros(513),
    "whole": torch.ones(513, dtype=torch.int64),
    "complex": torch.ones(513, dtype=torch.complex64),
}


@pytest.mark.parametrize("spectrum", SPECTRA)
def test_a_damaged_average_spectrum_is_refused(folder: Path, spectrum: str) -> None:
    reweighted(folder, lambda weights: weights.update(ltas=SPECTRA[spectrum]))
    with pytest.raises(RestorationError, match=r"is damaged: its average spectrum is not one row"):
        load(folder)


def test_a_checkpoint_without_an_average_spectrum_is_whole(folder: Path) -> None:
    reweighted(folder, lambda weights: weights.pop("ltas"))
    assert load(folder).ltas is None


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
    with pytest.raises(RestorationError, match=r"holds no model.safetensors. Give a checkpoint"):
        Restorer.from_checkpoint(tmp_path)


@pytest.mark.parametrize(
    ("spec", "told"),
    [
        ("", "name is empty"),
        ("  ", "name is empty"),
        ("~nobody-of-this-name/x", "There is no checkpoint at ~nobody"),
        ("a" * 300, "cannot be the name of a checkpoint: File name too long"),
        ("a\0b", "a.*b"),
        (None, "None' cannot be|None cannot be"),
        (b"model.pt", "cannot be the name of a checkpoint"),
        (17, "17 cannot be the name of a checkpoint"),
    ],
)
def test_a_name_that_can_be_none_is_refused_in_a_sentence(spec: Any, told: str) -> None:
    with pytest.raises(RestorationError, match=told):
        load(spec)


@pytest.mark.parametrize("spec", [".", "model.safetensors", "../small", "./model.safetensors"])
def test_a_checkpoint_is_called_like_its_folder(folder: Path, spec: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(folder)
    assert load(spec).name == "small"


def test_a_checkpoint_in_a_cache_of_links_is_called_like_the_folder_of_the_link(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "blobs").mkdir()
    (folder / "model.safetensors").rename(tmp_path / "blobs" / "0a1b")
    (folder / "model.safetensors").symlink_to(tmp_path / "blobs" / "0a1b")
    assert load(folder).name == "small"


DENOISER = {"channels": [8, 8, 16]}


@pytest.mark.parametrize(
    "size",
    [
        {"channels": []},
        {"channels": [8]},
        {"channels": [8] * 10},
        {"channels": [8, 0]},
        {"channels": [8, 8.0]},
        {"channels": [8, 2**20]},
        {"channels": 8},
        DENOISER | {"layers": 99},
        DENOISER | {"stages": 3},
        DENOISER | {"bins": 2**30},
        DENOISER | {"attention": "yes"},
        DENOISER | {"masks": 1},
        DENOISER | {"depth": 3},
    ],
    ids=str,
)
def test_a_denoiser_that_makes_no_sense_is_refused(size: dict[str, Any]) -> None:
    model = {"architecture": size, "sample_rate": 22050, "segment": 24320, "sigma_data": 0.1}
    with pytest.raises((ValueError, TypeError)):
        model_of(model, "spectral")
    assert model_of(model | {"architecture": DENOISER}, "spectral").architecture == SpectralArchitecture((8, 8, 16))
