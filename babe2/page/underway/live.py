"""A run under way, to see and to hear on the page."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch

from babe2 import audio
from babe2.dsp.resampling import resample
from babe2.page.outcome import drawn, sounds_to_compare
from babe2.page.underway.job import Moment
from babe2.recordings.recorded import Audio
from babe2.report import figures
from babe2.report.tracks import RESTORED, desk_tracks

PAUSE = 2.0  # seconds between two pictures of a run
SHARE = 0.08  # of the machine's time that pictures and sounds of a run may take at most
SOUND_SHARE = 0.05  # of the sound's length that passes between two versions of it, which a listener has to fetch


class Live:
    """The sound so far of one run: what segments have become, each at its place."""

    def __init__(
        self,
        sound: audio.Recording,
        equalised: Audio | None,
        model_rate: int,
        start: float,
        folder: Path,
        clock: Callable[[], float] = time.monotonic,
        dark: bool = False,
    ) -> None:
        """`sound` is being restored and begins `start` seconds into its recording; files go to `folder`."""
        self.sound, self.equalised, self.model_rate, self.start = sound, equalised, model_rate, start
        self.folder, self.dark, self.clock = folder, dark, clock
        self.so_far: Audio = np.zeros((len(sound.audio), 0), np.float32)  # at the model's rate
        self.count = 0
        self.next = clock() + PAUSE

    def is_due(self, moment: Moment) -> bool:
        """Whether there is something new to show, and time enough has passed to show it."""
        return moment.sound is not None and self.clock() >= self.next

    def shown(self, moment: Moment) -> dict[str, Any]:
        """The picture and the desk with the sound so far; both are made less often where they take long."""
        assert moment.sound is not None
        began = self.clock()
        self._place(moment.sound, round(moment.start * self.model_rate))
        picture = figures.live((moment.sound, self.model_rate), moment.equalizer)
        self.count += 1
        update = {
            "live_picture": drawn(picture, self.folder / f"{self.count}.png", self.dark),
            "desk": self._desk(),
        }
        took = self.clock() - began
        seconds = self.sound.audio.shape[1] / self.sound.sample_rate
        self.next = self.clock() + max(PAUSE, took / SHARE, SOUND_SHARE * seconds)
        return update

    def _desk(self) -> dict[str, Any]:
        rate, length = self.sound.sample_rate, self.sound.audio.shape[1]
        after = resample(torch.from_numpy(self.so_far), self.model_rate, rate).numpy()[:, :length]
        before = self.sound.audio
        if len(after) != len(before):
            before = before.mean(axis=0, keepdims=True)
        sounds = sounds_to_compare((before, rate), np.zeros_like(before), self.equalised)
        return desk_tracks(
            sounds | {RESTORED: after},
            rate,
            self.folder,
            start=self.start,
            unfinished=True,
            select=RESTORED if self.count == 1 else None,
        )

    def _place(self, segment: Audio, first: int) -> None:
        """Lays a segment at its place, over what neighbours have made of it."""
        first = min(first, self.so_far.shape[1])
        if len(self.so_far) != len(segment):  # the published program folds channels to one
            self.so_far = np.zeros((len(segment), 0), np.float32)
            first = 0
        self.so_far = np.concatenate([self.so_far[:, :first], segment], axis=1)
