import pytest
import torch
from conftest import Vectors, deviation

from babe2.dsp.spectra import at_unit_level, ltas, smooth_octaves
from babe2.dsp.tape import MemoryTape
from babe2.dsp.tape import deviation as deviation_of
from babe2.methods.ltas_eq import ltas_equalise, ltas_response


@pytest.fixture
def recorded() -> Vectors:
    return Vectors("ltas_small")


def test_equalised_recording_agrees_with_the_published_one(recorded: Vectors) -> None:
    recording = MemoryTape(recorded["recording"][None])
    response_db = ltas_response(recording, recorded["ref"], 8000, 1024, -20.0)
    found, _ = ltas_equalise(recording, response_db, as_is=True)
    assert deviation(found.read(0, found.samples)[0], recorded["x_init"]) < 1e-5  # stated tolerance 1e-4, measured 2e-7


def test_the_average_spectrum_arrives_where_the_reference_is(recorded: Vectors) -> None:
    recording, reference = MemoryTape(recorded["recording"][None]), recorded["ref"]
    equalised, _ = ltas_equalise(recording, ltas_response(recording, reference, 8000, 1024, -200.0))
    ratio = smooth_octaves(ltas(equalised, 1024, 512, 256), 8000) / smooth_octaves(reference, 8000)
    ratio_db = 10 * torch.log10(ratio[20:])
    # One smoothing too few to be exact: the equaliser itself is smoothed by a third of an octave.
    assert float((ratio_db - ratio_db.median()).abs().mean()) < 1.0


def test_no_band_is_raised_by_more_than_the_floor(recorded: Vectors) -> None:
    response_db = ltas_response(MemoryTape(recorded["recording"][None]), recorded["ref"], 8000, 1024, -6.0)
    assert float(response_db.min()) >= -6.0


def test_level_and_length_stay(recorded: Vectors) -> None:
    recording = MemoryTape(recorded["recording"][None])
    response_db = ltas_response(recording, recorded["ref"], 8000, 1024, -20.0)
    equalised, kept_db = ltas_equalise(recording, response_db)
    assert equalised.samples == recording.samples
    assert float(deviation_of(equalised)) == pytest.approx(float(deviation_of(recording)), rel=1e-5)
    # A response ten decibels higher all over takes nothing more away.
    again, kept_more_db = ltas_equalise(recording, response_db + 10)
    torch.testing.assert_close(again.read(0, again.samples), equalised.read(0, equalised.samples))
    assert kept_more_db == pytest.approx(kept_db + 10, abs=1e-4)


def test_white_noise_of_any_level_comes_to_the_reference_of_unit_white_noise() -> None:
    noise = torch.randn(1, 200_000, generator=torch.Generator().manual_seed(0))
    for level in (0.063, 1.0, 20.0):
        power = at_unit_level(ltas(level * noise, 1024, 1024, 256))
        assert float(power[10:-10].mean()) == pytest.approx(0.75, rel=0.02)  # the mean square of a Hann window's sum


def test_bins_that_are_empty_on_both_sides_are_left_alone() -> None:
    time = torch.arange(8000) / 8000
    recording = torch.sin(2 * torch.pi * 440 * time)[None]
    response_db = ltas_response(MemoryTape(recording), torch.zeros(513), 8000, 1024, -20.0)
    assert response_db.isfinite().all()


@pytest.mark.parametrize("rest", [0, 240, 250, 254, 255])
def test_a_recording_ends_no_louder_than_it_is_whatever_its_length(recorded: Vectors, rest: int) -> None:
    """Frames overlap by a quarter of 1024 samples: what is left over after the last one once ended in a burst."""
    recording = MemoryTape(recorded["recording"][None][:, : 256 * 40 + rest])
    response_db = ltas_response(recording, recorded["ref"], 8000, 1024, -20.0)
    sound = ltas_equalise(recording, response_db)[0].read(0, recording.samples)
    assert float(sound[:, -256:].abs().max()) <= float(sound[:, :-256].abs().max())
