import numpy as np
import pytest
import torch
from conftest import Vectors, deviation

from babe2.ltas_eq import ltas_equalise, ltas_response
from babe2.transforms import ltas, smooth_octaves


@pytest.fixture
def recorded() -> Vectors:
    return Vectors("ltas_small")


def test_equalised_recording_agrees_with_the_published_one(recorded: Vectors) -> None:
    recording = recorded["recording"][None]
    _, response_db = ltas_response(recording, recorded["ref"], 8000, 1024, -20.0)
    found = ltas_equalise(recording, response_db)[0]
    assert deviation(found, recorded["x_init"]) < 1e-5  # stated tolerance 1e-4, measured 2e-7


def test_the_average_spectrum_arrives_where_the_reference_is(recorded: Vectors) -> None:
    recording, reference = recorded["recording"][None], recorded["ref"]
    _, response_db = ltas_response(recording, reference, 8000, 1024, -200.0)
    equalised = ltas_equalise(recording, response_db)
    ratio = smooth_octaves(ltas(equalised, 1024, 512, 256), 8000) / smooth_octaves(reference, 8000)
    ratio_db = 10 * torch.log10(ratio[20:])
    # One smoothing too few to be exact: the equaliser itself is smoothed by a third of an octave.
    assert float((ratio_db - ratio_db.median()).abs().mean()) < 1.0


def test_no_band_is_raised_by_more_than_the_floor(recorded: Vectors) -> None:
    curve, response_db = ltas_response(recorded["recording"][None], recorded["ref"], 8000, 1024, -6.0)
    assert float(response_db.min()) >= -6.0
    assert curve.gain_db(np.array([100.0, 1000.0, 3900.0])).min() >= -6.0


def test_level_and_length_stay(recorded: Vectors) -> None:
    recording = recorded["recording"][None]
    _, response_db = ltas_response(recording, recorded["ref"], 8000, 1024, -20.0)
    equalised = ltas_equalise(recording, response_db)
    assert equalised.shape == recording.shape
    assert float(equalised.std()) == pytest.approx(float(recording.std()), rel=1e-5)


def test_bins_that_are_empty_on_both_sides_are_left_alone() -> None:
    time = torch.arange(8000) / 8000
    recording = torch.sin(2 * torch.pi * 440 * time)[None]
    _, response_db = ltas_response(recording, torch.zeros(513), 8000, 1024, -20.0)
    assert response_db.isfinite().all()
