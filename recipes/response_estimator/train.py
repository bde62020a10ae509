"""Train the estimator of responses on made-up recordings."""

from __future__ import annotations

import argparse
import json
import logging
import math
import time
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import save_file
from torch import Tensor

from babe2.analysis.estimator import Guess, ResponseNetwork
from babe2.analysis.evidence import LEVEL_HZ, band_centres

log = logging.getLogger("train")

CORE_HZ = (200.0, 1500.0)  # the level there is nobody's doing
HEARD_DB = -3.0  # music over noise: weaker music is not asked for in full
UNHEARD = 0.03  # and counts so much
DEEPEST_DB = 60.0
BUMPS, BUMP_DB, TILT_DB = 3, 3.0, 1.0  # of the colour in which recordings are played back
DARKNESS_DB, DARK_HZ = 2.5, 700.0  # per octave above, of recordings that lost nothing
WITHIN = 0.9  # the share of responses that the stated band is to hold
MARGIN = 0.025  # more, as pieces that were never heard are a little harder
Z = math.log(1 / (1 - WITHIN))  # in scales of a Laplace distribution


def load(folder: Path, split: str) -> dict[str, Tensor]:
    """All examples of a split."""
    shards = [np.load(path) for path in sorted(folder.glob(f"{split}-*.npz")) if ".part" not in path.name]
    shards = [dict(shard) for shard in shards]
    names = ("features", "same", "response", "snr", "clean", "ends", "family", "background")
    for shard in shards:
        if "clean" not in shard:
            snr = shard["snr"].astype(np.float32)
            music = shard["features"][..., 2] - np.logaddexp(0, -snr * np.log(10) / 10) * 10 / np.log(10)
            shard["clean"] = music - shard["through"]
            shard.setdefault("background", 0 * shard["same"])
    return {
        name: torch.from_numpy(np.concatenate([shard[name] for shard in shards]).astype(np.float32)) for name in names
    }


def recoloured(batch: dict[str, Tensor], generator: torch.Generator) -> dict[str, Tensor]:
    """The same recordings, played back with another colour: music and noise alike, so all but levels stays as it is."""
    octaves, count = band_centres().log2().float(), len(batch["same"])

    def draw(*shape: int) -> Tensor:
        return torch.randn(count, *shape, generator=generator)

    width = 2.0 ** (draw(BUMPS, 1) - 1.5)
    centre = 6 + 7 * torch.rand(count, BUMPS, 1, generator=generator)
    bumps = BUMP_DB * draw(BUMPS, 1) * torch.exp(-0.5 * ((octaves - centre) / width) ** 2)
    colour = bumps.sum(dim=1) + TILT_DB * draw(1) * (octaves - 10)
    colour = colour * torch.where(batch["ends"] > 0.5, 1.0, 0.25)[:, None]
    # Where nothing was lost, music may be much darker or brighter than that of others, and still nothing was lost.
    tilt = DARKNESS_DB * draw(1) * (octaves - math.log2(DARK_HZ)).clamp(min=0)
    music = tilt * torch.where(batch["ends"] > 0.5, 0.0, 1.0)[:, None]
    features = batch["features"].clone()
    hertz = band_centres()
    core = (hertz >= LEVEL_HZ[0]) & (hertz <= LEVEL_HZ[1])
    level = 10 * torch.log10((10 ** ((features[..., 2] + colour + music)[:, core] / 10)).mean(dim=1, keepdim=True))
    for column in (0, 2):  # departure from the reference, own level
        features[..., column] += colour + music - level
    recorded = {"response": batch["response"] + colour, "clean": batch["clean"] + music}
    return batch | {"features": features} | recorded


def errors_of(found: Tensor, true: Tensor) -> tuple[Tensor, Tensor]:
    """Error of a level in each band (B, K), dB, without that of the core, which is also returned (B, 1)."""
    core = (band_centres() > CORE_HZ[0]) & (band_centres() < CORE_HZ[1])
    difference = found - true
    level = difference[:, core].mean(dim=1, keepdim=True)
    return difference - level, level


def errors(guess: Guess, batch: dict[str, Tensor]) -> tuple[Tensor, Tensor]:
    """Error of the response (B, K), dB, without its level, and how much each band counts."""
    hertz = band_centres()
    core = ((hertz > CORE_HZ[0]) & (hertz < CORE_HZ[1])).float()
    heard = torch.where(batch["snr"] > HEARD_DB, 1.0, 0.0)
    weight = core * heard + 1e-3 * core
    difference = guess.response - batch["response"].clamp(min=-DEEPEST_DB)
    level = (difference * weight).sum(dim=1, keepdim=True) / weight.sum(dim=1, keepdim=True)
    return difference - level, heard + UNHEARD * (1 - heard)


def loss_of(guess: Guess, batch: dict[str, Tensor]) -> Tensor:
    """Negative log-likelihood of response, noise and end."""
    error, weight = errors(guess, batch)
    likely = error.abs() / guess.scale + guess.scale.log()
    snr = batch["snr"].clamp(-40, 50)
    noise = (guess.snr - snr).abs() / guess.snr_scale + guess.snr_scale.log()
    # As many recordings have lost nothing as have, as far as this question goes.
    counts = torch.where(batch["ends"] > 0.5, 0.57, 4.2)
    ends = torch.nn.functional.binary_cross_entropy_with_logits(guess.ends, batch["ends"], counts)
    brightness, _ = errors_of(guess.music, batch["clean"] - batch["features"][..., 1])
    music = (brightness.abs() / guess.music_scale + guess.music_scale.log()).mean()
    known = batch["background"][:, None]
    noise = (noise * known).sum() / (known.sum() * noise.shape[1]).clamp(min=1)
    return (likely * weight).sum() / weight.sum() + 0.3 * noise + 0.5 * music + 0.3 * ends


def measured(network: ResponseNetwork, data: dict[str, Tensor]) -> tuple[dict[str, float], Tensor, Tensor]:
    """Errors on a split: over all bands heard, above 1.5 kHz, by family; and how many lie in the stated band."""
    network.eval()
    with torch.no_grad():
        parts = [network(f, s) for f, s in zip(data["features"].split(512), data["same"].split(512), strict=True)]
    guess = Guess(*(torch.cat(column) for column in zip(*parts, strict=True)))
    error, _ = errors(guess, data)
    heard, high = data["snr"] > HEARD_DB, band_centres() > 1500
    found = {
        "mean abs": error[heard].abs().mean(),
        "covered": ((error.abs() < Z * guess.scale) & heard).sum() / heard.sum(),
    }
    above = heard & high
    found |= {"above 1.5k signed": error[above].mean(), "above 1.5k abs": error[above].abs().mean()}
    ended = data["ends"] > 0.5
    found |= {
        "ended found": (guess.ends > 0)[ended].float().mean(),
        "modern found": (guess.ends < 0)[~ended].float().mean(),
    }
    known = heard & (data["background"] > 0)[:, None]
    found |= {"snr abs": (guess.snr - data["snr"].clamp(-40, 50)).abs()[known].mean()}
    brightness, _ = errors_of(guess.music, data["clean"] - data["features"][..., 1])
    top = (band_centres() > 5000) & (band_centres() < 8000)
    found |= {
        "music 5-8k signed": brightness[:, top].mean(),
        "music 5-8k abs": brightness[:, top].mean(dim=1).abs().mean(),
    }
    for family in data["family"].unique().tolist():
        mine = (data["family"] == family)[:, None] & heard
        found[f"family {int(family)}"] = error[mine].abs().mean()
    wide = (error.abs() / guess.scale)[heard]
    return {name: round(float(value), 3) for name, value in found.items()}, wide, error


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--examples", type=Path, required=True)
    parser.add_argument("--output", type=Path, required=True)
    parser.add_argument("--minutes", type=float, default=20)
    parser.add_argument("--steps", type=int, default=4000)
    parser.add_argument("--batch", type=int, default=128)
    parser.add_argument("--rate", type=float, default=1.5e-3)
    parser.add_argument("--width", type=int, default=96)
    parser.add_argument("--layers", type=int, default=3)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--start", type=Path, help="weights to go on from")
    args = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    torch.set_num_threads(args.threads)
    torch.manual_seed(0)
    train, held = load(args.examples, "train"), load(args.examples, "validation")
    log.info("%d examples, %d held out", len(train["same"]), len(held["same"]))
    network = ResponseNetwork(args.width, args.layers)
    flat = train["features"].flatten(0, 1)
    network.mean.copy_(flat.mean(dim=0))
    network.deviation.copy_(flat.std(dim=0).clamp(min=0.1))
    if args.start:
        from safetensors.torch import load_file

        network.load_state_dict(load_file(args.start / "model.safetensors"))
    average = torch.optim.swa_utils.AveragedModel(
        network, multi_avg_fn=torch.optim.swa_utils.get_ema_multi_avg_fn(0.998)
    )
    optimiser = torch.optim.AdamW(network.parameters(), lr=args.rate, weight_decay=0.03, betas=(0.9, 0.98))
    began, generator = time.time(), torch.Generator().manual_seed(0)
    for step in range(args.steps):
        share = max(step / args.steps, (time.time() - began) / 60 / args.minutes)
        if share >= 1:
            break
        for group in optimiser.param_groups:
            group["lr"] = args.rate * min(1, (step + 1) / 100) * (0.5 + 0.5 * math.cos(math.pi * share))
        chosen = torch.randint(len(train["same"]), (args.batch,), generator=generator)
        batch = recoloured({name: x[chosen] for name, x in train.items()}, generator)
        batch["features"] = batch["features"] + 0.3 * torch.randn_like(batch["features"])
        network.train()
        loss = loss_of(network(batch["features"], batch["same"]), batch)
        optimiser.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(network.parameters(), 1.0)
        optimiser.step()
        average.update_parameters(network)
        if step % 250 == 249:
            log.info(
                "%d %.0f s loss %.3f %s",
                step + 1,
                time.time() - began,
                float(loss.detach()),
                measured(average.module, held)[0],
            )
    network = average.module
    _, wide, _ = measured(network, held)
    network.widening.copy_(network.widening * torch.quantile(wide, WITHIN + MARGIN) / Z)
    final = measured(network, held)[0]
    log.info("final %s", final)
    args.output.mkdir(parents=True, exist_ok=True)
    save_file(
        {name: x.half().contiguous() for name, x in network.state_dict().items()}, args.output / "model.safetensors"
    )
    about = {"network": {"width": args.width, "layers": args.layers}, "examples": len(train["same"]), "held_out": final}
    (args.output / "config.json").write_text(json.dumps(about, indent=1) + "\n")


if __name__ == "__main__":
    main()
