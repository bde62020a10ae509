"""Reads and writes audio files.

libsndfile decodes and encodes, and FFmpeg decodes what it does not know (other_formats.py). What they leave to us lives
here: refusing in sentences, never believing a header, carrying a file's notes over (chunks.py finds them), and leaving
either a whole new file behind or none.
"""

from __future__ import annotations

import errno
import hashlib
import math
import os
import secrets
import shlex
import stat
import struct
import unicodedata
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext, suppress
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

import numpy as np
from numpy.typing import NDArray

from babe2.dsp.waveform import FAINT, LOUDEST, MAX_CHANNELS, SAMPLE_RATES
from babe2.errors import RestorationError
from babe2.recordings.chunks import (
    CARRIES_CHUNKS,
    INFO_FIELDS,
    LAYOUTS,
    MAX_CARRIED,
    Chunk,
    Tags,
    append_tags,
    carried_chunks,
    info_text,
    list_chunks,
    retimed,
)
from babe2.recordings.endings import Corrected, flac_restated, flac_samples, flac_stated, ogg_is_cut_off, ogg_is_damaged
from babe2.recordings.other_formats import OtherSound, looks_like_one
from babe2.recordings.own_folder import Draft
from babe2.recordings.quiet import quiet_decoder
from babe2.wording import clock


class _Soundfile:
    """The soundfile package, imported when it is first used: a machine that trains from arrays need not have it."""

    def __getattr__(self, name: str) -> Any:
        import soundfile  # type: ignore[import-untyped]

        return getattr(soundfile, name)


sf: Any = _Soundfile()

_READABLE = ("WAV", "WAVEX", "RF64", "W64", "AIFF", "FLAC", "OGG", "MP3")
_CONTAINERS = {
    ".wav": "WAV",
    ".w64": "W64",
    ".rf64": "RF64",
    ".aiff": "AIFF",
    ".aif": "AIFF",
    ".flac": "FLAC",
    ".ogg": "OGG",
    ".mp3": "MP3",
}
AS_FLOATS = "a .wav file with subtype FLOAT"  # which holds any level
_INTEGER_BITS = {"PCM_S8": 8, "PCM_U8": 8, "PCM_16": 16, "PCM_24": 24, "PCM_32": 32}
_FLOAT_BITS = {"FLOAT": 32, "DOUBLE": 64}
_MAX_VORBIS_RATE = 200_000  # Hz; libvorbis has no setting beyond it and libsndfile 1.2.2 crashes there

_DECODE_VALUES = 2**20  # samples times channels decoded at once
USUAL_PEAK = 0.5  # of full scale: neither too loud nor too soft for whole numbers
_ENCODE_VALUES = 2**16  # libsndfile keeps a whole Vorbis block on the stack: tens of megabytes would crash it
_MAX_AIFF_TEXT = 2000  # characters; libsndfile cannot reopen an AIFF whose text chunk exceeds 8 kB
_UNRECOGNISED, _SYSTEM_ERROR = 1, 2  # libsndfile's codes for "format not recognised" and "the system refused"
_SAMPLES = (b"data", b"SSND")  # the chunks that hold the samples
_SMALL_SURPLUS = 1024  # bytes at a file's end that need no explanation
_ADDED = (b"TAG", b"ID3", b"APETAGEX", b"LYRICS")  # how notes begin that programs add to the end of any file
_UNKNOWN_LENGTH = 2**62  # samples; libsndfile says about twice that of a FLAC which does not state its length


@dataclass(frozen=True, eq=False)
class Recording:
    """A recording as it was read."""

    audio: NDArray[np.float32]  # (channels, samples), full scale is 1
    sample_rate: int  # Hz
    subtype: str  # soundfile's name of how it was stored, e.g. "PCM_24"
    tags: Tags
    warnings: tuple[str, ...]  # sentences for people


def read(path: str | os.PathLike[str], *, start: float = 0.0, duration: float | None = None) -> Recording:
    """Read a recording, or `duration` seconds of it from `start` seconds on; its content decides the format.

    A file that holds less than it promises is read as far as it goes, with a warning.
    """
    excerpt = SoundFile(path, start=start, duration=duration)
    try:
        held = deque(excerpt.blocks())
        audio = np.empty((excerpt.channels, sum(block.shape[1] for block in held)), np.float32)
        done = 0
        while held:  # each block is freed as soon as it is copied, so that memory holds the recording once
            block = held.popleft()
            audio[:, done : done + block.shape[1]] = block
            done += block.shape[1]
    except MemoryError as error:
        name = os.fspath(path)
        raise RestorationError(f"{name} is too long for this computer's memory. Choose an excerpt of it.") from error
    return Recording(audio, excerpt.sample_rate, excerpt.subtype, excerpt.tags, excerpt.warnings)


class SoundFile:
    """A recording in a file, or `duration` seconds of it from `start` seconds on, read block by block."""

    channels: int
    sample_rate: int  # Hz
    subtype: str
    tags: Tags
    samples: None = None  # how many there are is certain only when they have been read: headers lie
    warnings: tuple[str, ...] = ()  # once the blocks have been read to their end

    def __init__(self, path: str | os.PathLike[str], *, start: float = 0.0, duration: float | None = None) -> None:
        if not 0 <= start < math.inf or (duration is not None and not duration > 0):
            raise RestorationError(
                "An excerpt needs a start of 0 s or later and a duration above 0 s. Choose such times."
            )
        self.name, self.start, self.duration = os.fspath(path), start, duration
        with _readable(self.name) as source, _sound(source) as sound:
            self._stamp = _stamp(source)
            _check_read(self.name, sound.channels, sound.samplerate)
            self.channels, self.sample_rate, self.subtype = int(sound.channels), int(sound.samplerate), sound.subtype
            carries = source.magic in CARRIES_CHUNKS
            chunks = carried_chunks(source.file, source.chunks, source.size) if carries else ()
            text = sound.copy_metadata() | info_text(chunks)  # libsndfile takes them all for UTF-8
        text = {word: words for word, words in text.items() if words}
        self.tags = Tags(text, retimed(chunks, self._first, self.sample_rate, self.sample_rate), self.sample_rate)

    @property
    def _first(self) -> int:
        return round(min(self.start * self.sample_rate, _UNKNOWN_LENGTH))

    def blocks(self) -> Iterator[NDArray[np.float32]]:
        """Yields the audio, (channels, samples) at a time; afterwards `warnings` tells what was amiss."""
        first, rate = self._first, self.sample_rate
        with self._unchanged() as source, _sound(source) as sound:
            promised = end = sound.stated or sound.frames if _by_ffmpeg(sound) else _promised(source, sound.frames)
            if self.duration is not None:
                end = min(promised, first + max(1, round(min(self.duration * rate, promised))))
            _seek(source, sound, first)
            held, stumbled = first, False
            rows = max(1, _DECODE_VALUES // sound.channels)
            last = _UNKNOWN_LENGTH if _by_ffmpeg(sound) and end == promised else end  # to its end, wherever that is
            while held < last:  # block by block, as `end` may be a lie
                block, stumbled = _block(source, sound, first, held, min(rows, last - held))
                held += block.shape[1]
                if block.shape[1]:
                    yield block
                if stumbled or block.shape[1] < min(rows, last - held + block.shape[1]):
                    break
            if held == first:
                where = f" from {self.start:.1f} s on" if first else ""
                raise RestorationError(f"{self.name} holds no samples{where}. Copy it again from where it came from.")
            self.warnings = _shortfall(source, sound, promised, end, held, stumbled)

    def sha256(self) -> str:
        """Returns the SHA-256 of the whole file."""
        with self._unchanged() as source:
            source.file.seek(0)
            return hashlib.file_digest(source.file, "sha256").hexdigest()  # type: ignore[arg-type]

    @contextmanager
    def _unchanged(self) -> Iterator[_Source]:
        with _readable(self.name) as source:
            if _stamp(source) != self._stamp:
                raise RestorationError(f"{self.name} was changed while it was worked on. Leave it as it is meanwhile.")
            yield source


def measure(path: str | os.PathLike[str]) -> tuple[int, int, int]:
    """Returns channels, samples per channel and sample rate (Hz), as far as they are known without decoding."""
    name = os.fspath(path)
    with _readable(name) as source, _sound(source) as sound:
        channels, samples, rate = int(sound.channels), int(sound.frames), int(sound.samplerate)
        if samples >= _UNKNOWN_LENGTH and source.magic == b"fLaC":
            samples = flac_samples(source.file, source.size) or samples
    _check_read(name, channels, rate)
    if samples >= _UNKNOWN_LENGTH:
        raise RestorationError(f"{name} does not say how long it is. Convert it, for example: {_conversion(name)}")
    return channels, samples, rate


def write(
    path: str | os.PathLike[str],
    audio: NDArray[np.floating[Any]],
    sample_rate: int,
    *,
    subtype: str | None = None,
    tags: Tags | None = None,
    overwrite: bool = False,
) -> Path:
    """Write audio (channels, samples) or (samples,), full scale 1, in the format that the extension names.

    Without a `subtype` this is 24 bits, or floats where a peak passes full scale or hardly reaches the last bits;
    nothing is scaled or clipped. The file appears under its name only when it is complete and checked.
    """
    audio = np.atleast_2d(audio)
    return write_blocks(path, lambda: [audio], sample_rate, subtype=subtype, tags=tags, overwrite=overwrite)


def write_blocks(
    path: str | os.PathLike[str],
    blocks: Callable[[], Iterable[NDArray[np.floating[Any]]]],
    sample_rate: int,
    *,
    subtype: str | None = None,
    tags: Tags | None = None,
    overwrite: bool = False,
    draft: Draft | None = None,
) -> Path:
    """Write audio that comes in blocks (channels, n).

    The peak and the length decide the format. It is written for the usual ones, and a second time where they turn out
    to be others; then `blocks` is called again. `draft` is where the file is until it is complete, on the same disk.
    Without one it has a hidden name beside.
    """
    name, target = os.fspath(path), Path(path)
    _container(name, subtype)
    with _new_file(name, overwrite, draft) as temporary:
        with os.fdopen(temporary.create(), "w+b") as file:
            measured = _Measured(name, sample_rate)
            usual = _storage(name, _Shape(1, 0, USUAL_PEAK), subtype)
            _encode(file, measured(blocks()), sample_rate, *usual, tags or Tags())
            if (storage := _storage(name, measured.shape, subtype)) != usual:
                file.seek(0)
                file.truncate()
                _encode(file, blocks(), sample_rate, *storage, tags or Tags())
            _check_complete(file, measured.shape.samples)
            os.fsync(file.fileno())
            written = os.fstat(file.fileno())
        if not temporary.is_file(written):
            raise RestorationError(f"{name} was not written: somebody put another file in its place. Try again.")
        _publish(temporary, target, overwrite)
    return target


def check_target(path: str | os.PathLike[str], *, subtype: str | None = None, overwrite: bool = False) -> None:
    """Refuse, before hours of work, what `write` would refuse whatever the audio will be."""
    name = os.fspath(path)
    _container(name, subtype)
    with _new_file(name, overwrite) as temporary:
        os.close(temporary.create())  # where a file can be made, the real one can: permissions alone do not tell


# Reading


@dataclass(frozen=True)
class _Source:
    """An open file, and what its first bytes and its list of chunks say."""

    name: str
    file: BinaryIO
    size: int  # bytes
    magic: bytes  # its first four bytes
    chunks: list[Chunk]
    unclosed: bool = False  # its writer never came back to state how many samples there are
    understated: bool = False  # more sound follows behind what it states
    surplus: int = 0  # bytes at its end that are neither sound nor chunks

    @property
    def samples(self) -> Chunk | None:
        """The chunk that holds the samples."""
        return next((chunk for chunk in self.chunks if chunk.name in _SAMPLES), None)


@contextmanager
def _readable(name: str) -> Iterator[_Source]:
    """Opens a file that looks like audio; whatever goes wrong with it becomes a `RestorationError`."""
    try:
        with _open(name) as file:
            yield _look(name, file)
    except (OSError, ValueError, sf.SoundFileError) as error:
        raise RestorationError(_why_unreadable(name, error)) from error


def _open(name: str) -> BinaryIO:
    mode = os.stat(name).st_mode  # before opening, which would wait at a pipe
    if stat.S_ISDIR(mode):
        raise RestorationError(f"{name} is a folder, not a recording. Choose a file inside it.")
    if not stat.S_ISREG(mode):
        raise RestorationError(f"{name} is a device or a pipe. Save the recording to a file first.")
    return open(name, "rb", buffering=0)  # unbuffered, as libsndfile moves the same file position


def _look(name: str, file: BinaryIO) -> _Source:
    size, magic = os.fstat(file.fileno()).st_size, file.read(4)
    if not magic:
        raise RestorationError(f"{name} is empty. Copy it again from where it came from.")
    if magic == b"fLaC":
        head = _head(file)
        return _Source(name, file, size, magic, [], understated=0 < flac_stated(head) < flac_samples(file, size))
    chunks = list_chunks(file, magic, size)
    number = next((i for i, chunk in enumerate(chunks) if chunk.name in _SAMPLES), None)
    if number is None:
        return _Source(name, file, size, magic, chunks)
    data, last = chunks[number], chunks[-1]
    if magic in CARRIES_CHUNKS:
        # A length of 0 is honest where the chunks after it fill the file; elsewhere what follows are the samples.
        unclosed = data.length >= 2**62 or (data.length == 0 and size > last.offset + last.length)
        if unclosed or (data is last and _goes_on(file, magic, data, size)):
            return _Source(name, file, size, magic, chunks[: number + 1], unclosed, understated=not unclosed)
    # libsndfile reads a W64 to its end whatever it states.
    surplus = size - last.offset - last.length if data is last and data.length and magic != b"riff" else 0
    return _Source(name, file, size, magic, chunks, surplus=surplus if surplus > _SMALL_SURPLUS else 0)


def _goes_on(file: BinaryIO, magic: bytes, data: Chunk, size: int) -> bool:
    """Whether more samples follow behind the length that a WAV states for them.

    They do where the file as a whole is stated to be longer, and what follows is no note that a program has added.
    """
    end = data.offset + data.length
    if size - end <= _SMALL_SURPLUS:
        return False
    file.seek(20 if magic == b"RF64" else 4)
    stated = int.from_bytes(file.read(8 if magic == b"RF64" else 4), "little") + 8
    file.seek(end)
    follows = file.read(_SMALL_SURPLUS)
    return stated > end + _SMALL_SURPLUS and follows.strip(b"\0") != b"" and not follows.startswith(_ADDED)


def _head(file: BinaryIO) -> bytes:
    file.seek(0)
    return file.read(64)


def _stamp(source: _Source) -> tuple[int, int]:
    """Returns the size of a file and when it was written, by which a change is noticed."""
    return source.size, os.fstat(source.file.fileno()).st_mtime_ns


def _sound(source: _Source) -> Any:
    """Opens a file with libsndfile: an `sf.SoundFile`."""
    # The descriptor rather than the name: soundfile would believe some extensions.
    file = _restated(source) if source.unclosed or source.understated else source.file.fileno()
    source.file.seek(0)  # libsndfile takes a file to begin where it stands
    try:
        with _quietly(source):
            sound = sf.SoundFile(file, closefd=False)
    except sf.LibsndfileError as error:
        if source.magic in (*LAYOUTS, b"fLaC", b"OggS") and error.code != _UNRECOGNISED:
            raise RestorationError(
                f"{source.name} is damaged or of a rare kind that we cannot read. "
                f"Copy it again, or try to convert it: {_conversion(source.name)}"
            ) from error
        if looks_like_one(_head(source.file)):
            source.file.seek(0)
            return OtherSound(source.name, source.file)
        raise _not_audio(source.name) from error
    if sound.format not in _READABLE:
        raise _not_audio(source.name)
    return _straight(sound)


def _by_ffmpeg(sound: Any) -> bool:
    return isinstance(sound, OtherSound)


def _straight(sound: Any) -> Any:
    """Spare soundfile's seek after every read: it loses samples in Opus and fails where a FLAC ends early."""
    sound.seekable = lambda: False
    return sound


def _quietly(source: _Source) -> AbstractContextManager[None]:
    """A context for decoding, which keeps libmpg123 from writing to stderr where the file may be an MP3."""
    return nullcontext() if source.magic in (*LAYOUTS, b"fLaC", b"OggS") else quiet_decoder()


def _restated(source: _Source) -> Corrected:
    """Returns the file with the true length in its header; libsndfile reads no more than is stated there."""
    if source.magic == b"fLaC":
        return Corrected(source.file, *flac_restated(_head(source.file), flac_samples(source.file, source.size)))
    assert source.samples is not None
    offset, length = source.samples.offset, source.size - source.samples.offset
    if source.magic == b"RF64":
        return Corrected(source.file, 28, struct.pack("<Q", length))
    return Corrected(source.file, offset - 4, struct.pack("<I", min(length, 2**32 - 1)))


def _promised(source: _Source, frames: int) -> int:
    """Returns how many samples per channel a header promises; libsndfile counts the `frames` that are there.

    A writer into a pipe leaves 0 or the largest number that fits: no promise.
    """
    samples, no_promise = source.samples, (2**31, 2**32, 2**63, 2**64)
    if source.understated or samples is None or any(0 <= limit - samples.length <= 4096 for limit in no_promise):
        return frames
    return max(frames, frames * samples.length // max(1, source.size - samples.offset))


def _seek(source: _Source, sound: Any, first: int) -> None:
    if first == 0:
        return
    seconds = first / sound.samplerate
    if first >= sound.frames:
        raise RestorationError(
            f"The excerpt starts at {seconds:.1f} s, but {source.name} ends at "
            f"{sound.frames / sound.samplerate:.1f} s. Choose an earlier start."
        )
    try:
        with _quietly(source):
            sound.seek(first)
    except sf.LibsndfileError as error:
        raise RestorationError(
            f"{source.name} cannot be read at {seconds:.1f} s: it was probably cut off while copying. "
            "Choose an earlier start, or copy it again."
        ) from error


def _block(source: _Source, sound: Any, first: int, held: int, wanted: int) -> tuple[NDArray[np.float32], bool]:
    """Decodes up to `wanted` samples: (channels, samples), and whether the decoder gave up.

    `held` is the next sample, counted from `first`, where reading began.
    """
    block, stumbled = np.empty((wanted, sound.channels), np.float32), False
    try:
        with _quietly(source):
            got = len(sound.read(out=block))
    except sf.LibsndfileError as error:
        if error.code == _SYSTEM_ERROR:
            raise OSError(errno.EIO, os.strerror(errno.EIO)) from error
        got, stumbled = min(max(sound.tell() - held, 0), len(block)), True
    _check_values(source.name, block[:got], held, sound.samplerate)
    return np.ascontiguousarray(block[:got].T), stumbled


def _check_values(name: str, block: NDArray[np.float32], first: int, rate: int) -> None:
    fine = np.abs(block) <= LOUDEST  # NaN is not
    if not fine.all():
        row, column = divmod(int(np.argmin(fine)), block.shape[1])
        value = float(block[row, column])
        which = "are no numbers (NaN or infinite)"
        if math.isfinite(value):
            which = f"are far beyond any sound ({value:.1g}, where 1 is full scale)"
        raise RestorationError(
            f"{name} has values that {which}, first at {clock((first + row) / rate)}. "
            "Export it again, or choose an excerpt without them."
        )


def _shortfall(source: _Source, sound: Any, promised: int, end: int, held: int, stumbled: bool) -> tuple[str, ...]:
    """Returns the warnings about a file that was wanted up to sample `end` and could be read up to `held`."""
    rate, cut = sound.samplerate, "it was probably cut off while copying. What is there was used."
    is_ogg = source.magic == b"OggS" and end == promised
    if (promised >= _UNKNOWN_LENGTH and stumbled) or (is_ogg and ogg_is_cut_off(source.file, source.size)):
        return (f"The file breaks off at {held / rate:.1f} s: {cut}",)
    if is_ogg and ogg_is_damaged(source.file, source.size):
        return ("The file is damaged: a part of its sound is missing. What is there was used.",)
    # The length of an MP3 is an estimate, a few frames off; so are those of what FFmpeg reads.
    if held + (rate // 10 if sound.format == "MP3" or _by_ffmpeg(sound) else 0) < end and promised < _UNKNOWN_LENGTH:
        return (f"The file promises {_both(promised, held, rate)}: {cut}",)
    if source.understated and end == promised:
        lengths = _both(_stated(source, sound.frames), held, rate)
        return (f"The file promises {lengths}: its header was probably never finished. All of it was used.",)
    if source.surplus and end == promised:
        return (f"Behind its sound the file goes on for {source.surplus} bytes that are no sound; they were left out.",)
    return ()


def _both(promised: int, held: int, rate: int) -> str:
    """Formats two lengths that differ, in seconds, or in samples where seconds would look the same."""
    seconds = f"{promised / rate:.1f} s", f"{held / rate:.1f} s"
    if seconds[0] == seconds[1]:
        return f"{promised} samples but holds {held}"
    return f"{seconds[0]} but holds {seconds[1]}"


def _stated(source: _Source, frames: int) -> int:
    """Returns how many samples per channel the header states, where the file holds `frames`."""
    if source.samples is None:
        return flac_stated(_head(source.file))
    return frames * source.samples.length // max(1, source.size - source.samples.offset)


# Writing


class _Shape(NamedTuple):
    channels: int
    samples: int
    peak: float  # the largest magnitude


class _Measured:
    """Measures audio as it passes by, and refuses what cannot be written."""

    def __init__(self, name: str, sample_rate: int) -> None:
        self.name, self.sample_rate, self.shape = name, sample_rate, _Shape(0, 0, 0.0)

    def __call__(self, blocks: Iterable[NDArray[np.floating[Any]]]) -> Iterator[NDArray[np.floating[Any]]]:
        for block in blocks:
            if block.ndim != 2 or block.dtype not in (np.float32, np.float64) or block.size == 0:
                raise RestorationError(
                    f"{self.name} wants float samples (channels, samples), not {block.dtype} {block.shape}."
                )
            if not self.shape.channels:
                advice = "Check the rate, and that the array is (channels, samples)."
                _check_shape(self.name, len(block), self.sample_rate, advice)
            loudest = max(abs(float(block.max())), abs(float(block.min())))  # NaN passes through max and min
            if not math.isfinite(loudest):
                raise RestorationError(
                    f"{self.name} was not written: its samples are not all numbers. Please report this."
                )
            samples = self.shape.samples + block.shape[1]
            self.shape = _Shape(len(block), samples, max(self.shape.peak, loudest))
            yield block


def _container(name: str, subtype: str | None) -> str:
    """Returns soundfile's name of the format for this extension, and checks that it has the wanted subtype."""
    container = _CONTAINERS.get(Path(name).suffix.lower())
    if container is None:
        raise RestorationError(f"{name} names no format we can write. Choose one of {', '.join(_CONTAINERS)}.")
    wanted, offered = subtype and subtype.upper(), sf.available_subtypes(container)
    if wanted is not None and wanted not in offered:
        raise RestorationError(f"{container} cannot be stored as {wanted}. Choose one of {', '.join(offered)}.")
    return container


def _storage(name: str, shape: _Shape, subtype: str | None) -> tuple[str, str]:
    """Returns soundfile's names of the format and the subtype to write."""
    container, peak = _container(name, subtype), shape.peak
    if subtype is None:
        offered = sf.available_subtypes(container)
        subtype = "PCM_24" if "PCM_24" in offered else sf.default_subtype(container)
        subtype = "FLOAT" if (peak > 1 or 0 < peak < FAINT) and "FLOAT" in offered else subtype
    subtype = subtype.upper()
    bits = _INTEGER_BITS.get(subtype)
    if bits and 0 < peak < 2.0 ** (1 - bits) / 2:
        raise RestorationError(
            f"The audio peaks at {20 * math.log10(peak):.0f} dB of full scale, of which {subtype} in {container} would "
            f"keep nothing. Choose {AS_FLOATS}, or raise the level first."
        )
    if peak > 1 and subtype not in _FLOAT_BITS:
        raise RestorationError(
            f"The audio peaks {20 * math.log10(peak):.2g} dB over full scale, which {subtype} in {container} cannot "
            f"hold. Choose {AS_FLOATS}, or lower the level first."
        )
    size = shape.channels * shape.samples * (_INTEGER_BITS | _FLOAT_BITS).get(subtype, 8) // 8 + 2 * MAX_CARRIED
    return _roomy(container, subtype, size), subtype


def _roomy(container: str, subtype: str, size: int) -> str:
    """Returns the container that has room for `size` bytes of samples and tags: past 4 GB a WAV becomes an RF64."""
    if container not in ("WAV", "AIFF") or size < 2**32:
        return container
    if container == "AIFF" or subtype not in sf.available_subtypes("RF64"):
        raise RestorationError(f"{container} as {subtype} ends at 4 GB, which is too short. Choose a .w64 file.")
    return "RF64"


@contextmanager
def _new_file(name: str, overwrite: bool, draft: Draft | None = None) -> Iterator[Draft]:
    """Yields the name to write a new file under: the draft, or a hidden name beside it; removes it afterwards."""
    target = Path(name)
    temporary = draft or Draft(str(target.with_name(f".{secrets.token_hex(8)}{target.suffix}")))
    try:
        _refuse_taken(target, overwrite)
        yield temporary
    except (OSError, ValueError, AssertionError, sf.SoundFileError) as error:
        raise RestorationError(_why_unwritten(name, error)) from error
    finally:
        with suppress(OSError, ValueError):
            temporary.unlink()


def _refuse_taken(target: Path, overwrite: bool) -> None:
    try:
        mode = os.lstat(target).st_mode  # also finds out early that a name is too long
    except FileNotFoundError:
        return
    if stat.S_ISDIR(mode):
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR))
    if not overwrite:
        raise FileExistsError


def _encode(
    file: BinaryIO,
    blocks: Iterable[NDArray[np.floating[Any]]],
    sample_rate: int,
    container: str,
    subtype: str,
    tags: Tags,
) -> None:
    """Write audio, block by block (channels, n), and what the container can hold of the tags into an empty file."""
    left = iter(blocks)
    if (first := next(left, None)) is None:
        raise RestorationError("There is no sound to write. Give one sample or more.")
    channels = len(first)
    with _new_sound(file, channels, sample_rate, container, subtype) as sound:
        # A WAV's text is ours to write: libsndfile would break a WAV with a long comment.
        for word in () if container in ("WAV", "RF64") else (*INFO_FIELDS, "license"):
            if words := _fitting(tags.text.get(word, ""), container, tags.mark if word == "comment" else ""):
                with suppress(sf.LibsndfileError):  # not every container has a place for every word
                    setattr(sound, word, words)
        rows = max(1, _ENCODE_VALUES // channels)
        for block in chain([first], left):
            for begin in range(0, block.shape[1], rows):
                sound.write(_steps(block[:, begin : begin + rows].T, subtype))
    if container in ("WAV", "RF64"):
        append_tags(file, container, tags, sample_rate, _coding(subtype, sample_rate, channels))


def _coding(subtype: str, sample_rate: int, channels: int) -> str:
    """Returns how samples are stored, as a line of a coding history begins (EBU R 98)."""
    bits = (_INTEGER_BITS | _FLOAT_BITS).get(subtype)
    mode = {1: "mono", 2: "stereo"}.get(channels)
    algorithm = subtype if bits is None else "PCM"
    parts = [f"A={algorithm}", f"F={sample_rate}", bits and f"W={bits}", mode and f"M={mode}"]
    return ",".join(part for part in parts if part)


def _fitting(words: str, container: str, ending: str = "") -> str:
    """Shortens a text to what libsndfile stores intact; its `ending` is kept."""
    if container == "AIFF" and len(words) > _MAX_AIFF_TEXT:
        return words[: max(0, _MAX_AIFF_TEXT - len(ending))] + ending
    if container == "MP3":  # stored as UTF-8 but labelled Latin-1: better without accents than garbled
        return unicodedata.normalize("NFKD", words).encode("ascii", "ignore").decode()
    return words


def _new_sound(file: BinaryIO, channels: int, sample_rate: int, container: str, subtype: str) -> Any:
    try:
        if subtype == "VORBIS" and sample_rate > _MAX_VORBIS_RATE:
            raise sf.LibsndfileError(_UNRECOGNISED)
        return sf.SoundFile(file.fileno(), "w", int(sample_rate), channels, subtype, format=container, closefd=False)
    except sf.LibsndfileError as error:
        if error.code == _SYSTEM_ERROR:
            raise
        raise RestorationError(
            f"{container} as {subtype} cannot hold {channels} channels at {sample_rate} Hz. Choose a .wav file."
        ) from error


def _steps(block: NDArray[np.floating[Any]], subtype: str) -> NDArray[Any]:
    """Round to the nearest step of an integer subtype; libsndfile rounds down, half a step off on average."""
    bits = _INTEGER_BITS.get(subtype)
    if bits is None:
        return block
    full = 2.0 ** (bits - 1)
    steps = np.clip(np.rint(block.astype(np.float64) * full), -full, full - 1)  # +1 lies one step outside
    return (steps * 2.0 ** (32 - bits)).astype(np.int32)


def _check_complete(file: BinaryIO, frames: int) -> None:
    """Read everything back: a full disk may first show when the file is closed, and then silently."""
    os.lseek(file.fileno(), 0, os.SEEK_SET)
    with _straight(sf.SoundFile(file.fileno(), closefd=False)) as sound:
        block = np.empty((max(1, _ENCODE_VALUES // sound.channels), sound.channels), np.float32)
        while got := len(sound.read(out=block)):
            frames -= got
    if frames > 0:
        raise sf.SoundFileError("the file came out short")


def _publish(temporary: Draft, target: Path, overwrite: bool) -> None:
    if overwrite:
        temporary.rename(target)
        return
    try:
        temporary.link(target)
    except FileExistsError:
        raise
    except OSError:  # no links on this disk
        _refuse_taken(target, overwrite)
        temporary.rename(target)


# Sentences


def _check_shape(name: str, channels: int, sample_rate: int, advice: str) -> None:
    lowest, highest = SAMPLE_RATES
    if not (1 <= channels <= MAX_CHANNELS and lowest <= sample_rate <= highest):
        raise RestorationError(
            f"{name} comes to {channels} channels at {sample_rate} Hz, where we know 1 to {MAX_CHANNELS} channels "
            f"at {lowest} to {highest} Hz. {advice}"
        )


def _check_read(name: str, channels: int, sample_rate: int) -> None:
    advice = "Copy it again from where it came from."
    if channels > MAX_CHANNELS and SAMPLE_RATES[0] <= sample_rate <= SAMPLE_RATES[1]:
        take = _conversion(name, "-af", "pan=stereo|c0=c0|c1=c1")
        advice = f"Take out the channels that you want restored, for example the first two: {take}"
    _check_shape(name, channels, sample_rate, advice)


def _not_audio(name: str) -> RestorationError:
    return RestorationError(
        f"{name} is not audio we can read (WAV, W64, AIFF, FLAC, OGG and MP3 are). "
        f"Convert it first, for example: {_conversion(name)}"
    )


def _conversion(name: str, *options: str) -> str:
    path = Path(name)
    converted = str(path.with_suffix(".converted.wav" if path.suffix.lower() == ".wav" else ".wav"))
    if converted.startswith("-"):  # or ffmpeg would take it for an option
        converted = f"./{converted}"
    return shlex.join(["ffmpeg", "-i", name, *options, converted])


def _why_unreadable(name: str, error: Exception) -> str:
    if isinstance(error, FileNotFoundError):
        return f"{name} does not exist. Check the name and the folder."
    if isinstance(error, PermissionError):
        return f"{name} may not be read by you. Change its permissions or copy it."
    reason = getattr(error, "strerror", None) or error
    return f"{name} cannot be read ({reason}). Copy it again from where it came from."


def _why_unwritten(name: str, error: Exception) -> str:
    if isinstance(error, FileExistsError):
        return f"{name} exists already. Choose another name, or ask for it to be overwritten."
    if isinstance(error, FileNotFoundError) and not Path(name).parent.is_dir():  # /proc is there, but takes no files
        return f"The folder of {name} does not exist. Create it first, or choose another."
    if isinstance(error, (OSError, ValueError)):
        reason = getattr(error, "strerror", None) or error
        return f"{name} cannot be written ({reason}). Choose another name or folder."
    return f"{name} could not be written to its end: the disk is probably full. Free some space or choose another disk."
