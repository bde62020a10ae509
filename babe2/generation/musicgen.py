"""MusicGen (Copet et al. 2023) through the transformers package, which is an extra."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from babe2.errors import RestorationError
from babe2.extras import require

REPOSITORIES = {f"musicgen-{size}": f"facebook/musicgen-{size}" for size in ("small", "medium", "large")}
LONGEST_SECONDS = 30.0  # for which the model was trained
GUIDANCE = 3.0  # the published weight of the prompt
SPARE_TOKENS = 8  # more than the codebooks' delays take away


class MusicGen:
    """A MusicGen with its tokenizer."""

    def __init__(self, model: Any, processor: Any) -> None:
        self._model, self._processor = model, processor
        self.sample_rate = int(model.config.audio_encoder.sampling_rate)

    @classmethod
    def load(cls, source: str | os.PathLike[str], device: str = "cpu", offline: bool = False) -> MusicGen:
        """From a Hub repository or a folder that holds the weights; nothing but safetensors is read."""
        require("generation")
        from transformers import AutoProcessor, MusicgenForConditionalGeneration

        try:
            processor = AutoProcessor.from_pretrained(source, local_files_only=offline)
            model = MusicgenForConditionalGeneration.from_pretrained(
                source, local_files_only=offline, use_safetensors=True
            )
        except (OSError, ValueError) as error:
            raise RestorationError(
                f"{source} could not be had: it is not on this computer, and the Hugging Face Hub was not reached. "
                "Connect to the network, or take --model synthesis, which needs none."
            ) from error
        return cls(model.to(device).eval(), processor)

    def clip(self, prompt: str, seconds: float, seed: int) -> Tensor:
        """Music (T,) after a prompt, exactly as long; what the model leaves short is silence."""
        if not 0 < seconds <= LONGEST_SECONDS:
            raise RestorationError(f"MusicGen makes up to {LONGEST_SECONDS:.0f} s. Ask for as much.")
        inputs = self._processor(text=[prompt], padding=True, return_tensors="pt").to(self._model.device)
        frames = -(-seconds * self._model.config.audio_encoder.frame_rate // 1)
        with _drawn_from(seed):
            heard = self._model.generate(
                **inputs, do_sample=True, guidance_scale=GUIDANCE, max_new_tokens=int(frames) + SPARE_TOKENS
            )
        samples = max(1, round(seconds * self.sample_rate))
        x = heard[0].mean(dim=0).float().cpu()[:samples]
        return F.pad(x, (0, samples - len(x)))


@contextmanager
def _drawn_from(seed: int) -> Iterator[None]:
    """Inside, chance comes from this seed; what the program draws otherwise is not touched.

    The model asks torch's own generator and takes no other.
    """
    with torch.random.fork_rng():
        torch.set_rng_state(torch.Generator().manual_seed(seed).get_state())
        if torch.cuda.is_available():
            torch.cuda.set_rng_state_all(
                [torch.Generator(f"cuda:{i}").manual_seed(seed).get_state() for i in range(torch.cuda.device_count())]
            )
        yield
