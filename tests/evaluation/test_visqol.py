"""ViSQOL's mark, where its package is installed."""

from __future__ import annotations

import pytest
import torch
from music import music

from babe2.evaluation.visqol import visqol

RATE = 22_050


def test_a_sound_is_most_like_itself_and_silence_like_nothing() -> None:
    pytest.importorskip("visqol")
    mark, truth = visqol(), torch.from_numpy(music(1.2, RATE)).float().mean(dim=0)
    hiss = torch.randn(len(truth), generator=torch.Generator().manual_seed(0)) * 0.03 * truth.std()
    itself, louder, hissing = (mark(x, truth, RATE) for x in (truth, 0.5 * truth, truth + hiss))
    assert itself == pytest.approx(4.732, abs=1e-3) and louder == pytest.approx(itself, abs=1e-3)
    assert hissing is not None and hissing < itself - 0.3
    assert mark(torch.zeros_like(truth), truth, RATE) is None
    assert mark(truth[:5000], truth[:5000], RATE) is None
