"""`babe2 train` and `babe2 finetune` as a person, a cluster and a power cut meet them."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import sys
import threading
import time
from collections.abc import Sequence
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass
from io import StringIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile as sf
import torch
from classroom import COMPACT, QUICK, RATE, SHORT_PUBLISHED, described, python, shard, tune
from conftest import REFERENCE
from safetensors.torch import load_file

from babe2 import Restorer, checkpoints
from babe2.commands.main import main

SMALL_CHECKPOINT = str(REFERENCE.parent / "small_checkpoint")


@pytest.fixture(scope="module")
def room(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What all tests of this file learn from, in `data`, with a file that is no music; and `held` out of it."""
    room = tmp_path_factory.mktemp("room")
    for i in range(2):
        shard(room / "data" / f"real-{i:03d}.npy", seed=i)
    (room / "data" / "text.wav").write_text("la la la")
    shard(room / "held" / "out.npy", seed=5)
    described(COMPACT, room / "compact.json")
    return room


@pytest.fixture
def data(room: Path) -> Path:
    return room / "data"


def options(
    data: Path, output: Path, *more: object, network: Path | None = None, places: Sequence[Path] = ()
) -> list[str]:
    """The command line of a small, quick run; from all in `data`, or from `places` only."""
    given = ["--network", network or data.parent / "compact.json", "--data", *(places or [data]), "--output", output]
    return ["train", *map(str, [*given, "--batch", 2, "--log-every", 2, *QUICK, *more])]


def weights(folder: Path) -> dict[str, torch.Tensor]:
    """Everything in the latest state."""
    (state,) = folder.iterdir()
    return {f"{path.stem}:{name}": one for path in state.glob("*.safetensors") for name, one in load_file(path).items()}


def assert_equal(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> None:
    assert one.keys() == other.keys() and len(one) > 30
    different = [name for name, value in one.items() if not torch.equal(value, other[name])]
    assert different == []


@dataclass(frozen=True)
class Trained:
    """A run that has ended, and what it said."""

    folder: Path
    plan: list[object]
    outcome: dict[str, Any]
    said: str


@pytest.fixture(scope="module")
def trained(room: Path) -> Trained:
    """A run with everything in it, which no test changes."""
    plan: list[object] = ["--iterations", 12, "--decay", 4, "--save-every", 3]
    watched = ["--validation", room / "held", "--check-every", 12, "--restorations", "--json"]
    with redirect_stdout(StringIO()) as told, redirect_stderr(StringIO()) as said:
        assert main(options(room / "data", room / "run", *plan, *watched)) == 0
    return Trained(room / "run", plan, json.loads(told.getvalue()), said.getvalue())


@pytest.fixture
def again(trained: Trained, tmp_path: Path) -> Path:
    """A copy of it to go on with."""
    return shutil.copytree(trained.folder, tmp_path / "run")


# The result


def test_a_trained_checkpoint_restores(trained: Trained, room: Path) -> None:
    outcome = trained.outcome
    assert (outcome["end"], outcome["iteration"], outcome["skipped_files"]) == ("finished", 12, 1)
    assert outcome["validation"] == pytest.approx(1.0, abs=0.2)
    checkpoint = checkpoints.load(trained.folder)
    assert checkpoint.model == COMPACT and checkpoint.ltas is not None and checkpoint.ltas.shape == (513,)
    assert checkpoint.provenance["iterations"] == 12 and checkpoint.provenance["parent"] is None
    written = (trained.folder / "config.json").read_text() + (trained.folder / "README.md").read_text()
    assert str(room) not in written
    restorer = Restorer.from_checkpoint(trained.folder, device="cpu")
    noisy = torch.from_numpy(tune(1)[:4096])[None].float()
    assert torch.isfinite(restorer.prior(4096)(noisy, torch.tensor(0.1))).all()


def test_a_run_tells_of_itself(trained: Trained) -> None:
    for words in (
        "skipped text.wav",
        "measures 0.01 h",
        "learning rates fall from iteration 8",
        "check at iteration 12",
    ):
        assert words in trained.said
    for words in ("run: 2/12, loss", "by level", "by octave", "held out", "0:00 left"):
        assert words in trained.said
    lines = [json.loads(line) for line in (trained.folder / "log.jsonl").read_text().splitlines()]
    assert [line["iteration"] for line in lines] == [2, 4, 6, 8, 10, 12]
    assert len(lines[0]["octaves"]) == 7 and len(lines[0]["levels"]) == 4 and lines[1]["skipped_steps"] == 0
    assert lines[1]["hours_heard"] == pytest.approx(4 * 2 * 4096 / RATE / 3600)
    (skipped,) = json.loads((trained.folder / "skipped.json").read_text())
    assert skipped["name"] == "text.wav" and "not audio" in skipped["reason"]


def test_held_out_music_is_restored_on_the_way(trained: Trained) -> None:
    names = ["000000012.json", "000000012.wav", "recording.wav", "truth.wav"]
    checks = trained.folder / "checks"
    assert sorted(path.name for path in checks.iterdir()) == names
    assert sf.info(checks / "000000012.wav").frames >= 6 * RATE
    scores = json.loads((checks / "000000012.json").read_text())
    assert set(scores) == {f"lsd_{name}_{band}" for name in ("recording", "restored") for band in ("recorded", "lost")}


def test_recordings_of_any_kind_are_learned_from(room: Path, tmp_path: Path) -> None:
    music = tmp_path / "music"
    music.mkdir()
    sf.write(music / "a.flac", np.stack([tune(3, rate=44100), tune(3, 1, 44100)], axis=1), 44100)
    sf.write(music / "b.ogg", tune(3, 2, 22050), 22050)
    quiet = ["--set", "levelling.quietest_share=0"]
    assert main(options(room / "data", tmp_path / "run", "--iterations", 1, *quiet, places=[music])) == 0


def test_the_published_network_is_trained(data: Path, tmp_path: Path) -> None:
    network = described(SHORT_PUBLISHED, tmp_path / "published.json")
    run = tmp_path / "run"
    assert main(options(data, run, "--iterations", 1, "--batch", 1, "--set", "weighted=true", network=network)) == 0
    assert checkpoints.load(run).model == SHORT_PUBLISHED
    assert any(name.startswith("weight:") for name in weights(run / "state"))


# Further training


def test_a_published_checkpoint_learns_more(data: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    given = ["finetune", "--checkpoint", SMALL_CHECKPOINT, "--data", str(data), "--output", str(run), *QUICK]
    assert main([*given, "--iterations", "1", "--batch", "1", "--set", "warmup=0"]) == 0
    parent, child = checkpoints.load(SMALL_CHECKPOINT), checkpoints.load(run)
    assert child.provenance["parent"]["sha256"] == parent.sha256 and child.model == parent.model
    moved = {name: float((one - child.weights[name]).abs().max()) for name, one in parent.weights.items()}
    assert 0 < max(moved.values()) < 0.01
    music = tune(1.5).astype(np.float32)
    restored = Restorer.from_checkpoint(run, device="cpu").restore(music, RATE, steps=2)
    assert np.isfinite(restored.audio).all()


def test_a_compact_checkpoint_learns_more_in_its_own_terms(trained: Trained, data: Path, tmp_path: Path) -> None:
    child = tmp_path / "child"
    given = ["finetune", "--checkpoint", str(trained.folder), "--data", str(data / "real-000.npy"), *QUICK]
    assert main([*given, "--output", str(child), "--iterations", "3", "--batch", "2", "--segment", "6144"]) == 0
    found = checkpoints.load(child)
    assert found.model.segment == 6144 and found.provenance["parent"]["iterations"] == 12
    assert torch.equal(found.weights["spread"], checkpoints.load(trained.folder).weights["spread"])
    assert "trained further from `run`" in (child / "README.md").read_text()


# Going on

# Another Python costs seconds of imports, so one stands for all: it has few packages, shares a run with this process,
# and is killed in the middle of another run.
COMPANION = """
import os, sys
class Blocker:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in {missing!r}:
            raise ImportError(name)
sys.meta_path.insert(0, Blocker())
from babe2.commands.main import main
print("ready", flush=True)
assert main({shared!r}) == 0
for name in {cluster!r}:
    del os.environ[name]
main({killed!r})
"""
NOT_NEEDED = {"soundfile", "soxr", "scipy", "librosa", "matplotlib", "gradio", "huggingface_hub", "torchaudio", "yaml"}
NOT_NEEDED |= {"tensorboard"}
SHARED = ["--iterations", 3, "--batch", 4]
SHARED += ["--set", "muon_rate=none", "--set", "learning_rate=1e-4", "--set", "warmup=0"]
WHEN_KILLED = 20261129  # the seed of the moment


@dataclass(frozen=True)
class Companion:
    """What another Python took part in."""

    shared: Path  # a run that it shared with this process, which led
    killed: Path  # a run like `trained`, in which it was killed
    said: str  # by the other one
    leader_said: str


@pytest.fixture(scope="module")
def companion(room: Path, trained: Trained) -> Companion:
    arrays = [room / "data" / f"real-{i:03d}.npy" for i in range(2)]
    shared, killed = room / "shared", room / "killed"
    with pytest.MonkeyPatch.context() as patch:
        cluster = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(free_port()), "WORLD_SIZE": "2", "RANK": "1"}
        for name, value in cluster.items():
            patch.setenv(name, value)
        commands = {
            "shared": options(room / "data", shared, *SHARED, places=arrays),
            "killed": options(room / "data", killed, *trained.plan, places=arrays),
        }
        process = python("-c", COMPANION.format(missing=NOT_NEEDED, cluster=list(cluster), **commands))
        try:
            assert process.stdout is not None and process.stderr is not None
            assert process.stdout.readline() == "ready\n", process.stderr.read()
            patch.setenv("RANK", "0")
            with redirect_stderr(StringIO()) as leader_said:
                assert main(commands["shared"]) == 0
            rng = np.random.default_rng(WHEN_KILLED)
            least, wait = int(rng.integers(0, 10)), float(rng.uniform(0.0, 0.03))
            moment = f"{wait:.3f} s after a state of iteration {least} or later was there"
            sys.stdout.write(f"seed {WHEN_KILLED}: killed {moment}\n")
            while process.poll() is None and latest(killed) < least:
                time.sleep(0.002)
            time.sleep(wait)
        finally:
            process.kill()
            _, said = process.communicate()
    assert latest(killed) >= least, said
    return Companion(shared, killed, said, leader_said.getvalue())


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def latest(folder: Path) -> int:
    """The iteration of the latest state, -1 before there is one."""
    names = [name for kind in ("state", "decay") if (folder / kind).is_dir() for name in os.listdir(folder / kind)]
    return max((int(name) for name in names if name.isdigit()), default=-1)


def test_arrays_need_no_more_than_torch_numpy_and_safetensors(companion: Companion) -> None:
    assert latest(companion.killed) >= 0, companion.said


def test_a_run_that_was_killed_ends_as_if_it_had_not_been(companion: Companion, trained: Trained, room: Path) -> None:
    killed = companion.killed
    assert main(options(room / "data", killed, *trained.plan)) == 0
    assert_equal(weights(trained.folder / "state"), weights(killed / "state"))
    assert_equal(weights(trained.folder / "decay"), weights(killed / "decay"))
    assert_equal(checkpoints.load(trained.folder).weights, checkpoints.load(killed).weights)


def test_two_processes_learn_what_one_does(companion: Companion, data: Path, tmp_path: Path) -> None:
    alone = tmp_path / "alone"
    assert main(options(data, alone, *SHARED, "--accumulate", 2)) == 0
    one, two = (checkpoints.load(folder).weights for folder in (alone, companion.shared))
    for name, expected in one.items():
        # Adam makes steps of 1e-4 of whatever gradient there is: where that is nearly nothing, rounding has its way.
        assert ((two[name] - expected).abs() > 1e-5).float().mean() < 0.02, name
    assert any(not torch.equal(two[name], expected) for name, expected in one.items())


def test_only_the_leading_process_speaks(companion: Companion) -> None:
    assert "shared: measures" in companion.leader_said and "shared:" not in companion.said


def test_after_its_end_a_run_goes_on_from_where_its_rates_had_not_fallen(
    trained: Trained, data: Path, tmp_path: Path
) -> None:
    run = tmp_path / "run"
    assert main(options(data, run, "--iterations", 4, "--decay", 2)) == 0
    assert [path.name for path in (run / "state").iterdir()] == ["000000002"]
    assert checkpoints.load(run).provenance["iterations"] == 4
    assert main(options(data, run, *trained.plan)) == 0
    assert_equal(weights(run / "decay"), weights(trained.folder / "decay"))


@pytest.mark.parametrize("decay", [0, 4])
def test_a_finished_run_is_left_as_it_is(
    decay: int, trained: Trained, again: Path, data: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Its end is that of its rates, or without a decay the iteration before they fell."""
    iterations, more = (12, ["--decay", decay]) if decay else (8, [])
    assert main(options(data, again, "--iterations", iterations, *more)) == 0
    assert f"finished at iteration {iterations}" in capsys.readouterr().out
    assert_equal(weights(trained.folder / "state"), weights(again / "state"))
    assert_equal(weights(trained.folder / "decay"), weights(again / "decay"))


def test_other_settings_or_data_are_told_and_must_be_accepted(
    again: Path, room: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    other = shutil.copytree(room / "data", tmp_path / "data")
    shard(other / "real-002.npy", seed=2)
    network = room / "compact.json"
    changed = options(other, again, "--iterations", 9, "--set", "clip=0.5", network=network)
    assert main(changed) == 1
    said = capsys.readouterr().err
    for words in ("settings.clip was 1.0, is 0.5", "data.files was 2, is 3", "--accept-changes"):
        assert words in said
    assert main([*changed, "--accept-changes"]) == 0
    assert "goes on otherwise than it was begun: settings.clip was 1.0, is 0.5" in capsys.readouterr().err
    adam = options(other, again, "--iterations", 10, "--set", "muon_rate=none", "--accept-changes", network=network)
    assert main(adam) == 0  # Muon's momentum is not asked for


def test_the_minutes_are_those_of_the_process(data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(options(data, tmp_path / "run", "--minutes", 1e-9, "--json")) == 0  # over before it has begun
    outcome = json.loads(capsys.readouterr().out)
    assert (outcome["end"], outcome["iteration"], outcome["loss"]) == ("out of time", 1, None)


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
