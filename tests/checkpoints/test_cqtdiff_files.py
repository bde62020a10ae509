"""The published CQTdiff files: a step, weights as trained, and their averages as a list in the parameters' order."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from babe2 import RestorationError
from babe2.checkpoints.checkpoint import Unfilled
from babe2.checkpoints.loading import load, with_spectrum_of
from babe2.checkpoints.manifest import collection
from babe2.checkpoints.published import convert, load_published
from babe2.commands.main import main
from babe2.config import MatrixArchitecture
from babe2.networks.cqtdiff import CQTDiff, taps
from babe2.networks.models import CQTDIFF, MODELS

SAID = {name: collection()[name].stated() for name in ("cqtdiff-22k", "cqtdiff-44k")}


@pytest.fixture(scope="module")
def network() -> CQTDiff:
    """One whose every parameter is told from the others, in half precision to be quicker."""
    with torch.device("meta"), Unfilled():
        network = CQTDiff(CQTDIFF)
    network = network.to_empty(device="cpu").half().requires_grad_(False)
    for name, buffer in network.named_buffers():
        buffer.copy_(taps(2, 1) if name.startswith("downs") else taps(1, 2))
    for number, parameter in enumerate(network.parameters()):
        parameter.fill_(number)
    return network


def content_of(network: CQTDiff) -> dict[str, Any]:
    averages = [parameter + 0.5 for parameter in network.parameters()]
    return {"step": 2303999, "model": network.state_dict(), "ema_weights": averages}


@pytest.fixture(scope="module")
def published(network: CQTDiff, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("cqtdiff") / "weights-2303999.pt"
    torch.save(content_of(network), path)
    return path


@pytest.mark.parametrize("name", SAID)
def test_averages_go_to_the_parameters_and_buffers_stay(published: Path, network: CQTDiff, name: str) -> None:
    found = load_published(published, stated=SAID[name])
    assert found.model == MODELS[name] and found.ltas is None
    assert found.provenance == {"iterations": 2303999}
    parameters, loaded = dict(network.named_parameters()), found.network()
    for key, value in loaded.state_dict().items():
        expected = parameters[key] + 0.5 if key in parameters else network.state_dict()[key]
        assert torch.equal(value, expected), key


def test_converted_it_is_the_same_averaged_or_as_trained(published: Path, network: CQTDiff, tmp_path: Path) -> None:
    for raw in (False, True):
        made = convert(published, tmp_path / str(raw), raw=raw, stated=SAID["cqtdiff-44k"])
        assert made.parameters == 15_487_232
        found = load(tmp_path / str(raw))
        assert found.model == MODELS["cqtdiff-44k"]
        key = "init_conv.weight"
        assert torch.equal(found.weights[key], network.state_dict()[key] + (0 if raw else 0.5))
        (kept, *_), (dropped, *_) = made.kept, made.dropped
        assert ("as trained (`model`): as was asked for" if raw else "averaged weights (`ema_weights`)") in kept
        assert ("the averaged weights" if raw else "the weights as trained") in dropped
    with pytest.raises(RestorationError, match=r"holds one kind of weights"):
        convert(tmp_path / "True", tmp_path / "again", raw=True)
    with pytest.raises(RestorationError, match="it holds no weights as trained"):
        torch.save({"ema": network.state_dict()}, tmp_path / "averages.pt")
        convert(tmp_path / "averages.pt", tmp_path / "again", raw=True, stated=SAID["cqtdiff-44k"])


def test_which_of_the_two_it_is_must_be_said(
    published: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(
        RestorationError, match=r"does not say whether it is that of 22 050 or of 44 100 Hz\. Convert it"
    ):
        load(published)
    command = ["checkpoints", "convert", str(published), "-o", str(tmp_path / "mine"), "--like", "cqtdiff-22k"]
    assert main(command) == 0 and "averaged weights" in capsys.readouterr().out
    assert load(tmp_path / "mine").model == MODELS["cqtdiff-22k"]


def shortened(content: dict[str, Any]) -> None:
    content["ema_weights"].pop()


def swapped(content: dict[str, Any]) -> None:
    content["ema_weights"].reverse()


def poisoned(content: dict[str, Any]) -> None:
    content["ema_weights"][3] = torch.full_like(content["ema_weights"][3], torch.nan)


def no_tensor(content: dict[str, Any]) -> None:
    content["ema_weights"][3] = "init_conv"


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (shortened, "its list of averages does not follow its weights"),
        (swapped, "its list of averages does not follow its weights"),
        (no_tensor, "its list of averages holds what is no weight"),
        (poisoned, r"hold NaN or infinity \(embedding.MLP.1.weight\)"),
        (lambda content: content.update(step="many"), "its `step` is no number of iterations"),
        (lambda content: content["model"].pop("init_conv.weight"), "does not follow its weights"),
        (lambda content: content["model"].update(more=torch.zeros(3)), "does not follow its weights"),
    ],
)
def test_what_such_a_file_garbles_is_named(
    network: CQTDiff, tmp_path: Path, change: Callable[[dict[str, Any]], object], told: str
) -> None:
    content = content_of(network)
    change(content)
    torch.save(content, tmp_path / "odd.pt")
    with pytest.raises(RestorationError, match=told):
        load_published(tmp_path / "odd.pt", stated=SAID["cqtdiff-44k"]).network()


@pytest.mark.parametrize(
    ("sizes", "told"),
    [
        ({"channels": [32]}, "2 to 16 levels"),
        ({"channels": [8] * 16}, "not even, or too short"),
        ({"layers": 2**30}, "reach beyond"),
        ({"layers": 9}, "reach beyond"),
        ({"octaves": 2**20}, "at most 4096 together"),
        ({"embedding": 0}, "positive whole numbers"),
        ({"colour": 1}, "colour"),
    ],
)
def test_sizes_that_cannot_be_are_refused(tmp_path: Path, sizes: dict[str, Any], told: str) -> None:
    from babe2.checkpoints import model_of

    architecture = {"channels": [8, 8, 16], "layers": 3, "octaves": 3, "bins_per_octave": 8, "embedding": 16}
    model = {"architecture": architecture, "sample_rate": 8000, "segment": 1024, "sigma_data": 0.057}
    assert isinstance(model_of(model, "cqtdiff").architecture, MatrixArchitecture)
    with pytest.raises((ValueError, TypeError), match=told):
        model_of(model | {"architecture": architecture | sizes}, "cqtdiff")


@pytest.mark.parametrize("name", SAID)
def test_the_bundled_pianos_average_spectrum_stands_in(published: Path, name: str, tmp_path: Path) -> None:
    bundled, bare = load("piano-small"), load_published(published, stated=SAID[name])
    assert bundled.ltas is not None
    lent = with_spectrum_of(bundled, bare)
    assert lent.ltas_of == "piano-small" and lent.ltas is not None
    octaves = {"cqtdiff-22k": 1, "cqtdiff-44k": 2}[name]  # of the bundled one's rate
    assert len(lent.ltas) - 1 == octaves * (len(bundled.ltas) - 1)
    ratio = lent.ltas[1:800] / bundled.ltas[1:800]
    assert float(ratio.max() / ratio.min()) == pytest.approx(1, abs=1e-3)
    top = lent.ltas[-100:].mean()
    assert 0 < top < lent.ltas[:1000].max() / 1000  # it goes on falling where it was not measured
