"""Frequency responses: the gain, in dB, of a recording chain over frequency."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Any, overload

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from babe2.dsp.spectra import amplitude, bin_frequencies

Array = npt.NDArray[np.floating[Any]]


class Curve(ABC):
    """A frequency response; a kind of its own gives `_gain_db`, a function on float64 tensors."""

    @overload
    def gain_db(self, frequencies: Tensor) -> Tensor: ...
    @overload
    def gain_db(self, frequencies: Array) -> Array: ...
    def gain_db(self, frequencies: Tensor | Array) -> Tensor | Array:
        """Gain in dB at `frequencies` (F,): Hz, positive, ascending. Tensor in, tensor out; array in, array out."""
        if not isinstance(frequencies, Tensor):
            hertz = np.asarray(frequencies, dtype=float)
            found: Array = self._gain_db(torch.from_numpy(hertz)).detach().cpu().numpy()
            return found
        kind = frequencies.dtype if frequencies.is_floating_point() else torch.float32
        return self._gain_db(frequencies.cpu().double()).to(frequencies.device, kind)

    @abstractmethod
    def _gain_db(self, frequencies: Tensor) -> Tensor: ...

    @property
    def edges(self) -> Tensor | None:
        """Where a curve made of straight lines has its bends, ascending, Hz; None for any other."""
        return None

    def magnitude(self, fft: int, sample_rate: float) -> Tensor:
        """Gain as a factor at the bins of a real FFT (fft / 2 + 1,); nothing passes at DC."""
        frequencies = bin_frequencies(sample_rate, fft)[1:]
        return torch.nn.functional.pad(amplitude(self.gain_db(frequencies)), (1, 0))

    def as_dict(self) -> dict[str, float | list[float]]:
        """The curve as plain numbers for a report: its gain at every sixth of an octave, or what it is made of."""
        hertz = 20.0 * 2 ** (torch.arange(60, dtype=torch.float64) / 6)
        return {"frequencies_hz": hertz.tolist(), "gain_db": self._gain_db(hertz).tolist()}


@dataclass(frozen=True, eq=False)
class SampledCurve(Curve):
    """A response given at some frequencies, straight between them on a chart of dB over octaves.

    >>> curve = SampledCurve(torch.tensor([100.0, 400.0]), torch.tensor([0.0, -12.0]))
    >>> curve.gain_db(torch.tensor([50.0, 100.0, 200.0, 400.0]))
    tensor([  0.,   0.,  -6., -12.])
    """

    frequencies: Tensor  # (F,) Hz, positive, ascending
    decibels: Tensor  # (F,)

    def _gain_db(self, frequencies: Tensor) -> Tensor:
        known, wanted = (np.log2(hertz.cpu().double().numpy()) for hertz in (self.frequencies, frequencies))
        return torch.from_numpy(np.interp(wanted, known, self.decibels.cpu().double().numpy())).to(frequencies.device)


@dataclass(frozen=True)
class WeightedSum(Curve):
    """Several responses, weighted and added in dB: a mean, or one behind another (Eq. 11).

    >>> curve = SampledCurve(torch.tensor([100.0, 400.0]), torch.tensor([0.0, -12.0]))
    >>> WeightedSum((curve, curve), (0.5, 1.0)).gain_db(torch.tensor([400.0]))
    tensor([-18.])
    """

    curves: tuple[Curve, ...]
    weights: tuple[float, ...]

    @property
    def edges(self) -> Tensor | None:
        """Where the lines of the one curve that has lines meet, if it is one."""
        lined = [edges for curve in self.curves if (edges := curve.edges) is not None]
        return lined[0] if len(lined) == 1 else None

    def _gain_db(self, frequencies: Tensor) -> Tensor:
        gains = [weight * curve._gain_db(frequencies) for curve, weight in zip(self.curves, self.weights, strict=True)]
        return torch.stack(gains).sum(dim=0)


FLAT = SampledCurve(torch.tensor([1.0, 2.0]), torch.zeros(2))  # the response of a recording with nothing to restore


def behind(equalizer: Curve, ltas_response: Curve | None) -> Curve:
    """An equalizer together with the LTAS response it was fitted behind, if there was one (Eq. 11)."""
    if ltas_response is None or ltas_response is equalizer:
        return equalizer
    return WeightedSum((equalizer, ltas_response), (1.0, 1.0))
