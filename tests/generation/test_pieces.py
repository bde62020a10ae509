"""Clips of ten kinds: as long as asked, the same from the same seed, and with a model's faults."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import soundfile
import torch

from babe2.commands.main import main
from babe2.dsp.spectra import average_power, bin_frequencies, decibels
from babe2.generation.instruments import RATE
from babe2.generation.pieces import KINDS, PEAK, synthesised


@pytest.fixture(scope="module")
def clips() -> list[torch.Tensor]:
    return [synthesised(number, 0.7003, seed=4) for number in range(len(KINDS))]


def test_there_are_ten_kinds_that_differ_and_are_as_long_as_asked(clips: list[torch.Tensor]) -> None:
    assert len({kind.prompt for kind in KINDS}) == len(clips) == 10
    for clip in clips:
        assert len(clip) == round(0.7003 * RATE) and clip.isfinite().all()
        assert 0.9 * PEAK < float(clip.abs().max()) < 1.1 * PEAK
    assert len({clip.double().square().mean().item() for clip in clips}) == 10


def test_the_band_ends_below_half_the_rate_and_noise_lies_beneath(clips: list[torch.Tensor]) -> None:
    hertz = bin_frequencies(RATE, 2048)
    for clip in clips:
        level = decibels(average_power(clip[None, None], 2048, 1024))
        assert float(level[hertz > 15_600].max()) < -100 < float(level[(hertz > 12_000) & (hertz < 13_000)].median())


def test_the_same_seed_plays_the_same_and_another_another_way(clips: list[torch.Tensor]) -> None:
    assert torch.equal(synthesised(2, 0.7003, seed=4), clips[2])
    assert not torch.equal(synthesised(2, 0.7003, seed=5), clips[2])
    assert not torch.equal(synthesised(12, 0.7003, seed=4), clips[2])  # the same kind once more


def test_the_command_writes_numbered_clips(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["generate-test-clips", "-o", str(tmp_path / "clips"), "--count", "2", "--seconds", "0.25"]
    assert main([*arguments, "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    files = sorted((tmp_path / "clips").iterdir())
    assert [str(path) for path in files] == [clip["file"] for clip in told["clips"]]
    assert [path.name for path in files] == ["sample_001.wav", "sample_002.wav"]
    assert soundfile.info(files[0]).frames == 8000
    assert main(arguments) == 1 and "exists already" in capsys.readouterr().err
    assert main([*arguments, "--overwrite", "--count", "0"]) == 1
