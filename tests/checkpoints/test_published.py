import json
import math
import shutil
import warnings
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from classroom import python
from conftest import REFERENCE, SMALL, SMALL_LENGTH, SMALL_RATE, Vectors, deviation, ready
from safetensors.torch import load_file

from babe2 import RestorationError
from babe2.checkpoints.loading import load
from babe2.checkpoints.published import Conversion, convert, load_published
from babe2.config import BandwiseArchitecture, Model
from babe2.cqt import ConstantQ
from babe2.network import CQTDiffPlus
from babe2.networks.models import MODELS

PUBLISHED = REFERENCE / "small_ckpt_original_format.pt"
ORIGIN = {"file": PUBLISHED.name, "sha256": load(PUBLISHED).sha256, "half": False}


def test_a_published_file_gives_its_averaged_weights_and_its_own_words() -> None:
    checkpoint = load(PUBLISHED)
    averaged = load_file(REFERENCE / "small_ckpt_ema.safetensors")
    assert checkpoint.weights.keys() == averaged.keys()
    assert all(torch.equal(checkpoint.weights[key], value) for key, value in averaged.items())
    assert checkpoint.model == Model(SMALL, SMALL_RATE, SMALL_LENGTH, sigma_data=0.063, column="piano")
    assert checkpoint.ltas is not None and checkpoint.ltas.shape == (513,)
    assert checkpoint.provenance == {"iterations": 4}


def test_its_network_answers_as_recorded() -> None:
    recorded = Vectors("small_ckpt_forward")
    network, transform = ready(load(PUBLISHED).network()), ConstantQ(SMALL_RATE, SMALL_LENGTH, 4, 16)
    found = transform.inverse(network(transform(recorded["x"]), recorded["cnoise"]))
    assert deviation(found, recorded["out"]) < 1e-5  # as stated


def republished(path: Path, change: Callable[[dict[str, Any]], object]) -> None:
    """The published layout with something changed; its configuration is of plain containers."""
    content = {
        "it": 4,
        "ema": dict(load(PUBLISHED).weights),
        "LTAS": torch.ones(513),
        "args": {
            "network": {"Ns": [8, 8, 16, 16], "num_dils": [1, 2, 2, 3], "emb_dim": 32, "cqt": {"bins_per_oct": 16}},
            "exp": {"sample_rate": SMALL_RATE, "audio_len": SMALL_LENGTH},
            "diff_params": {"sigma_data": 0.063},
        },
    }
    change(content)
    torch.save(content, path)


@pytest.mark.parametrize("spectrum", [torch.ones(512), -torch.ones(513), torch.ones(2, 513), torch.zeros(513)])
def test_a_damaged_average_spectrum_is_refused(tmp_path: Path, spectrum: torch.Tensor) -> None:
    republished(tmp_path / "its.pt", lambda content: content.update(LTAS=spectrum))
    with pytest.raises(RestorationError, match=r"is damaged.*: its average spectrum is not one row"):
        load(tmp_path / "its.pt")


def endless(content: dict[str, Any]) -> None:
    content["args"]["network"] = content["args"]


def towering(content: dict[str, Any]) -> None:
    """Lists that hold the same list twice: small in the file, and 2 ** 60 values when written out."""
    tower: list[Any] = []
    for _ in range(60):
        tower = [tower, tower]
    content["args"]["tower"] = tower


def without_warnings(make: Callable[[], torch.Tensor]) -> torch.Tensor:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return make()


ODD_WEIGHTS: dict[str, Callable[[], torch.Tensor]] = {
    "integers": lambda: torch.ones(3, dtype=torch.int32),
    "complex": lambda: torch.ones(3, dtype=torch.complex64),
    "sparse": lambda: torch.eye(3).to_sparse(),
    "sparse rows": lambda: torch.eye(3).to_sparse_csr(),
    "quantized": lambda: torch.quantize_per_tensor(torch.ones(3), 0.1, 0, torch.quint8),
    "nowhere": lambda: torch.ones(3, device="meta"),
}


@pytest.mark.parametrize("kind", ODD_WEIGHTS)
def test_published_weights_of_another_kind_are_refused(tmp_path: Path, kind: str) -> None:
    odd = without_warnings(ODD_WEIGHTS[kind])
    without_warnings(lambda: republished(tmp_path / "odd.pt", lambda content: content["ema"].update(odd=odd)) or odd)
    with pytest.raises(RestorationError, match=r"odd.pt is damaged or not a published .*(\(odd\)|no checkpoint needs)"):
        load(tmp_path / "odd.pt")


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (lambda content: content.pop("ema"), "it holds no weights, only LTAS, args, it"),
        (lambda content: content.pop("args"), r"it has no `args` .* published \w+ network, which differs in \w"),
        (lambda content: content["args"].pop("exp"), "it lacks `exp`"),
        (lambda content: content["args"]["network"].pop("Ns"), "it lacks `Ns`"),
        (lambda content: content.update(ema=torch.zeros(3)), "its `ema` holds no weights"),
        (lambda content: content.update(ema={}), "its `ema` holds no weights"),
        (lambda content: content["ema"].update(step=3), r"its `ema` holds what is no weight \(step\)"),
        (lambda content: content["ema"].update({5: torch.zeros(3)}), r"its `ema` holds what is no weight \(5\)"),
        (lambda content: content["ema"].update(wide=torch.zeros(1).expand(2**40)), "claim more numbers than the file"),
        (lambda content: content.update(args=[1, 2]), "its `args` are no configuration"),
        (lambda content: content.update(args=torch.zeros(3)), "its `args` are no configuration"),
        (lambda content: content.update(LTAS=[1.0, 2.0]), "its `LTAS` is no spectrum"),
        (lambda content: content.update(it="many"), "its `it` is no number of iterations"),
        (lambda content: content["args"]["exp"].update(sample_rate=math.inf), "cannot convert float infinity"),
        (lambda content: content["args"]["exp"].update(sample_rate=10**400), "positive whole numbers"),
        (lambda content: content["args"]["exp"].update(audio_len=12000), "does not fit the transform"),
        (lambda content: content["args"]["exp"].update(audio_len=None), "NoneType"),
        (lambda content: content["args"]["network"]["cqt"].update(beta=math.nan), "window_beta must be"),
        (lambda content: content["args"]["network"]["cqt"].update(window="hann"), "not of the published kind"),
        (lambda content: content["args"]["network"]["cqt"].update(num_octs=5), "not as many channels as octaves"),
        (endless, "recursion"),
    ],
)
def test_what_a_published_file_lacks_or_garbles_is_named(
    tmp_path: Path, change: Callable[[dict[str, Any]], object], told: str
) -> None:
    republished(tmp_path / "odd.pt", change)
    with pytest.raises(RestorationError, match=f"odd.pt is damaged or not a published BABE-2 checkpoint: .*{told}"):
        load(tmp_path / "odd.pt")


@pytest.mark.parametrize("change", [lambda content: None, towering], ids=["as it is", "towering"])
def test_a_published_file_of_plain_containers_is_read(
    tmp_path: Path, change: Callable[[dict[str, Any]], object]
) -> None:
    republished(tmp_path / "plain.pt", change)
    assert load(tmp_path / "plain.pt").model == load(PUBLISHED).model


def test_exactly_the_published_names_are_understood() -> None:
    """Every name that the published pickle refers to is either torch's own or one of the inert stand-ins."""
    from babe2.checkpoints.published import _published_globals

    known = {entry[1] if isinstance(entry, tuple) else f"builtins.{entry.__name__}" for entry in _published_globals()}
    recorded = json.loads((REFERENCE / "checkpoint_pickle_globals.json").read_text())
    in_python_3 = {"__builtin__ dict": "builtins.dict", "__builtin__ list": "builtins.list"}
    in_python_3 |= {"__builtin__ long": "builtins.int"}
    asked = {in_python_3.get(name, name.replace(" ", ".")) for name in recorded}
    of_torch = {"collections.OrderedDict", "torch.FloatStorage", "torch._utils._rebuild_tensor_v2"}
    assert known == asked - of_torch


def test_loading_leaves_the_global_state_of_torch_alone() -> None:
    before = set(map(str, torch.serialization.get_safe_globals()))
    load(PUBLISHED)
    assert set(map(str, torch.serialization.get_safe_globals())) == before


def test_a_file_under_another_name_is_still_read(tmp_path: Path) -> None:
    shutil.copy(PUBLISHED, tmp_path / "MAESTRO-850kits")
    assert load(tmp_path / "MAESTRO-850kits").model.sample_rate == SMALL_RATE


# Other layouts


def layout(name: str) -> dict[str, Any]:
    """What other programs keep: the averaged weights are those of the published file, the trained ones are not."""
    averaged = dict(load(PUBLISHED).weights)
    trained = {key: value + 1 for key, value in averaged.items()}
    parameters = [value for key, value in averaged.items() if not key.endswith(".kernel")]
    learned = [value for key, value in averaged.items() if not key.endswith((".kernel", ".RFF_freq"))]
    trained_but_fixed = trained | {key: averaged[key] for key in averaged if key.endswith((".kernel", ".RFF_freq"))}
    return {
        "ema and network": {"ema": averaged, "network": trained},
        "ema in a wrapper": {"ema": {f"module.{key}": value for key, value in averaged.items()}},
        "ema in two wrappers": {"ema": {f"_orig_mod.module.{key}": value for key, value in averaged.items()}},
        "state_dict": {"state_dict": averaged},
        "model": {"model": averaged},
        "ema_model": {"ema_model": {f"ema_model.{key}": value for key, value in averaged.items()}, "step": 4},
        "ema_weights by name": {"model": trained, "ema_weights": averaged},
        "ema_weights in order": {"model": trained, "ema_weights": list(averaged.values())},
        "ema_weights of parameters": {"model": trained_but_fixed, "ema_weights": parameters},
        "ema_weights of what learns": {"model": trained_but_fixed, "ema_weights": learned},
        "ema as modules keep it": {"ema": {key: torch.nn.Parameter(value) for key, value in averaged.items()}},
        "bare": averaged,
    }[name]


LAYOUTS = [
    "ema and network",
    "ema in a wrapper",
    "ema in two wrappers",
    "state_dict",
    "model",
    "ema_model",
    "ema_weights by name",
    "ema_weights in order",
    "ema_weights of parameters",
    "ema_weights of what learns",
    "ema as modules keep it",
    "bare",
]


@pytest.mark.parametrize("name", LAYOUTS)
def test_other_layouts_give_the_same_averaged_weights(tmp_path: Path, name: str) -> None:
    def change(content: dict[str, Any]) -> None:
        content.pop("ema")
        content.update(layout(name))

    republished(tmp_path / "other.pt", change)
    expected, found = load(PUBLISHED), load(tmp_path / "other.pt")
    assert found.model == expected.model and found.weights.keys() == expected.weights.keys()
    assert all(torch.equal(found.weights[key], value) for key, value in expected.weights.items())
    assert not any(value.requires_grad for value in found.weights.values())


def test_averages_in_another_order_are_refused(tmp_path: Path) -> None:
    content = layout("ema_weights in order")
    content["ema_weights"].reverse()
    republished(tmp_path / "other.pt", lambda published: (published.pop("ema"), published.update(content)))
    with pytest.raises(RestorationError, match="list of averages does not follow its weights"):
        load(tmp_path / "other.pt")


@pytest.mark.parametrize("name", ["piano", "voice"])
def test_a_published_network_is_recognised_by_its_shapes_alone(tmp_path: Path, name: str) -> None:
    size = MODELS[name].architecture
    assert not isinstance(size, BandwiseArchitecture)
    with torch.device("meta"):
        shapes = {key: value.shape for key, value in CQTDiffPlus(size).state_dict().items()}
    # Shapes are what counts, so one zero stands for all; it must be a file of true size all the same.
    torch.save(
        {f"module.{key}": torch.zeros(shape, dtype=torch.bfloat16) for key, shape in shapes.items()}, tmp_path / "x"
    )
    found = load(tmp_path / "x")
    assert found.model == MODELS[name] and found.ltas is None and found.provenance == {"assumed": True}
    assert found.doubts()[0].startswith("The checkpoint's file does not say what it was trained on.")
    stated = {"sample_rate": 16000, "segment": 184184, "sigma_data": 0.15, "column": "instruments"}
    strings = load_published(tmp_path / "x", stated=stated)
    assert strings.model == replace(MODELS[name], **stated) and strings.doubts() == []


def test_a_bare_file_takes_its_sizes_from_a_configuration_beside_it(tmp_path: Path) -> None:
    convert(PUBLISHED, tmp_path / "small")
    torch.save(layout("bare"), tmp_path / "small" / "bare.pt")
    assert load(tmp_path / "small" / "bare.pt").model == load(PUBLISHED).model
    (tmp_path / "small" / "config.json").write_text('{"format": "babe2", "model": {}}')
    with pytest.raises(RestorationError, match=r"config.json beside it is not a babe2 configuration \(it lacks"):
        load(tmp_path / "small" / "bare.pt")
    (tmp_path / "small" / "config.json").write_text('{"model_type": "bert"}')
    with pytest.raises(RestorationError, match=r"put its config.json beside it \(nearest is the published \w+ network"):
        load(tmp_path / "small" / "bare.pt")


# Conversion


def test_a_converted_checkpoint_is_the_same_to_the_bit(tmp_path: Path) -> None:
    conversion = convert(PUBLISHED, tmp_path / "models" / "small")
    original, found = load(PUBLISHED), load(tmp_path / "models" / "small")
    assert found.model == original.model and found.provenance == {"iterations": 4, "converted": ORIGIN}
    assert found.weights.keys() == original.weights.keys()
    assert all(torch.equal(found.weights[key], value) for key, value in original.weights.items())
    assert found.ltas is not None and original.ltas is not None and torch.equal(found.ltas, original.ltas)
    assert {file.name for file in (tmp_path / "models" / "small").iterdir()} == FILES
    assert [item.name for item in (tmp_path / "models").iterdir()] == ["small"]
    assert conversion == Conversion(
        "small",
        (
            "averaged weights (`ema`)",
            "sizes of the network, rate, segment and sigma_data, from `args`",
            "average spectrum (`LTAS`)",
        ),
        (
            "the weights as trained, not averaged (`network`)",
            "the optimizer's state (`optimizer`)",
            "the training's other settings and the paths of its machine, from `args`",
        ),
        sum(value.numel() for value in original.network().parameters()),
        (tmp_path / "models" / "small" / "model.safetensors").stat().st_size,
        original.sha256,
    )


FILES = {"model.safetensors", "config.json", "README.md"}


def test_no_path_of_the_training_machine_is_kept(tmp_path: Path) -> None:
    assert b"/scratch/" in PUBLISHED.read_bytes()
    convert(PUBLISHED, tmp_path / "small")
    for name in FILES:
        content = (tmp_path / "small" / name).read_bytes()
        assert not any(word in content for word in (b"/scratch", b"molinee2", b"dldata", b"/work/"))
    assert "/" not in (tmp_path / "small" / "config.json").read_text()


def test_what_is_not_averaged_or_not_known_is_said(tmp_path: Path) -> None:
    def change(content: dict[str, Any]) -> None:
        content.update(state_dict=content.pop("ema"), scheduler={"last": 3}, wandb="secret")
        del content["LTAS"]

    republished(tmp_path / "odd.pt", change)
    conversion = convert(tmp_path / "odd.pt", tmp_path / "odd")
    assert "weights as trained (`state_dict`): none are averaged" in conversion.kept
    assert "no average spectrum: the file has none" in conversion.kept
    assert "`scheduler`, of which nothing is known" in conversion.dropped
    assert "`wandb`, of which nothing is known" in conversion.dropped


def test_half_precision_is_the_nearest(tmp_path: Path) -> None:
    whole, half = convert(PUBLISHED, tmp_path / "whole"), convert(PUBLISHED, tmp_path / "half", half=True)
    assert half.bytes < 0.6 * whole.bytes
    original, found = load(PUBLISHED), load(tmp_path / "half")
    assert all(torch.equal(found.weights[key], value.half()) for key, value in original.weights.items())
    assert found.provenance["converted"]["half"] is True


def test_weights_beyond_half_precision_are_named(tmp_path: Path) -> None:
    republished(
        tmp_path / "loud.pt", lambda content: content["ema"].update({"downs.0.1.weight": torch.full((8, 2, 5, 3), 1e6)})
    )
    with pytest.raises(RestorationError, match=r"Half precision is too narrow for these weights \(downs.0.1.weight\)"):
        convert(tmp_path / "loud.pt", tmp_path / "loud", half=True)
    assert not (tmp_path / "loud").exists()


def test_our_own_format_is_converted_with_its_card(tmp_path: Path) -> None:
    convert(PUBLISHED, tmp_path / "first")
    (tmp_path / "first" / "README.md").write_text("# Mine\n")
    conversion = convert(tmp_path / "first", tmp_path / "second", half=True)
    assert conversion.dropped == () and (tmp_path / "second" / "README.md").read_text() == "# Mine\n"


def test_weights_that_share_memory_come_apart(tmp_path: Path) -> None:
    def change(content: dict[str, Any]) -> None:
        together = torch.cat([value.flatten() for value in content["ema"].values()])
        sizes = [value.numel() for value in content["ema"].values()]
        parts = together.split(sizes)
        content["ema"] = {
            key: part.view(value.shape) for (key, value), part in zip(content["ema"].items(), parts, strict=True)
        }
        content["ema"]["upsamplerT.kernel"] = content["ema"]["downsamplerT.kernel"]

    republished(tmp_path / "tied.pt", change)
    expected = load(tmp_path / "tied.pt").weights
    convert(tmp_path / "tied.pt", tmp_path / "tied")
    assert all(torch.equal(value, expected[key]) for key, value in load(tmp_path / "tied").weights.items())


def test_a_checkpoint_is_replaced_only_on_demand_and_nothing_else_ever(tmp_path: Path) -> None:
    folder = tmp_path / "small"
    folder.mkdir()
    convert(PUBLISHED, folder)
    (folder / "config.json").write_text("before")
    with pytest.raises(RestorationError, match=r"There is a checkpoint in .*small already"):
        convert(PUBLISHED, folder)
    assert (folder / "config.json").read_text() == "before"
    convert(PUBLISHED, folder, overwrite=True)
    assert load(folder).provenance["iterations"] == 4
    (folder / "state").mkdir()
    with pytest.raises(RestorationError, match=r"holds other things \(state\)"):
        convert(PUBLISHED, folder, overwrite=True)
    assert [item.name for item in tmp_path.iterdir()] == ["small"]


def test_a_file_that_cannot_be_converted_leaves_nothing_behind(tmp_path: Path) -> None:
    republished(tmp_path / "odd.pt", lambda content: content["ema"].pop("downs.0.1.weight"))
    with pytest.raises(RestorationError, match=r"missing: downs.0.1.weight"):
        convert(tmp_path / "odd.pt", tmp_path / "out")
    with pytest.raises(RestorationError, match="There is no checkpoint at"):
        convert(tmp_path / "nowhere.pt", tmp_path / "out")
    (tmp_path / "file").write_text("")
    with pytest.raises(RestorationError, match=r"is a file. Name a folder"):
        convert(PUBLISHED, tmp_path / "file")
    with pytest.raises(RestorationError, match=r"cannot be converted into .*: (Not a directory|File exists)"):
        convert(PUBLISHED, tmp_path / "file" / "within")
    assert {item.name for item in tmp_path.iterdir()} == {"odd.pt", "file"}


# Memory

MEASURED = """
import sys
from pathlib import Path
import torch
from babe2.checkpoints.loading import load

def kilobytes(name):
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(name))

torch.set_num_threads(1)
load(sys.argv[1]).network()  # a small one, as code takes memory, too
before = kilobytes("VmRSS")
network = load(sys.argv[2]).network()
assert sum(float(one.sum()) for one in network.parameters()) != 0  # all of it was read
print(kilobytes("VmHWM") - before)
"""


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["published", "our own"])
def test_a_large_checkpoint_is_in_memory_once(tmp_path: Path, kind: str) -> None:
    size = MODELS["piano"].architecture
    assert not isinstance(size, BandwiseArchitecture)
    weights = CQTDiffPlus(size).state_dict()
    given = tmp_path / "piano.pt"
    torch.save({"it": 1, "ema": weights, "LTAS": torch.ones(1025)}, given)
    if kind == "our own":
        convert(given, given.with_suffix(""))
        given = given.with_suffix("")
    said, complaint = python("-c", MEASURED, str(PUBLISHED), str(given)).communicate()
    assert said, complaint
    held = sum(value.nbytes for value in weights.values())
    assert held > 170e6 and 1024 * int(said) < 1.1 * held  # measured at 1.03
