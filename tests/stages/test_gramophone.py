"""The 78-rpm diffusion denoiser: its published numbers, what its default mends, and its commands."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
import torch
import torch.nn.functional as F
from conftest import TESTS, deviation, replayed
from torch import Tensor

from babe2 import RestorationError
from babe2.analysis.quiet_moments import moments, powers, range_of_ratios, range_width
from babe2.checkpoints import Checkpoint, save
from babe2.commands.main import main
from babe2.commands.panel import Row, read_sheet
from babe2.config import MatrixArchitecture, Model
from babe2.degradations.noise_bank import AddedNoise, NoiseBank, looped, whole_turns
from babe2.dsp.emphasis import both_ways, emphasis
from babe2.dsp.overlap_add import OverlapAdd
from babe2.dsp.tape import MemoryTape
from babe2.methods.gramophone import (
    PUBLISHED,
    Halved,
    NoiseLevel,
    Pull,
    as_published,
    strength_of_floor,
    strength_of_range,
    strength_of_ratio,
)
from babe2.networks.models import build_network
from babe2.sampler import churn_factors, noise_schedule
from babe2.stages import Bench, Denoise, denoise

RATE = 8000
SMALL = Model(MatrixArchitecture((4, 4), 1, 3, 8, 16), RATE, 4096, 0.057)


def recorded(name: str) -> dict[str, Tensor]:
    with np.load(TESTS / "reference" / "gramophone" / f"{name}.npz") as arrays:
        return {key: torch.from_numpy(arrays[key]) for key in arrays.files}


def noise(samples: int, channels: int = 1, seed: int = 0) -> Tensor:
    return 0.05 * torch.randn(channels, samples, generator=torch.Generator().manual_seed(seed))


@pytest.fixture(scope="module")
def prior(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A small CQTdiff that has learned nothing but how loud music is."""
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(0)
        weights = build_network(SMALL).state_dict()
    folder = tmp_path_factory.mktemp("prior") / "cqtdiff"
    save(Checkpoint(SMALL, weights, None, "cqtdiff", ""), folder)
    return str(folder)


@pytest.fixture(scope="module")
def bank(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Excerpts of another rate and of two channels, shorter than a turn, and what is no sound."""
    folder = tmp_path_factory.mktemp("bank")
    soundfile.write(folder / "b.wav", noise(30_000, 2).T.numpy(), 2 * RATE)
    soundfile.write(folder / "a.flac", noise(700)[0].numpy(), RATE)
    (folder / "c.wav").write_text("once a sound")
    (folder / "notes.txt").write_text("found in the attic")
    (folder / "bank.csv").write_text("file,title,rpm\nb.wav,Side B,80\n")
    return folder


# As published


@pytest.mark.parametrize("excerpt", ["a", "b"])
def test_noise_is_looped_as_published(excerpt: str) -> None:
    vectors = recorded("noise_bank")
    rate = int(vectors["fs"])
    cut = whole_turns(vectors[excerpt], rate)
    assert len(cut) == vectors[f"sep_len_{excerpt}"]
    assert torch.equal(looped(cut, rate, 40792)[::16], vectors[f"get_{excerpt}"])


@pytest.mark.parametrize("turns", [0.01, 0.9, 1.0, 1.1, 1.13, 2.13])
def test_excerpts_of_any_length_are_looped_without_end(turns: float) -> None:
    excerpt = whole_turns(noise(int(turns * 60 / 78 * RATE))[0], RATE)
    assert len(looped(excerpt, RATE, 20_000)) == 20_000
    one_more = int(0.1 * RATE)  # what is left is as long as the cross-fade: all of it is kept
    assert len(whole_turns(noise(6153 + one_more)[0], RATE)) == 6153 + one_more


def test_the_filters_are_the_published_ones_and_undo_each_other() -> None:
    vectors = recorded("firls")
    for name, inverse in (("pre", False), ("post", True)):
        assert (emphasis(inverse) - vectors[name]).abs().max() < 3e-8
    both = torch.fft.rfft(both_ways(), 4096).abs() * torch.fft.rfft(both_ways(inverse=True), 4096).abs()
    assert (both - 1).abs().max() < 0.05


def test_levels_and_strengths_are_the_published_ones() -> None:
    vectors = recorded("power")
    y = vectors["y"]
    whole = moments(y.split(3000, dim=1), 2048)
    quietest, loudest = whole.quietest[0], whole.loudest[0]
    assert quietest == pytest.approx(float(vectors["floor"]), rel=1e-6)
    assert loudest == pytest.approx(float(vectors["ceil"]), rel=1e-6)
    assert NoiseLevel().gain(quietest) == pytest.approx(float(vectors["gain_estimate"]), rel=1e-6)
    assert strength_of_floor(quietest) == pytest.approx(float(vectors["xi_estimate"]), rel=1e-6)
    blocks = OverlapAdd(MemoryTape(y), 11025, 11025 // 4, lambda x, _: x)
    loud = [float(powers(blocks.block(number), 2048).max()) for number in range(blocks.count)]
    found = torch.tensor([range_of_ratios(here, quietest, loudest)[0] for here in loud])
    assert (found - vectors["block_range_min"]).abs().max() < 1e-4
    widths = [[range_width(floor, ceil) for ceil in vectors["width_ceil"].tolist()] for floor in vectors["width_floor"]]
    assert torch.allclose(torch.tensor(widths).double(), vectors["width_table"])
    by_floor = torch.tensor([strength_of_floor(float(floor)) for floor in vectors["xi_floors"]]).double()
    assert torch.allclose(by_floor, vectors["xi_values"])
    by_ratio = torch.tensor([strength_of_ratio(float(snr)) for snr in vectors["testing_snr"]]).double()
    assert torch.allclose(by_ratio, vectors["testing_xi"].double())
    assert strength_of_range(20.0) == pytest.approx(1.4)


def test_blocks_are_cut_and_joined_as_published() -> None:
    vectors = recorded("blocks")
    length = int(vectors["fs"])
    for samples, count in zip(vectors["lengths"].tolist(), vectors["counts"].tolist(), strict=True):
        ramp = torch.linspace(1, 2, count)
        blocks = OverlapAdd(MemoryTape(torch.ones(1, samples)), length, length // 4, lambda x, n, r=ramp: x * r[n])
        assert blocks.count == count
    gain = torch.cat([blocks.read(start, min(start + 5000, samples)) for start in range(0, samples, 5000)], dim=1)
    assert (gain[:, ::32] * vectors["x_3"] - vectors["rec_ramped_3"]).abs().max() < 1e-6


@pytest.mark.parametrize("mode", ["gain", "snr", "variable_xi"])
def test_the_sampler_is_the_published_one(mode: str) -> None:
    schedule, vectors = recorded("schedule"), recorded("sampler")
    for steps in (8, 140):
        sigmas = noise_schedule(steps, PUBLISHED.sigma_min, PUBLISHED.sigma_start, PUBLISHED.rho)
        assert torch.equal(sigmas, schedule[f"t_{steps}"])
        assert torch.allclose(churn_factors(sigmas, PUBLISHED), schedule[f"gamma_{steps}"][:steps])

    def toy(noisy: Tensor, sigma: Tensor) -> Tensor:
        variance = sigma**2 + 0.057**2
        seen = F.conv1d((noisy / variance.sqrt())[:, None], vectors["kernel"][None, None], padding=2)[:, 0]
        said = seen * torch.sigmoid(sigma.log() / 4)
        return noisy * 0.057**2 / variance + said * sigma * 0.057 / variance.sqrt()

    choices, ratios = (
        iter(vectors[f"choices_{mode}"].tolist()),
        iter(vectors.get(f"snrs_{mode}", torch.empty(0)).tolist()),
    )
    level: dict[str, Any] = {"gain": vectors["gain"].float()} if mode == "gain" else {"snr_db": lambda: next(ratios)}
    added = AddedNoise(lambda samples: vectors["noises"][next(choices)], **level)
    settings = replace(PUBLISHED, steps=6, guidance_strength=float(vectors[f"xi_{mode}"]))
    found = as_published(toy, Halved(added), vectors["y"], settings, replayed(vectors["noise_draws"]))
    assert deviation(found, vectors[f"result_{mode}"]) < 1e-4  # measured at 1.3e-5
    assert not list(choices) and not list(ratios)


# The bank


def test_a_bank_is_read_whatever_lies_in_its_folder(bank: Path) -> None:
    described = NoiseBank.of_folder(str(bank))
    assert [(each.name, each.title, each.turns) for each in described.files] == [
        ("a.flac", "", 78.0),
        ("b.wav", "Side B", 80.0),
    ]
    assert described.as_dict()["unread"] == ["c.wav"]
    excerpts = described.bank(RATE)
    assert [len(sound) for _, sound in excerpts.excerpts] == [700, 2 * 6000 + 800]  # 60 / 80 s and a cross-fade
    drawn = [excerpts.draw(5000, torch.Generator().manual_seed(1)) for _ in range(2)]
    assert torch.equal(*drawn) and drawn[0].isfinite().all()


@pytest.mark.parametrize("said", ["file,rpm\na.wav,none\n", "file,rpm\na.wav,1000\n", "name\na.wav\n", "\x00"])
def test_what_is_said_of_a_bank_must_make_sense(tmp_path: Path, said: str) -> None:
    soundfile.write(tmp_path / "a.wav", noise(700)[0].numpy(), RATE)
    (tmp_path / "bank.csv").write_text(said)
    if said == "\x00":
        assert NoiseBank.of_folder(str(tmp_path)).files[0].turns == 78
    else:
        with pytest.raises(RestorationError, match=r"bank\.csv says of each excerpt its `file`"):
            NoiseBank.of_folder(str(tmp_path))


# In words


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        ({"noise_level": "loud"}, "is not 'loud'"),
        ({"noise_level": "snr=30..5"}, "A level of noise is not"),
        ({"noise_level": "gain=0"}, "A level of noise is not"),
        ({"pull": "much"}, "A pull is not 'much'"),
        ({"pull": "snr=45"}, "no published pull for music 45 dB"),
        ({"pull": "range"}, "follows from ratios"),
        ({"method": "two-stage", "seed": 3}, "seed changes nothing, as the method is two-stage"),
        ({"preset": "as-published", "strength": 0.5}, "strength changes nothing"),
        ({"preset": "as-published"}, "Give a folder of it as noise_bank"),
        ({"noise_bank": "/nowhere"}, "/nowhere cannot be read"),
    ],
)
def test_what_cannot_be_is_answered_in_a_sentence(prior: str, settings: dict[str, Any], sentence: str) -> None:
    with pytest.raises(RestorationError, match=sentence):
        denoise(noise(800), RATE, **{"method": "gramophone", "checkpoint": prior, **settings})


def test_levels_and_pulls_are_read_from_words() -> None:
    assert NoiseLevel.of("snr=20").given == (20.0, 20.0) and NoiseLevel.of("snr=5..30").given == (5.0, 30.0)
    assert NoiseLevel.of("gain=0.01").gain(1.0, scale=2.0) == 0.02
    assert Pull.of("snr=12").strength == 0.35 and Pull.of("0.5").strength == 0.5


# At work


WORK = {"method": "gramophone", "steps": 2, "noise_level": "gain=0.01"}


@pytest.mark.parametrize("preset", ["standard", "as-published"])
@pytest.mark.parametrize("level", ["gain=0.01", "snr=5..30", "snr"])
def test_length_level_and_silence_are_kept_in_every_mode(prior: str, bank: Path, preset: str, level: str) -> None:
    x = torch.cat([noise(1103), torch.zeros(1, 1103), noise(1103)])
    settings = WORK | {"checkpoint": prior, "noise_bank": str(bank), "noise_level": level, "preset": preset}
    audio, report = denoise(x, 11025, **settings, emphasis=level != "snr")
    assert audio.shape == x.shape and np.isfinite(audio).all() and not audio[1].any()
    np.testing.assert_array_equal(audio[0], audio[2])
    if (preset, level) == ("standard", "snr"):  # nobody says how loud the noise is, and 0.1 s does not tell
        np.testing.assert_array_equal(audio, x)
    else:
        assert "is imagined by cqtdiff" in report["found"]["statement"]
        assert report["found"]["noise_bank"]["files"] == 2


def test_the_standard_preset_follows_the_recordings_level(prior: str, bank: Path) -> None:
    settings = {**WORK, "checkpoint": prior, "noise_bank": str(bank)}
    x = noise(4000)
    loud, _ = denoise(x, RATE, **settings)
    quiet, _ = denoise(x / 64, RATE, **settings | {"noise_level": f"gain={0.01 / 64}"})
    np.testing.assert_allclose(64 * quiet, loud, atol=1e-4)


def test_without_a_bank_noise_of_a_surface_stands_in(prior: str) -> None:
    x = noise(4000)
    one, report = denoise(x, RATE, **WORK, checkpoint=prior)
    other, _ = denoise(x, RATE, **WORK, checkpoint=prior, seed=1)
    assert report["found"]["noise_bank"] is None
    assert np.abs(one - x.numpy()).max() > 1e-4 and not np.array_equal(one, other)


def test_a_prior_that_takes_levels_is_told_the_banks_and_asked_for_the_mean(tmp_path: Path) -> None:
    hiss, removed = noise(1603), {}
    rumble = F.avg_pool1d(noise(8399), 400, 1)
    for name, sound in (("hiss", noise(8000, seed=1)), ("rumble", rumble)):
        (tmp_path / name).mkdir()
        soundfile.write(tmp_path / name / "a.wav", (0.05 * sound / sound.std())[0].numpy(), RATE)
        said = {"method": "gramophone", "noise_bank": str(tmp_path / name), "noise_level": "gain=0.05"}
        audio, report = denoise(hiss, RATE, **said)
        assert audio.shape == hiss.shape and "statement" not in report["found"]  # nothing is imagined
        assert report["found"]["noise_bank"]["files"] == 1
        removed[name] = np.square(audio - hiss.numpy()).mean()
    assert removed["hiss"] > 4 * removed["rumble"]
    faint, _ = denoise(hiss, RATE, **said | {"noise_bank": str(tmp_path / "hiss"), "noise_level": "gain=0.001"})
    assert np.square(faint - hiss.numpy()).mean() < 3 * 0.001**2  # no more than about what was said to be there
    assert Denoise.of(**WORK).asks_for_a_sample and not Denoise.of(method="gramophone").asks_for_a_sample


@pytest.mark.parametrize("preset", ["standard", "as-published"])
def test_it_is_the_same_wherever_reading_begins(prior: str, bank: Path, preset: str) -> None:
    stage = Denoise.of(**WORK, checkpoint=prior, noise_bank=str(bank), preset=preset)
    tape = MemoryTape(noise(12_100))
    whole = stage.begin(tape, RATE, Bench()).read(0, tape.samples)
    assert torch.equal(stage.begin(tape, RATE, Bench()).read(9000, 12_100), whole[:, 9000:])


# Commands


def run(*arguments: object) -> int:
    return main([str(argument) for argument in arguments])


def test_a_panel_is_denoised_as_its_sheet_says(
    prior: str, bank: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "panel-2" / "noisy").mkdir(parents=True)
    soundfile.write(tmp_path / "panel-2" / "noisy" / "a.wav", noise(900)[0].numpy(), RATE)
    (tmp_path / "sample-info.csv").write_text(
        "arquivo;snr-painel-2;noise-gain-panel-2\nmine\\a.wav;12,5;0,02\nb.wav;3;\n"
    )
    assert read_sheet(tmp_path / "sample-info.csv", 2) == [Row("a.wav", 12.5, 0.02), Row("b.wav", 3.0, None)]
    options = ["--panel", 2, "--checkpoint", prior, "--noise-bank", bank, "--steps", 2, "--json"]
    assert run("denoise", "panel", tmp_path, *options) == 1
    told = capsys.readouterr()
    assert "b.wav does not exist" in told.err and "1 of 2 failed" in told.err
    (report,) = json.loads(told.out)
    assert report["settings"]["pull"] == "snr=12.5" and report["settings"]["noise_level"] == "gain=0.01"
    assert soundfile.info(tmp_path / "panel-2" / "denoised" / "a.wav").frames == 900
    assert run("denoise", "panel", tmp_path, "--panel", 3) == 1
    assert run("denoise", "old.wav", tmp_path) == 1
    assert "Put the recordings of the panel there" in capsys.readouterr().err


def test_noise_is_added_at_the_very_level_and_told(
    bank: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    soundfile.write(tmp_path / "good.wav", noise(20_000, 2, seed=3).T.numpy(), RATE, "FLOAT")
    for option, number, told in (("--gain", 0.02, "gain"), ("--snr", 7.5, "snr_db")):
        old = tmp_path / f"{told}.wav"
        assert run("degrade", tmp_path / "good.wav", "-o", old, "--noise-bank", bank, option, number, "--json") == 0
        report = json.loads(capsys.readouterr().out)["noise_bank"]
        assert report[told] == pytest.approx(number, rel=1e-5) and report["excerpt"] in ("a.flac", "b.wav")
        clean, noisy = (soundfile.read(path)[0] for path in (tmp_path / "good.wav", old))
        added = np.mean((noisy - clean) ** 2)
        found = added**0.5 if told == "gain" else 10 * np.log10(np.mean(clean**2) / added)
        assert found == pytest.approx(number, rel=1e-4)
