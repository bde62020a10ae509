"""`babe2 train` and `babe2 finetune` as a person, a cluster and a power cut meet them."""

from __future__ import annotations

import json
import os
import signal
import threading
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import soundfile as sf
import torch
from classroom import COMPACT, PUBLISHED, QUICK, RATE, described, parsed, python, shard, tune
from conftest import REFERENCE
from safetensors.torch import load_file

from babe2 import Restorer, checkpoints
from babe2.commands.main import main
from babe2.training.event_log import records

SMALL_CHECKPOINT = str(REFERENCE.parent / "small_checkpoint")
Train = Callable[..., int]


@pytest.fixture
def data(tmp_path: Path) -> Path:
    for i in range(2):
        shard(tmp_path / "data" / f"real-{i:03d}.npy", seed=i)
    return tmp_path / "data"


def options(data: Path, output: Path, *more: object, network: Path | None = None) -> list[str]:
    """The command line of a small, quick run."""
    network = network or described(COMPACT, data.parent / "compact.json")
    given = [
        "--network",
        str(network),
        "--data",
        str(data),
        "--output",
        str(output),
        "--batch",
        "2",
        "--log-every",
        "2",
    ]
    return ["train", *given, *QUICK, *map(str, more)]


def weights(folder: Path) -> dict[str, torch.Tensor]:
    """Everything in the latest state."""
    (state,) = folder.iterdir()
    return {f"{path.name}:{name}": one for path in state.glob("*.safetensors") for name, one in load_file(path).items()}


def assert_equal(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> None:
    assert one.keys() == other.keys() and len(one) > 30
    different = [name for name, value in one.items() if not torch.equal(value, other[name])]
    assert different == []


# The result


def test_a_trained_checkpoint_restores(data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (data / "text.wav").write_text("la la la")
    run = tmp_path / "run"
    held_out = str(shard(tmp_path / "held" / "out.npy", seed=5))
    assert main(options(data, run, "--iterations", 6, "--decay", 2, "--validation", held_out, "--json")) == 0
    told = json.loads(capsys.readouterr().out)
    assert (told["end"], told["iteration"], told["skipped_files"]) == ("finished", 6, 1)
    assert told["validation"] == pytest.approx(1.0, abs=0.2)

    checkpoint = checkpoints.load(run)
    assert checkpoint.model == COMPACT and checkpoint.ltas is not None and checkpoint.ltas.shape == (513,)
    assert checkpoint.provenance["iterations"] == 6 and checkpoint.provenance["parent"] is None
    assert str(tmp_path) not in (run / "config.json").read_text() + (run / "README.md").read_text()
    restorer = Restorer.from_checkpoint(run, device="cpu")
    noisy = torch.from_numpy(tune(1)[:4096])[None].float()
    assert torch.isfinite(restorer.prior(4096)(noisy, torch.tensor(0.1))).all()


def test_a_run_tells_of_itself(data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (data / "text.wav").write_text("la la la")
    run = tmp_path / "run"
    assert main(options(data, run, "--iterations", 4)) == 0
    captured = capsys.readouterr()
    assert f"{run}: finished at iteration 4, loss" in captured.out
    for words in ("skipped text.wav", "measures 0.01 h", "run: 2/4, loss", "by level", "by octave", "0:00 left"):
        assert words in captured.err
    lines = [json.loads(line) for line in (run / "log.jsonl").read_text().splitlines()]
    assert [line["iteration"] for line in lines] == [2, 4]
    assert len(lines[0]["octaves"]) == 7 and len(lines[0]["levels"]) == 4 and lines[1]["skipped_steps"] == 0
    assert lines[1]["hours_heard"] == pytest.approx(4 * 2 * 4096 / RATE / 3600)
    (events,) = run.glob("events.out.tfevents.*")
    _, first, second = records(events.read_bytes())
    assert dict(parsed(first))[2] == 2 and dict(parsed(second))[2] == 4 and b"octave/6" in second
    (skipped,) = json.loads((run / "skipped.json").read_text())
    assert skipped["name"] == "text.wav" and "not audio" in skipped["reason"]


def test_held_out_music_is_restored_on_the_way(data: Path, tmp_path: Path) -> None:
    run, held_out = tmp_path / "run", shard(tmp_path / "held" / "out.npy", seed=5)
    watched = ["--validation", held_out, "--check-every", 2, "--restorations"]
    assert main(options(data, run, "--iterations", 2, *watched)) == 0
    assert sorted(path.name for path in (run / "checks").iterdir()) == [
        "000000002.json",
        "000000002.wav",
        "recording.wav",
        "truth.wav",
    ]
    assert sf.info(run / "checks" / "000000002.wav").frames >= 6 * RATE
    scores = json.loads((run / "checks" / "000000002.json").read_text())
    assert set(scores) == {f"lsd_{name}_{band}" for name in ("recording", "restored") for band in ("recorded", "lost")}


def test_recordings_of_any_kind_are_learned_from(tmp_path: Path) -> None:
    data = tmp_path / "data"
    data.mkdir()
    sf.write(data / "a.flac", np.stack([tune(3, rate=44100), tune(3, 1, 44100)], axis=1), 44100)
    sf.write(data / "b.ogg", tune(3, 2, 22050), 22050)
    assert main(options(data, tmp_path / "run", "--iterations", 2, "--set", "levelling.quietest_share=0")) == 0


def test_the_published_network_is_trained(data: Path, tmp_path: Path) -> None:
    network = described(PUBLISHED, tmp_path / "published.json")
    run = tmp_path / "run"
    assert main(options(data, run, "--iterations", 2, "--set", "weighted=true", network=network)) == 0
    assert checkpoints.load(run).model == PUBLISHED
    assert any("weight-00" in name for name in weights(run / "state"))


# Further training


def test_a_published_checkpoint_learns_more(data: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    given = ["finetune", "--checkpoint", SMALL_CHECKPOINT, "--data", str(data), "--output", str(run), *QUICK]
    assert main([*given, "--iterations", "2", "--batch", "1"]) == 0
    parent, child = checkpoints.load(SMALL_CHECKPOINT), checkpoints.load(run)
    assert child.provenance["parent"]["sha256"] == parent.sha256 and child.model == parent.model
    moved = {name: float((one - child.weights[name]).abs().max()) for name, one in parent.weights.items()}
    assert 0 < max(moved.values()) < 0.01
    music = tune(2).astype(np.float32)
    restored = Restorer.from_checkpoint(run, device="cpu").restore(music, RATE, steps=2)
    assert np.isfinite(restored.audio).all()


def test_a_compact_checkpoint_learns_more_in_its_own_terms(data: Path, tmp_path: Path) -> None:
    run, child = tmp_path / "run", tmp_path / "child"
    assert main(options(data, run, "--iterations", 2)) == 0
    given = ["finetune", "--checkpoint", str(run), "--data", str(data / "real-000.npy"), "--output", str(child), *QUICK]
    assert main([*given, "--iterations", "3", "--batch", "2", "--segment", "6144"]) == 0
    found = checkpoints.load(child)
    assert found.model.segment == 6144 and found.provenance["parent"]["iterations"] == 2
    assert torch.equal(found.weights["spread"], checkpoints.load(run).weights["spread"])
    assert "trained further from `run`" in (child / "README.md").read_text()


# Going on


def test_a_run_that_was_killed_ends_as_if_it_had_not_been(data: Path, tmp_path: Path) -> None:
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    plan = ["--iterations", 24, "--decay", 8, "--save-every", 3]
    assert main(options(data, whole, *plan)) == 0
    patience = np.random.default_rng().uniform(0.0, 0.5)  # any moment must do
    process = python("-m", "babe2", *options(data, killed, *plan))
    while process.poll() is None and not list(killed.glob("state/0*")):
        time.sleep(0.01)
    time.sleep(patience)
    process.kill()
    process.communicate()
    assert main(options(data, killed, *plan)) == 0
    assert_equal(weights(whole / "state"), weights(killed / "state"))
    assert_equal(weights(whole / "decay"), weights(killed / "decay"))
    assert_equal(checkpoints.load(whole).weights, checkpoints.load(killed).weights)


def test_after_its_end_a_run_goes_on_from_where_its_rates_had_not_fallen(data: Path, tmp_path: Path) -> None:
    longer, at_once = tmp_path / "longer", tmp_path / "at_once"
    assert main(options(data, longer, "--iterations", 4, "--decay", 2)) == 0
    assert [path.name for path in (longer / "state").iterdir()] == ["000000002"]
    assert checkpoints.load(longer).provenance["iterations"] == 4
    assert main(options(data, longer, "--iterations", 8, "--decay", 3)) == 0
    assert main(options(data, at_once, "--iterations", 8, "--decay", 3)) == 0
    assert_equal(weights(longer / "decay"), weights(at_once / "decay"))


def test_a_finished_run_is_left_as_it_is(data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = tmp_path / "run"
    for decay in ([], ["--decay", 2]):
        assert main(options(data, run, "--iterations", 4, *decay)) == 0
        before = weights(run / "state")
        assert main(options(data, run, "--iterations", 4, *decay)) == 0
        assert "finished at iteration 4" in capsys.readouterr().out
        assert_equal(before, weights(run / "state"))


def test_other_settings_or_data_are_told_and_must_be_accepted(
    data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = tmp_path / "run"
    assert main(options(data, run, "--iterations", 2)) == 0
    shard(data / "real-002.npy", seed=2)
    changed = options(data, run, "--iterations", 4, "--set", "clip=0.5")
    capsys.readouterr()
    assert main(changed) == 1
    said = capsys.readouterr().err
    for words in ("settings.clip was 1.0, is 0.5", "data.files was 2, is 3", "--accept-changes"):
        assert words in said
    assert main([*changed, "--accept-changes"]) == 0
    assert "goes on otherwise than it was begun: settings.clip was 1.0, is 0.5" in capsys.readouterr().err
    assert main([*changed[:-2], "--set", "muon_rate=none", "--accept-changes"]) == 0  # its momentum is not asked for


def test_the_clock_ends_a_run_and_leaves_time_for_its_rates_to_fall(
    data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = tmp_path / "run"
    began = time.monotonic()
    assert main(options(data, run, "--minutes", 0.03, "--json")) == 0
    stopped = json.loads(capsys.readouterr().out)
    assert stopped["end"] == "out of time" and stopped["iteration"] > 2 and time.monotonic() - began < 10
    assert main(options(data, run, "--minutes", 0.04, "--decay-minutes", 0.02, "--json")) == 0
    captured = capsys.readouterr()
    assert json.loads(captured.out)["end"] == "finished" and "learning rates fall" in captured.err
    (state,) = (run / "decay").iterdir()
    assert int(state.name) == json.loads(captured.out)["iteration"]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_a_run_after_its_step(number: int, data: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"

    def press_when_it_learns() -> None:
        while not (run / "log.jsonl").exists():
            time.sleep(0.01)
        os.kill(os.getpid(), number)

    finger = threading.Thread(target=press_when_it_learns)
    finger.start()
    assert main(options(data, run, "--iterations", 5000)) == 128 + number
    finger.join()
    (state,) = (run / "state").iterdir()
    assert 2 <= int(state.name) < 5000 and checkpoints.load(run).provenance["iterations"] == int(state.name)


# Many processes, few packages


def test_two_processes_learn_what_one_does(data: Path, tmp_path: Path) -> None:
    alone, shared = tmp_path / "alone", tmp_path / "shared"
    given = ["--iterations", 3, "--set", "muon_rate=none", "--set", "learning_rate=1e-4", "--batch", 4]
    given += ["--set", "warmup=0"]
    process = python("-m", "babe2", *options(data, shared, *given), processes=2)
    assert main(options(data, alone, *given, "--accumulate", 2)) == 0
    _, said = process.communicate(timeout=100)
    assert process.returncode == 0, said
    assert said.count("measures") == 1  # only one of them speaks
    one, two = (checkpoints.load(folder).weights for folder in (alone, shared))
    for name, expected in one.items():
        # Adam makes steps of 1e-4 of whatever gradient there is: where that is nearly nothing, rounding has its way.
        assert ((two[name] - expected).abs() > 1e-5).float().mean() < 0.02, name
    assert any(not torch.equal(two[name], expected) for name, expected in one.items())


BLOCKED = """
import sys
class Blocker:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in {blocked!r}:
            raise ImportError(name)
sys.meta_path.insert(0, Blocker())
from babe2.commands.main import main
sys.exit(main({arguments!r}))
"""


def test_arrays_need_no_more_than_torch_numpy_and_safetensors(data: Path, tmp_path: Path) -> None:
    blocked = {"soundfile", "soxr", "scipy", "librosa", "matplotlib", "gradio", "huggingface_hub", "torchaudio", "yaml"}
    arguments = options(data, tmp_path / "run", "--iterations", 2)
    process = python("-c", BLOCKED.format(blocked=blocked, arguments=arguments))
    _, said = process.communicate(timeout=100)
    assert process.returncode == 0, said


# What is wrong is said in a sentence


@pytest.mark.parametrize(
    ("more", "said"),
    [
        (["--data", "nowhere"], "There are no data to learn from"),
        (["--network", "spinet"], "no network 'spinet'"),
        (["--set", "batches=3"], "no training setting 'batches'"),
        (["--set", "batch"], "--set takes NAME=VALUE"),
        (["--mix", "real=much"], "shares are numbers"),
        (["--mix", "real=-1"], "must not be negative"),
        (["--mix", "voices=1"], "asks for voices"),
        (["--reference", "voices"], "No data are called 'voices'"),
        (["--segment", "5000"], "The next that does is 6144"),
        (["--decay-minutes", "1"], "a part of --minutes"),
        (["--workers", "-1"], "number of threads"),
        (["--device", "abacus"], "no device 'abacus'"),
    ],
)
def test_wrong_arguments(
    more: list[str], said: str, data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([*options(data, tmp_path / "run"), *more]) == 1
    error = capsys.readouterr().err.splitlines()
    assert said in error[-1] and error[-1].startswith("babe2: ")


@pytest.mark.parametrize("more", [["--iterations", "0"], ["--minutes", "-1"], ["--precision", "int8"]])
def test_usage(more: list[str], data: Path, tmp_path: Path) -> None:
    with pytest.raises(SystemExit) as ended:
        main([*options(data, tmp_path / "run"), *more])
    assert ended.value.code == 2


def test_a_checkpoint_is_never_overwritten(data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    checkpoints.save(checkpoints.load(SMALL_CHECKPOINT), tmp_path / "precious")
    assert main(options(data, tmp_path / "precious")) == 1
    assert "holds a checkpoint and no run" in capsys.readouterr().err


def test_a_configuration_that_is_none(data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "odd.json").write_text('{"model": {}}')
    assert main(options(data, tmp_path / "run", network=tmp_path / "odd.json")) == 1
    assert "describes no network" in capsys.readouterr().err
