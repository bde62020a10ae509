"""A recording brought to the model's rate and back, block by block."""

import numpy as np
import pytest
import torch

from babe2.dsp.resampling import resample, resampled
from babe2.dsp.tape import BLOCK, MemoryTape, Spread
from babe2.recordings.recorded import Recorded, Samples, rechunked


def noise(channels: int, samples: int) -> torch.Tensor:
    return torch.randn(channels, samples, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize(("rate", "new_rate"), [(44100, 22050), (48000, 22050), (22050, 96000), (8000, 22050)])
def test_resampling_does_not_depend_on_the_blocks(rate: int, new_rate: int) -> None:
    x = noise(2, 50_001)
    whole = resample(x, rate, new_rate)
    assert whole.shape == (2, -(-50_001 * new_rate // rate))
    for size in (1000, 33_333):
        assert torch.equal(torch.cat(list(resampled(x.split(size, dim=1), rate, new_rate)), dim=1), whole)


@pytest.mark.parametrize("length", [0, 5, 1000, 1234])
def test_blocks_of_any_size_become_blocks_of_one_size(length: int) -> None:
    x = noise(1, 1000)
    blocks = list(rechunked(x.split(37, dim=1), 100, length))
    assert all(block.shape[1] == 100 for block in blocks[:-1])
    joined = torch.cat([x[:, :0], *blocks], dim=1)
    assert torch.equal(joined, torch.nn.functional.pad(x, (0, 234))[:, :length])


def test_deviation_is_the_standard_one_also_beside_a_large_offset() -> None:
    x = noise(3, 10_000) * torch.tensor([[0.1], [1.0], [2.0]]) + 5
    spread = Spread(3)
    for block in x.split(999, dim=1):
        spread.add(block)
    torch.testing.assert_close(spread.deviation(), x.std(dim=1), rtol=1e-5, atol=0)
    torch.testing.assert_close(spread.deviation(together=True), x.std(), rtol=1e-5, atol=0)


@pytest.mark.parametrize("rate", [8000, 22050, 44100])
@pytest.mark.parametrize("output_rate", [8000, 22050, 48000])
def test_a_recording_that_is_left_as_it_is_comes_back(rate: int, output_rate: int) -> None:
    x = 0.1 * noise(2, 3 * BLOCK // 8)
    recorded = Recorded.of(Samples(x, rate), 22050, output_rate, fold=False)
    found = np.concatenate(list(recorded.bring_back(recorded.observation, output_rate)), axis=1)
    length = round(x.shape[1] * output_rate / rate)
    kept = min(rate, output_rate) > 22050  # what lies above the model's band stays; else the model's rate is passed
    expected = resample(x, rate, output_rate) if kept else resample(resample(x, rate, 22050), 22050, output_rate)
    expected = torch.nn.functional.pad(expected, (0, 1))[:, :length].numpy()
    assert found.shape == expected.shape
    inside = slice(2000, -2000)  # at its ends a resampler rings
    assert np.abs(found - expected)[:, inside].max() < 1e-5
    if rate == output_rate <= 22050:  # up and down again; white noise loses what lies next to its Nyquist frequency
        assert np.corrcoef(found[0], x[0].numpy())[0, 1] > 0.97


def test_the_amount_mixes_the_recording_in() -> None:
    x = 0.1 * noise(1, 60_000)
    recorded = Recorded.of(Samples(x, 44100), 22050, None, fold=False)
    silence = MemoryTape(torch.zeros(1, recorded.observation.samples))

    def at(amount: float) -> np.ndarray:
        return np.concatenate(list(recorded.bring_back(silence, 44100, amount)), axis=1)

    np.testing.assert_array_equal(at(0.0), x.numpy())
    np.testing.assert_allclose(at(0.25), 0.25 * at(1.0) + 0.75 * x.numpy(), atol=1e-7)
