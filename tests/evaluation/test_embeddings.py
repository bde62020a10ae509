"""What hears for the distances: the way of a sound through each, with weights that are not the real ones."""

from __future__ import annotations

import struct
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from babe2.errors import RestorationError
from babe2.evaluation.embeddings import basic_pitch, known
from babe2.evaluation.embeddings.base import embedded
from babe2.evaluation.embeddings.mel import LogMel, htk_bands, slaney_bands
from babe2.evaluation.embeddings.musicnn import Musicnn
from babe2.evaluation.embeddings.tensorflow_files import MAGIC, tensors
from babe2.evaluation.embeddings.vggish import CONVOLUTIONS, VGGish


def noise(samples: int, seed: int = 0) -> Tensor:
    return 0.1 * torch.randn(samples, generator=torch.Generator().manual_seed(seed))


class Mean:
    """An embedding whose rows are easily told."""

    name = identity = "mean"
    sample_rate, window, hop = 100, 10, 5

    def __call__(self, windows: Tensor) -> Tensor:
        return windows.mean(dim=1, keepdim=True)


@pytest.mark.parametrize("cut", [3, 10, 7, 100])
def test_windows_follow_each_other_however_a_sound_is_cut_and_its_end_that_fills_none_is_left_out(cut: int) -> None:
    sound = torch.arange(23.0)
    assert embedded(Mean(), sound.split(cut))[:, 0].tolist() == [4.5, 9.5, 14.5]


def test_a_sound_shorter_than_a_window_is_repeated() -> None:
    assert embedded(Mean(), [torch.tensor([1.0, 2.0, 6.0])]).item() == pytest.approx((3 * 9 + 1) / 10)


def test_mel_bands_are_those_of_librosa_and_of_the_published_network() -> None:
    """Recorded from librosa 0.11: filters.mel(sr=8000, n_fft=16, n_mels=4); HTK's scale by hand."""
    recorded = [0.00199117, 0.00169804, 0.00126149, 0.00078908]
    bands = slaney_bands(8000, 16, 4)
    assert [bands[i, k].item() for i, k in ((1, 0), (2, 1), (3, 2), (5, 3))] == pytest.approx(recorded, rel=1e-5)
    htk = htk_bands(16000, 512, 64, 125, 7500)
    assert htk.shape == (257, 64) and float(htk[:4].sum()) == 0  # below 125 Hz is nothing
    assert float(htk[:, :-1].sum(dim=1)[40:200].min()) == pytest.approx(1, abs=1e-4)  # triangles that add up to one


def test_log_mel_hears_colour_and_how_much_it_moves() -> None:
    steady, swelling = noise(22050), noise(22050) * torch.linspace(0.01, 1, 22050)
    rows = embedded(LogMel(), [torch.cat([steady, swelling])])
    assert rows.shape == (3, 80)
    assert rows[2, 40:].mean() > 2 * rows[0, 40:].mean()


def weights_of_vggish(widths: tuple[int, ...] = (2, 3, 4, 4, 5, 5), size: int = 6) -> dict[str, Tensor]:
    generator, found, before = torch.Generator().manual_seed(0), {}, 1
    for i, width in zip(CONVOLUTIONS, widths, strict=True):
        found[f"features.{i}.weight"] = 0.3 * torch.randn(width, before, 3, 3, generator=generator)
        found[f"features.{i}.bias"], before = torch.zeros(width), width
    for i, (inner, outer) in {0: (6 * 4 * before, 8), 2: (8, 8), 4: (8, size)}.items():
        found[f"embeddings.{i}.weight"] = 0.3 * torch.randn(outer, inner, generator=generator)
        found[f"embeddings.{i}.bias"] = torch.zeros(outer)
    return found


def test_vggish_runs_with_weights_of_any_width_and_refuses_others(tmp_path: Path) -> None:
    torch.save(weights_of_vggish(), tmp_path / "small.pth")
    rows = embedded(known.load(f"vggish={tmp_path / 'small.pth'}"), noise(40_000).split(9000))
    assert rows.shape == (2, 6) and (rows < 0).any()  # no rectifier behind the last layer
    (tmp_path / "vggish-10086976.pth").write_bytes((tmp_path / "small.pth").read_bytes())
    torch.save({"features.0.weight": torch.zeros(1)}, tmp_path / "other.pth")
    (tmp_path / "text.pth").write_text("no weights")
    for name, told in {
        "vggish-10086976.pth": "not the file that its name promises",
        "other.pth": "is no VGGish",
        "text.pth": "holds no weights",
        "gone.pth": "cannot be read",
    }.items():
        with pytest.raises(RestorationError, match=told):
            VGGish.load(tmp_path / name)


# musicnn's files


def varint(value: int) -> bytes:
    return bytes([value]) if value < 128 else bytes([value & 127 | 128]) + varint(value >> 7)


def field(number: int, value: int | bytes) -> bytes:
    if isinstance(value, int):
        return varint(number << 3) + varint(value)
    return varint(number << 3 | 2) + varint(len(value)) + value


def block(entries: list[tuple[bytes, bytes]]) -> bytes:
    """A block of LevelDB in which each key shares what it can with the one before."""
    found, last = b"", b""
    for key, value in entries:
        shared = next((i for i, (a, b) in enumerate(zip(key, last, strict=False)) if a != b), min(len(key), len(last)))
        found += varint(shared) + varint(len(key) - shared) + varint(len(value)) + key[shared:] + value
        last = key
    return found + struct.pack("<II", 0, 1)


def tensorflow_checkpoint(folder: Path, values: dict[str, np.ndarray]) -> None:
    data, entries = b"", [(b"", field(1, 1))]
    for name, value in sorted(values.items()):
        shape = b"".join(field(2, field(1, size)) for size in value.shape)
        place = field(4, len(data)) if data else b""
        entries.append((name.encode(), field(1, 1) + field(2, shape) + place + field(5, value.nbytes)))
        data += value.astype(np.float32).tobytes()
    inside = block(entries)
    table = inside + bytes(5)
    outside = block([(b"~", varint(0) + varint(len(inside)))])
    handles = varint(0) + varint(0) + varint(len(table)) + varint(len(outside))
    folder.mkdir()
    (folder / ".index").write_bytes(table + outside + bytes(5) + handles.ljust(40, b"\0") + struct.pack("<Q", MAGIC))
    (folder / ".data-00000-of-00001").write_bytes(data)


def weights_of_musicnn() -> dict[str, np.ndarray]:
    """Random weights of a network with few filters, shaped as the published ones."""
    chance, few, rhythms, middle = np.random.default_rng(0), 6, 3, 4
    shapes = {
        "conv2d": (7, 38, 1, few),
        "conv2d_1": (7, 67, 1, few),
        **{f"conv2d_{i}": (2 ** (9 - i), 1, 1, rhythms) for i in (2, 3, 4)},
        "conv2d_5": (7, 2 * few + 3 * rhythms, 1, middle),
        "conv2d_6": (7, middle, 1, middle),
        "conv2d_7": (7, middle, 1, middle),
    }
    pooled = 2 * (2 * few + 3 * rhythms + 3 * middle)
    dense = {"dense": (pooled, 10), "dense_1": (10, 5)}
    sizes = [1, few, few, rhythms, rhythms, rhythms, middle, middle, middle, pooled, 10]
    found = {}
    for name, shape in {**shapes, **dense}.items():
        found[f"{name}/kernel"] = 0.2 * chance.standard_normal(shape)
        found[f"{name}/bias"] = np.zeros(shape[-1])
    for i, size in enumerate(sizes):
        name = f"batch_normalization_{i}" if i else "batch_normalization"
        ones, zeros = np.ones(size), np.zeros(size)
        found |= {f"{name}/{part}": ones for part in ("gamma", "moving_variance")}
        found |= {f"{name}/{part}": zeros for part in ("beta", "moving_mean")}
    return found


def test_musicnn_is_read_without_tensorflow_and_hears_as_it_is_described(tmp_path: Path) -> None:
    values = weights_of_musicnn()
    tensorflow_checkpoint(tmp_path / "model", values)
    read = tensors(tmp_path / "model")
    assert read.keys() == values.keys()
    assert all(np.array_equal(read[name], value.astype(np.float32)) for name, value in values.items())
    network = Musicnn.load(tmp_path / "model")
    rows, tags = network.heard(noise(network.window)[None])
    assert rows.shape == (1, 10) and tags.shape == (1, 5)
    (tmp_path / "model" / ".index").write_bytes(b"damaged" * 10)
    with pytest.raises(RestorationError, match="holds no model of musicnn"):
        Musicnn.load(tmp_path / "model")


# What is installed or not


def test_what_is_missing_is_told_with_the_line_that_brings_it(monkeypatch: pytest.MonkeyPatch) -> None:
    for package in ("musicnn", "transformers", "onnxruntime"):
        monkeypatch.setitem(sys.modules, package, None)
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    assert known.at_hand() == ["log-mel"]
    for spec, told in {
        "musicnn": 'pip install --no-deps "musicnn==0.1.0"',
        "clap": r'pip install "babe2\[embeddings\]"',
        "basic-pitch": r'pip install "babe2\[notes\]"',
        "vggish": "vggish=FILE",
        "openl3": "There is no embedding 'openl3'",
        "log-mel=x": "has no weights",
    }.items():
        with pytest.raises(RestorationError, match=told):
            known.load(spec)


def test_results_are_asked_of_a_model_by_a_message_behind_it() -> None:
    behind = basic_pitch._asked(b"", inner=True)
    names = b"".join(field(12, field(1, name.encode())) for name in basic_pitch.INNER)
    assert behind == field(7, names)


@pytest.mark.slow
def test_models_of_the_hub_run_with_small_random_weights(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "torchaudio", None)  # it is not needed, and may be one for another torch
    transformers = pytest.importorskip("transformers")
    sizes = {"patch_embeds_hidden_size": 8, "hidden_size": 64, "depths": [1] * 4, "num_attention_heads": [1] * 4}
    audio = transformers.ClapAudioConfig(**sizes, projection_dim=16, num_classes=4)
    transformers.ClapAudioModelWithProjection(audio).save_pretrained(tmp_path / "clap")
    transformers.ClapFeatureExtractor(truncation="rand_trunc").save_pretrained(tmp_path / "clap")
    small = {"hidden_size": 16, "num_filters": 2, "num_lstm_layers": 1, "codebook_size": 16, "codebook_dim": 16}
    transformers.EncodecModel(transformers.EncodecConfig(**small)).save_pretrained(tmp_path / "encodec")
    clap = known.load(f"clap={tmp_path / 'clap'}", offline=True)
    assert embedded(clap, noise(11 * 48000).split(100_000)).shape == (2, 16)
    encodec = known.load(f"encodec={tmp_path / 'encodec'}", offline=True)
    assert embedded(encodec, [noise(48000)]).shape == (150, 16)
    with pytest.raises(RestorationError, match="the Hugging Face Hub was not reached"):
        known.load("encodec=nobody/nothing", offline=True)


@pytest.mark.slow
def test_basic_pitch_hears_a_scale() -> None:
    pytest.importorskip("onnxruntime")
    pytest.importorskip("basic_pitch.constants")
    from babe2.evaluation.notes import notes_of

    time = torch.arange(22050) / 22050
    tones = [
        sum(0.1 / n * torch.sin(2 * torch.pi * n * hertz * time) for n in range(1, 6)) * torch.exp(-3 * time)
        for hertz in (440.0, 493.88, 554.37)
    ]
    heard = basic_pitch.Transcriber().heard(tones)
    assert heard.notes.shape == (3 * 22050 // 256 + 1, 88)
    assert {69, 71, 73} <= {note.key for note in notes_of(*heard)}
    assert embedded(basic_pitch.BasicPitch(), [torch.cat(tones)]).shape == (2, 128)
