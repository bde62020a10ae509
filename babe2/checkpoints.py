"""From a name or a path to a network with its weights: read, checked, and never executed."""

from __future__ import annotations

import hashlib
import json
import re
import zipfile
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from babe2.config import COLUMNS, Architecture, Model
from babe2.errors import RestorationError
from babe2.network import CQTDiffPlus

FORMAT = "babe2"
WEIGHTS, CONFIG = "model.safetensors", "config.json"
LTAS = "ltas"


@dataclass(frozen=True)
class Checkpoint:
    """A prior on disk: what it is, its weights, and the average spectrum of the music it learned."""

    model: Model
    weights: dict[str, Tensor]
    ltas: Tensor | None  # (F,) one-sided power
    name: str
    sha256: str
    provenance: dict[str, Any] = field(default_factory=dict)

    def network(self) -> CQTDiffPlus:
        """The network with these weights; every missing, surplus and misshapen key is named."""
        with torch.device("meta"):
            network = CQTDiffPlus(self.model.architecture)
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
        if odd := sorted(key for key, value in self.weights.items() if not value.is_floating_point()):
            raise RestorationError(f"The weights of {self.name} are not all numbers with a fraction ({_few(odd)}).")
        weights = {key: value.float() for key, value in self.weights.items()}
        if broken := sorted(key for key, value in weights.items() if not value.isfinite().all()):
            raise RestorationError(f"The weights of {self.name} hold NaN or infinity ({_few(broken)}).")
        network.load_state_dict(weights, assign=True)
        return network.requires_grad_(False).eval()


def _few(keys: list[str]) -> str:
    return ", ".join(keys[:8]) + (f" and {len(keys) - 8} more" if len(keys) > 8 else "")


def load(spec: str | Path) -> Checkpoint:
    """`spec`: a folder with model.safetensors and config.json, that .safetensors file, or a published .pt file."""
    path = Path(spec).expanduser()
    if path.is_dir():
        path = path / WEIGHTS
    if not path.is_file():
        raise RestorationError(
            f"There is no checkpoint at {spec}. Give a .safetensors file with its {CONFIG} beside it, "
            "the folder that holds both, or a published .pt file."
        )
    try:
        return load_folder(path) if path.suffix == ".safetensors" else load_published(path)
    except OSError as error:
        raise RestorationError(f"The checkpoint {spec} cannot be read: {error.strerror or error}.") from None


def load_folder(path: Path) -> Checkpoint:
    """Our own format: `path` is the .safetensors file."""
    beside = path.with_name(CONFIG)
    if not beside.is_file():
        raise RestorationError(f"{path.name} needs its {CONFIG} beside it, in {path.parent}.")
    try:
        described = json.loads(beside.read_text("utf-8"))
        model = _model(described["model"])
        provenance = dict(described.get("provenance", {}))
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise RestorationError(f"{beside} is not a babe2 configuration: {error!r}.") from None
    try:
        with safe_open(path, framework="pt") as file:
            weights = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118 (not a dict)
    except (SafetensorError, ValueError, RuntimeError, MemoryError) as error:
        raise RestorationError(f"{path} is damaged or not a safetensors file: {error}.") from None
    return Checkpoint(model, weights, weights.pop(LTAS, None), path.parent.name, _sha256(path), provenance)


def save(checkpoint: Checkpoint, folder: Path) -> None:
    """Writes our own format."""
    folder.mkdir(parents=True, exist_ok=True)
    tensors = {key: value.contiguous() for key, value in checkpoint.weights.items()}
    if checkpoint.ltas is not None:
        tensors[LTAS] = checkpoint.ltas.contiguous()
    save_file(tensors, folder / WEIGHTS, metadata={"format": "pt"})
    described = {"format": FORMAT, "model": asdict(checkpoint.model), "provenance": checkpoint.provenance}
    (folder / CONFIG).write_text(json.dumps(described, indent=2) + "\n", "utf-8")


def _model(described: dict[str, Any]) -> Model:
    architecture: dict[str, Any] = {
        key: tuple(value) if isinstance(value, list) else value for key, value in described["architecture"].items()
    }
    model = Model(**{**described, "architecture": Architecture(**architecture)})
    _check(model)
    return model


def _check(model: Model) -> None:
    size = model.architecture
    whole = [model.sample_rate, model.segment, size.bins_per_octave, size.embedding, *size.channels, *size.dilations]
    if not all(isinstance(number, int) and 0 < number < 2**31 for number in whole):
        raise ValueError("sizes must be positive whole numbers")
    if not 1 <= len(size.channels) == len(size.dilations) <= 16 or any(channels % 8 for channels in size.channels):
        raise ValueError("channels and dilations must be given per octave, channels in eights")
    if size.attention and len(size.attention) not in (size.octaves, size.octaves + 1):
        raise ValueError("attention must be given per octave")
    if max(size.dilations) > 24 or max(size.channels) > 4096 or model.segment > 2**24:
        raise ValueError("sizes are beyond any network of this kind")
    if not (isinstance(model.sigma_data, (int, float)) and 0 < model.sigma_data < 1e6):
        raise ValueError("sigma_data must be a positive number")
    if model.column not in COLUMNS:
        raise ValueError(f"column must be one of {', '.join(COLUMNS)}")


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
        with torch.serialization.safe_globals(_published_globals()):
            content = torch.load(path, map_location="cpu", weights_only=True, mmap=True)
    except zipfile.BadZipFile:
        raise RestorationError(f"{damaged}.") from None
    except RestorationError:
        raise
    except Exception as error:  # the unpickler's refusals come in many types, and all mean the same to a person
        asked = re.search(r"GLOBAL (\S+)", str(error), re.IGNORECASE)
        reason = f" It asks for {asked[1]}, which no checkpoint needs." if asked else ""
        raise RestorationError(f"{damaged}. Nothing in it was run.{reason}") from None
    try:
        model, iterations = _published_model(_plain(content["args"])), int(content.get("it", 0))
        weights = dict(content["ema"])
        ltas = content.get("LTAS")
        assert all(isinstance(value, Tensor) for value in weights.values())
        assert ltas is None or (isinstance(ltas, Tensor) and ltas.ndim == 1)
    except (KeyError, TypeError, ValueError, AttributeError, AssertionError, RecursionError) as error:
        raise RestorationError(f"{damaged}: it lacks or garbles {error}.") from None
    return Checkpoint(model, weights, ltas, path.stem, _sha256(path), {"iterations": iterations})


def _plain(node: Any) -> Any:
    """An omegaconf tree as plain dicts, lists and values."""
    if isinstance(node, _Box):
        node = node._val if node._content is None else node._content
    if isinstance(node, dict):
        return {key: _plain(value) for key, value in node.items()}
    if isinstance(node, list):
        return [_plain(value) for value in node]
    return node


def _published_model(args: dict[str, Any]) -> Model:
    network, experiment = args["network"], args["exp"]
    transform, attention = network["cqt"], network.get("attention_dict", {})
    if transform.get("window", "kaiser") != "kaiser" or not network.get("use_norm", True):
        raise ValueError("a network of the published kind")
    if int(transform.get("num_octs", len(network["Ns"]))) != len(network["Ns"]):
        raise ValueError("as many channels as octaves")
    sigma_data = float(args["diff_params"]["sigma_data"])
    attends = tuple(bool(layer) for layer in network.get("attention_layers", ()))
    architecture = Architecture(
        channels=tuple(network["Ns"]),
        dilations=tuple(network["num_dils"]),
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
