"""Checks what a person hands over as a recording, and makes one kind of tensor of it."""

from __future__ import annotations

import math
import numbers
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from babe2.errors import RestorationError
from babe2.wording import clock

MAX_CHANNELS = 32
LOUDEST = 1e10  # full scale is 1; integers that were stored as floats reach 2**31, and squares beyond 1e19 overflow
FAINT = 2.0**-20  # full scale is 1; of a peak below it 24 bits keep eight steps or fewer
SAMPLE_RATES = (1000, 768_000)  # Hz; beyond them a number is more likely mistaken, and a header damaged, than meant


def as_channels(audio: npt.ArrayLike | Tensor, sample_rate: float) -> Tensor:
    """Returns `audio`, numpy or torch, (samples,) or (channels, samples), as float32 (channels, samples) on the CPU.

    Floats keep their values; integers are divided by their type's full scale, unsigned ones meaning silence by half of
    it, as in an 8-bit WAV. The result may share memory with `audio`.
    """
    rate = as_sample_rate(sample_rate)
    array = _as_array(audio)
    if array.dtype.kind not in "iuf":
        raise RestorationError(f"A recording is made of real numbers, not of {array.dtype}. Pass floats or integers.")
    if array.ndim not in (1, 2):
        raise RestorationError(
            f"A recording has the shape (samples,) or (channels, samples), not {array.shape}. Pass one recording."
        )
    array = np.atleast_2d(array)
    if array.size == 0:
        raise RestorationError("This recording holds no samples. Choose another file or a longer excerpt.")
    if len(array) > MAX_CHANNELS:
        raise RestorationError(
            f"This recording has {len(array)} channels of {array.shape[1]} samples: is it transposed? "
            f"Pass (channels, samples), at most {MAX_CHANNELS} channels."
        )
    channels = torch.from_numpy(_as_floats(array))
    _check_values(channels, rate)
    return channels


def as_sample_rate(sample_rate: object) -> int:
    """Returns a sample rate in Hz as an integer, or refuses it."""
    lowest, highest = SAMPLE_RATES
    hertz = float(sample_rate) if isinstance(sample_rate, numbers.Real) else math.nan
    if lowest <= hertz <= highest and hertz.is_integer():
        return int(hertz)
    raise RestorationError(
        f"The sample rate cannot be {sample_rate!r:.80}. Give a whole number of Hz between {lowest} and {highest}."
    )


def _as_array(audio: npt.ArrayLike | Tensor) -> npt.NDArray[Any]:
    try:
        if isinstance(audio, Tensor):
            audio = audio.detach().cpu()
            return (audio.float() if audio.is_floating_point() else audio).numpy()  # numpy knows no bfloat16
        return np.asarray(audio)
    except (TypeError, ValueError, RuntimeError):
        raise RestorationError(
            f"A {type(audio).__name__} like this cannot be read as a recording. Pass a dense array or tensor."
        ) from None


def _as_floats(array: npt.NDArray[Any]) -> npt.NDArray[np.float32]:
    with np.errstate(over="ignore"):  # what overflows becomes infinite, and infinities are refused
        floats = np.ascontiguousarray(array, np.float32)
    if array.dtype.kind != "f":
        full_scale = np.float32(2 ** (8 * array.dtype.itemsize - 1))
        return floats / full_scale - np.float32(array.dtype.kind == "u")
    return floats if floats.flags.writeable else floats.copy()  # torch has no read-only tensors


def _check_values(channels: Tensor, sample_rate: int) -> None:
    lowest, highest = map(float, channels.aminmax())
    if lowest >= -LOUDEST and highest <= LOUDEST:  # NaN passes through to both
        return
    place = int((~(channels.abs() <= LOUDEST)).any(dim=0).int().argmax())
    broken = channels[:, place]
    which = "are not finite numbers"
    if broken.isfinite().all():
        which = f"are far beyond any sound ({float(broken.abs().max()):.1g}, where 1 is full scale)"
    raise RestorationError(
        f"At {clock(place / sample_rate)} this recording holds samples that {which}. "
        "Cut that place out or export the recording again."
    )
