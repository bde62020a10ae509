"""The examples in docstrings of dsp/ say what is true."""

import doctest
import importlib
from pathlib import Path

import pytest
import torch

import babe2.dsp

MODULES = sorted(path.stem for path in Path(babe2.dsp.__file__).parent.glob("[!_]*.py"))


def tried(name: str) -> doctest.TestResults:
    return doctest.testmod(importlib.import_module(f"babe2.dsp.{name}"), extraglobs={"torch": torch})


@pytest.mark.parametrize("name", MODULES)
def test_examples_give_what_they_say(name: str) -> None:
    assert tried(name).failed == 0


def test_there_are_examples() -> None:
    assert sum(tried(name).attempted for name in MODULES) >= 10
