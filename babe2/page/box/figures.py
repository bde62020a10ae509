"""What came back of a side, in figures."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from babe2 import audio
from babe2.analysis.description import analyse
from babe2.dsp.spectra import ReferenceLtas
from babe2.page.excerpt import Excerpt
from babe2.report.verdict import format_hertz

NONE = "\N{EN DASH}"


@dataclass(frozen=True)
class Figures:
    """Up to where music is heard before and after, and how much louder it became; None where nobody can tell."""

    before_hz: float | None
    after_hz: float | None
    level_db: float | None

    @classmethod
    def of(cls, recording: Path, excerpt: Excerpt, restored: Path, reference: ReferenceLtas | None) -> Figures:
        """Measured on an excerpt and on the file that was made of it, beside the checkpoint's music."""
        sounds = [audio.read(recording, start=excerpt.start, duration=excerpt.duration), audio.read(restored)]
        before, after = (analyse(sound.audio, sound.sample_rate, reference) for sound in sounds)
        levels = before["loudness_lufs"], after["loudness_lufs"]
        return cls(
            before["bandwidth_high_hz"],
            after["bandwidth_high_hz"],
            None if None in levels else round(levels[1] - levels[0], 1),
        )

    @property
    def band(self) -> str:
        """Up to where music is heard, before and after."""
        known = [NONE if hertz is None else format_hertz(hertz) for hertz in (self.before_hz, self.after_hz)]
        return " \N{RIGHTWARDS ARROW} ".join(known)

    @property
    def level(self) -> str:
        """How much louder or softer it became."""
        return NONE if self.level_db is None else f"{self.level_db:+.1f} dB"
