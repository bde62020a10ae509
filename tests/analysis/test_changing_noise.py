"""Noise that is followed over time: what is a burst, what is the onset of a note, and what a prior's estimate tells."""

from __future__ import annotations

import pytest
import torch
from conftest import deviation
from torch import Tensor

from babe2.analysis.changing_noise import DOUBT, LOUDER, MOST, Parts, bursts, corrected, follow

BANDS, FRAMES, MOMENT = 96, 40, 20


def steady() -> Tensor:
    return torch.ones(1, BANDS, FRAMES)


def test_a_burst_is_louder_than_before_and_behind_and_a_note_than_before_only() -> None:
    crackling, played = steady(), steady()
    crackling[..., MOMENT] = 100.0
    played[..., MOMENT:] = 100.0 * 0.9 ** torch.arange(FRAMES - MOMENT)
    found = bursts(crackling)
    torch.testing.assert_close(found[..., MOMENT], torch.full((1, BANDS), 100.0 - LOUDER))
    assert not found[..., :MOMENT].any() and not found[..., MOMENT + 1 :].any()
    assert not bursts(played).any()


def test_what_a_prior_left_is_the_noise_where_there_is_no_music() -> None:
    count, silence = torch.full((BANDS,), 2.0), Parts(4 * steady(), 0 * steady())
    torch.testing.assert_close(corrected(steady(), count, silence), steady() * (2 * 4 + DOUBT) / (2 + DOUBT))


def test_loud_music_tells_nothing_of_the_noise_under_it() -> None:
    loud = Parts(0 * steady(), 1e6 * steady())
    assert deviation(corrected(steady(), torch.full((BANDS,), 2.0), loud), steady()) < 1e-3


@pytest.mark.parametrize(("louder", "followed"), [(5.0, 5.0 - LOUDER), (1e4, MOST)])
def test_a_burst_counts_as_noise_up_to_a_bound(louder: float, followed: float) -> None:
    power = steady()
    power[..., MOMENT] = louder
    found = follow(torch.ones(BANDS), power, torch.ones(BANDS), lambda noise: Parts(noise, 0 * noise), rounds=1)
    torch.testing.assert_close(found[0, :, MOMENT], torch.full((BANDS,), 1 + followed))
    torch.testing.assert_close(found[0, :, : MOMENT - 1], torch.ones(BANDS, MOMENT - 1))
