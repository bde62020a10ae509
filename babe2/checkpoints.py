"""From a name or a path to a network with its weights: read, checked, and never executed."""

from __future__ import annotations

import hashlib
import json
import re
import warnings
import zipfile
from collections.abc import Callable
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from babe2.bandwise import BandwiseUNet
from babe2.config import COLUMNS, Architecture, BandwiseArchitecture, Model
from babe2.cqt import legal
from babe2.errors import RestorationError
from babe2.folded_cqt import GRAIN, PATCH, reaches_down
from babe2.prior import Network, build_network
from babe2.waveform import SAMPLE_RATES

FORMAT = "babe2"
BUNDLED = {"piano-small": Path(__file__).with_name("bundled") / "piano-small"}  # what comes along, by name
WEIGHTS, CONFIG = "model.safetensors", "config.json"
LTAS = "ltas"
NETWORKS: dict[type, str] = {Architecture: "cqtdiff+", BandwiseArchitecture: "bandwise"}


@dataclass(frozen=True, eq=False)
class Checkpoint:
    """A prior on disk: what it is, its weights, and the average spectrum of the music it learned."""

    model: Model
    weights: dict[str, Tensor]
    ltas: Tensor | None  # (F,) one-sided power
    name: str
    sha256: str
    provenance: dict[str, Any] = field(default_factory=dict)

    def network(self) -> Network:
        """The network with these weights; every missing, surplus and misshapen key is named."""
        with torch.device("meta"):
            network = build_network(self.model)
        expected = {key: tuple(value.shape) for key, value in network.state_dict().items()}
        found = {key: tuple(value.shape) for key, value in self.weights.items()}
        faults = [
            ("missing", sorted(expected.keys() - found.keys())),
            ("surplus", sorted(found.keys() - expected.keys())),
            ("misshapen", sorted(key for key in expected.keys() & found.keys() if expected[key] != found[key])),
        ]
        if any(keys for _, keys in faults):
            told = "; ".join(f"{kind}: {_few(keys)}" for kind, keys in faults if keys)
            raise RestorationError(f"The weights of {self.name} do not fit its configuration ({told}).")
        weights = {key: value.float() for key, value in self.weights.items()}
        if broken := sorted(key for key, value in weights.items() if not value.isfinite().all()):
            raise RestorationError(f"The weights of {self.name} hold NaN or infinity ({_few(broken)}).")
        if isinstance(network, BandwiseUNet) and not weights["spread"].min() > 0:
            raise RestorationError(f"The weights of {self.name} hold a spread of music that is not above zero.")
        network.load_state_dict(weights, assign=True)
        return network.requires_grad_(False).eval()


def _few(keys: list[str]) -> str:
    return ", ".join(keys[:8]) + (f" and {len(keys) - 8} more" if len(keys) > 8 else "")


def load(spec: str | Path) -> Checkpoint:
    """`spec`: a bundled checkpoint's name, a folder with model.safetensors and config.json, that .safetensors file, or
    a published .pt file.
    """
    try:
        path = _found(spec)
    except (OSError, ValueError, TypeError) as error:  # what can be no name: too long, with a null, not text
        reason = getattr(error, "strerror", None) or error
        raise RestorationError(f"{spec!r:.200} cannot be the name of a checkpoint: {reason}.") from None
    try:
        return load_folder(path) if path.suffix == ".safetensors" else load_published(path)
    except OSError as error:
        raise RestorationError(f"The checkpoint {spec} cannot be read: {error.strerror or error}.") from None


def _found(spec: str | Path) -> Path:
    """The file that is meant."""
    ways = (
        f"Give {', '.join(BUNDLED)}, a .safetensors file with its {CONFIG} beside it, the folder that holds both, "
        "or a published .pt file."
    )
    if not str(spec).strip():
        raise RestorationError(f"The checkpoint's name is empty. {ways}")
    path = BUNDLED.get(str(spec), Path(spec))
    with suppress(RuntimeError):  # a person without a home; a file may still be called so
        path = path.expanduser()
    if path.is_dir():
        path = path / WEIGHTS
        if not path.is_file():
            raise RestorationError(f"The folder {spec} holds no {WEIGHTS}. {ways}")
    if not path.is_file():
        raise RestorationError(f"There is no checkpoint at {spec}. {ways}")
    return path


def load_folder(path: Path) -> Checkpoint:
    """Our own format: `path` is the .safetensors file."""
    folder = path.parent.resolve()  # and not the file's own link, which in a cache leads elsewhere
    beside = path.with_name(CONFIG)
    if not beside.is_file():
        raise RestorationError(f"{path.name} needs its {CONFIG} beside it, in {folder}.")
    try:
        described = json.loads(beside.read_text("utf-8"))
        if not isinstance(described, dict) or described.get("format") != FORMAT:
            raise ValueError(f'its "format" is not "{FORMAT}"')
        model = model_of(described["model"], described.get("network", NETWORKS[Architecture]))
        provenance = dict(described.get("provenance", {}))
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise RestorationError(f"{beside} is not a babe2 configuration: {_fault(error)}.") from None
    try:
        with safe_open(path, framework="pt") as file:
            weights = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118 (not a dict)
    except (SafetensorError, ValueError, RuntimeError, MemoryError) as error:
        raise RestorationError(f"{path} is damaged or not a safetensors file: {error}.") from None
    ltas = weights.pop(LTAS, None)
    try:
        _check_weights(weights)
        _check_ltas(ltas)
    except ValueError as error:
        raise RestorationError(f"{path} is damaged: {error}.") from None
    return Checkpoint(model, weights, ltas, folder.name or path.stem, _sha256(path), provenance)


def save(checkpoint: Checkpoint, folder: Path) -> None:
    """Writes our own format."""
    folder.mkdir(parents=True, exist_ok=True)
    tensors = {key: value.contiguous() for key, value in checkpoint.weights.items()}
    if checkpoint.ltas is not None:
        tensors[LTAS] = checkpoint.ltas.contiguous()
    save_file(tensors, folder / WEIGHTS, metadata={"format": "pt"})
    described = {
        "format": FORMAT,
        "network": NETWORKS[type(checkpoint.model.architecture)],
        "model": asdict(checkpoint.model),
        "provenance": checkpoint.provenance,
    }
    (folder / CONFIG).write_text(json.dumps(described, indent=2) + "\n", "utf-8")


def model_of(described: dict[str, Any], network: str) -> Model:
    """The model that a configuration describes; what is wrong with it is a ValueError, KeyError or TypeError."""
    kinds = {name: kind for kind, name in NETWORKS.items()}
    if network not in kinds:
        raise ValueError(f"network must be one of {', '.join(kinds)}")
    sizes = {
        key: tuple(value) if isinstance(value, list) else value for key, value in described["architecture"].items()
    }
    model = Model(**{**described, "architecture": kinds[network](**sizes)})
    _check(model)
    return model


def _check(model: Model) -> None:
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


def _check_bins(octaves: int, bins_per_octave: int) -> None:
    if bins_per_octave < 4 or octaves * bins_per_octave > 4096:
        raise ValueError("bins_per_octave must be at least 4, and all octaves' bins at most 4096 together")


def _whole(*numbers: Any) -> bool:
    return all(type(number) is int and 0 < number < 2**31 for number in numbers)


def _number_between(value: Any, lowest: float, highest: float) -> bool:
    return type(value) in (int, float) and lowest <= value <= highest  # never true of NaN


def _check_weights(weights: dict[str, Tensor]) -> None:
    if odd := sorted(key for key, value in weights.items() if not _is_plain(value)):
        raise ValueError(f"its weights are not all plain numbers with a fraction ({_few(odd)})")


def _check_ltas(ltas: Tensor | None) -> None:
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


def _fault(error: Exception) -> str:
    return f"it lacks `{error.args[0]}`" if isinstance(error, KeyError) else f"{error!s:.300}"


# The published layout: a torch zip whose pickle holds omegaconf containers. They are read as what they are, inert
# boxes around lists and dicts, by torch's weights-only unpickler, which refuses every other name.


class _Box:
    """Stands in for an omegaconf container."""

    _content: Any = None
    _val: Any = None


def _published_globals() -> list[Callable[..., Any] | tuple[Callable[..., Any], str]]:
    boxes = [
        "base.ContainerMetadata",
        "base.Metadata",
        "dictconfig.DictConfig",
        "listconfig.ListConfig",
        "nodes.AnyNode",
    ]
    inert: list[Callable[..., Any] | tuple[Callable[..., Any], str]] = [dict, list, int]
    inert += [(type(name.rsplit(".")[-1], (_Box,), {}), f"omegaconf.{name}") for name in boxes]
    inert += [(_Box, "typing.Any"), (_empty_dict, "collections.defaultdict")]
    return inert


def _empty_dict(*_: Any) -> dict[Any, Any]:
    return {}


def load_published(path: Path) -> Checkpoint:
    """The authors' layout: `ema`, `it`, `LTAS` and the training's configuration `args`. Nothing in it is executed."""
    damaged = f"{path} is damaged or not a published BABE-2 checkpoint"
    try:
        with zipfile.ZipFile(path) as archive:
            claimed = sum(entry.file_size for entry in archive.infolist())
        if claimed > 2 * path.stat().st_size + 2**20:
            raise RestorationError(f"{damaged}: it would unpack to {claimed} bytes.")
        with warnings.catch_warnings(), torch.serialization.safe_globals(_published_globals()):
            warnings.simplefilter("ignore")  # torch speaks of rare kinds of tensors, which are refused below
            content = torch.load(path, map_location="cpu", weights_only=True, mmap=True)
    except zipfile.BadZipFile:
        raise RestorationError(f"{damaged}.") from None
    except (RestorationError, PermissionError):
        raise
    except Exception as error:  # the unpickler's refusals come in many types, and all mean the same to a person
        asked = re.search(r"GLOBAL (\S+)", str(error), re.IGNORECASE)
        reason = f" It asks for {asked[1]}, which no checkpoint needs." if asked else ""
        raise RestorationError(f"{damaged}. Nothing in it was run.{reason}") from None
    try:
        return _published(content, path)
    except (KeyError, TypeError, ValueError, AttributeError, OverflowError, RecursionError) as error:
        raise RestorationError(f"{damaged}: {_fault(error)}.") from None


def _published(content: Any, path: Path) -> Checkpoint:
    if not isinstance(content, dict):
        raise ValueError(f"it holds a {type(content).__name__} and no training state")
    weights, iterations, ltas = content["ema"], content.get("it", 0), content.get("LTAS")
    if not isinstance(weights, dict) or not weights:
        raise ValueError("its `ema` holds no weights")
    if odd := [key for key, value in weights.items() if not (isinstance(key, str) and isinstance(value, Tensor))]:
        raise ValueError(f"its `ema` holds what is no weight ({_few(sorted(map(str, odd)))})")
    _check_weights(weights)
    if sum(value.nbytes for value in weights.values()) > 2 * path.stat().st_size:
        raise ValueError("its `ema` claims more numbers than the file holds")
    if not (ltas is None or isinstance(ltas, Tensor)):
        raise ValueError("its `LTAS` is no spectrum")
    _check_ltas(ltas)
    if type(iterations) is not int or not 0 <= iterations < 2**63:
        raise ValueError("its `it` is no number of iterations")
    args = _plain(content["args"])
    if not isinstance(args, dict):
        raise ValueError("its `args` are no configuration")
    return Checkpoint(_published_model(args), dict(weights), ltas, path.stem, _sha256(path), {"iterations": iterations})


def _plain(node: Any, known: dict[int, Any] | None = None) -> Any:
    """An omegaconf tree as plain dicts, lists and values; what is shared in it is read once."""
    known = {} if known is None else known
    if id(node) not in known:
        inside = node
        if isinstance(node, _Box):
            inside = node._val if node._content is None else node._content
        if isinstance(inside, dict):
            inside = {key: _plain(value, known) for key, value in inside.items()}
        elif isinstance(inside, list):
            inside = [_plain(value, known) for value in inside]
        known[id(node)] = inside
    return known[id(node)]


def _published_model(args: dict[str, Any]) -> Model:
    network, experiment = args["network"], args["exp"]
    transform, attention = network["cqt"], network.get("attention_dict", {})
    if transform.get("window", "kaiser") != "kaiser" or not network.get("use_norm", True):
        raise ValueError("its network is not of the published kind")
    if int(transform.get("num_octs", len(network["Ns"]))) != len(network["Ns"]):
        raise ValueError("it has not as many channels as octaves")
    sigma_data = float(args["diff_params"]["sigma_data"])
    attends = tuple(bool(layer) for layer in network.get("attention_layers", ()))
    architecture = Architecture(
        channels=tuple(network["Ns"]),
        layers=tuple(network["num_dils"]),
        bins_per_octave=int(transform["bins_per_oct"]),
        embedding=int(network["emb_dim"]),
        attention=attends if any(attends) else (),
        attention_heads=int(attention.get("num_heads", 8)),
        attention_buckets=int(attention.get("rel_pos_num_buckets", 32)),
        attention_distance=int(attention.get("rel_pos_max_distance", 64)),
    )
    model = Model(
        architecture,
        sample_rate=int(experiment["sample_rate"]),
        segment=int(experiment["audio_len"]),
        sigma_data=sigma_data,
        column="voice" if sigma_data == 1 else "piano",
        window_beta=float(transform.get("beta", 1)),
    )
    _check(model)
    return model


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
