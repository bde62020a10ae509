"""Train the small denoiser on music with the noise of old records behind it, on one processor core."""

from __future__ import annotations

import argparse
import dataclasses
import logging
import math
import os
import time
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from babe2 import audio
from babe2.checkpoints.checkpoint import Checkpoint, save
from babe2.config import Model, SpectralArchitecture
from babe2.degradations.aging import coloured_by
from babe2.degradations.families import FAMILIES
from babe2.degradations.surface import MEASURED, Sloping, Surface, measured, surface_noise
from babe2.dsp.curves import SampledCurve
from babe2.dsp.resampling import resample
from babe2.dsp.spectra import amplitude, bin_frequencies
from babe2.evaluation.measures import si_sdr
from babe2.networks.spectral import SpectralUNet, compressed, expanded, sound, spectrogram

log = logging.getLogger("train")

RATE = 22050
SIZE = SpectralArchitecture((8, 16, 24, 32, 48, 64, 96), layers=2, stages=1, attention=False, masks=True)
LENGTH = 256 * 95  # samples of an example, 1.1 s: 96 frames
CHANCES = {"piano/train/real-*": 0.4, "piano/train/render-*": 0.4, "voice/train/*": 0.2}
MACHINES = {"horn": 0.3, "cylinder": 0.1, "electric": 0.25, "radio": 0.15, "modern": 0.2}
HELD_OUT = ("run-out", "dust")  # of whose kind no noise is learned, neither the spectrum nor the sound
HELD_OUT_FILES = ("tumult_vinyl1_Runoff_139_BPM.ogg", "tumult_vinyl3_Vinyl_Dust2.ogg")
COLOURED, RECORDED = 0.6, 0.35  # chances: music from an old machine, noise from a real record
CLEAN, NOISE_ONLY = 0.12, 0.04  # chances that there is no noise, or nothing else
SNR_DB = (-5.0, 35.0)
LEVEL, LEVEL_DB = 0.1, 6.0  # RMS to which recordings are brought before they are denoised, and how far that may miss
LEARNING_RATE, MOMENTA = 1.5e-3, (0.9, 0.99)  # of Adam
AVERAGED = 0.995
LINEAR = 0.5  # as much does the loss on uncompressed spectrograms count


class Examples:
    """Music and noise to draw from: `draw` gives (noisy, clean), each (B, T)."""

    def __init__(self, data: Path, noise: Path, seed: int, held_out: bool = False) -> None:
        self.rng = np.random.default_rng(seed)
        self.generator = torch.Generator().manual_seed(seed)
        patterns = {"piano/validation/*": 1.0} if held_out else CHANCES
        self.music = [[np.load(path, mmap_mode="r") for path in sorted(data.glob(f"{p}.npy"))] for p in patterns]
        self.chances = np.array(list(patterns.values()))
        self.shares = [np.array([len(m) for m in kind]) / sum(len(m) for m in kind) for kind in self.music]
        files = [path for path in sorted(noise.glob("*.ogg")) if (path.name in HELD_OUT_FILES) == held_out]
        self.records = [noise_of(path) for path in files]
        self.spectra = HELD_OUT if held_out else tuple(name for name in MEASURED if name not in HELD_OUT)

    def draw(self, count: int, length: int = LENGTH) -> tuple[Tensor, Tensor]:
        noisy, clean = zip(*(self._pair(length) for _ in range(count)), strict=True)
        return torch.stack(noisy), torch.stack(clean)

    def _pair(self, length: int) -> tuple[Tensor, Tensor]:
        rng = self.rng
        machines = list(MACHINES)
        aging = FAMILIES[machines[rng.choice(len(machines), p=list(MACHINES.values()))]].draw(self.generator)
        music = self._excerpt(length)
        if rng.random() < COLOURED:
            music = coloured_by(music, RATE, aging.response)
        music = music / music.square().mean().sqrt().clamp(min=1e-9)
        noise = torch.zeros_like(music)
        kind = rng.random()
        if kind > CLEAN:
            noise = self._noise(music, aging.surface)
            noise = noise / noise.square().mean().sqrt().clamp(min=1e-9) * 10 ** (-rng.uniform(*SNR_DB) / 20)
            if kind > 1 - NOISE_ONLY:
                music = 0 * music
        gain = LEVEL * 10 ** (rng.uniform(-LEVEL_DB, LEVEL_DB) / 20) / (music + noise).square().mean().sqrt()
        return gain * (music + noise), gain * music

    def _excerpt(self, length: int) -> Tensor:
        kind = self.rng.choice(len(self.music), p=self.chances)
        for _ in range(20):
            piece = self.music[kind][self.rng.choice(len(self.music[kind]), p=self.shares[kind])]
            start = int(self.rng.integers(len(piece) - length))
            x = torch.from_numpy(piece[start : start + length].astype(np.float32))
            if x.std() > 30:
                break
        return x / x.std().clamp(min=1)

    def _noise(self, music: Tensor, surface: Surface) -> Tensor:
        rng = self.rng
        if isinstance(surface.spectrum, SampledCurve):
            surface = dataclasses.replace(surface, spectrum=measured(str(rng.choice(self.spectra))))
        if rng.random() >= RECORDED:
            return surface_noise(music, RATE, surface, self.generator)
        record = self.records[rng.integers(len(self.records))]
        start = int(rng.integers(len(record) - len(music)))
        noise = record[start : start + len(music)] * float(rng.choice([-1, 1]))
        tilt = Sloping(rng.uniform(-3, 3), rng.uniform(1500, 8000), rng.uniform(-6, 3))
        gain = amplitude(tilt.gain_db(bin_frequencies(RATE, len(noise))[1:].double()))
        noise = torch.fft.irfft(torch.fft.rfft(noise) * torch.nn.functional.pad(gain, (1, 0)).float(), len(noise))
        noise = noise / noise.square().mean().sqrt().clamp(min=1e-9)
        if rng.random() < 0.5:  # and the rest of a machine beside it
            other = surface_noise(music, RATE, surface, self.generator)
            other = other / other.square().mean().sqrt().clamp(min=1e-9)
            noise = noise + 10 ** (rng.uniform(-20, 10) / 20) * other
        return noise


def noise_of(path: Path) -> Tensor:
    """A noise recording (T,)."""
    recording = audio.read(path)
    return resample(torch.as_tensor(recording.audio).float(), recording.sample_rate, RATE).mean(dim=0)


def loss_of(network: SpectralUNet, noisy: Tensor, clean: Tensor) -> Tensor:
    """L1 between complex spectrograms, of all stages.

    Compressed, so that quiet bands count, and as they are, as published, so that loud partials keep their level: what
    is off by a tenth in the one is off by a third in the other.
    """
    heard, wanted = (spectrogram(x)[:, :, :-4] for x in (noisy, clean))
    level = heard.abs().mean(dim=(1, 2, 3), keepdim=True).clamp(min=1e-6)
    loss = noisy.new_zeros(())
    for stage in network.stages(compressed(heard)):
        if stage is not None:
            loss = loss + (stage - compressed(wanted)).abs().mean()
            loss = loss + LINEAR * ((expanded(stage) - wanted).abs() / level).mean()
    return loss


def measured_on(network: SpectralUNet, noisy: Tensor, clean: Tensor) -> str:
    """Loss, improvement of SI-SDR and change of clean music, on held-out pieces with held-out noise."""
    with torch.no_grad():
        loss = float(loss_of(network, noisy, clean))
        found = [
            torch.cat([sound(network(spectrogram(x[None]))) for x in part])[:, : noisy.shape[1]]
            for part in (noisy, clean)
        ]
    gains = [
        si_sdr(x, y) - si_sdr(n, y) for n, x, y in zip(noisy, found[0], clean, strict=True) if y.any() and (n - y).any()
    ]
    change = 10 * math.log10(float((found[1] - clean).square().sum() / clean.square().sum()))
    return (
        f"held out: loss {loss:.4f}, SI-SDR {np.mean(gains):+.2f} dB (median {np.median(gains):+.2f}), "
        f"clean music changed {change:.1f} dB"
    )


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True, help="folder with piano/ and voice/ as prepared")
    parser.add_argument("--noise", type=Path, required=True, help="folder of noise recordings")
    parser.add_argument("--output", type=Path, required=True)
    parser.add_argument("--minutes", type=float, default=70)
    parser.add_argument("--batch", type=int, default=2)
    parser.add_argument("--steps", type=int, default=10**9)
    args = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    torch.set_num_threads(1)
    torch.manual_seed(0)
    network = SpectralUNet(SIZE)
    torch.nn.init.zeros_(network.finalblock.conv2.weight)  # at first everything stays as it is
    torch.nn.init.zeros_(network.finalblock.conv2.bias)
    average = torch.optim.swa_utils.AveragedModel(
        network, multi_avg_fn=torch.optim.swa_utils.get_ema_multi_avg_fn(AVERAGED)
    )
    optimiser = torch.optim.Adam(network.parameters(), LEARNING_RATE, MOMENTA)
    examples = Examples(args.data, args.noise, seed=1)
    held_out = Examples(args.data, args.noise, seed=2, held_out=True).draw(20, 3 * LENGTH)
    args.output.mkdir(parents=True, exist_ok=True)
    state, spent, step = args.output / "state.pt", 0.0, 0
    if state.exists():
        kept = torch.load(state, weights_only=True)
        network.load_state_dict(kept["network"])
        average.load_state_dict(kept["average"])
        optimiser.load_state_dict(kept["optimiser"])
        spent, step = kept["seconds"], kept["step"]
        examples = Examples(args.data, args.noise, seed=1 + step)  # other examples than those it has seen
    before, began, losses, saved = spent, time.monotonic(), [], spent
    while spent < 60 * args.minutes and step < args.steps:
        share = spent / 60 / args.minutes
        pace = min(1, (step + 1) / 50) * min(1, 2.5 * (1 - share))  # down to nothing in the last 40 %
        for group in optimiser.param_groups:
            group["lr"] = LEARNING_RATE * pace
        loss = loss_of(network, *examples.draw(args.batch))
        optimiser.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(network.parameters(), 1.0)
        optimiser.step()
        average.update_parameters(network)
        step += 1
        losses.append(float(loss.detach()))
        spent = before + time.monotonic() - began
        if step % 50 == 0:
            log.info("%d, %.1f min: loss %.4f", step, spent / 60, np.mean(losses))
            losses = []
        if spent - saved > 300 or spent >= 60 * args.minutes:
            log.info("%s", measured_on(average.module, *held_out))
            kept = {
                "network": network.state_dict(),
                "average": average.state_dict(),
                "optimiser": optimiser.state_dict(),
                "seconds": spent,
                "step": step,
            }
            torch.save(kept, scratch := state.with_suffix(".part"))
            os.replace(scratch, state)
            weights = {name: x.detach().half().contiguous() for name, x in average.module.state_dict().items()}
            save(Checkpoint(Model(SIZE, RATE, LENGTH, LEVEL), weights, None, "denoiser-small", ""), args.output)
            saved = spent


if __name__ == "__main__":
    main()
