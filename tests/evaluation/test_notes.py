"""What is played before and after: nothing may be added where nothing was played."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor

from babe2.evaluation.embeddings.basic_pitch import Heard
from babe2.evaluation.notes import (
    HOP,
    SAMPLE_RATE,
    Agreement,
    Note,
    added_up,
    note_agreement,
    notes_of,
    onset_agreement,
    onsets,
    pitch_agreement,
    played,
)

HERTZ = (220.0, 277.18, 329.63, 440.0, 330.0, 262.0)


def tones(times: tuple[float, ...], seconds: float = 4.0, gain: float = 1.0) -> Tensor:
    """Struck tones that begin at these times, each of another pitch."""
    x = torch.zeros(round(seconds * SAMPLE_RATE))
    for time, hertz in zip(times, HERTZ, strict=False):
        t = torch.arange(len(x) - round(time * SAMPLE_RATE)) / SAMPLE_RATE
        tone = sum(torch.sin(2 * torch.pi * n * hertz * t) / n for n in range(1, 9)) * torch.exp(-4 * t)
        x[len(x) - len(t) :] += gain * 0.3 * tone
    return x


TIMES = (0.3, 0.9, 1.7, 2.5)


def test_onsets_are_found_where_tones_begin_however_a_sound_is_cut() -> None:
    x = tones(TIMES)
    found = onsets(played([x]).novelty) * HOP / SAMPLE_RATE
    assert found == pytest.approx(TIMES, abs=0.04)
    cut = played(x.split(7000))
    np.testing.assert_allclose(cut.novelty, played([x]).novelty, atol=1e-5)
    assert len(cut.novelty) == len(x) // HOP + 1


def test_what_a_filter_does_adds_no_onset_and_changes_no_pitch() -> None:
    x = tones(TIMES)
    spectrum = torch.fft.rfft(x)
    hertz = torch.fft.rfftfreq(len(x), 1 / SAMPLE_RATE)
    darker = torch.fft.irfft(spectrum / (1 + (hertz / 800) ** 2), len(x))
    agreement = onset_agreement(played([darker]), played([x]))
    assert (agreement.kept, agreement.added, agreement.kept_share) == (4, 0, 1.0)
    alike = pitch_agreement(played([darker]), played([x]))
    assert alike is not None and alike > 0.97


def test_a_tone_where_nothing_was_played_is_added_and_one_that_is_gone_is_not_kept() -> None:
    before, after = tones((0.3, 0.9, 1.7)), tones((0.3, 0.9)) + tones((3.2,))
    found = onset_agreement(played([before]), played([after]))
    assert (found.before, found.kept, found.added) == (3, 2, 1)
    assert found.added_per_minute == pytest.approx(15, rel=0.01)


def test_another_pitch_in_the_same_rhythm_does_not_agree() -> None:
    before = played([tones((0.3,))])
    t = torch.arange(4 * SAMPLE_RATE) / SAMPLE_RATE
    tritone = sum(torch.sin(2 * torch.pi * n * 311.13 * t) / n for n in range(1, 9)) * torch.exp(-t)
    alike = pitch_agreement(before, played([0.3 * tritone]))
    assert alike is not None and alike < 0.5


def test_silence_plays_nothing() -> None:
    nothing, something = played([torch.zeros(SAMPLE_RATE)]), played([tones(TIMES)])
    assert not len(onsets(nothing.novelty)) and pitch_agreement(nothing, something) is None
    found = onset_agreement(nothing, something)
    assert found.kept_share is None and found.added == 4
    assert onset_agreement(played([]), something).added == 4


def heard(*notes: tuple[int, int, int], probable: float = 0.9, frames: int = 200) -> Heard:
    """What basic-pitch would say of notes (key, from, to)."""
    sounding, beginning = (np.zeros((frames, 88), np.float32) for _ in range(2))
    for key, start, stop in notes:
        sounding[start:stop, key - 21] = probable
        beginning[start - 1 : start + 2, key - 21] = (0.1, probable, 0.2)
    return Heard(sounding, beginning)


def test_a_note_is_an_onset_that_goes_on_long_enough() -> None:
    said = heard((60, 10, 60), (64, 10, 15), (60, 80, 120))  # the second is over at once
    assert notes_of(*said) == [Note(60, 10, 60), Note(60, 80, 120)]


def test_notes_are_kept_and_added_key_by_key() -> None:
    before, after = heard((60, 10, 60), (64, 80, 120)), heard((60, 12, 60), (65, 80, 120))
    assert note_agreement(before, after)[:4] == (2, 2, 1, 1)
    weakly = heard((60, 10, 60), (64, 80, 120), (65, 80, 120), probable=0.4)  # no note of it counts, yet it was there
    assert note_agreement(weakly, after)[:4] == (0, 2, 0, 0)


def test_agreements_of_several_recordings_add_up() -> None:
    assert added_up([Agreement(1, 2, 1, 0, 3.0), Agreement(4, 4, 3, 1, 5.0)]) == Agreement(5, 6, 4, 1, 8.0)
