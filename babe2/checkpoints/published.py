"""Published .pt files, and others like them, read and converted into our own format; nothing in them is executed.

A .pt file is a zip around a pickle. The authors' holds `ema`, `it`, `LTAS` and the training's whole configuration
`args`, in omegaconf containers; these are read as what they are, inert boxes around lists and dicts. Older ones hold
`model`, and in `ema_weights` the averages as a list, and say nothing of themselves: see `stated` below. Torch's
weights-only unpickler refuses code, but not what merely takes all memory or all time, so the pickle's instructions are
looked through before it sees them.
"""

from __future__ import annotations

import itertools
import json
import os
import tempfile
import warnings
import zipfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath
from typing import Any

import torch
from safetensors import SafetensorError
from torch import Tensor

from babe2.checkpoints.cache import file_hash
from babe2.checkpoints.card import blank_card
from babe2.checkpoints.checkpoint import (
    ASSUMED,
    CARD,
    CONFIG,
    FORMAT,
    LARGEST_CONFIG,
    NETWORKS,
    WEIGHTS,
    Checkpoint,
    Unfilled,
    check_ltas,
    check_model,
    check_weights,
    load_folder,
    model_of,
    reason_of,
    save,
    shorten_list,
)
from babe2.checkpoints.pickles import Refusal, look_through
from babe2.config import Architecture, Model, SpectralArchitecture
from babe2.errors import RestorationError
from babe2.networks.models import CQTDIFF, DENOISER, MODELS, build_network

CQTDIFFS = tuple(name for name, model in MODELS.items() if model.architecture == CQTDIFF)
COUNTERS = ("it", "step")  # of iterations
AVERAGED = ("ema", "ema_model", "ema_weights")  # under what names weights are kept, best first
TRAINED = ("network", "model", "state_dict")
PREFIXES = ("module.", "_orig_mod.", "model.", "ema_model.", "network.")  # of wrappers around the network
NOTHING: Mapping[str, Any] = {}
LARGEST_PICKLE = 2**22  # bytes, without the tensors' numbers, which are kept beside it; the published ones take a tenth


@dataclass(frozen=True)
class Conversion:
    """What a conversion wrote, kept and left out."""

    name: str
    kept: tuple[str, ...]  # in plain words
    dropped: tuple[str, ...]
    parameters: int
    bytes: int  # of the weights written
    sha256: str  # of the file converted


@dataclass(frozen=True)
class _Reading:
    """A checkpoint that was read, and in words what of its file is in it and what is not."""

    checkpoint: Checkpoint
    kept: tuple[str, ...]
    dropped: tuple[str, ...]


def load_published(path: Path, sha256: str | None = None, stated: Mapping[str, Any] = NOTHING) -> Checkpoint:
    """Reads a .pt file in the authors' layout or another that is known here; nothing in it is executed. `sha256`: the
    file's hash, where known. `stated`: fields of its Model, for a file that does not say them."""
    return _read(path, sha256, stated).checkpoint


class Unwritten(RestorationError):
    """The conversion failed because of the disk, and not because of the file."""


# Converting


def convert(
    path: Path,
    folder: Path,
    *,
    overwrite: bool = False,
    half: bool = False,
    raw: bool = False,
    stated: Mapping[str, Any] = NOTHING,
) -> Conversion:
    """Writes any checkpoint in our own format into `folder`, which is afterwards complete, or as it was before.

    The weights are the same to the bit, or in half precision the nearest ones; `raw` takes them as trained, where the
    file keeps both them and their averages. `stated` is what a manifest says of a file that does not say it itself.
    """
    try:
        folder = folder.resolve()
        path = path / WEIGHTS if path.is_dir() else path
        if not path.is_file():
            raise RestorationError(f"There is no checkpoint at {path}. Give a .pt or .safetensors file.")
        _check_free(folder, overwrite)
        if path.suffix != ".safetensors":
            reading = _read(path, stated=stated, raw=raw)
        elif raw:
            raise RestorationError(
                f"{path} holds one kind of weights. Weights as trained are in the .pt file it is of."
            )
        else:
            reading = _Reading(load_folder(path), ("everything",), ())
        network = reading.checkpoint.network()  # strict: what does not fit is named, and not written
        checkpoint = _made(reading.checkpoint, path, half)
        size = _write(checkpoint, _card(path, checkpoint, folder.name), folder)
    except (OSError, SafetensorError) as error:
        reason = getattr(error, "strerror", None) or error
        raise Unwritten(f"{path} cannot be converted into {folder}: {reason}.") from None
    parameters = sum(one.numel() for one in network.parameters())
    return Conversion(folder.name, reading.kept, reading.dropped, parameters, size, reading.checkpoint.sha256)


def _made(source: Checkpoint, path: Path, half: bool) -> Checkpoint:
    weights = {key: value.half() for key, value in source.weights.items()} if half else _apart(source.weights)
    if too_large := sorted(key for key, value in weights.items() if not value.isfinite().all()):
        raise RestorationError(
            f"Half precision is too narrow for these weights ({shorten_list(too_large)}). Convert without."
        )
    origin = {"file": path.name, "sha256": source.sha256, "half": half}
    return replace(source, weights=weights, provenance=source.provenance | {"converted": origin})


def _apart(weights: dict[str, Tensor]) -> dict[str, Tensor]:
    """Copies of weights that share memory, as a .safetensors file keeps each by itself."""
    taken: set[int] = set()
    apart = {}
    for key, value in weights.items():
        memory = value.untyped_storage()
        alone = memory.nbytes() == value.nbytes and memory.data_ptr() not in taken
        taken.add(memory.data_ptr())
        apart[key] = value if alone else value.clone()
    return apart


def _card(path: Path, checkpoint: Checkpoint, title: str) -> str:
    """The model card: the one beside a checkpoint in our own format, or one of what the file tells."""

    written = path.with_name(CARD)
    if path.suffix == ".safetensors" and written.is_file():
        return written.read_text("utf-8", errors="replace")
    return blank_card(checkpoint, title)


def _check_free(folder: Path, overwrite: bool) -> None:
    if folder.exists() and not folder.is_dir():
        raise RestorationError(f"{folder} is a file. Name a folder for the checkpoint.")
    there = {item.name for item in folder.iterdir()} if folder.exists() else set()
    if others := sorted(there - {WEIGHTS, CONFIG, CARD}):
        raise RestorationError(
            f"{folder} holds other things ({shorten_list(others)}). Name a new folder for the checkpoint."
        )
    if there and not overwrite:
        raise RestorationError(f"There is a checkpoint in {folder} already. Choose another folder, or overwrite it.")


def _write(checkpoint: Checkpoint, card: str, folder: Path) -> int:
    """Writes into a folder beside and moves that as a whole; returns the size of the weights."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder.parent, prefix=f".{folder.name}-") as scratch:
        made, replaced = Path(scratch) / "made", Path(scratch) / "replaced"
        save(checkpoint, made)
        (made / CARD).write_text(card, "utf-8")
        for file in made.iterdir():
            with file.open("rb+") as written:
                os.fsync(written.fileno())  # or the folder may be there before its content
        if folder.exists():
            os.rename(folder, replaced)
        try:
            os.rename(made, folder)
        except OSError:
            if replaced.exists():
                os.rename(replaced, folder)
            raise
    return (folder / WEIGHTS).stat().st_size


# The outside: a zip, and a pickle that is only looked at


def _read(path: Path, sha256: str | None = None, stated: Mapping[str, Any] = NOTHING, raw: bool = False) -> _Reading:
    damaged = f"{path} is damaged or not a published BABE-2 checkpoint"
    try:
        _examine(path)
        with warnings.catch_warnings(), torch.serialization.safe_globals(_published_globals()):
            warnings.simplefilter("ignore")  # torch speaks of rare kinds of tensors, which are refused below
            content = torch.load(path, map_location="cpu", weights_only=True, mmap=True)
    except PermissionError:
        raise
    except Refusal as refusal:
        raise RestorationError(f"{damaged}: {refusal}. Nothing in it was run.") from None
    except Exception:  # what readers of zips and pickles stumble over comes in many types, and all mean the same
        raise RestorationError(f"{damaged}. Nothing in it was run.") from None
    try:
        return _checkpoint_in(content, path, sha256 or file_hash(path), stated, raw)
    except (KeyError, TypeError, ValueError, AttributeError, OverflowError, RecursionError) as error:
        raise RestorationError(f"{damaged}: {reason_of(error)}.") from None


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


def _examine(path: Path) -> None:
    """Raises Refusal where a .pt file is anything but a plain zip of tensors and a harmless pickle."""
    with zipfile.ZipFile(path) as archive:
        entries = archive.infolist()
        names = [PurePosixPath(entry.filename.lower()) for entry in entries]
        if claimed := sum(entry.file_size for entry in entries if entry.compress_type != zipfile.ZIP_STORED):
            raise Refusal(f"it is compressed, and would unpack to {claimed} bytes")
        if sum(entry.file_size for entry in entries) > path.stat().st_size:
            raise Refusal("its parts claim to be larger than the file")
        # Two readers must find the same things in it: one folder, and no name twice.
        if len(set(names)) < len(names) or len({name.parts[:1] for name in names}) > 1:
            raise Refusal("it is not one folder of differently named parts")
        if any(".." in name.parts or name.is_absolute() for name in names):
            raise Refusal("its parts have names that lead elsewhere")
        pickles = [entry for entry in entries if PurePosixPath(entry.filename).name == "data.pkl"]
        if len(pickles) != 1 or pickles[0].file_size > LARGEST_PICKLE:
            raise Refusal("it has no pickle of a sensible size")
        boxes = {box[1] if isinstance(box, tuple) else f"builtins.{box.__name__}" for box in _published_globals()}
        look_through(archive.read(pickles[0]), boxes)


# The inside: which weights, and whose


def _checkpoint_in(content: Any, path: Path, sha256: str, stated: Mapping[str, Any], raw: bool) -> _Reading:
    if not isinstance(content, dict):
        raise ValueError(f"it holds a {type(content).__name__} and no training state")
    weights, kept, dropped = _weights(content, raw)
    check_weights(weights)
    if sum(value.nbytes for value in weights.values()) > 2 * path.stat().st_size:
        raise ValueError("its weights claim more numbers than the file holds")
    counter = next((name for name in COUNTERS if name in content), COUNTERS[0])
    iterations, ltas = content.get(counter), content.get("LTAS")
    if not (ltas is None or isinstance(ltas, Tensor)):
        raise ValueError("its `LTAS` is no spectrum")
    check_ltas(ltas)
    if iterations is not None and (type(iterations) is not int or not 0 <= iterations < 2**63):
        raise ValueError(f"its `{counter}` is no number of iterations")
    provenance: dict[str, Any] = {} if iterations is None else {"iterations": iterations}
    if "args" in content:
        args = _plain(content["args"])
        if not isinstance(args, dict):
            raise ValueError("its `args` are no configuration")
        model = _published_model(args)
        kept.append("sizes of the network, rate, segment and sigma_data, from `args`")
        dropped.append("the training's other settings and the paths of its machine, from `args`")
    else:
        weights = _as_parametrised(weights)
        found = _model_beside(path) or _spectral_model(weights)
        model = found or _published_size(weights, stated, path)
        if found is None and not stated:  # networks for other music have the same sizes: nothing tells them apart
            provenance[ASSUMED] = True
        kept.append(f"sizes of the network, from {CONFIG} or as published: the file has no `args`")
    kept.append("average spectrum (`LTAS`)" if ltas is not None else "no average spectrum: the file has none")
    checkpoint = Checkpoint(model, weights, ltas, path.stem, sha256, provenance)
    return _Reading(checkpoint, tuple(kept), tuple(dropped))


def _weights(content: dict[Any, Any], raw: bool) -> tuple[dict[str, Tensor], list[str], list[str]]:
    """The averaged weights, or those as trained where that is asked for or no average is kept; what was kept; what was
    dropped."""
    beside = {*COUNTERS, "LTAS", "args"}
    averaged = next((name for name in AVERAGED if name in content and not raw), None)
    trained = next((name for name in TRAINED if name in content), None)
    if raw and trained is None:
        raise ValueError("it holds no weights as trained")
    if (chosen := averaged or trained) is None:
        bare = {key: value for key, value in content.items() if key not in beside}
        if not bare or not all(isinstance(value, Tensor) for value in bare.values()):
            raise ValueError(f"it holds no weights, only {shorten_list(sorted(map(str, content)))}")
        return _tensors(bare, "content"), ["the weights, of which the file does not say whether they are averaged"], []
    found = content[chosen]
    if isinstance(found, list | tuple) and trained and chosen != trained:
        found = _in_order(found, _tensors(content[trained], trained))
    why = "as was asked for" if raw else "none are averaged"
    kept = [f"averaged weights (`{chosen}`)" if averaged else f"weights as trained (`{chosen}`): {why}"]
    dropped = [_in_words(name) for name in sorted(map(str, content.keys() - beside - {chosen}))]
    return _tensors(found, chosen), kept, dropped


def _in_words(name: str) -> str:
    if name in AVERAGED:
        return f"the averaged weights (`{name}`)"
    if name in TRAINED:
        return f"the weights as trained, not averaged (`{name}`)"
    if name.startswith("optim"):
        return f"the optimizer's state (`{name}`)"
    return f"`{shorten_list([name])}`, of which nothing is known"


def _tensors(found: Any, name: str) -> dict[str, Tensor]:
    """Weights by their names, without the prefixes that wrappers around the network left on all of them."""
    if not isinstance(found, dict) or not found:
        raise ValueError(f"its `{name}` holds no weights")
    if odd := [key for key, value in found.items() if not (isinstance(key, str) and isinstance(value, Tensor))]:
        raise ValueError(f"its `{name}` holds what is no weight ({shorten_list(sorted(map(str, odd)))})")
    weights = {key: value.detach() for key, value in found.items()}
    while prefix := next((one for one in PREFIXES if all(key.startswith(one) for key in weights)), ""):
        weights = {key.removeprefix(prefix): value for key, value in weights.items()}
    return weights


def _in_order(averages: Sequence[Any], trained: dict[str, Tensor]) -> dict[str, Tensor]:
    """A list of averages follows the network's parameters; what is none, or is not trained, has no average."""
    if not all(isinstance(value, Tensor) for value in averages):
        raise ValueError("its list of averages holds what is no weight")
    for without in ((), (".kernel",), (".kernel", ".RFF_freq")):
        order = [key for key in trained if not key.endswith(without)]
        if [trained[key].shape for key in order] == [value.shape for value in averages]:
            return trained | dict(zip(order, averages, strict=True))
    raise ValueError("its list of averages does not follow its weights")


# The network: as the file says, as a configuration beside it says, or as one of the published ones is


def _model_beside(path: Path) -> Model | None:
    """What config.json beside a file without `args` says; one that is not ours says nothing."""
    beside = path.with_name(CONFIG)
    if not beside.is_file() or beside.stat().st_size > LARGEST_CONFIG:
        return None
    try:
        configuration = json.loads(beside.read_text("utf-8"))
        if not isinstance(configuration, dict) or configuration.get("format") != FORMAT:
            return None
        return model_of(configuration["model"], configuration.get("network", NETWORKS[Architecture]))
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise ValueError(f"the {CONFIG} beside it is not a babe2 configuration ({reason_of(error)})") from None


def _published_size(weights: dict[str, Tensor], stated: Mapping[str, Any], path: Path) -> Model:
    """The published model that these are weights of, with what is stated of it besides."""

    found = {key: tuple(value.shape) for key, value in weights.items()}
    differing: dict[str, list[str]] = {}
    shared: dict[str, int] = {}  # names
    for name in ("piano", "voice", *CQTDIFFS):
        with torch.device("meta"), Unfilled():
            expected = {key: tuple(value.shape) for key, value in build_network(MODELS[name]).state_dict().items()}
        keys, shared[name] = found.keys() | expected.keys(), len(found.keys() & expected.keys())
        differing[name] = sorted(key for key in keys if found.get(key) != expected.get(key))
        if not differing[name] and name in CQTDIFFS and not stated:
            raise RestorationError(
                f"{path} is a CQTdiff network, and does not say whether it is that of 22 050 or of 44 100 Hz. Convert "
                f"it first: babe2 checkpoints convert {path.name} --like {' or '.join(CQTDIFFS)} -o DIR."
            )
        if not differing[name]:
            model = replace(MODELS[name], **stated)
            check_model(model)
            return model
    nearest = max(shared, key=lambda name: shared[name])
    raise ValueError(
        f"it has no `args` to describe its network, so put its {CONFIG} beside it (nearest is the published {nearest} "
        f"network, which differs in {shorten_list(differing[nearest])})"
    )


# What older versions of torch called the two parts of a weight that is normalised.
NORMALISED = {"weight_g": "parametrizations.weight.original0", "weight_v": "parametrizations.weight.original1"}


def _as_parametrised(weights: dict[str, Tensor]) -> dict[str, Tensor]:
    """Weights by the names that they have in today's networks."""

    def today(key: str) -> str:
        owner, _, part = key.rpartition(".")
        return f"{owner}.{NORMALISED[part]}" if part in NORMALISED else key

    return {today(key): value for key, value in weights.items()}


def _spectral_model(weights: dict[str, Tensor]) -> Model | None:
    """The U-Net over spectrograms whose bare weights these are; what of its sizes is not in them is as published."""
    block, bottom = "encoder_s1.eblocks.{}.i_block.", "encoder_s1.i_block."
    if f"{bottom}conv2d_res.bias" not in weights:
        return None
    levels = _count(weights, lambda level: f"{block.format(level)}conv2d_res.bias")
    places = [*(block.format(level) for level in range(levels)), bottom]
    size = SpectralArchitecture(
        channels=tuple(len(weights[f"{place}conv2d_res.bias"]) for place in places),
        layers=_count(weights, lambda layer: f"{bottom}tfc.H.{layer}.0.bias"),
        stages=2 if "encoder_s2.i_block.conv2d_res.bias" in weights else 1,
        attention="sam_1.conv1.bias" in weights,
        encoding="freq_encoding.fembeddings" in weights,
        weight_norm=any(key.endswith(NORMALISED["weight_g"]) for key in weights),
    )
    model = replace(DENOISER, architecture=size)
    check_model(model)
    return model


def _count(weights: dict[str, Tensor], name: Callable[[int], str]) -> int:
    """How many there are of what is numbered from 0 on."""
    return next(number for number in itertools.count() if name(number) not in weights)


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
    check_model(model)
    return model
