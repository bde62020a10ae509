"""A checkpoint in our own format: model.safetensors and config.json, read, checked, and never executed."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor
from torch.overrides import TorchFunctionMode

from babe2.checkpoints.cache import file_hash
from babe2.config import (
    COLUMNS,
    Architecture,
    BandwiseArchitecture,
    MatrixArchitecture,
    Model,
    SpectralArchitecture,
)
from babe2.cqt import legal
from babe2.dsp.spectra import ReferenceLtas
from babe2.dsp.waveform import SAMPLE_RATES
from babe2.errors import RestorationError
from babe2.networks import matrix_cqt
from babe2.networks.bandwise import BandwiseUNet
from babe2.networks.folded_cqt import GRAIN, PATCH, reaches_down
from babe2.networks.models import Network, build_network
from babe2.networks.spectral import WINDOW, SpectralUNet

FORMAT = "babe2"
WEIGHTS, CONFIG, CARD = "model.safetensors", "config.json", "README.md"
LTAS = "ltas"
ASSUMED = "assumed"  # in the provenance of a file that does not say rate, segment and sigma_data
LARGEST_CONFIG = 2**20  # bytes
MOST_WEIGHTS = 10_000
NETWORKS: dict[type, str] = {
    Architecture: "cqtdiff+",
    BandwiseArchitecture: "bandwise",
    SpectralArchitecture: "spectral",
    MatrixArchitecture: "cqtdiff",
}


@dataclass(frozen=True, eq=False)
class Checkpoint:
    """What was read from disk: a model, its weights, and the average spectrum of the music that a prior learned."""

    model: Model
    weights: dict[str, Tensor]
    ltas: Tensor | None  # (F,) one-sided power
    name: str
    sha256: str
    provenance: dict[str, Any] = field(default_factory=dict)
    verified: bool = False  # whether its hash is what a manifest or the Hub says
    ltas_of: str = ""  # the checkpoint whose average spectrum stands in, where this has none of its own

    def doubts(self) -> list[str]:
        """What whoever restores with it should know."""
        if ASSUMED not in self.provenance:
            return []
        return [
            f"The checkpoint's file does not say what it was trained on. {self.model.sample_rate} Hz and a level of "
            f"{self.model.sigma_data:g} are assumed, as the published {self.model.column} network has them; others are "
            "of the same shape. Give its name in the manifest, or convert it with --like."
        ]

    def restoring_network(self) -> Network | SpectralUNet:
        """The network of a prior, or a generator that extends the band; a denoiser's is refused."""
        network = self.network()
        if isinstance(network, SpectralUNet) and not network.size.extends:
            raise RestorationError(
                f"{self.name} is a denoiser: use it with `babe2 denoise`. A restoration needs a prior, such as "
                "piano-small."
            )
        return network

    def prior_network(self) -> Network:
        """The network of a prior; any other is refused."""
        network = self.restoring_network()
        if isinstance(network, SpectralUNet):
            raise RestorationError(
                f"{self.name} extends the band of a recording by the method behm-gan, and is no prior. Choose a prior, "
                "such as piano-small."
            )
        return network

    def denoising_network(self) -> SpectralUNet:
        """The network of a denoiser; any other is refused."""
        network = self.network()
        if isinstance(network, SpectralUNet) and network.size.extends:
            raise RestorationError(
                f"{self.name} extends the band of a recording, and is no denoiser. Restore with it by the method "
                "behm-gan."
            )
        if not isinstance(network, SpectralUNet):
            raise RestorationError(
                f"{self.name} is a prior and no denoiser. Denoise with denoiser-small, or by the method prior."
            )
        return network

    def network(self) -> Network | SpectralUNet:
        """The network with these weights. An error names every missing, surplus and misshapen key."""
        # What splits kernels into length and direction would, on the meta device, import torch's compiler.
        splits = isinstance(self.model.architecture, SpectralArchitecture) and self.model.architecture.weight_norm
        with torch.device("cpu" if splits else "meta"), Unfilled():
            network = build_network(self.model)
        expected = {key: tuple(value.shape) for key, value in network.state_dict().items()}
        found = {key: tuple(value.shape) for key, value in self.weights.items()}
        faults = [
            ("missing", sorted(expected.keys() - found.keys())),
            ("surplus", sorted(found.keys() - expected.keys())),
            ("misshapen", sorted(key for key in expected.keys() & found.keys() if expected[key] != found[key])),
        ]
        if any(keys for _, keys in faults):
            listed = "; ".join(f"{kind}: {shorten_list(keys)}" for kind, keys in faults if keys)
            raise RestorationError(f"The weights of {self.name} do not fit its configuration ({listed}).")
        weights = {key: value.float() for key, value in self.weights.items()}
        if broken := sorted(key for key, value in weights.items() if not value.isfinite().all()):
            raise RestorationError(f"The weights of {self.name} hold NaN or infinity ({shorten_list(broken)}).")
        if isinstance(network, BandwiseUNet) and not weights["spread"].min() > 0:
            raise RestorationError(f"The weights of {self.name} hold a spread of music that is not above zero.")
        network.load_state_dict(weights, assign=True)
        return network.requires_grad_(False).eval()


class Unfilled(TorchFunctionMode):
    """A context in which new modules do not fill their weights, because others are about to come. To fill them on the
    meta device torch would import its compiler, which takes two seconds.
    """

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if getattr(func, "__module__", "") == "torch.nn.init":
            return args[0] if args else kwargs["tensor"]
        return func(*args, **(kwargs or {}))


def shorten_list(keys: list[str]) -> str:
    """A list of names as text, cut to eight of eighty printable letters: in a file they are a stranger's choice."""
    shown = ("".join(letter if letter.isprintable() else "?" for letter in key[:80]) for key in keys[:8])
    return ", ".join(shown) + (f" and {len(keys) - 8} more" if len(keys) > 8 else "")


def load_folder(path: Path, sha256: str | None = None) -> Checkpoint:
    """Reads a checkpoint in our own format. `path`: its .safetensors file; `sha256`: the file's hash, where known."""
    folder = path.parent.resolve()  # and not the file's own link, which in a cache leads elsewhere
    model, provenance = _configuration(path)
    with _reading(path) as file:
        keys = file.keys()
        if len(keys) > MOST_WEIGHTS:
            raise ValueError(f"it holds {len(keys)} tensors, and no network of this kind more than {MOST_WEIGHTS}")
        weights = {key: file.get_tensor(key) for key in keys}
    ltas = weights.pop(LTAS, None)
    try:
        check_weights(weights)
        check_ltas(ltas)
    except ValueError as error:
        raise RestorationError(f"{path} is damaged: {error}.") from None
    return Checkpoint(model, weights, ltas, folder.name or path.stem, sha256 or file_hash(path), provenance)


def spectrum_of(path: Path) -> ReferenceLtas | None:
    """The average spectrum of the music that a checkpoint in our own format knows, read without its weights; None where
    it holds none, or where the file is a published one.
    """
    if path.suffix != Path(WEIGHTS).suffix:
        return None
    model, _ = _configuration(path)
    with _reading(path) as file:
        keys = file.keys()
        ltas = file.get_tensor(LTAS) if LTAS in keys else None
        check_ltas(ltas)
    return None if ltas is None else ReferenceLtas(ltas, model.sample_rate)


def _configuration(path: Path) -> tuple[Model, dict[str, Any]]:
    """The model, and where it comes from, as told beside a .safetensors file."""
    beside = path.with_name(CONFIG)
    if not beside.is_file():
        raise RestorationError(f"{path.name} needs its {CONFIG} beside it, in {path.parent.resolve()}.")
    try:
        if beside.stat().st_size > LARGEST_CONFIG:
            raise ValueError(f"it is larger than {LARGEST_CONFIG} bytes")
        configuration = json.loads(beside.read_text("utf-8"))
        if not isinstance(configuration, dict) or configuration.get("format") != FORMAT:
            raise ValueError(f'its "format" is not "{FORMAT}"')
        model = model_of(configuration["model"], configuration.get("network", NETWORKS[Architecture]))
        return model, dict(configuration.get("provenance", {}))
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise RestorationError(f"{beside} is not a babe2 configuration: {reason_of(error)}.") from None


@contextmanager
def _reading(path: Path) -> Iterator[Any]:
    """A .safetensors file to read tensors from."""
    try:
        with safe_open(path, framework="pt") as file:
            yield file
    except (SafetensorError, ValueError, RuntimeError, TypeError, MemoryError) as error:
        raise RestorationError(f"{path} is damaged or not a safetensors file: {reason_of(error)}.") from None


def save(checkpoint: Checkpoint, folder: Path) -> None:
    """Writes a checkpoint into a folder, in our own format."""
    folder.mkdir(parents=True, exist_ok=True)
    tensors = {key: value.contiguous() for key, value in checkpoint.weights.items()}
    if checkpoint.ltas is not None:
        tensors[LTAS] = checkpoint.ltas.contiguous()
    save_file(tensors, folder / WEIGHTS, metadata={"format": "pt"})
    configuration = {
        "format": FORMAT,
        "network": NETWORKS[type(checkpoint.model.architecture)],
        "model": asdict(checkpoint.model),
        "provenance": checkpoint.provenance,
    }
    (folder / CONFIG).write_text(json.dumps(configuration, indent=2) + "\n", "utf-8")


def model_of(configuration: dict[str, Any], network: str) -> Model:
    """The model that a configuration describes; what is wrong with it is a ValueError, KeyError or TypeError."""
    kinds = {name: kind for kind, name in NETWORKS.items()}
    if network not in kinds:
        raise ValueError(f"network must be one of {', '.join(kinds)}")
    sizes = {
        key: tuple(value) if isinstance(value, list) else value for key, value in configuration["architecture"].items()
    }
    model = Model(**{**configuration, "architecture": kinds[network](**sizes)})
    check_model(model)
    return model


def check_model(model: Model) -> None:
    """Raises ValueError where a model cannot be one of ours."""
    if not _whole(model.sample_rate, model.segment):
        raise ValueError("sizes must be positive whole numbers")
    if model.segment > 2**24:
        raise ValueError("sizes are beyond any network of this kind")
    if not _number_between(model.sigma_data, 1e-9, 1e6):
        raise ValueError("sigma_data must be a positive number")
    if not _number_between(model.window_beta, 0, 100):
        raise ValueError("window_beta must be a number between 0 and 100")
    if model.column not in COLUMNS:
        raise ValueError(f"column must be one of {', '.join(COLUMNS)}")
    lowest, highest = SAMPLE_RATES
    if not lowest <= model.sample_rate <= highest:
        raise ValueError(f"sample_rate must lie between {lowest} and {highest} Hz")
    if isinstance(model.architecture, BandwiseArchitecture):
        _check_bandwise(model, model.architecture)
    elif isinstance(model.architecture, SpectralArchitecture):
        _check_spectral(model.architecture)
    elif isinstance(model.architecture, MatrixArchitecture):
        _check_matrix(model, model.architecture)
    else:
        _check_published(model, model.architecture)


def _check_published(model: Model, size: Architecture) -> None:
    of_attention = [size.attention_heads, size.attention_buckets, size.attention_distance]
    if not _whole(size.bins_per_octave, size.embedding, *size.channels, *size.layers, *of_attention):
        raise ValueError("sizes must be positive whole numbers")
    if not 1 <= len(size.channels) == len(size.layers) <= 16 or any(channels % 8 for channels in size.channels):
        raise ValueError("channels and layers must be given per octave, channels in eights")
    if not isinstance(size.attention, tuple) or not all(type(there) is bool for there in size.attention):
        raise ValueError("attention must be true or false in each place")
    if size.attention and len(size.attention) not in (size.octaves, size.octaves + 1):
        raise ValueError("attention must be given per octave")
    if any(size.attention) and not 4 <= size.attention_buckets < 4 * size.attention_distance:
        raise ValueError("attention needs at least 4 buckets, and a quarter of them within its distance")
    if max(size.layers) > 24 or max(*size.channels, size.embedding, *of_attention) > 4096:
        raise ValueError("sizes are beyond any network of this kind")
    _check_bins(size.octaves, size.bins_per_octave)
    if not legal(model.sample_rate, model.segment, size.octaves, size.bins_per_octave):
        raise ValueError(f"a segment of {model.segment} samples does not fit the transform's {size.octaves} octaves")


def _check_bandwise(model: Model, size: BandwiseArchitecture) -> None:
    if not _whole(size.octaves, size.bins_per_octave, size.embedding, *size.channels, *size.blocks):
        raise ValueError("sizes must be positive whole numbers")
    if not 1 <= len(size.channels) == len(size.blocks) <= 3:
        raise ValueError("channels and blocks must be given per level, for at most three levels")
    if max(size.blocks) > 8 or max(*size.channels, size.embedding) > 4096:
        raise ValueError("sizes are beyond any network of this kind")
    _check_bins(size.octaves, size.bins_per_octave)
    if size.bins_per_octave % PATCH or (size.octaves * size.bins_per_octave) % (4 * PATCH):
        raise ValueError(f"bins_per_octave must be a multiple of {PATCH}, and all bins a multiple of {4 * PATCH}")
    if not reaches_down(model.sample_rate, size.octaves, size.bins_per_octave):
        raise ValueError(f"{size.octaves} octaves do not reach down far enough")
    if model.segment % GRAIN:
        raise ValueError(f"a segment must be a multiple of {GRAIN} samples")


def _check_spectral(size: SpectralArchitecture) -> None:
    if not _whole(size.layers, size.stages, size.bins, *size.channels):
        raise ValueError("sizes must be positive whole numbers")
    if not all(type(has) is bool for has in (size.attention, size.encoding, size.weight_norm, size.masks)):
        raise ValueError("attention, encoding, weight_norm and masks must be true or false")
    if not 2 <= len(size.channels) <= 9 or size.stages > 2:
        raise ValueError("channels must be given per level, for at most nine levels, and stages be 1 or 2")
    if max(size.channels) > 1024 or size.layers > 8:
        raise ValueError("sizes are beyond any network of this kind")
    if size.bins != WINDOW // 2 + 1:
        raise ValueError(f"bins must be {WINDOW // 2 + 1}")


def _check_matrix(model: Model, size: MatrixArchitecture) -> None:
    if not _whole(size.layers, size.octaves, size.bins_per_octave, size.embedding, *size.channels):
        raise ValueError("sizes must be positive whole numbers")
    if not 2 <= len(size.channels) <= 16 or max(*size.channels, size.embedding) > 4096:
        raise ValueError("channels must be given per level, for 2 to 16 levels, and at most 4096 of them")
    _check_bins(size.octaves, size.bins_per_octave)
    if size.layers > 24 or 2**size.layers >= size.rows:
        raise ValueError(f"{size.layers} layers reach beyond all of the transform's {size.rows} rows")
    if not matrix_cqt.legal(model.segment, size.octaves, size.bins_per_octave, size.halvings):
        raise ValueError(
            f"a segment of {model.segment} samples is not even, or too short to be halved {size.halvings} times"
        )


def _check_bins(octaves: int, bins_per_octave: int) -> None:
    if bins_per_octave < 4 or octaves * bins_per_octave > 4096:
        raise ValueError("bins_per_octave must be at least 4, and all octaves' bins at most 4096 together")


def _whole(*numbers: Any) -> bool:
    return all(type(number) is int and 0 < number < 2**31 for number in numbers)


def _number_between(value: Any, lowest: float, highest: float) -> bool:
    return type(value) in (int, float) and lowest <= value <= highest  # never true of NaN


def check_weights(weights: dict[str, Tensor]) -> None:
    """Raises ValueError where weights are not plain floating-point tensors."""
    if odd := sorted(key for key, value in weights.items() if not _is_plain(value)):
        raise ValueError(f"its weights are not all plain numbers with a fraction ({shorten_list(odd)})")


def check_ltas(ltas: Tensor | None) -> None:
    """Raises ValueError where an average spectrum cannot be one."""
    if ltas is None:
        return
    whole = _is_plain(ltas) and ltas.ndim == 1 and 33 <= len(ltas) <= 2**17 and len(ltas) % 2 == 1
    if not whole or not ltas.isfinite().all() or ltas.min() < 0 or ltas.max() == 0:
        raise ValueError(
            "its average spectrum is not one row of an odd number of finite values, none negative and some positive"
        )


def _is_plain(tensor: Tensor) -> bool:
    floats = (torch.float16, torch.bfloat16, torch.float32, torch.float64)
    return (
        tensor.dtype in floats
        and tensor.layout is torch.strided
        and not tensor.is_nested
        and tensor.device.type == "cpu"
    )


def reason_of(error: Exception) -> str:
    """What an exception says, in one short line."""
    text = f"it lacks `{error.args[0]}`" if isinstance(error, KeyError) else str(error)
    return text.partition("\n")[0][:300]  # torch tells its own stack on the lines that follow
