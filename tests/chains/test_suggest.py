"""A chain is proposed from what each stage hears, with its reason."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from sounds import piano, song

from babe2 import RestorationError
from babe2.chains import Chain
from babe2.chains.suggest import Suggestion, reference_of_default, suggest
from babe2.degradations.surface import Hum, Surface, surface_noise
from babe2.stages import Denoise

RATE = 22050


def proposed(sound: torch.Tensor) -> Suggestion:
    return suggest(sound.float(), RATE, reference_of_default())


def stages(suggestion: Suggestion) -> list[str]:
    return [link.stage.name for link in suggestion.chain.links]


def test_what_is_wrong_is_mended_and_nothing_else() -> None:
    music = piano(8, RATE)
    generator = torch.Generator().manual_seed(0)
    clicks = Surface(noise_db=None, clicks=4.0, click_db=15.0)
    hum = Surface(noise_db=None, hum=Hum(50.0, -20.0, 8.0))
    clicking = proposed(music + surface_noise(music, RATE, clicks, generator))
    humming = proposed(music + surface_noise(music, RATE, hum, generator))
    assert "declick" in stages(clicking) and "dehum" not in stages(clicking)
    assert "dehum" in stages(humming) and "declick" not in stages(humming)
    words = {reason.stage: reason.words for reason in humming.reasons}
    assert words["dehum"].startswith("the mains hum at 50.") and words["declick"] == "about 0 clicks a minute"
    assert Chain.parse(humming.chain.text()) == humming.chain


@pytest.mark.parametrize(("noise_db", "method"), [(-35.0, "two-stage"), (-10.0, "prior")])
def test_behind_loud_noise_the_prior_denoises(noise_db: float, method: str) -> None:
    music = piano(4, RATE)
    hiss = surface_noise(music, RATE, Surface(noise_db=noise_db), torch.Generator().manual_seed(0))
    (chosen,) = (link.stage for link in proposed(music + hiss).chain.links if isinstance(link.stage, Denoise))
    assert chosen.method == method


def test_two_walls_of_one_groove_are_brought_into_line() -> None:
    music = piano(4, RATE)[0]
    askew = proposed(torch.stack([music[:-3], 0.8 * music[3:]]))
    assert stages(askew)[0] == "align"


def test_a_singer_is_parted_from_the_orchestra_first() -> None:
    sung = stages(proposed(torch.from_numpy(song(struck=False, vibrato_cents=40))[None]))
    assert sung[-3:] == ["separate", "restore", "remix"]


def test_silence_needs_nothing() -> None:
    with pytest.raises(RestorationError, match="is silent"):
        suggest(np.zeros((1, RATE), np.float32), RATE, reference_of_default())
