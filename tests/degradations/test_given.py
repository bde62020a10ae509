"""Responses that a person gives: tables, filters, reports; and sentences for what is none."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import soundfile as sf
import torch

from babe2 import RestorationError
from babe2.degradations.given import read_response
from babe2.equalizer import Equalizer, Flank

RATE = 22_050


def gains(path: Path, hertz: list[float]) -> list[float]:
    return read_response(path, RATE).gain_db(torch.tensor(hertz)).tolist()


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("plain.csv", "100,0\n400,-12\n"),
        ("headed.csv", "hertz,db\n100,0\n400,-12\n"),
        ("spaced.txt", "# measured in 1925\n\n  100   0.0   0.5\n  400  -12 # steep\n"),
        ("spreadsheet.csv", "\ufeffHz;dB\n100,0;0,0\n400,0;-12,0\n"),
        ("with_dc.csv", "0,-300000\n100,0\n400,-12\n"),
        ("crlf.tsv", "hertz\tdb\r\n100\t0\r\n400\t-12\r\n"),
        ("points.json", json.dumps({"frequencies_hz": [100, 400], "gain_db": [0, -12]})),
        ("report.json", json.dumps({"response": {"frequencies_hz": [100, 400], "gain_db": [0, -12]}})),
    ],
)
def test_a_table_is_straight_between_its_points_on_a_chart_of_octaves(tmp_path: Path, name: str, text: str) -> None:
    (tmp_path / name).write_text(text, "utf-8")
    assert gains(tmp_path / name, [50, 100, 200, 400, 8000]) == pytest.approx([0, 0, -6, -12, -12])


def test_an_equalizer_of_a_report_comes_back(tmp_path: Path) -> None:
    one = torch.tensor
    equalizer = Equalizer(
        one(1000.0), Flank(one([500.0, 50.0]), one([3.0, 6.0, 80.0])), Flank(one([2000.0]), one([-3.0, -80.0]))
    )
    (tmp_path / "report.json").write_text(json.dumps({"response": equalizer.as_dict()}))
    hertz = torch.linspace(20, 10_000, 500)
    read = read_response(tmp_path / "report.json", RATE)
    torch.testing.assert_close(read.gain_db(hertz), equalizer.gain_db(hertz), atol=1e-3, rtol=0)


@pytest.mark.parametrize("kind", ["wav", "npy"])
def test_a_filters_curve_is_its_magnitude(tmp_path: Path, kind: str) -> None:
    """The mean of neighbours, which falls to nothing at Nyquist."""
    taps, path = np.array([0.5, 0.5]), tmp_path / f"fir.{kind}"
    if kind == "wav":
        sf.write(path, taps, 44_100, "FLOAT")
    else:
        np.save(path, taps)
    nyquist = (44_100 if kind == "wav" else RATE) / 2
    hertz = [100.0, nyquist / 2, nyquist]
    assert gains(path, hertz) == pytest.approx([0.0, -3.01, -100.0], abs=0.01)


@pytest.mark.parametrize(
    ("name", "text", "sentence"),
    [
        ("empty.csv", "", "has no two frequencies above 0 Hz. A table has a line such as"),
        ("words.csv", "this is\nno table\n", "no two frequencies"),
        ("one.csv", "100,0\n", "no two frequencies"),
        ("odd.csv", "100,0\n200\n", "Line 2 of odd.csv is not a frequency and a gain"),
        ("late.csv", "100,0\nand,so\n", "Line 2 of late.csv"),
        ("nan.csv", "100,0\n200,nan\n", "Not every value in nan.csv is a number"),
        ("unsorted.csv", "200,0\n100,0\n", "do not rise from line to line"),
        ("twice.csv", "200,0\n200,0\n", "do not rise from line to line"),
        ("below.csv", "-5,0\n200,0\n", "do not rise from line to line"),
        ("wild.csv", "100,0\n200,5000\n", "a gain of 5000 dB, which no machine has"),
        ("broken.json", "{", "broken.json is no JSON"),
        ("other.json", "[1, 2]", "other.json holds no response"),
        ("uneven.json", '{"frequencies_hz": [1, 2, 3], "gain_db": [0, 1]}', "3 frequencies and 2 gains"),
        ("texts.json", '{"frequencies_hz": ["a", "b"], "gain_db": [0, 1]}', "Not every value in texts.json"),
        ("fake.npy", "no array", "fake.npy holds no array of numbers"),
        ("fake.wav", "no sound", "fake.wav"),
    ],
)
def test_what_is_no_response_is_told_in_a_sentence(tmp_path: Path, name: str, text: str, sentence: str) -> None:
    (tmp_path / name).write_text(text)
    with pytest.raises(RestorationError, match=sentence):
        read_response(tmp_path / name, RATE)


@pytest.mark.parametrize("name", ["gone.csv", "gone.npy", "gone.json", "gone.wav", "gone"])
def test_a_file_that_is_not_there_is_told(tmp_path: Path, name: str) -> None:
    with pytest.raises(RestorationError, match=r"gone"):
        read_response(tmp_path / name, RATE)


@pytest.mark.parametrize(
    ("taps", "sentence"),
    [
        (np.zeros(8), "it is silent"),
        (np.array([1.0, np.nan]), "not all of it is numbers"),
        (np.zeros((2, 8)), r"array of the shape \(2, 8\)"),
        (np.zeros(0), "1 to 1048576"),
        (np.array(["a"]), "no array of numbers"),
    ],
)
def test_an_array_that_is_no_filter_is_told(tmp_path: Path, taps: np.ndarray, sentence: str) -> None:
    np.save(tmp_path / "fir.npy", taps)
    with pytest.raises(RestorationError, match=sentence):
        read_response(tmp_path / "fir.npy", RATE)


def test_a_filter_in_stereo_is_refused(tmp_path: Path) -> None:
    sf.write(tmp_path / "fir.wav", np.eye(2), 44_100, "FLOAT")
    with pytest.raises(RestorationError, match="2 channels, but a response is one filter"):
        read_response(tmp_path / "fir.wav", RATE)


def test_lines_that_do_not_fit_are_told(tmp_path: Path) -> None:
    record = {
        "reference_hz": 1000,
        "breakpoints_below_hz": [500],
        "slopes_below_db": [0, 80],
        "breakpoints_above_hz": [2000],
        "slopes_above_db": [0],
    }
    for changes, sentence in (({}, "one slope more"), ({"slopes_above_db": [0, -9], "reference_hz": 9000}, "outwards")):
        (tmp_path / "lines.json").write_text(json.dumps(record | changes))
        with pytest.raises(RestorationError, match=sentence):
            read_response(tmp_path / "lines.json", RATE)
