"""The names that other people's scripts rely on: a table of them, held against what is there."""

from __future__ import annotations

import argparse
import inspect
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import CHECKPOINT
from music import music

import babe2
from babe2 import Restoration, RestorationError, Restorer, Step
from babe2.checkpoints.manifest import collection
from babe2.commands.main import build_parser
from babe2.methods import all_settings

SIGNATURES: dict[str, tuple[Callable[..., Any], str]] = {
    "from_checkpoint": (Restorer.from_checkpoint, "spec device=auto cache_dir=None offline=False"),
    "restore": (
        Restorer.restore,
        "self audio sample_rate method=babe2 preset=standard seed=0 noise=None output_rate=None on_step=None "
        "cancelled=None overrides",
    ),
    "sample": (Restorer.sample, "self count=1 seconds=None seed=0 noise=None"),
    "analyse": (babe2.analyse, "audio sample_rate reference=None"),
    "save": (Restoration.save, "self path subtype=None"),
}


@pytest.mark.parametrize("name", SIGNATURES)
def test_functions_take_what_they_always_took(name: str) -> None:
    function, expected = SIGNATURES[name]
    found = inspect.signature(function).parameters
    for word in expected.split():
        parameter, _, default = word.partition("=")
        assert parameter in found
        if default:
            assert str(found[parameter].default) == default


def test_the_package_hands_out_the_public_names() -> None:
    assert {"Cancelled", "Restoration", "RestorationError", "Restorer", "Step", "analyse"} <= set(babe2.__all__)
    assert issubclass(RestorationError, Exception) and babe2.__version__
    from babe2 import audio

    assert callable(audio.read)


@pytest.fixture(scope="module")
def restoration() -> Restoration:
    return Restorer.from_checkpoint(CHECKPOINT, device="cpu").restore(music(0.5), 8000, steps=2)


def test_a_restoration_has_the_public_attributes(restoration: Restoration) -> None:
    assert restoration.audio.dtype == np.float32 and restoration.audio.shape == (1, 4000)
    assert restoration.sample_rate == 8000 and restoration.seed == 0
    hertz = np.array([100.0, 1000.0])
    assert restoration.equalizer.gain_db(hertz).shape == hertz.shape
    assert len(restoration.equalizers) == 1 and restoration.response.gain_db(hertz).shape == hertz.shape


def test_a_report_has_the_public_keys_and_is_json(restoration: Restoration) -> None:
    keys = "checkpoint sha256 verified preset settings seed evaluations seconds segments versions warnings"
    assert set(keys.split()) <= restoration.report.keys()
    assert {"start", "misfit"} <= restoration.report["segments"][0].keys()
    json.dumps(restoration.report)


def test_a_step_has_the_public_fields() -> None:
    names = "segment segments step steps sigma misfit equalizer seconds_left"
    assert set(names.split()) <= Step.__dataclass_fields__.keys() and callable(Step.clean)


def test_settings_have_the_public_names() -> None:
    names = """steps order sigma_start sigma_min sigma_max rho churn churn_noise churn_min churn_max guidance_strength
        guidance_length observation_noise level filter_fft filter_min_hz filter_max_hz filter_iterations
        filter_learning_rate filter_clip filter_tolerance_hz filter_tolerance_db filter_weighting reference_hz
        breakpoints_above_hz breakpoints_below_hz slope_limit_db outer_slope_db collapse_weight collapse_decay ltas
        ltas_fft ltas_floor_db segment_length overlap mode blind_segments keep_low_band"""
    assert set(names.split()) <= all_settings().keys()


def test_the_manifest_has_the_public_ids() -> None:
    first = {"piano", "voice", "caruso", "melba", "gigli", "patti", "piano-small", "denoiser-small"}
    later = {"strings", "brass", "woodwind", "two-stage-denoiser", "behm-gan-piano", "cqtdiff-22k", "cqtdiff-44k"}
    assert first | later <= collection().keys()


COMMANDS = {
    "restore": """--output --checkpoint --method --preset --start --duration --seed --device --set --amount --rate
        --subtype --plots --report --json --overwrite""",
    "analyse": "--checkpoint --json",
    "compare": "--csv --plots --json",
    "sample": "--output --checkpoint --count --seconds --seed",
    "checkpoints": "",
    "train": "--data",
    "finetune": "--data",
    "evaluate": "",
    "master": "--output --preset --stages --lufs --true-peak --seed --plots --report --json --overwrite",
    "info": "",
}


def subcommands(of: argparse.ArgumentParser) -> dict[str, argparse.ArgumentParser]:
    (choices,) = (action.choices for action in of._actions if isinstance(action, argparse._SubParsersAction))
    return dict(choices)


@pytest.mark.parametrize("command", COMMANDS)
def test_commands_have_their_options(command: str) -> None:
    options = subcommands(build_parser())[command]._option_string_actions
    assert set(COMMANDS[command].split()) <= options.keys()


def test_the_checkpoints_command_has_its_verbs() -> None:
    verbs = subcommands(subcommands(build_parser())["checkpoints"])
    assert {"list", "show", "fetch", "verify", "remove", "convert", "publish"} <= verbs.keys()


def test_the_page_keeps_the_names_of_its_endpoints() -> None:
    source = (Path(babe2.__file__).parent / "page" / "endpoints.py").read_text("utf-8")
    assert all(f'api_name="{name}"' in source for name in ("restore", "analyse", "checkpoints"))
