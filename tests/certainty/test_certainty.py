"""What of a restoration is measured, inferred and imagined: cells by hand, and restorations by a small network."""

import csv
import json
import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile as sf
import torch
from conftest import CHECKPOINT
from music import chord, music
from torch import Tensor

from babe2 import Cancelled, Restoration, RestorationError, Restorer
from babe2.analysis.chain import RecordingChain
from babe2.certainty import KINDS, CertaintyMap
from babe2.certainty.cells import Grid, held
from babe2.certainty.fade import Faded
from babe2.certainty.map import certainty_of
from babe2.certainty.recording import Recording, response_within
from babe2.certainty.spread import agreement_db
from babe2.certainty.stated import NOISE_DB, PRIOR_DB, SAME_DB, narrowed, within_db
from babe2.commands.main import main
from babe2.dsp.curves import FLAT, SampledCurve
from babe2.dsp.tape import MemoryTape

RATE = 22050
SMALL_RATE = 8000
FEW: dict[str, Any] = {"steps": 2}


def noise(seed: int, samples: int = RATE) -> Tensor:
    return torch.randn(1, samples, generator=torch.Generator().manual_seed(seed))


def below(x: Tensor, hertz: float) -> Tensor:
    spectrum = torch.fft.rfft(x)
    spectrum[:, torch.fft.rfftfreq(x.shape[1], 1 / RATE) > hertz] = 0
    return torch.fft.irfft(spectrum, x.shape[1])


def tapes(sounds: Sequence[Tensor]) -> list[MemoryTape]:
    return [MemoryTape(x) for x in sounds]


def level(db: float) -> SampledCurve:
    return SampledCurve(torch.tensor([1.0]), torch.tensor([db]))


# Cells


def test_a_sine_has_its_power_in_its_band_and_nowhere_else() -> None:
    grid = Grid(2 * RATE, RATE)
    band = 15
    hertz = round(float(grid.hertz[band]) / (RATE / grid.length)) * RATE / grid.length  # on a bin
    x = 0.5 * torch.sin(2 * math.pi * hertz * torch.arange(2 * RATE) / RATE)[None]
    power = held(tapes([x]), RATE).power[0]
    assert power[2:-2].argmax(dim=1).eq(band).all()
    # A third of an octave under a Gaussian of the same width holds 8 / sqrt(2 pi) / 3 of it at its middle.
    assert power[5, band] == pytest.approx(0.125 * 8 / math.sqrt(2 * math.pi) / 3, rel=0.05)
    assert 10 * math.log10(float(power[5, band + 4] / power[5, band])) < -40


def test_white_noise_has_as_much_in_each_band_as_is_said() -> None:
    found = held(tapes([noise(0, 8 * RATE)]), RATE)
    assert found.grid.count == len(found.grid.seconds) == found.power.shape[1] == -(-8 * RATE // 2048)
    torch.testing.assert_close(found.power[0].mean(dim=0).double(), found.grid.white, rtol=0.3, atol=0)


def test_what_samples_share_is_one_sound_and_what_each_has_for_itself_is_not() -> None:
    shared, own = noise(0), [noise(seed) for seed in (1, 2, 3)]
    assert agreement_db(held(tapes([shared] * 3), RATE)).min() > 100
    mixed = agreement_db(held(tapes([shared + 0.01 * x for x in own]), RATE))
    assert mixed.mean() == pytest.approx(40, abs=1)
    assert agreement_db(held(tapes(own), RATE)).mean() < 3 < SAME_DB


def test_a_sound_shorter_than_a_cell_has_one_cell() -> None:
    assert held(tapes([noise(0, 50)]), RATE).power.shape[:2] == (1, 1)


# What is stated


def test_a_bound_of_one_to_two_decibels_is_narrowed_and_a_wider_one_is_never_stated_narrower() -> None:
    bound = torch.linspace(0, 6, 601)
    stated = narrowed(bound)
    assert torch.equal(stated[bound <= 0.8], bound[bound <= 0.8]) and torch.allclose(stated[250:], bound[250:])
    assert stated[200] == 1.0 and (stated.diff() > 0).all() and (stated <= bound).all()


@pytest.mark.parametrize(
    ("clear", "heard", "expected"),
    [
        (math.inf, True, 3.0),
        (0.0, True, math.hypot(3, NOISE_DB)),
        (20.0, True, math.hypot(3, NOISE_DB / 10)),
        (40.0, False, PRIOR_DB),
    ],
)
def test_a_bound_holds_the_response_the_noise_and_the_prior(clear: float, heard: bool, expected: float) -> None:
    cell = torch.zeros(1, 1)
    found = within_db(cell, torch.tensor([3.0]), cell + clear, torch.tensor([[heard]]))
    assert found.item() == pytest.approx(expected, rel=1e-5)


def test_a_method_is_as_unsure_as_the_estimate_and_as_far_as_it_is_from_it() -> None:
    hertz = torch.tensor([100.0, 1000.0, 5000.0], dtype=torch.float64)
    chain = RecordingChain(
        level(0), level(-60), 50, 5000, True, SampledCurve(hertz, torch.tensor([2.0, 1.0, 4.0], dtype=torch.float64))
    )
    assert response_within(chain.response, chain) is chain.uncertainty
    found = response_within(SampledCurve(hertz, torch.tensor([3.0, 3.0, 9.0], dtype=torch.float64)), chain)
    torch.testing.assert_close(found.gain_db(hertz), torch.tensor([2.0, 1.0, 10.0], dtype=torch.float64))
    assert response_within(level(0), None).gain_db(hertz).min() > 6  # nobody can say: not measured
    assert Recording.of(MemoryTape(noise(0)), chain, level(0), given=True).within is FLAT


@pytest.fixture(scope="module")
def half() -> CertaintyMap:
    """Up to 2 kHz recorded without noise, above it made up."""
    shared = below(noise(0, 3 * RATE), 2000)
    samples = [shared + noise(seed, 3 * RATE) - below(noise(seed, 3 * RATE), 2000) for seed in (1, 2, 3)]
    return certainty_of(tapes(samples), Recording(MemoryTape(shared), level(2.0), level(-60.0), 50, 2000), RATE)


def test_what_was_recorded_is_measured_and_what_was_made_up_is_imagined(half: CertaintyMap) -> None:
    assert half.percent(0, 1500) == {"measured": 100.0, "inferred": 0.0, "imagined": 0.0}
    assert half.percent(2500) == {"measured": 0.0, "inferred": 0.0, "imagined": 100.0}
    assert half.words.endswith("above 4 kHz 0 % was measured, 0 % inferred and 100 % imagined.")
    assert (half.measured + half.inferred + half.imagined == half.sounding.float().numpy()).all()


def test_what_is_recorded_by_a_machine_that_is_unsure_is_inferred() -> None:
    x = noise(0)
    found = certainty_of(tapes([x] * 3), Recording(MemoryTape(x), level(9.0)), RATE)
    assert found.percent() == {"measured": 0.0, "inferred": 100.0, "imagined": 0.0}


def test_a_map_is_written_for_researchers(half: CertaintyMap, tmp_path: Path) -> None:
    cells = np.load(half.save(tmp_path / "a.npz"))
    assert cells["level_db"].shape == (len(cells["seconds"]), len(cells["hertz"])) == cells["kind"].shape
    assert cells["kinds"].tolist() == list(KINDS) and cells["within_db"].min() > 0
    rows = list(csv.DictReader(half.save(tmp_path / "a.csv").read_text("utf-8").splitlines()))
    assert [row["measured_percent"] for row in rows][1:4] == ["100.0"] * 3 and float(
        rows[-1]["imagined_percent"]
    ) == 100
    with pytest.raises(RestorationError, match=r"neither a \.npz nor a \.csv"):
        half.save(tmp_path / "a.txt")


def test_the_imagined_part_fades_and_the_measured_one_stays(half: CertaintyMap) -> None:
    x = noise(1, 3 * RATE)
    faded = Faded(MemoryTape(x), half, 0.0)
    y = faded.read(0, 3 * RATE)
    assert y.shape == x.shape
    assert (below(y - x, 1200)).norm() < 0.01 * below(x, 1200).norm()
    assert (y - below(y, 3500)).norm() < 0.05 * (x - below(x, 3500)).norm()
    torch.testing.assert_close(torch.cat([faded.read(0, 9000), faded.read(9000, 3 * RATE)], dim=1), y)


# Whole restorations


@pytest.fixture(scope="module")
def restorer() -> Restorer:
    return Restorer.from_checkpoint(CHECKPOINT, device="cpu")


@pytest.fixture(scope="module")
def restoration(restorer: Restorer) -> Restoration:
    return restorer.restore(music(1.0), SMALL_RATE, certainty=True, **FEW)


def test_the_sound_is_the_same_as_without_and_so_is_the_map_of_the_same_seed(
    restorer: Restorer, restoration: Restoration
) -> None:
    shares: list[float] = []
    again = restorer.restore(
        music(1.0), SMALL_RATE, certainty=True, on_step=lambda step: shares.append(step.share), **FEW
    )
    plain = restorer.restore(music(1.0), SMALL_RATE, **FEW)
    assert plain.certainty is None and "certainty" not in plain.report
    assert restoration.certainty is not None and again.certainty is not None
    np.testing.assert_array_equal(plain.audio, restoration.audio)
    assert torch.equal(again.certainty.within_db, restoration.certainty.within_db)
    assert shares == sorted(shares) and shares[-1] == 1.0
    assert len(shares) == 3 * FEW["steps"] * len(restoration.report["segments"])
    json.dumps(restoration.report["certainty"])


def test_what_is_imagined_is_left_as_it_is_wished(restoration: Restoration) -> None:
    assert restoration.with_imagined(1.0) is restoration
    faded = restoration.with_imagined(0.25)
    assert faded.audio.shape == restoration.audio.shape and faded.report["imagined"] == 0.25
    assert "25% of it was left" in faded.provenance.statement
    with pytest.raises(RestorationError, match="between 0 and 1"):
        restoration.with_imagined(1.5)


@pytest.mark.parametrize(
    ("wishes", "sentence"),
    [({"method": "ltas-eq"}, "ltas-eq draws none"), ({"noise": lambda shape: torch.zeros(shape)}, "Give a seed")],
)
def test_where_chance_has_no_part_nothing_can_be_told(
    restorer: Restorer, wishes: dict[str, Any], sentence: str
) -> None:
    with pytest.raises(RestorationError, match=sentence):
        restorer.restore(music(0.5), SMALL_RATE, certainty=True, **wishes)


def test_what_is_short_or_stereo_or_a_whistle_is_told_too(restorer: Restorer) -> None:
    for sound in (music(0.1), music(0.5, channels=2), np.sin(0.3 * np.arange(4000)).astype(np.float32)):
        found = restorer.restore(sound, SMALL_RATE, certainty=True, **FEW)
        assert found.certainty is not None and found.certainty.percent() is not None


def stopped_after(count: int) -> tuple[Callable[[Any], None], Callable[[], bool]]:
    taken: list[Any] = []
    return taken.append, lambda: len(taken) >= count


def test_a_journal_goes_on_with_every_run(restorer: Restorer, restoration: Restoration, tmp_path: Path) -> None:
    sf.write(tmp_path / "a.wav", music(1.0)[0], SMALL_RATE, "FLOAT")
    first = FEW["steps"] * len(restoration.report["segments"])
    tell, stop = stopped_after(first + 1)  # in the second run
    with pytest.raises(Cancelled) as stopped:
        restorer.restore_file(tmp_path / "a.wav", tmp_path / "j", on_step=tell, cancelled=stop, certainty=True, **FEW)
    partial = stopped.value.partial
    assert partial.certainty is None and partial.samples == restoration.samples  # the sound itself was done
    partial.storage.close()
    found = restorer.restore_file(tmp_path / "a.wav", tmp_path / "j", unfinished="resume", certainty=True, **FEW)
    assert found.certainty is not None and restoration.certainty is not None
    assert torch.equal(found.certainty.within_db, restoration.certainty.within_db)
    np.testing.assert_array_equal(found.audio, restoration.audio)
    found.storage.discard()
    assert [path.name for path in tmp_path.iterdir()] == ["a.wav"]


def test_the_command_writes_cells_and_percentages(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    sf.write(tmp_path / "old.wav", chord(), SMALL_RATE, "PCM_16")
    wishes = ["--certainty", "--imagined", "0.5", "--checkpoint", str(CHECKPOINT), "--set", "steps=2", "--json"]
    assert main(["restore", str(tmp_path / "old.wav"), *wishes]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["imagined"] == 0.5 and set(told["certainty"]["percent"]) == set(KINDS)
    assert sorted(Path(path).name for path in told["certainty"]["files"]) == [
        "old.restored.certainty.csv",
        "old.restored.certainty.npz",
    ]
    assert all(Path(path).exists() for path in told["certainty"]["files"])
    assert sf.info(tmp_path / "old.restored.wav").frames == 4800


def test_a_chain_is_not_told_of(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["restore", str(tmp_path / "old.wav"), "--chain", "shellac-piano", "--certainty"]) == 1
    assert "not of a chain" in capsys.readouterr().err
