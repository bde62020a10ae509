"""Reading and writing recordings: the edge where files come in and go out.

libsndfile decodes and encodes. What it leaves to us lives here: refusing in sentences, never believing a header,
carrying a file's notes over (chunks.py finds them), and leaving either a whole new file behind or none.
"""

from __future__ import annotations

import errno
import hashlib
import math
import mmap
import os
import secrets
import shlex
import stat
import struct
import unicodedata
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

import numpy as np
from numpy.typing import NDArray

from babe2.dsp.waveform import MAX_CHANNELS, SAMPLE_RATES
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
_INTEGER_BITS = {"PCM_S8": 8, "PCM_U8": 8, "PCM_16": 16, "PCM_24": 24, "PCM_32": 32}
_FLOAT_BITS = {"FLOAT": 32, "DOUBLE": 64}
_MAX_VORBIS_RATE = 200_000  # Hz; libvorbis has no setting beyond it and libsndfile 1.2.2 crashes there

_DECODE_VALUES = 2**20  # samples times channels decoded at once
_ENCODE_VALUES = 2**16  # libsndfile keeps a whole Vorbis block on the stack: tens of megabytes would crash it
_MAX_AIFF_TEXT = 2000  # characters; libsndfile cannot reopen an AIFF whose text chunk exceeds 8 kB
_UNRECOGNISED, _SYSTEM_ERROR = 1, 2  # libsndfile's codes for "format not recognised" and "the system refused"
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
    warnings: tuple[str, ...] = ()  # once the blocks have been read to their end

    def __init__(self, path: str | os.PathLike[str], *, start: float = 0.0, duration: float | None = None) -> None:
        if not 0 <= start < math.inf or (duration is not None and not duration > 0):
            raise RestorationError(
                "An excerpt needs a start of 0 s or later and a duration above 0 s. Choose such times."
            )
        self.name, self.start, self.duration = os.fspath(path), start, duration
        with _readable(self.name) as source, _sound(source) as sound:
            self._stamp = _stamp(source)
            _check_shape(self.name, sound.channels, sound.samplerate, "Copy it again from where it came from.")
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
        """(channels, samples) at a time."""
        first, rate = self._first, self.sample_rate
        with self._unchanged() as source, _sound(source) as sound:
            promised = end = _promised(source, sound.frames)
            if self.duration is not None:
                end = min(promised, first + max(1, round(min(self.duration * rate, promised))))
            _seek(source, sound, first)
            held, stumbled = first, False
            rows = max(1, _DECODE_VALUES // sound.channels)
            while held < end:  # block by block, as `end` may be a lie
                block, stumbled = _block(source, sound, first, held, min(rows, end - held))
                held += block.shape[1]
                if block.shape[1]:
                    yield block
                if stumbled or block.shape[1] < min(rows, end - held + block.shape[1]):
                    break
            if held == first:
                where = f" from {self.start:.1f} s on" if first else ""
                raise RestorationError(f"{self.name} holds no samples{where}. Copy it again from where it came from.")
            self.warnings = _shortfall(source, sound, promised, end, held, stumbled)

    def sha256(self) -> str:
        """Of the whole file."""
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
    """Channels, samples per channel and sample rate (Hz), as far as they can be told without decoding."""
    name = os.fspath(path)
    with _readable(name) as source, _sound(source) as sound:
        channels, samples, rate = int(sound.channels), int(sound.frames), int(sound.samplerate)
    _check_shape(name, channels, rate, "Copy it again from where it came from.")
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

    Without a `subtype` this is 24 bits, or floats where a peak passes full scale; nothing is scaled or clipped. The
    file appears under its name only when it is complete and checked.
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
    draft: Path | None = None,
) -> Path:
    """The same for audio that comes block by block (channels, n); it is asked for twice, as its peak decides much.

    `draft` names the file until it is complete; it is on the same disk. Without one it has a hidden name beside.
    """
    name, target = os.fspath(path), Path(path)
    shape = _shape(name, blocks(), sample_rate)
    container, subtype = _storage(name, shape, subtype)
    with _hidden_beside(name, overwrite, draft) as temporary:
        with open(temporary, "w+b" if draft else "x+b") as file:
            _encode(file, blocks(), shape.channels, sample_rate, container, subtype, tags or Tags())
            _check_complete(file, shape.samples)
            os.fsync(file.fileno())
        _publish(temporary, target, overwrite)
    return target


def check_target(path: str | os.PathLike[str], *, subtype: str | None = None, overwrite: bool = False) -> None:
    """Refuse, before hours of work, what `write` would refuse whatever the audio will be."""
    name = os.fspath(path)
    _container(name, subtype)
    with _hidden_beside(name, overwrite) as temporary, open(temporary, "x+b"):
        pass  # where a file can be made, the real one can: permissions alone do not tell


# Reading


@dataclass(frozen=True)
class _Source:
    """An open file and what a first look at it told."""

    name: str
    file: BinaryIO
    size: int  # bytes
    magic: bytes  # its first four bytes
    chunks: list[Chunk]
    unclosed: bool  # its writer never came back to state how many samples there are

    @property
    def samples(self) -> Chunk | None:
        """The chunk that holds the samples."""
        return next((chunk for chunk in self.chunks if chunk.name in (b"data", b"SSND")), None)


@contextmanager
def _readable(name: str) -> Iterator[_Source]:
    """A file that is there and looks like sound, and a sentence where it is not or turns out not to be."""
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
    chunks = list_chunks(file, magic, size)
    names = [chunk.name for chunk in chunks]
    if magic not in CARRIES_CHUNKS or b"data" not in names:
        return _Source(name, file, size, magic, chunks, unclosed=False)
    data = chunks[names.index(b"data")]
    # A length of 0 is honest where the chunks after it fill the file; elsewhere what follows are the samples.
    unclosed = data.length >= 2**62 or (data.length == 0 and size > chunks[-1].offset + chunks[-1].length)
    return _Source(name, file, size, magic, chunks[: names.index(b"data") + 1] if unclosed else chunks, unclosed)


def _stamp(source: _Source) -> tuple[int, int]:
    """What is another when a file is: its size, and when it was written."""
    return source.size, os.fstat(source.file.fileno()).st_mtime_ns


def _sound(source: _Source) -> Any:
    """The open sf.SoundFile."""
    source.file.seek(0)  # libsndfile takes a file to begin where it stands
    try:
        # The descriptor rather than the name: soundfile would believe some extensions.
        sound = sf.SoundFile(_lengthened(source) if source.unclosed else source.file.fileno(), closefd=False)
    except sf.LibsndfileError as error:
        if source.magic in (*LAYOUTS, b"fLaC", b"OggS") and error.code != _UNRECOGNISED:
            raise RestorationError(
                f"{source.name} is damaged or of a rare kind that we cannot read. "
                f"Copy it again, or try to convert it: {_conversion(source.name)}"
            ) from error
        raise _not_audio(source.name) from error
    if sound.format not in _READABLE:
        raise _not_audio(source.name)
    return _straight(sound)


def _straight(sound: Any) -> Any:
    """Spare soundfile's seek after every read: it loses samples in Opus and fails where a FLAC ends early."""
    sound.seekable = lambda: False
    return sound


def _lengthened(source: _Source) -> mmap.mmap:
    """The file, in memory only, with the length of its samples filled in; libsndfile would read none."""
    assert source.samples is not None
    view, offset = mmap.mmap(source.file.fileno(), 0, access=mmap.ACCESS_COPY), source.samples.offset
    if source.magic == b"RF64":
        view[28:36] = struct.pack("<Q", source.size - offset)
    else:
        view[offset - 4 : offset] = struct.pack("<I", min(source.size - offset, 2**32 - 1))
    return view


def _promised(source: _Source, frames: int) -> int:
    """How many samples per channel the header promises, where libsndfile has cut its count to the `frames` there are.

    A writer into a pipe leaves 0 or the largest number that fits: no promise.
    """
    samples = source.samples
    if samples is None or any(0 <= limit - samples.length <= 4096 for limit in (2**31, 2**32, 2**63, 2**64)):
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
        sound.seek(first)
    except sf.LibsndfileError as error:
        raise RestorationError(
            f"{source.name} cannot be read at {seconds:.1f} s: it was probably cut off while copying. "
            "Choose an earlier start, or copy it again."
        ) from error


def _block(source: _Source, sound: Any, first: int, held: int, wanted: int) -> tuple[NDArray[np.float32], bool]:
    """Decode up to `wanted` samples, `held` being the next one and `first` where reading began: (channels, samples),
    and whether the decoder gave up."""
    block, stumbled = np.empty((wanted, sound.channels), np.float32), False
    try:
        got = len(sound.read(out=block))
    except sf.LibsndfileError as error:
        if error.code == _SYSTEM_ERROR:
            raise OSError(errno.EIO, os.strerror(errno.EIO)) from error
        got, stumbled = min(max(sound.tell() - held, 0), len(block)), True
    _check_finite(source.name, block[:got], held, sound.samplerate)
    return np.ascontiguousarray(block[:got].T), stumbled


def _check_finite(name: str, block: NDArray[np.float32], first: int, rate: int) -> None:
    finite = np.isfinite(block)
    if not finite.all():
        place = clock((first + int(np.argmin(finite.all(axis=1)))) / rate)
        raise RestorationError(
            f"{name} has values that are no numbers (NaN or infinite), first at {place}. "
            "Export it again, or choose an excerpt without them."
        )


def _shortfall(source: _Source, sound: Any, promised: int, end: int, held: int, stumbled: bool) -> tuple[str, ...]:
    """What to tell about a file that was wanted up to sample `end` and could be read up to `held`."""
    rate, cut = sound.samplerate, "it was probably cut off while copying. What is there was used."
    # The length of an MP3 is an estimate, a few frames off.
    if held + (rate // 10 if sound.format == "MP3" else 0) < end and promised < _UNKNOWN_LENGTH:
        return (f"The file promises {promised / rate:.1f} s but holds {held / rate:.1f} s: {cut}",)
    if (promised >= _UNKNOWN_LENGTH and stumbled) or (end == promised and _lacks_last_page(source)):
        return (f"The file breaks off at {held / rate:.1f} s: {cut}",)
    return ()


def _lacks_last_page(source: _Source) -> bool:
    """Whether an OGG ends without the page that is marked as its last."""
    if source.magic != b"OggS":
        return False
    source.file.seek(max(0, source.size - 2**16))  # no page is longer
    tail = source.file.read()
    return not tail[tail.rfind(b"OggS") + 5] & 4


# Writing


class _Shape(NamedTuple):
    channels: int
    samples: int
    peak: float  # the largest magnitude


def _shape(name: str, blocks: Iterable[NDArray[np.floating[Any]]], sample_rate: int) -> _Shape:
    """What audio comes to that is fit to be written."""
    channels, samples, peak = 0, 0, 0.0
    for block in blocks:
        if block.ndim != 2 or block.dtype not in (np.float32, np.float64) or block.size == 0:
            raise RestorationError(f"{name} wants float samples (channels, samples), not {block.dtype} {block.shape}.")
        channels, samples = len(block), samples + block.shape[1]
        loudest = max(abs(float(block.max())), abs(float(block.min())))  # NaN passes through max and min
        if not math.isfinite(loudest):
            raise RestorationError(f"{name} was not written: its samples are not all numbers. Please report this.")
        peak = max(peak, loudest)
    _check_shape(name, channels, sample_rate, "Check the rate, and that the array is (channels, samples).")
    return _Shape(channels, samples, peak)


def _container(name: str, subtype: str | None) -> str:
    """soundfile's name of the container that the extension names, if it can have the wanted subtype."""
    container = _CONTAINERS.get(Path(name).suffix.lower())
    if container is None:
        raise RestorationError(f"{name} names no format we can write. Choose one of {', '.join(_CONTAINERS)}.")
    wanted, offered = subtype and subtype.upper(), sf.available_subtypes(container)
    if wanted is not None and wanted not in offered:
        raise RestorationError(f"{container} cannot be stored as {wanted}. Choose one of {', '.join(offered)}.")
    return container


def _storage(name: str, shape: _Shape, subtype: str | None) -> tuple[str, str]:
    """soundfile's names of the container and the subtype to write the file in."""
    container, peak = _container(name, subtype), shape.peak
    if subtype is None:
        offered = sf.available_subtypes(container)
        subtype = "PCM_24" if "PCM_24" in offered else sf.default_subtype(container)
        subtype = "FLOAT" if peak > 1 and "FLOAT" in offered else subtype
    subtype = subtype.upper()
    if peak > 1 and subtype not in _FLOAT_BITS:
        raise RestorationError(
            f"The audio peaks {20 * math.log10(peak):.2g} dB over full scale, which {subtype} in {container} cannot "
            "hold. Choose a .wav file with subtype FLOAT, or lower the level first."
        )
    size = shape.channels * shape.samples * (_INTEGER_BITS | _FLOAT_BITS).get(subtype, 8) // 8 + 2 * MAX_CARRIED
    return _roomy(container, subtype, size), subtype


def _roomy(container: str, subtype: str, size: int) -> str:
    """The container for about `size` bytes of samples and tags: past 4 GB a WAV becomes an RF64."""
    if container not in ("WAV", "AIFF") or size < 2**32:
        return container
    if container == "AIFF" or subtype not in sf.available_subtypes("RF64"):
        raise RestorationError(f"{container} as {subtype} ends at 4 GB, which is too short. Choose a .w64 file.")
    return "RF64"


@contextmanager
def _hidden_beside(name: str, overwrite: bool, draft: Path | None = None) -> Iterator[Path]:
    """A name for what a target that may be written is made from; whatever bears it afterwards is removed."""
    target = Path(name)
    temporary = draft or target.with_name(f".{secrets.token_hex(8)}{target.suffix}")
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
    channels: int,
    sample_rate: int,
    container: str,
    subtype: str,
    tags: Tags,
) -> None:
    """Write audio, block by block (channels, n), and what the container can hold of the tags into an empty file."""
    with _new_sound(file, channels, sample_rate, container, subtype) as sound:
        # A WAV's text is ours to write: libsndfile would break a WAV with a long comment.
        for word in () if container in ("WAV", "RF64") else (*INFO_FIELDS, "license"):
            if words := _fitting(tags.text.get(word, ""), container):
                with suppress(sf.LibsndfileError):  # not every container has a place for every word
                    setattr(sound, word, words)
        rows = max(1, _ENCODE_VALUES // channels)
        for block in blocks:
            for begin in range(0, block.shape[1], rows):
                sound.write(_steps(block[:, begin : begin + rows].T, subtype))
    if container in ("WAV", "RF64"):
        append_tags(file, container, tags, sample_rate)


def _fitting(words: str, container: str) -> str:
    """The part of a text that survives libsndfile's way of storing it."""
    if container == "AIFF":
        return words[:_MAX_AIFF_TEXT]
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


def _publish(temporary: Path, target: Path, overwrite: bool) -> None:
    if overwrite:
        os.replace(temporary, target)
        return
    try:
        os.link(temporary, target)  # unlike a rename this never replaces a file that has just appeared
    except FileExistsError:
        raise
    except OSError:  # no links on this disk
        _refuse_taken(target, overwrite)
        os.replace(temporary, target)


# Sentences


def _check_shape(name: str, channels: int, sample_rate: int, advice: str) -> None:
    lowest, highest = SAMPLE_RATES
    if not (1 <= channels <= MAX_CHANNELS and lowest <= sample_rate <= highest):
        raise RestorationError(
            f"{name} comes to {channels} channels at {sample_rate} Hz, where we know 1 to {MAX_CHANNELS} channels "
            f"at {lowest} to {highest} Hz. {advice}"
        )


def _not_audio(name: str) -> RestorationError:
    return RestorationError(
        f"{name} is not audio we can read (WAV, W64, AIFF, FLAC, OGG and MP3 are). "
        f"Convert it first, for example: {_conversion(name)}"
    )


def _conversion(name: str) -> str:
    path = Path(name)
    converted = str(path.with_suffix(".converted.wav" if path.suffix.lower() == ".wav" else ".wav"))
    if converted.startswith("-"):  # or ffmpeg would take it for an option
        converted = f"./{converted}"
    return f"ffmpeg -i {shlex.quote(name)} {shlex.quote(converted)}"


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
