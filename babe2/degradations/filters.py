"""Filters that take a part of the band away: the six kinds for which bandwidth extension is published.

All of them are zero-phase, so that their response says everything of them and they are undone frequency by frequency.
A Chebyshev or biquad filter can also be had `causal`, with the delays that it has in a device.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar, Literal

import torch
from torch import Tensor

from babe2.degradations.base import Degradation
from babe2.degradations.described import Described, Place, Treats
from babe2.degradations.response import Colouring, coloured_by
from babe2.dsp.curves import Curve, SampledCurve
from babe2.dsp.spectra import bin_frequencies
from babe2.errors import RestorationError

Kind = Literal["fir", "cheby1", "biquad"]
KINDS: tuple[Kind, ...] = ("fir", "cheby1", "biquad")
TAPS = 513  # of an FIR filter, at the recording's rate
CROSSINGS = 32  # of zero, on either side, of the kernel of a change of rate
ROLLOFF = 0.95  # of half the new rate: where such a kernel's band ends
DEEPEST_DB = -120.0
LEAST_AUDIBLE_DB, NOTHING_DB = -40.0, -200.0
GRID = 2**14  # samples of the FFT in which kernels are measured
FRAMES = 4096  # samples of the overlapping frames in which a filter is applied


@dataclass(frozen=True)
class Filter(Described):
    """A low or high pass."""

    form: ClassVar[str] = "lowpass:HZ or highpass:HZ, then where wished ,cheby1 or ,biquad and ,causal"
    hertz: float
    high: bool = False  # whether what is above passes
    kind: Kind = "fir"
    causal: bool = False
    order: int = 6  # of cheby1
    ripple_db: float = 1.0  # of cheby1, within its band
    q: float = 2**-0.5  # of biquad

    def __post_init__(self) -> None:
        if not 1 <= self.hertz < math.inf:
            raise RestorationError(f"A filter's edge cannot lie at {self.hertz:g} Hz. Give a frequency above 1 Hz.")
        if self.causal and self.kind == "fir":
            raise RestorationError("An FIR filter of linear phase only delays. Leave causal out, or take cheby1.")
        if not (1 <= self.order <= 20 and 0 < self.ripple_db <= 20 and 0.1 <= self.q <= 20):
            raise RestorationError("A filter's order lies between 1 and 20, its ripple below 20 dB, its Q below 20.")

    @property
    def name(self) -> str:  # type: ignore[override]
        return "highpass" if self.high else "lowpass"

    @property
    def treats(self) -> Treats:
        return "sounds" if self.causal else "frequencies"

    @property
    def text(self) -> str:
        shape = {"fir": "", "cheby1": f",order={self.order},ripple={self.ripple_db:g}", "biquad": f",q={self.q:g}"}
        kind = "" if self.kind == "fir" else f",{self.kind}{shape[self.kind]}"
        return f"{self.name}:{self.hertz:g}{kind}{',causal' if self.causal else ''}"

    def check(self, recorded_rate: int, model_rate: int) -> None:
        if 2 * self.hertz >= recorded_rate:
            raise RestorationError(
                f"A filter at {self.hertz:g} Hz changes nothing at a rate of {recorded_rate} Hz. Choose a lower one."
            )

    def curve(self, recorded_rate: int) -> Curve | None:
        self.check(recorded_rate, recorded_rate)
        if self.causal:
            return None
        if self.kind == "fir":
            return kernel_response(low_pass(self.hertz / recorded_rate, TAPS), recorded_rate, high=self.high)
        return AnalogFilter(self, recorded_rate)

    def at(self, place: Place) -> Degradation:
        curve = self.curve(place.recorded_rate)
        if curve is None:
            return CausalFilter(self, place.recorded_rate, place.sample_rate)
        return Colouring(curve, FRAMES, place.sample_rate)

    def applied(self, audio: Tensor, sample_rate: int, generator: torch.Generator) -> Tensor:
        curve = self.curve(sample_rate)
        if curve is None:
            return CausalFilter(self, sample_rate, sample_rate)(audio)
        return coloured_by(audio, sample_rate, curve)


@dataclass(frozen=True)
class LowerRate(Described):
    """A lower sample rate, and back: nothing above half of it is left."""

    form: ClassVar[str] = "resample:HZ, or decimate:N for the N-th part of the recording's rate"
    hertz: float | None = None  # the lower rate
    factor: int | None = None  # or by what the recording's is divided
    name: ClassVar[str] = "resample"

    def __post_init__(self) -> None:
        if self.factor is not None and not 2 <= self.factor <= 1000:
            raise RestorationError(f"Of {self.factor} samples one cannot be kept. Decimate by 2 or more.")
        if self.hertz is not None and not 10 <= self.hertz < math.inf:
            raise RestorationError(f"A sample rate of {self.hertz:g} Hz holds no music. Choose a higher one.")

    @property
    def treats(self) -> Treats:
        return "frequencies"

    @property
    def text(self) -> str:
        return f"decimate:{self.factor}" if self.factor is not None else f"resample:{self.hertz:g}"

    def lower(self, recorded_rate: int) -> float:
        """The rate gone through, Hz."""
        return recorded_rate / self.factor if self.factor is not None else self.hertz or recorded_rate

    def check(self, recorded_rate: int, model_rate: int) -> None:
        if self.lower(recorded_rate) >= recorded_rate:
            raise RestorationError(
                f"{self.text} takes nothing from a recording at {recorded_rate} Hz. Choose a lower rate."
            )

    def curve(self, recorded_rate: int) -> Curve:
        self.check(recorded_rate, recorded_rate)
        edge = ROLLOFF * self.lower(recorded_rate) / 2 / recorded_rate
        taps = 2 * math.ceil(CROSSINGS / (2 * edge)) + 1
        return kernel_response(low_pass(edge, taps), recorded_rate, times=2)  # down, and up again

    def at(self, place: Place) -> Degradation:
        return Colouring(self.curve(place.recorded_rate), FRAMES, place.sample_rate)

    def applied(self, audio: Tensor, sample_rate: int, generator: torch.Generator) -> Tensor:
        return coloured_by(audio, sample_rate, self.curve(sample_rate))


def low_pass(edge: float, taps: int) -> Tensor:
    """The kernel (taps,), an odd number, of a windowed-sinc low pass whose edge is so many times the sample rate."""
    places = torch.arange(taps, dtype=torch.float64) - taps // 2
    window = torch.hamming_window(taps, periodic=False, dtype=torch.float64)
    kernel = window * torch.sinc(2 * edge * places)
    return kernel / kernel.sum()


def kernel_response(kernel: Tensor, sample_rate: int, *, high: bool = False, times: int = 1) -> SampledCurve:
    """The response of a symmetric kernel (taps,) of unit gain at DC, or of what it leaves where `high`."""
    fft = max(GRID, 2 ** math.ceil(math.log2(len(kernel))))
    centred = torch.nn.functional.pad(kernel, (0, fft - len(kernel))).roll(-(len(kernel) // 2))
    gain = torch.fft.rfft(centred).real
    gain = 1 - gain if high else gain
    decibels = 20 * times * gain.abs().clamp(min=1e-30).log10()
    return SampledCurve(bin_frequencies(sample_rate, fft)[1:].double(), decibels[1:].clamp(min=DEEPEST_DB))


class Audible(Curve):
    """A response below whose deepest useful gain nothing is taken to be left: what is there is rounding."""

    def __init__(self, response: Curve) -> None:
        self.response = response

    def _gain_db(self, frequencies: Tensor) -> Tensor:
        gain = self.response.gain_db(frequencies)
        return torch.where(gain < LEAST_AUDIBLE_DB, NOTHING_DB, gain)


class AnalogFilter(Curve):
    """What a Chebyshev or biquad filter takes off each frequency, by the bilinear transform of its poles."""

    def __init__(self, described: Filter, sample_rate: int) -> None:
        self.described, self.sample_rate = described, sample_rate

    def _gain_db(self, frequencies: Tensor) -> Tensor:
        gain = transfer(self.described, frequencies, self.sample_rate).abs()
        return (20 * gain.clamp(min=1e-30).log10()).clamp(min=DEEPEST_DB)


def transfer(described: Filter, hertz: Tensor, sample_rate: int) -> Tensor:
    """The complex gain (F,) of a Chebyshev or biquad filter at frequencies (F,); beyond its rate as at half of it."""
    warped = torch.tan(math.pi * hertz.double().clamp(max=0.4999 * sample_rate) / sample_rate)
    s = 1j * warped / math.tan(math.pi * described.hertz / sample_rate)
    poles, gain = _poles(described)
    if not described.high:
        return gain / torch.stack([s - pole for pole in poles]).prod(dim=0)
    # 1 / s in place of s, with both sides multiplied by s for every pole: nothing is divided by zero at DC.
    return gain * s ** len(poles) / torch.stack([1 - pole * s for pole in poles]).prod(dim=0)


def _poles(described: Filter) -> tuple[list[complex], float]:
    """The poles of the analogue low pass with its edge at 1, and the factor before them."""
    if described.kind == "biquad":
        real = -0.5 / described.q
        root = complex(real * real - 1, 0) ** 0.5
        return [real + root, real - root], 1.0
    order, ripple = described.order, math.sqrt(10 ** (described.ripple_db / 10) - 1)
    bend = math.asinh(1 / ripple) / order
    angles = [math.pi * (2 * k + 1) / (2 * order) for k in range(order)]
    poles = [complex(-math.sinh(bend) * math.sin(a), math.cosh(bend) * math.cos(a)) for a in angles]
    gain = math.prod([-pole for pole in poles], start=complex(1, 0)).real
    return poles, gain / math.sqrt(1 + ripple**2) if order % 2 == 0 else gain


class CausalFilter(Degradation):
    """A filter with its delays: linear, but not undone frequency by frequency."""

    def __init__(self, described: Filter, recorded_rate: int, sample_rate: int) -> None:
        self.described, self.recorded_rate, self.sample_rate = described, recorded_rate, sample_rate

    @property
    def response(self) -> Curve:
        return AnalogFilter(self.described, self.recorded_rate)

    @property
    def linear(self) -> bool:
        return True

    def __call__(self, clean: Tensor) -> Tensor:
        length = clean.shape[-1]
        padded = 2 * length + self.sample_rate  # what rings on must not ring into the beginning
        hertz = torch.fft.rfftfreq(padded, 1 / self.sample_rate, dtype=torch.float64)
        gain = transfer(self.described, hertz, self.recorded_rate)
        gain = gain.to(clean.device, torch.complex128 if clean.dtype == torch.float64 else torch.complex64)
        return torch.fft.irfft(torch.fft.rfft(clean, padded) * gain, padded)[..., :length]
