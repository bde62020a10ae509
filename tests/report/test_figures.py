"""Pictures are looked at through what matplotlib has drawn."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import programs
import pytest
import torch
from matplotlib.colors import to_rgba
from matplotlib.figure import Figure

from babe2.dsp.curves import SampledCurve
from babe2.dsp.spectra import ReferenceLtas
from babe2.equalizer import Equalizer, Flank
from babe2.errors import RestorationError
from babe2.recordings.journal import Storage
from babe2.recordings.recorded import Recorded, Samples
from babe2.report.figures import (
    INK,
    LINES,
    at_night,
    by_night,
    encoded,
    live,
    ltas_curves,
    of_restoration,
    response,
    save,
    spectrogram_pair,
    spectrograms,
)
from babe2.restoration import Restoration

RATE = 16_000  # Hz


def tone(hertz: float, level: float = 0.5, seconds: float = 2, rate: int = RATE) -> np.ndarray:
    return level * np.sin(2 * np.pi * hertz * np.arange(round(seconds * rate)) / rate)


def equalizer(edge: float) -> Equalizer:
    """Flat, then 80 dB/octave down from an edge."""
    slopes = torch.tensor([0.0, -80.0])
    below = Flank(torch.tensor([100.0]), torch.tensor([0.0, 80.0]))
    return Equalizer(torch.tensor(1000.0), below, Flank(torch.tensor([edge]), slopes))


def loudest_hz(figure: Figure, panel: int) -> tuple[float, float]:
    """Frequency and level of the loudest row half-way through a spectrogram."""
    image = figure.axes[panel].images[0]
    column = image.get_array()[:, image.get_array().shape[1] // 2]
    *_, low, high = image.get_extent()
    return 2 ** (low + (high - low) * int(column.argmax()) / (len(column) - 1)), float(column.max())


def test_a_tone_is_drawn_at_its_pitch_and_level_whatever_the_sample_rate() -> None:
    figure = spectrograms((tone(440), RATE), (tone(3000, 0.05, rate=44100), 44100))
    assert loudest_hz(figure, 0) == pytest.approx((440, 0), rel=0.02, abs=0.5)
    hertz, level = loudest_hz(figure, 1)
    assert hertz == pytest.approx(3000, rel=0.02)
    assert level == pytest.approx(-20, abs=3)


def test_both_spectrograms_share_one_scale_and_the_octaves_are_labelled() -> None:
    figure = spectrograms((tone(440), RATE), (tone(440), RATE), ("Before", "After"))
    first, second, bar = figure.axes
    assert first.images[0].get_clim() == second.images[0].get_clim() == (-80, 0)
    assert [axes.get_title(loc="left") for axes in (first, second)] == ["Before", "After"]
    labels = [label.get_text() for label in first.get_yticklabels()]
    assert labels == ["63", "125", "250", "500", "1k", "2k", "4k"]
    assert "dB" in bar.get_ylabel()


def test_a_long_recording_makes_no_larger_picture() -> None:
    long = np.tile(tone(440, seconds=10), (2, 30))
    figure = spectrograms((long, RATE), (long, RATE))
    assert figure.axes[0].images[0].get_array().shape[1] == 1200
    assert "minutes" in figure.axes[1].get_xlabel()


@pytest.mark.parametrize("audio", [np.zeros(RATE), np.ones(3), np.zeros((2, 10), np.int16)])
def test_silent_and_tiny_recordings_can_be_drawn(audio: np.ndarray, tmp_path: Path) -> None:
    save(spectrograms((audio, RATE), (audio, RATE)), tmp_path / "spectrogram.png")
    save(ltas_curves({"recording": (audio, RATE)}), tmp_path / "ltas.png")


def test_the_pair_shows_what_the_two_show_together() -> None:
    sounds = (tone(440), RATE), (tone(3000, 0.05, rate=44100), 44100)
    together, apart = spectrograms(*sounds), spectrogram_pair(*sounds)
    for panel, figure in enumerate(apart):
        one, other = together.axes[panel].images[0], figure.axes[0].images[0]
        np.testing.assert_array_equal(one.get_array(), other.get_array())
        assert one.get_extent() == other.get_extent() and one.get_clim() == other.get_clim()


def test_the_pair_lies_over_each_other_to_the_pixel() -> None:
    longer, shorter = (tone(440, seconds=3), RATE), (tone(3000, seconds=1, rate=44100), 44100)
    before, after = spectrogram_pair(longer, shorter, ("Short", "A much longer title"))
    assert before.axes[0].get_title(loc="left") == "Short"  # where the slider leaves it to be seen
    assert after.axes[0].get_title(loc="right") == "A much longer title"
    for one, other in zip(before.axes, after.axes, strict=True):
        assert one.get_window_extent().bounds == other.get_window_extent().bounds
        assert one.get_xlim() == other.get_xlim() and one.get_ylim() == other.get_ylim()
    assert before.axes[0].get_xlim() == (0, 3)  # a second is as wide in both
    sizes = [int.from_bytes(encoded(figure, "png")[16:24]) for figure in (before, after)]
    assert sizes[0] == sizes[1]


def luminance(colour: tuple[float, ...]) -> float:
    """How light a colour is, after WCAG 2."""
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in colour[:3]]
    return sum(weight * c for weight, c in zip((0.2126, 0.7152, 0.0722), linear, strict=True))


def night_contrast(colour: object) -> float:
    light, dark = luminance(at_night(colour)), luminance(at_night("white"))
    return (max(light, dark) + 0.05) / (min(light, dark) + 0.05)


@pytest.mark.parametrize("colour", [INK, *(colour for colour, _ in LINES)])
def test_ink_and_lines_stand_out_from_dark_paper(colour: str) -> None:
    assert night_contrast(colour) > 4.5


def test_by_night_paper_is_dark_and_sound_keeps_its_colours() -> None:
    history = [(sigma, equalizer(2000 + 1000 * i)) for i, sigma in enumerate((0.5, 0.1, 0.01))]
    for figure in (
        by_night(spectrogram_pair((tone(440), RATE), (tone(880), RATE))[0]),
        by_night(ltas_curves({"recording": (tone(440), RATE), "restored": (tone(880), RATE)})),
        by_night(response(history, equalizer(5000), 22050)),
        by_night(live((tone(440), RATE), equalizer(5000))),
    ):
        assert luminance(figure.get_facecolor()) < 0.02 and encoded(figure, "png")
        for axes in figure.axes:
            words = [axes.title, axes.xaxis.label, axes.yaxis.label, *axes.get_xticklabels(), *axes.get_yticklabels()]
            assert all(luminance(to_rgba(text.get_color())) > 0.5 for text in words if text.get_text())
            assert all(image.get_cmap().name == "magma" for image in axes.images)
            assert all(luminance(to_rgba(line.get_color())) > 0.1 for line in axes.lines if line.get_linewidth() < 5)


def test_a_sound_has_one_colour_in_every_picture() -> None:
    looked = ltas_curves({"recording": (tone(440), RATE), "LTAS-EQ": (tone(880), RATE)})
    done = ltas_curves({"recording": (tone(440), RATE), "restored": (tone(880), RATE)})
    colours = {line.get_label(): line.get_color() for figure in (looked, done) for line in figure.axes[0].lines}
    assert len(set(colours.values())) == 3
    assert looked.axes[0].lines[0].get_color() == done.axes[0].lines[0].get_color() == colours["recording"]


def test_while_it_runs_sound_and_response_are_drawn_small() -> None:
    figure = live((tone(440), RATE), equalizer(5000), "Step 3 of 16")
    above, below = figure.axes
    assert loudest_hz(figure, 0) == pytest.approx((440, 0), rel=0.02, abs=0.5)
    assert above.get_title(loc="left") == "Step 3 of 16"
    *_, line = below.lines
    assert line.get_ydata()[np.searchsorted(line.get_xdata(), 7000)] < -35
    width, height = (int.from_bytes(encoded(figure, "png")[at : at + 4]) for at in (16, 20))
    assert (width, height) == (900, 504)


@pytest.mark.parametrize("audio", [np.zeros(RATE), np.ones(3), np.zeros((2, 10), np.int16)])
def test_a_beginning_without_sound_or_response_can_be_drawn(audio: np.ndarray) -> None:
    encoded(live((audio, RATE), None), "png")
    encoded(spectrogram_pair((audio, RATE), (audio, RATE))[0], "png")


def test_average_spectra_are_drawn_at_equal_level() -> None:
    noise = np.random.default_rng(0).standard_normal((1, 5 * RATE))
    reference = ReferenceLtas(torch.full((1025,), 7.0), 22050)
    figure = ltas_curves({"recording": (noise, RATE), "restored": (0.01 * noise, RATE)}, reference)
    recording, restored, expected = figure.axes[0].lines
    np.testing.assert_allclose(recording.get_ydata(), restored.get_ydata(), atol=1e-3)
    np.testing.assert_allclose(expected.get_ydata(), 0, atol=1e-6)
    assert abs(np.mean(recording.get_ydata()[100:])) < 0.5
    assert [text.get_text() for text in figure.axes[0].get_legend().get_texts()] == [
        "recording",
        "restored",
        "reference",
    ]


def test_the_response_shows_its_breakpoints_and_the_way_there() -> None:
    history = [(sigma, equalizer(2000 + 1000 * i)) for i, sigma in enumerate((0.5, 0.1, 0.01))]
    figure = response(history, equalizer(5000), 22050)
    axes, bar = figure.axes
    named = {line.get_label(): line for line in axes.lines}
    assert named["Breakpoints"].get_xdata().tolist() == [100, 1000, 5000]
    assert named["Breakpoints"].get_ydata() == pytest.approx(0)
    assert named["Estimated response"].get_linewidth() > axes.lines[0].get_linewidth()
    assert len({tuple(line.get_color()) for line in axes.lines[:3]}) == 3
    assert "noise level" in bar.get_ylabel()
    assert axes.get_ylim()[0] >= -60  # the steep outer lines run out of the picture


def test_a_curve_without_breakpoints_or_history_is_drawn_alone() -> None:
    curve = SampledCurve(torch.tensor([100.0, 1000.0, 8000.0]), torch.tensor([-12.0, 0.0, -24.0]))
    (axes,) = response([], curve, 22050).axes
    assert "Breakpoints" not in {line.get_label() for line in axes.lines}


@pytest.mark.parametrize(("name", "beginning"), [("a.png", b"\x89PNG"), ("a.SVG", b"<?xml")])
def test_a_picture_replaces_an_older_one_whole(tmp_path: Path, name: str, beginning: bytes) -> None:
    (tmp_path / name).write_text("older")
    assert save(response([], equalizer(5000), RATE), tmp_path / name) == tmp_path / name
    assert (tmp_path / name).read_bytes().startswith(beginning)
    assert [path.name for path in tmp_path.iterdir()] == [name]


@pytest.mark.parametrize("name", ["a.gif", "a", "missing/a.png"])
def test_a_place_for_no_picture_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(RestorationError):
        save(response([], equalizer(5000), RATE), tmp_path / name)
    assert list(tmp_path.iterdir()) == []


def test_drawing_needs_no_screen_and_leaves_pyplot_alone() -> None:
    loaded = "import sys, babe2.report.figures; print('matplotlib.pyplot' in sys.modules)"
    assert programs.run("-c", loaded).stdout.strip() == "False"


def test_a_restoration_is_told_in_three_pictures() -> None:
    curve = equalizer(5000)
    recorded = Recorded.of(Samples(torch.from_numpy(tone(440))[None], RATE), RATE, None, fold=False)
    restoration = Restoration(recorded, recorded.observation, Storage(), RATE, curve, (curve,), 0, {})
    before, reference = (tone(440, rate=44100), 44100), ReferenceLtas(torch.full((1025,), 7.0), 16_000)
    drawn = of_restoration(before, (restoration.audio, RATE), restoration, reference)
    assert list(drawn) == ["spectrograms", "ltas", "response"]
    assert [line.get_label() for line in drawn["ltas"]().axes[0].lines] == ["recording", "restored", "reference"]
    assert drawn["response"]().axes[0].get_xlim()[1] == 16_000  # an octave above the music that the prior knows
    alone = of_restoration(before, (restoration.audio, RATE), restoration, None)
    assert alone["response"]().axes[0].get_xlim()[1] == 22_050
