"""A part of a recording, as somebody filled in two fields."""

from __future__ import annotations

from pathlib import Path

import pytest

from babe2.errors import RestorationError
from babe2.page.excerpt import EXCERPT_SECONDS, Excerpt

EXAMPLE = Path(__file__).parents[2] / "examples" / "old_variation.flac"  # 12 seconds


@pytest.mark.parametrize(
    ("start", "duration", "excerpt"),
    [
        (2.0, 3.0, Excerpt(2.0, 3.0)),
        (None, None, Excerpt(0.0, EXCERPT_SECONDS)),
        (-1.0, 5.0, Excerpt(0.0, 5.0)),
    ],
)
def test_emptied_fields_mean_their_defaults(start: float | None, duration: float | None, excerpt: Excerpt) -> None:
    assert Excerpt.chosen(start, duration) == excerpt


@pytest.mark.parametrize(
    ("excerpt", "seconds"),
    [(Excerpt(), 12), (Excerpt(2.0), 10), (Excerpt(2.0, 3.0), 3), (Excerpt(11.0, 3.0), 1), (Excerpt(20.0, 3.0), 0)],
)
def test_it_ends_with_its_recording(excerpt: Excerpt, seconds: float) -> None:
    assert excerpt.seconds_of(12.0) == seconds


def test_its_sound_is_read(tmp_path: Path) -> None:
    assert Excerpt(2.0, 3.0).read(EXAMPLE, longest=3.0).audio.shape == (1, 3 * 22_050)


def test_more_than_is_allowed_is_told_before_it_is_read() -> None:
    with pytest.raises(RestorationError, match=r"0:12 of sound; here at most 0:11.*Choose an excerpt"):
        Excerpt().read(EXAMPLE, longest=11.0)
