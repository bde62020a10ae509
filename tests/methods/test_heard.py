"""A recording under noise that changes: where it stays all is as it was, and clicks are samples that are missing."""

from __future__ import annotations

import torch
from classroom import COMPACT, RATE, compact_network, tune
from conftest import deviation, seeded
from torch import Tensor

from babe2.analysis.chain import RecordingChain
from babe2.analysis.damage.clicks import Mender, threshold_of
from babe2.config import COMPACT as COLUMN
from babe2.degradations.base import Undone, shaped
from babe2.degradations.response import NoisyColouring
from babe2.dsp.curves import SampledCurve
from babe2.dsp.tape import MemoryTape
from babe2.methods.bandwise import Bandwise, BandwiseSettings, restore_bandwise
from babe2.methods.base import Span, Work
from babe2.methods.heard import Changing, ChangingNoise, as_loud_as, bank_spectrum, noise_level, under_changing_noise
from babe2.methods.undone import MARGIN
from babe2.networks.models import build_transform
from babe2.prior import BandwisePrior, build_prior
from babe2.stages.denoise import known_music

LENGTH, FLOOR = 8192, 1e-3
HERTZ, ENDS = torch.tensor([20.0, 1500.0, 4000.0]), torch.tensor([0.0, 0.0, -30.0])
MACHINE = NoisyColouring(SampledCurve(HERTZ, ENDS), SampledCurve(HERTZ, torch.full((3,), -60.0)), RATE)


def wiener(length: int = LENGTH) -> BandwisePrior:
    """The untrained network: best for Gaussian music of its spread."""
    prior = build_prior(COMPACT, compact_network(), build_transform(COMPACT, length))
    assert isinstance(prior, BandwisePrior)
    return prior


def recording() -> Tensor:
    hertz = torch.fft.rfftfreq(LENGTH, 1 / RATE)
    music = shaped(seeded(0)(torch.Size((2, LENGTH))), 0.1 / (1 + (hertz / 300) ** 2))
    return MACHINE(music) + FLOOR * seeded(1)(music.shape)


@torch.no_grad()
def test_noise_that_stays_is_restored_alike_however_it_is_told() -> None:
    prior, heard = wiener(), recording()
    settings = COLUMN.settings(BandwiseSettings, steps=12)
    level = prior.in_bins(MACHINE.undone(heard).level)[:, None].repeat(2, 1, prior.transform.frames)
    told = ChangingNoise(level, torch.zeros_like(heard, dtype=torch.bool), prior.shaped)
    steady, changing = (
        restore_bandwise(
            prior.at_levels, MACHINE, heard, settings, seeded(2), changing=each, highest_needed=prior.highest_needed
        ).audio
        for each in (None, told)
    )
    # Gains of neighbouring bins are joined, instead of a gain of each frequency's own.
    assert deviation(changing, steady) < 0.03


@torch.no_grad()
def test_samples_that_are_missing_are_what_the_estimate_says() -> None:
    prior, heard = wiener(), recording()
    missing = torch.zeros_like(heard, dtype=torch.bool)
    missing[:, 4000:4040] = True
    flat = Undone(heard.masked_fill(missing, 0.0), torch.ones(LENGTH // 2 + 1), torch.full((LENGTH // 2 + 1,), FLOOR))
    level = torch.full((2, len(prior.network.spread), prior.transform.frames), FLOOR)
    changing = Changing(flat, ChangingNoise(level, missing, prior.shaped))
    believed = prior.highpass(recording())
    filled = changing.heard_anew(changing.above(1.0), believed, level)
    # At its own level the state is the recording, and so is what was missing.
    assert deviation(filled, prior.highpass(torch.where(missing, believed, heard))) < 1e-3
    # On the way down it is the estimate's as far as the noise has gone.
    assert deviation(changing.heard_anew(filled, believed + 0.1, level / 1e6), filled) < 1e-4


@torch.no_grad()
def test_noise_is_found_louder_where_it_is() -> None:
    prior, loud = wiener(), 0.3  # beyond all music, so that the prior takes none of it for music
    noise = loud * seeded(3)(torch.Size((1, LENGTH)))
    noise[:, 3840:4864] *= 3  # the eighth frame and half of its neighbours
    level = noise_level(prior, noise, torch.full((len(prior.network.spread),), loud))[0]
    treble = level[-16:] / loud
    assert 2 < float(treble[:, 8].mean()) < 4
    assert 0.8 < float(treble[:, [2, 3, 13, 14]].mean()) < 1.25


@torch.no_grad()
def test_a_bank_tells_the_spectrum_and_the_recording_how_loud_it_is() -> None:
    prior = wiener()
    hiss = seeded(5)(torch.Size((3000,)))
    found = bank_spectrum(prior, [hiss, 7 * hiss])
    assert float((found[8:].log2()).abs().max()) < 0.5  # flat, and of unit level, but for the narrow bands of the bass
    torch.testing.assert_close(as_loud_as(found, 0.02 * found), 0.02 * found)


@torch.no_grad()
def test_a_click_is_missing_and_its_place_is_filled() -> None:
    time = torch.arange(LENGTH) / RATE
    sound = 0.1 * torch.sin(2 * torch.pi * 440 * time)[None] + FLOOR * seeded(4)(torch.Size((1, LENGTH)))
    clicked = sound.clone()
    clicked[:, 3000:3004] += 0.3
    filled, noise = under_changing_noise(wiener(), MACHINE, clicked, Mender(RATE, threshold_of(0.5)))
    assert noise.missing[:, 3000:3004].all() and int(noise.missing.sum()) < 20
    assert float((filled - sound).abs().max()) < 0.02 and noise.level.shape[0] == 1


def test_under_loud_noise_the_machine_is_found_without_it_and_the_noise_with_it() -> None:
    music = torch.from_numpy(tune(3.0)).float()
    hiss = 0.05 * seeded(6)(music.shape)
    steady, changing = (Bandwise.of(COLUMN, "standard", {"surface_noise": noise}) for noise in ("steady", "changing"))

    def found(method: Bandwise, x: Tensor) -> tuple[RecordingChain, Tensor, int]:
        tape, span = MemoryTape(torch.stack([x, 100 * x])), Span(MARGIN, MARGIN)
        work = Work(tape, RATE, known_music(), None, span, [0], wiener, torch.device("cpu"))
        return *method.machine(work, tape), work.evaluations

    noisy, loudness, none = found(steady, music + hiss)
    heard, same, asked = found(changing, music + hiss)
    assert none == 0 and 24_000 / (3 * MARGIN) < asked < 20  # block by block
    assert torch.equal(heard.noise.decibels, noisy.noise.decibels) and torch.equal(same, loudness)
    assert not torch.equal(heard.response.gain_db(HERTZ), noisy.response.gain_db(HERTZ))
    assert found(changing, music + hiss / 200)[2] == 0
