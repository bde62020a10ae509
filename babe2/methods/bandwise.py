"""Restoring with a prior that takes a noise level of its own in every band.

Divided by its response, a recording is the music plus the machine's noise over the response, N / H. That is a sample
of the very diffusion the prior was trained on, at a level that differs from band to band: low where the recording is
clear, beyond all bounds where its band has ended. So nothing has to be pulled towards the recording: sampling begins
at the recording's own levels, and each band waits until the sampler's level has come down to its own. This is the
closed form of consistency with the recording, and it needs no gradient through the network.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from itertools import pairwise

import torch
from torch import Tensor

from babe2.config import Settings
from babe2.dsp.curves import Curve
from babe2.methods.undone import Undone, noise_levels, shaped
from babe2.sampler import Agree, Noise, OnStep, Progress, Sampled, churn_factors

BandwiseDenoiser = Callable[[Tensor, Tensor], Tensor]  # (noisy (B, T), level (T // 2 + 1,)) -> clean (B, T)


@torch.no_grad()
def restore_bandwise(
    prior: BandwiseDenoiser,
    recording: Undone,
    response: Curve,
    settings: Settings,
    noise: Noise,
    *,
    agree: Agree = lambda clean: clean,
    on_step: OnStep | None = None,
) -> Sampled:
    """Music the prior believes in that is the recording wherever the recording is clear.

    `prior` takes one noise level per frequency. Every estimate is made to `agree` with what is known beside it.
    """
    sigmas = noise_levels(settings)
    churn, steps = churn_factors(sigmas, settings).tolist(), list(pairwise(sigmas.tolist()))
    highest, own = steps[0][0], recording.level
    level = own.clamp(max=highest)
    x = agree(recording.above(highest))
    x = x + shaped(noise(x.shape), torch.where(own > highest, level, 0.0))
    for step, (sigma, lower) in enumerate(steps, start=1):
        raised = level
        if churn[step - 1] > 0:
            raised = own.minimum(level * (1 + churn[step - 1]))
            stirred = settings.churn_noise * (raised**2 - level**2).clamp(min=0).sqrt()
            x = x + shaped(noise(x.shape), stirred)
        clean = agree(prior(x, raised))
        level = own.clamp(max=lower)
        x = clean + shaped(x - clean, level / raised)  # each frequency on its own straight way to the estimate
        if on_step is not None:
            on_step(Progress(step, sigma, response, clean, partial(recording.misfit, clean)))
    return Sampled(x, response, recording.misfit(x))
