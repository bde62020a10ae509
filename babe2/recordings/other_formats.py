"""Sound in files that libsndfile cannot read: M4A, MP4 and other videos, WMA. FFmpeg decodes it, by way of PyAV.

Only sound is decoded, only containers of the list are opened, and no header is believed: how long the sound is tells a
look at all its packets. What FFmpeg cannot make sense of ends the sound there.
"""

from __future__ import annotations

from collections.abc import Generator, Iterator
from contextlib import contextmanager, suppress
from fractions import Fraction
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from babe2.errors import RestorationError
from babe2.extras import require

# How such files begin, from some byte on.
_BEGINNINGS = (
    (4, b"ftyp"),
    (4, b"moov"),
    (4, b"mdat"),
    (4, b"wide"),
    (0, b"\x1aE\xdf\xa3"),  # Matroska, WebM
    (0, b"0&\xb2u"),  # WMA, WMV
    (8, b"AVI "),
    (0, b"caff"),
    (0, b"#!AMR"),
    (0, b"MAC "),
    (0, b"\x0bw"),  # AC-3
    (0, b"\xff\xf1"),  # AAC
    (0, b"\xff\xf9"),
)
_DEMUXERS = "mov,mp4,m4a,3gp,3g2,mj2,matroska,webm,asf,avi,caf,amr,ape,ac3,aac"
_INDEXED = ("mov", "matroska", "asf")  # in which a place can be found by its time
_MOST_PACKETS = 8_000_000  # two days of AAC; what claims to have more is no recording
_MOST_PIXELS = 2**26  # of a picture beside the sound, should FFmpeg look at one
_FINE = 2  # samples; where the packets' time goes in such steps, it tells lengths
_LEAD_SECONDS = 1.0  # decoded before the place that is wanted, as a decoder has to run in
_UNSURE_FRAMES = 2  # after a jump; the first may be a part of one


def looks_like_one(head: bytes) -> bool:
    """Whether a file that begins like this may be one of these."""
    return any(head[at : at + len(word)] == word for at, word in _BEGINNINGS)


class OtherSound:
    """The sound of an open file, with as much of `soundfile.SoundFile` as reading needs."""

    format, subtype = "FFMPEG", "FFMPEG"

    def __init__(self, name: str, file: BinaryIO) -> None:
        require("formats")
        import av

        self._name, self._file, self._errors = name, file, (av.FFmpegError, ValueError, OverflowError, MemoryError)
        try:
            with self._opened() as (container, stream):
                codec = stream.codec_context
                if codec is None or not codec.sample_rate or not codec.channels:
                    raise self._unreadable()
                self.samplerate, self.channels = codec.sample_rate, codec.channels
                self._tags = container.metadata | stream.metadata
                self._unit = Fraction(stream.time_base) * self.samplerate  # samples in a unit of the packets' time
                self.stated = round((stream.duration or 0) * self._unit)  # samples; it may be a lie
                self._begins, self._first_count = self._beginning(container.decode(stream))
            with self._opened() as (container, stream):
                self.frames = self._length(container.demux(stream))
        except self._errors as error:
            raise self._unreadable() from error
        self.seek(0)

    @contextmanager
    def _opened(self) -> Iterator[tuple[Any, Any]]:
        """The file as FFmpeg sees it from its beginning, and the sound in it; no picture is looked at."""
        import av

        self._file.seek(0)
        container: Any = av.open(
            self._file,
            container_options={"format_whitelist": _DEMUXERS, "max_streams": "64"},
            options={"max_pixels": str(_MOST_PIXELS)},
            metadata_errors="replace",
        )
        with container:
            if not container.streams.audio:
                raise RestorationError(f"There is no sound in {self._name}. Choose another file.")
            for stream in container.streams:
                if stream is not container.streams.audio[0]:
                    stream.discard = av.stream.Discard.all
            yield container, container.streams.audio[0]

    def __enter__(self) -> OtherSound:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Stops decoding; the file stays open."""
        self._blocks.close()

    def copy_metadata(self) -> dict[str, str]:
        """Title, artist and the like, under soundfile's names."""
        names = {"title": "title", "artist": "artist", "album": "album", "date": "date", "genre": "genre"}
        return {ours: str(self._tags[theirs])[:1000] for theirs, ours in names.items() if self._tags.get(theirs)}

    def seek(self, sample: int) -> None:
        """Goes on reading from a sample."""
        self._place, self._blocks = sample, self._decoded(sample)
        self._held: NDArray[np.float32] = np.empty((0, self.channels), np.float32)

    def tell(self) -> int:
        """The next sample to be read."""
        return self._place

    def read(self, out: NDArray[np.float32]) -> NDArray[np.float32]:
        """Fills `out` (samples, channels) as far as there is sound, and returns what was filled."""
        done = 0
        while done < len(out):
            if not len(self._held):
                with suppress(*self._errors):  # damaged: it ends here
                    self._held = next(self._blocks, self._held)
                if not len(self._held):
                    break
            some = self._held[: len(out) - done]
            out[done : done + len(some)] = some
            done, self._held = done + len(some), self._held[len(some) :]
        self._place += done
        return out[:done]

    def _beginning(self, frames: Iterator[Any]) -> tuple[int, int]:
        """The time of the first sound, and how many samples come in one go there."""
        for frame in frames:
            return frame.pts or 0, frame.samples
        return 0, 0

    def _length(self, packets: Iterator[Any]) -> int:
        """How many samples there are, by the times of all packets."""
        ends = self._begins
        for number, packet in enumerate(packets):
            if number > _MOST_PACKETS:
                raise self._unreadable()
            if packet.pts is not None:
                ends = max(ends, packet.pts + (packet.duration or 0))
        return round((ends - self._begins) * self._unit)

    def _decoded(self, first: int) -> Generator[NDArray[np.float32]]:
        """Blocks (samples, channels) from sample `first` on."""
        import av

        resampler = av.AudioResampler(format="flt")
        with self._opened() as (container, stream):
            place = self._jump(container, stream, first)
            for number, frame in enumerate(container.decode(stream)):
                if frame.sample_rate != self.samplerate or len(frame.layout.channels) != self.channels:
                    return  # another sound begins
                if place is None:  # after a jump only the frame's own time tells where it is
                    if frame.pts is None or number < _UNSURE_FRAMES:
                        continue
                    place = self._place_of(frame)
                count = frame.samples
                if self._unit <= _FINE and frame.duration:  # the last one may hold more than there is
                    count = min(count, round(frame.duration * self._unit))
                early = max(0, first - place)
                if early < count:
                    for part in resampler.resample(frame):
                        yield part.to_ndarray().astype(np.float32, copy=False).reshape(-1, self.channels)[early:count]
                place += count

    def _jump(self, container: Any, stream: Any, first: int) -> int | None:
        """Goes to a little before a sample, and returns at which one that is, where it is known."""
        seconds = first / self.samplerate - _LEAD_SECONDS
        if seconds <= 0 or not any(name in container.format.name for name in _INDEXED):
            return 0
        time = int(self._begins + Fraction(seconds) * self.samplerate / self._unit)
        container.seek(time, stream=stream, backward=True)
        return None

    def _place_of(self, frame: Any) -> int:
        """Which sample a frame begins with. Where times are milliseconds, they still tell which frame it is."""
        place = (frame.pts - self._begins) * self._unit
        if self._unit <= _FINE or place < self._first_count:
            return max(0, round(place))
        return self._first_count + round((place - self._first_count) / frame.samples) * frame.samples

    def _unreadable(self) -> RestorationError:
        return RestorationError(
            f"{self._name} cannot be decoded: it is damaged, cut off or of a rare kind. Copy it again, or save it as "
            "WAV or FLAC with an audio program."
        )
