"""The constant-Q transform: the published tables and numbers, and what a transform must do whatever its numbers."""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from itertools import pairwise

import numpy as np
import pytest
import torch
from conftest import SMALL_LENGTH, SMALL_RATE, TRANSFORMS, Vectors, deviation
from torch import Tensor

from babe2.cqt import ConstantQ, grid, kaiser, legal, next_legal_length, row_lengths, stop_band
from babe2.errors import RestorationError

RECORDED = {"small": "cqt_small", "piano": "full_piano", "voice": "full_voice"}
FULL = ["piano", "voice"]
# The order of float32 sums differs; measured at most 3.4e-7 of the largest value.
SINGLE = 1e-6


@pytest.fixture(scope="module", params=FULL)
def full(request: pytest.FixtureRequest, vectors: Callable[[str], Vectors]) -> tuple[ConstantQ, Vectors, Tensor]:
    """A full-size transform, its recorded numbers, and the segment (1, L) they were recorded with."""
    recorded = vectors(RECORDED[request.param])
    x = torch.randn(1, TRANSFORMS[request.param][1], generator=torch.Generator().manual_seed(123))
    assert torch.equal(x[:, :64], recorded["x_head"])
    assert float(x.double().sum()) == pytest.approx(float(recorded["x_sum_64"]), abs=1e-9)
    return ConstantQ(*TRANSFORMS[request.param]), recorded, x


def tone(hertz: float, length: int = SMALL_LENGTH, rate: int = SMALL_RATE) -> Tensor:
    """A sine (1, length), whole periods in a segment."""
    cycles = round(hertz * length / rate)
    return torch.sin(2 * math.pi * cycles * torch.arange(length, dtype=torch.float64) / length).float()[None]


@pytest.mark.parametrize("name", RECORDED)
def test_windows_lie_where_the_published_ones_do(name: str, vectors: Callable[[str], Vectors]) -> None:
    recorded, (rate, length, octaves, bins) = vectors(RECORDED[name]), TRANSFORMS[name]
    layout = grid(rate, length, octaves, bins)
    starts = (layout.centres - layout.widths // 2) % length
    np.testing.assert_array_equal(layout.widths, recorded["win_len"].numpy())
    np.testing.assert_array_equal(starts, recorded["win_start"].numpy())
    np.testing.assert_array_equal(row_lengths(layout, octaves, bins), recorded["M"].numpy())
    assert list(layout.frames) == recorded["size_per_oct"].tolist()
    if "win_end" in recorded:
        np.testing.assert_array_equal((starts + layout.widths - 1) % length, recorded["win_end"].numpy())


@pytest.mark.parametrize("name", RECORDED)
def test_bins_stand_on_the_published_frequencies(name: str, vectors: Callable[[str], Vectors]) -> None:
    rate, length, octaves, bins = TRANSFORMS[name]
    hertz = vectors(RECORDED[name])["frqs_64"].numpy()
    centres = grid(rate, length, octaves, bins).centres[1 : octaves * bins]  # all but the top one, which is moved
    np.testing.assert_array_equal(centres, np.rint(hertz[:-1] * length / rate))


def test_windows_are_the_published_ones(vectors: Callable[[str], Vectors]) -> None:
    recorded = vectors("cqt_small")
    for window in (recorded[key] for key in ("g_first", "g_mid", "g_dc", "g_nyq")):
        found = torch.from_numpy(kaiser(len(window), beta=1.0))
        torch.testing.assert_close(found, window, atol=1e-7, rtol=0)  # float64 until the last rounding, as published


@pytest.mark.parametrize(("window", "k"), [("first", 1), ("mid", 32)])
def test_duals_are_the_published_ones(
    window: str, k: int, small_transform: ConstantQ, vectors: Callable[[str], Vectors]
) -> None:
    recorded = vectors("cqt_small")
    starts = np.concatenate([[0], np.cumsum(np.repeat(small_transform.frames, small_transform.bins_per_octave))])
    row = small_transform.dual[starts[k - 1] : starts[k]] / (starts[k] - starts[k - 1])
    dual = recorded[f"gd_{window}"]
    late, early = len(dual) - len(dual) // 2, len(dual) // 2
    # A row holds the window from its centre on, then zeros, then what lies before the centre.
    assert deviation(torch.cat([row[:late], row[len(row) - early :]]), dual) < SINGLE
    assert not row[late : len(row) - early].any()


def test_dc_and_nyquist_are_stopped_where_the_published_windows_lie(vectors: Callable[[str], Vectors]) -> None:
    recorded = vectors("cqt_small")
    rate, length, octaves, per_octave = TRANSFORMS["small"]
    layout, bins = grid(rate, length, octaves, per_octave), octaves * per_octave
    supports = [
        (start + np.arange(width)) % length
        for start, width in zip(layout.centres - layout.widths // 2, layout.widths, strict=True)
    ]
    nothing = np.zeros(0, np.float32)
    windows, duals = [nothing] * (bins + 2), [nothing] * (bins + 2)
    for k, name in ((0, "dc"), (bins + 1, "nyq")):
        windows[k], duals[k] = recorded[f"g_{name}"].numpy(), recorded[f"gd_{name}"].numpy()
    rows = row_lengths(layout, octaves, per_octave)
    found = stop_band(supports, windows, duals, rows, bins, length)
    assert deviation(torch.from_numpy(found), recorded["Hlpf"]) < SINGLE


def test_small_transform_gives_the_published_octaves(
    small_transform: ConstantQ, vectors: Callable[[str], Vectors]
) -> None:
    recorded = vectors("cqt_small")
    octaves = small_transform(recorded["x"])
    for octave, expected in zip(octaves, recorded.numbered("fwd_oct"), strict=True):
        assert octave.shape == (2, *expected.shape[1:])
        assert deviation(octave[:1], expected) < SINGLE
    assert deviation(small_transform.inverse(octaves)[:1], recorded["bwd_of_fwd"]) < SINGLE


def test_small_transform_lays_back_octaves_that_no_sound_could_give(
    small_transform: ConstantQ, vectors: Callable[[str], Vectors]
) -> None:
    recorded = vectors("cqt_small")
    found = small_transform.inverse(recorded.numbered("rand_oct"))
    assert deviation(found, recorded["bwd_of_rand"]) < SINGLE


def test_small_highpass_is_the_published_one(small_transform: ConstantQ, vectors: Callable[[str], Vectors]) -> None:
    recorded = vectors("cqt_small")
    x = recorded["x"][:1]
    assert deviation(small_transform.highpass(x), recorded["hpf"]) < SINGLE
    assert deviation(small_transform.highpass(x[:, :9000]), recorded["hpf_short"]) < SINGLE


def test_small_pass_band_is_the_published_one_made_even(
    small_transform: ConstantQ, vectors: Callable[[str], Vectors]
) -> None:
    stopped = vectors("cqt_small")["Hlpf"]
    even = (stopped + stopped.flip(0).roll(1)) / 2
    assert deviation(small_transform.pass_band, 1 - even[: SMALL_LENGTH // 2 + 1]) < SINGLE


def test_full_transform_gives_the_published_octaves(full: tuple[ConstantQ, Vectors, Tensor]) -> None:
    transform, recorded, x = full
    octaves = transform(x)
    for i, octave in enumerate(octaves):
        expected = recorded[f"fwd_oct{i}_stride"]
        assert octave.shape[1:] == tuple(recorded[f"fwd_oct{i}_shape"].tolist())[-2:]
        stride = max(1, octave.numel() // 4000)
        assert deviation(octave.flatten()[::stride][: len(expected)], expected) < SINGLE
    assert deviation(transform.inverse(octaves)[:, ::29], recorded["bwd_of_fwd_stride"]) < SINGLE


def test_full_highpass_is_the_published_one(full: tuple[ConstantQ, Vectors, Tensor]) -> None:
    transform, recorded, x = full
    assert deviation(transform.highpass(x)[:, ::29], recorded["hpf_stride"]) < SINGLE
    stopped = torch.zeros(transform.length)
    stopped[recorded["Hlpf_nz_idx"].long()] = recorded["Hlpf_nz"]
    even = (stopped + stopped.flip(0).roll(1)) / 2
    assert deviation(transform.pass_band, 1 - even[: transform.length // 2 + 1]) < SINGLE


def test_inverse_restores_all_but_the_highpassed_ends(full: tuple[ConstantQ, Vectors, Tensor]) -> None:
    transform, _, x = full
    restored, expected = transform.inverse(transform(x)), transform.highpass(x)
    # Bins next to DC and Nyquist are not made up for their mirrored neighbours: 0.2 % of full-band noise.
    assert float((restored - expected).std() / x.std()) < 0.003


@pytest.mark.parametrize("hertz", [300, 500, 1000, 2000, 3000])
def test_a_tone_inside_the_band_returns_unharmed(hertz: float, small_transform: ConstantQ) -> None:
    x = tone(hertz)
    # Windows and duals are rounded to float32.
    assert deviation(small_transform.inverse(small_transform(x)), x) < 2e-6
    assert deviation(small_transform.highpass(x), x) < 2e-6


def test_highpass_stops_a_constant(small_transform: ConstantQ) -> None:
    x = torch.ones(1, SMALL_LENGTH)
    assert small_transform.highpass(x).abs().max() < 1e-6  # float32 rounding
    assert small_transform.inverse(small_transform(x)).abs().max() < 1e-6


def test_highpass_twice_is_highpass_once_but_on_the_slopes(small_transform: ConstantQ) -> None:
    band = small_transform.pass_band
    assert band.min() > -1e-6 and band.max() < 1 + 1e-6
    x = torch.randn(1, SMALL_LENGTH, generator=torch.Generator().manual_seed(0))
    once = small_transform.highpass(x)
    # A gain g on a slope becomes g**2, which takes a quarter at most; the slopes span a few percent of the band.
    assert float((small_transform.highpass(once) - once).std() / x.std()) < 0.05


def test_a_tone_sounds_only_in_its_own_bins(small_transform: ConstantQ) -> None:
    """The third octave of four lies between 1000 and 2000 Hz, an octave below Nyquist."""
    energy = [float(octave.abs().square().sum()) for octave in small_transform(tone(1500))]
    assert energy[2] > 0.999 * sum(energy)


def test_items_of_a_batch_do_not_meet(small_transform: ConstantQ) -> None:
    x = torch.randn(3, SMALL_LENGTH, generator=torch.Generator().manual_seed(0))
    together = small_transform(x)
    for i in range(3):
        alone = small_transform(x[i : i + 1])
        for octave, expected in zip(together, alone, strict=True):
            assert deviation(octave[i : i + 1], expected) < SINGLE
    assert deviation(small_transform.inverse(together)[1:2], small_transform.inverse(small_transform(x[1:2]))) < SINGLE


def test_inverse_leaves_the_octaves_it_is_given(small_transform: ConstantQ) -> None:
    octaves = small_transform(torch.randn(1, SMALL_LENGTH, generator=torch.Generator().manual_seed(0)))
    before = [octave.clone() for octave in octaves]
    small_transform.inverse(octaves)
    assert all(torch.equal(octave, kept) for octave, kept in zip(octaves, before, strict=True))


@pytest.mark.parametrize("name", FULL)
def test_released_segments_are_legal_and_double_from_octave_to_octave(name: str) -> None:
    rate, length, octaves, bins = TRANSFORMS[name]
    assert legal(rate, length, octaves, bins)
    assert next_legal_length(rate, length, octaves, bins) == length
    frames = grid(rate, length, octaves, bins).frames
    assert all(high == 2 * low for low, high in pairwise(frames))


@pytest.mark.parametrize("length", [1, 100, 12000])
def test_an_illegal_segment_is_refused_with_the_next_legal_one(length: int) -> None:
    with pytest.raises(RestorationError, match=f"A segment of {length} samples at 8000 Hz") as refused:
        ConstantQ(8000, length, 4, 16)
    named = re.search(r"next length that does is (\d+)\.", str(refused.value))
    assert named is not None
    longer = int(named[1])
    assert longer == next_legal_length(8000, length, 4, 16)
    assert not any(legal(8000, shorter, 4, 16) for shorter in range(length, longer))
    x = tone(1000, length=longer)
    transform = ConstantQ(8000, longer, 4, 16)
    assert deviation(transform.inverse(transform(x)), x) < 2e-6


@pytest.mark.parametrize(
    ("rate", "length", "octaves", "bins"),
    [(8000, 300, 3, 4), (22050, 9000, 5, 8), (44100, 40_000, 7, 12), (8000, 5, 2, 2)],
)
def test_the_next_legal_length_is_the_first(rate: int, length: int, octaves: int, bins: int) -> None:
    found = next_legal_length(rate, length, octaves, bins)
    assert found == next(n for n in range(length, found + 1) if legal(rate, n, octaves, bins))


@pytest.mark.parametrize("length", [100, 184184, 2**24])
@pytest.mark.parametrize(("octaves", "bins"), [(8, 1), (1, 1), (0, 16), (2000, 4), (4, 10**12)])
def test_a_transform_that_no_segment_fits_is_refused_soon(length: int, octaves: int, bins: int) -> None:
    assert not legal(8000, length, octaves, bins)
    for ask in (next_legal_length, ConstantQ):
        with pytest.raises(
            RestorationError, match=f"No segment fits a transform of {octaves} octaves with {bins} bins"
        ):
            ask(8000, length, octaves, bins)


@pytest.mark.parametrize("silly", [(8000, 0, 4, 16), (8000, -13000, 4, 16), (0, 13000, 4, 16), (8000, 13000, -4, -16)])
def test_silly_segments_are_not_legal(silly: tuple[int, int, int, int]) -> None:
    assert not legal(*silly)


@pytest.mark.parametrize("name", FULL)
def test_tables_hold_what_the_windows_touch_and_no_more(name: str) -> None:
    rate, length, octaves, bins = TRANSFORMS[name]
    transform = ConstantQ(rate, length, octaves, bins)
    entries = sum(buffer.numel() for buffer in transform.buffers())
    coefficients = bins * sum(transform.frames)
    # Three numbers for each coefficient and one for each bin of the spectrum; dense, the windows alone are
    # octaves * bins * length / 2: 41 million for the piano.
    assert entries == 3 * coefficients + length // 2 + 1
    assert entries < octaves * bins * length / 2 / 15


def test_a_transform_has_no_state_in_a_checkpoint(small_transform: ConstantQ) -> None:
    assert not small_transform.state_dict()
