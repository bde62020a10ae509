"""Degradations in words: what can be said, and what is answered to what cannot."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import soundfile
import torch

from babe2 import RestorationError
from babe2.degradations.described import Place
from babe2.degradations.spec import degradation_of


@pytest.mark.parametrize(
    "text",
    [
        "clip:0.3",
        "lowpass:3000",
        "highpass:200,biquad,q=0.9",
        "lowpass:3000,cheby1,order=8,ripple=0.5,causal",
        "resample:8000",
        "decimate:4",
        "decimate:4,raw",
        "sense:0.2,seed=3",
        "phase",
        "lowpass:3000+clip:0.3",
    ],
)
def test_what_is_said_is_said_again(text: str) -> None:
    described = degradation_of(text)
    assert described.text == text
    assert degradation_of(described) is described
    assert json.loads(json.dumps(described.as_dict()))["text"] == text


@pytest.mark.parametrize(
    "text",
    [
        "clap:3",
        "",
        "clip",
        "clip:x",
        "clip:0",
        "clip:nan",
        "clip:0.3,hard",
        "lowpass:0",
        "lowpass:3000,fir,causal",
        "lowpass:3000,cheby1,order=99",
        "resample:inf",
        "decimate:1",
        "decimate:1.5",
        "sense:1",
        "sense:0.2,seed=a",
        "gaps:",
        "gaps:/nowhere.csv",
        "noise-bank:/nowhere",
        "phase:3",
        "phase+clip:0.3",
    ],
)
def test_what_cannot_be_is_answered_in_a_sentence(text: str) -> None:
    with pytest.raises(RestorationError, match=r"\.$"):
        degradation_of(text)


def test_gaps_come_from_a_file_whose_name_may_hold_anything(tmp_path: Path) -> None:
    path = tmp_path / "a+b, c=1.csv"
    path.write_text("start,stop\n1.5,2\n\n0.25,0.5\n")
    described = degradation_of(f"gaps:{path}+clip:0.5")
    gaps = described.parts[0].as_dict()
    assert (gaps["gaps"], gaps["seconds"]) == (2, 0.75)
    path.write_text("0.25,0.5\n1.5,2\n")
    assert degradation_of(f"gaps:{path}").as_dict() == gaps
    path.write_text("0.25,0.6\n1.5,2\n")
    assert degradation_of(f"gaps:{path}").as_dict()["sha256"] != gaps["sha256"]


@pytest.mark.parametrize(
    "content", ["", "start,stop\n", "1\n2\n", "a,b\nc,d\n", "2,1\n", "-1,2\n", "1,nan\n", "0,1,2\n3,4\n5\n"]
)
def test_a_list_without_gaps_is_answered_in_a_sentence(tmp_path: Path, content: str) -> None:
    path = tmp_path / "gaps.csv"
    path.write_text(content)
    with pytest.raises(RestorationError, match=r"\.$"):
        degradation_of(f"gaps:{path}")


def test_a_bank_is_known_by_its_sounds(tmp_path: Path) -> None:
    soundfile.write(tmp_path / "a.wav", torch.rand(9000, generator=torch.Generator().manual_seed(0)).numpy(), 8000)
    told = degradation_of(f"noise-bank:{tmp_path},gain=0.01").as_dict()
    soundfile.write(tmp_path / "a.wav", torch.rand(9000, generator=torch.Generator().manual_seed(1)).numpy(), 8000)
    again = degradation_of(f"noise-bank:{tmp_path},gain=0.01").as_dict()
    assert told["files"] == again["files"] == 1
    assert told["sha256"] != again["sha256"]


def test_single_samples_cannot_be_named_at_another_rate() -> None:
    with pytest.raises(RestorationError, match="44100 Hz loses when it is restored at 22050 Hz"):
        degradation_of("sense:0.3").check(44100, 22050)
    place = Place(torch.arange(10)[None], 22050, 44100, torch.ones(1, 1), torch.Generator())
    with pytest.raises(RestorationError, match="names single samples"):
        degradation_of("decimate:2,raw").at(place)
