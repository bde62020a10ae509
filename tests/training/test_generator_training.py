"""The losses, judges and measures of BEHM-GAN, against numbers recorded from the published program."""

from __future__ import annotations

import json
import math
from functools import cache
from pathlib import Path

import numpy as np
import pytest
import torch
from procedural import fill, published_names

from babe2.training.behm_gan import (
    MultiScaleDiscriminator,
    discriminator_loss,
    generator_loss,
    log_spectral_distance,
    snr_db,
    spectral_loss,
)

REFERENCE = Path(__file__).parents[1] / "reference" / "behm_gan"
RECORDED = np.load(REFERENCE / "losses.npz")


def recorded(name: str) -> torch.Tensor:
    return torch.from_numpy(RECORDED[name])


@cache
def judges() -> MultiScaleDiscriminator:
    network = MultiScaleDiscriminator().eval().requires_grad_(False)
    assert fill(network, int(RECORDED["disc_seed"])) == str(RECORDED["disc_sha"])
    return network


def test_the_spectral_loss_is_the_published_one_at_every_resolution() -> None:
    loss = spectral_loss(recorded("x"), recorded("y"))
    np.testing.assert_allclose(loss.log_magnitude, RECORDED["logmag_l1"], rtol=1e-5)
    np.testing.assert_allclose(loss.convergence, RECORDED["sc"], rtol=1e-5)
    assert loss.total().item() == pytest.approx(RECORDED["mr_l1"] + RECORDED["mr_sc"], rel=1e-5)


def test_the_spectral_loss_of_silence_can_be_differentiated() -> None:
    silence = torch.zeros(1, 8192, requires_grad=True)
    (slope,) = torch.autograd.grad(spectral_loss(silence, recorded("x")[:, :8192]).total(), silence)
    assert slope.isfinite().all()


def test_the_judges_have_the_published_names_and_sizes() -> None:
    shapes = json.loads((REFERENCE / "discriminator_state_dict_shapes.json").read_text("utf-8"))
    own = judges().state_dict()
    assert {name: list(own[ours].shape) for name, ours in published_names(judges()).items()} == shapes
    assert sum(weight.numel() for weight in judges().parameters()) == 22_565_448


def test_the_judges_say_what_the_published_ones_say() -> None:
    on_music, on_made = judges()(recorded("disc_x")[:, 0]), judges()(recorded("disc_y")[:, 0])
    for scale in range(4):
        torch.testing.assert_close(on_music[scale], recorded(f"d_real_{scale}"), atol=1e-6, rtol=0)
        torch.testing.assert_close(on_made[scale], recorded(f"d_fake_{scale}"), atol=1e-6, rtol=0)
    assert generator_loss(on_made).item() == pytest.approx(float(RECORDED["gen_loss"]), rel=1e-6)
    assert discriminator_loss(on_music, on_made).item() == pytest.approx(float(RECORDED["disc_loss"]), rel=1e-6)


def test_measures_are_the_published_ones() -> None:
    published = np.load(REFERENCE / "chunked.npz")
    music, guess = recorded("x"), recorded("y")
    assert snr_db(guess, music).item() == pytest.approx(float(published["snr"]), rel=1e-5)
    assert log_spectral_distance(guess, music).item() == pytest.approx(float(published["lsd"]), rel=1e-5)


def test_measures_of_silence_and_of_a_perfect_guess_are_numbers() -> None:
    silence, music = torch.zeros(2, 4096), recorded("x")[:, :4096]
    assert snr_db(silence, silence).tolist() == [0, 0]
    assert math.isfinite(snr_db(music, music).item())
    assert log_spectral_distance(music, music).item() == pytest.approx(1e-4)
