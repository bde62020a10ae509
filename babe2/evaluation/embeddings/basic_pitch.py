"""basic-pitch (Bittner et al. 2022), which writes down the notes of any instrument; its weights come with its package.

The package (Apache-2.0) asks for TensorFlow, its ONNX file for onnxruntime alone (the extra `notes`). The file says
which notes begin and sound. For a Frechet distance the layer below that is asked, too: names of further results that
stand behind a protocol buffer belong to it.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any, ClassVar, NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from babe2.errors import RestorationError
from babe2.evaluation.embeddings.base import digest, found_beside
from babe2.extras import require

EXTRA = "notes"
INSTALL = 'pip install --no-deps "basic-pitch==0.4.0"'
PLACE = ("saved_models", "icassp_2022", "nmp.onnx")
SAMPLE_RATE, WINDOW, HOP = 22050, 43844, 256  # samples
FRAMES = 172  # of a window; of its 171.3 the last is not whole
LEFT_OUT = 15  # frames at either end of a window, where it hears but half of what is around
INPUT = "serving_default_input_2:0"
NOTES, ONSETS = "StatefulPartitionedCall:1", "StatefulPartitionedCall:2"  # (B, FRAMES, 88)
INNER = ("Relu__42:0", "Relu__35:0")  # below the notes, and below their onsets: (B, 32, FRAMES, 88) each
Posterior = npt.NDArray[np.float32]


class Heard(NamedTuple):
    """How probably each of 88 keys sounds, and begins to sound, in each frame (N, 88)."""

    notes: Posterior
    onsets: Posterior


class Transcriber:
    """What basic-pitch hears."""

    def __init__(self, path: Path | None = None, inner: bool = False) -> None:
        """From the installed package, or from its file; `inner` also gives the layers below."""
        require(EXTRA)
        import onnxruntime

        path = path or found_beside("basic_pitch", *PLACE)
        if path is None:
            raise RestorationError(f"Notes are heard with the file of the package basic-pitch: {INSTALL}")
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = torch.get_num_threads()
        options.log_severity_level = 3
        try:
            self._session = onnxruntime.InferenceSession(_asked(path.read_bytes(), inner), options)
            self.digest = digest(path)
        except OSError as error:
            raise RestorationError(f"{path} cannot be read ({error.strerror}). {INSTALL}") from None
        except Exception:  # onnxruntime has no family of errors of its own
            raise RestorationError(f"{path} is not the file of basic-pitch 0.4.0. {INSTALL}") from None

    def __call__(self, windows: Tensor, *names: str) -> list[npt.NDArray[np.float32]]:
        """What results of these names say of windows (B, WINDOW)."""
        found: Any = self._session.run(list(names), {INPUT: windows.cpu().float().numpy()[..., None]})
        return list(found)

    def heard(self, blocks: Iterable[Tensor]) -> Heard:
        """What sounds in a sound that comes in blocks (n,) at SAMPLE_RATE, frame by frame, each HOP samples."""
        kept = FRAMES - 1 - 2 * LEFT_OUT
        held, samples = torch.zeros(LEFT_OUT * HOP), 0
        parts = list[list[Posterior]]()
        for block in blocks:
            samples += len(block)
            held = torch.cat([held, block])
            while len(held) >= WINDOW:
                parts.append(self._middle(held[:WINDOW]))
                held = held[kept * HOP :]
        frames = samples // HOP + 1
        while len(parts) * kept < frames:
            parts.append(self._middle(torch.nn.functional.pad(held, (0, max(0, WINDOW - len(held))))[:WINDOW]))
            held = held[kept * HOP :]
        return Heard(*(np.concatenate(part)[:frames] for part in zip(*parts, strict=True)))

    def _middle(self, window: Tensor) -> list[Posterior]:
        return [found[0, LEFT_OUT : FRAMES - 1 - LEFT_OUT] for found in self(window[None], NOTES, ONSETS)]


class BasicPitch:
    """An embedding: how strongly each feature of the layers below the notes is there, on average and at its height.

    Two rows for each two seconds. What it knows is notes; it hears to about 8 kHz.
    """

    name: ClassVar[str] = "basic-pitch"
    sample_rate: ClassVar[int] = SAMPLE_RATE
    window: ClassVar[int] = WINDOW
    hop: ClassVar[int] = WINDOW // 2

    def __init__(self, path: Path | None = None) -> None:
        self._transcriber = Transcriber(path, inner=True)
        self.identity = f"basic-pitch {self._transcriber.digest}"

    def __call__(self, windows: Tensor) -> Tensor:
        layers = [torch.from_numpy(found) for found in self._transcriber(windows, *INNER)]
        pooled = [part for layer in layers for part in (layer.mean(dim=(2, 3)), layer.std(dim=(2, 3)))]
        return torch.cat(pooled, dim=1)


def _asked(model: bytes, inner: bool) -> bytes:
    """A model that also gives its inner layers: messages that follow each other are one, and their lists are joined."""
    if not inner:
        return model
    names = b"".join(_field(12, _field(1, name.encode())) for name in INNER)  # the outputs of a graph
    return model + _field(7, names)  # the graph of a model


def _field(number: int, content: bytes) -> bytes:
    """A field of a protocol buffer that holds less than 128 bytes."""
    assert len(content) < 128
    return bytes([number << 3 | 2, len(content)]) + content
