"""The demo in a process of its own, for the tests, and what visitors bring.

`pytest_plugins = ["house"]` brings the fixtures `house`, `client`, `recording` and `long_recording`.
"""

from __future__ import annotations

import os
import re
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.request import urlopen

import numpy as np
import pytest
import soundfile
from gradio_client import Client

ROOT = Path(__file__).parents[1]
EXAMPLE = ROOT / "examples" / "old_variation.flac"
TWELVE_SECONDS = ROOT / "examples" / "variation.flac"  # which was not restored beforehand
PATIENCE = 90_000  # ms; a busy machine is slow


@dataclass(frozen=True)
class House:
    """The demo in a process of its own."""

    address: str
    process: subprocess.Popen[bytes]

    def cpu_seconds(self) -> float:
        fields = Path(f"/proc/{self.process.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def resident(self) -> float:
        """Megabytes of memory that it holds."""
        status = Path(f"/proc/{self.process.pid}/status").read_text()
        return int(re.search(r"VmRSS:\s+(\d+)", status)[1]) / 1e3  # type: ignore[index]

    def client(self) -> Client:
        """A program that has come to the page just now."""
        return Client(self.address, verbose=False, httpx_kwargs={"timeout": PATIENCE / 1000})


def free_port() -> int:
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        return held.getsockname()[1]


@contextmanager
def housed(folder: Path, **settings: str) -> Iterator[House]:
    """The demo in a process of its own, whose files lie in a folder."""
    port = free_port()
    environment = os.environ | {
        "GRADIO_SERVER_NAME": "127.0.0.1",
        "GRADIO_SERVER_PORT": str(port),
        "GRADIO_TEMP_DIR": str(folder / "gradio"),
        "GRADIO_MCP_SERVER": "True",
        "TMPDIR": str(folder),
        "HF_HUB_OFFLINE": "1",
        "BABE2_LONGEST_SECONDS": "100",
        "BABE2_LARGEST_FILE": "3mb",
        "OMP_NUM_THREADS": "1",
        **settings,
    }
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen([sys.executable, "app.py"], cwd=ROOT, env=environment, stdout=log, stderr=log)
    house = House(f"http://127.0.0.1:{port}/", process)
    try:
        wait_for(house, folder / "log")
        yield house
    finally:
        process.terminate()
        process.wait(20)


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    with housed(tmp_path_factory.mktemp("house"), BABE2_QUEUE="3") as house:
        yield house


def wait_for(house: House, log: Path) -> None:
    for _ in range(3000):
        try:
            urlopen(house.address, timeout=5).close()
            return
        except OSError:
            assert house.process.poll() is None, log.read_text()
            time.sleep(0.1)
    pytest.fail(f"The page did not appear. {log.read_text()}")


@pytest.fixture(scope="module")
def client(house: House) -> Client:
    """A program that stays."""
    return house.client()


@pytest.fixture(scope="module")
def recording(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A short 24-bit stereo file."""
    sound, rate = soundfile.read(EXAMPLE, frames=22_050 * 2)
    path = tmp_path_factory.mktemp("recording") / "Grüße an Clara.wav"
    soundfile.write(path, np.stack([sound, 0.5 * sound], axis=1), rate, subtype="PCM_24")
    return path


@pytest.fixture(scope="module")
def long_recording(tmp_path_factory: pytest.TempPathFactory) -> Path:
    sound, rate = soundfile.read(EXAMPLE)
    path = tmp_path_factory.mktemp("recording") / "long.flac"
    soundfile.write(path, np.tile(sound, 8), rate)
    return path


def assert_idle(house: House) -> None:
    """What nobody waits for ends: soon the house uses next to no time of the processor, however busy the machine is."""
    for _ in range(200):
        before = house.cpu_seconds()
        time.sleep(0.3)
        if house.cpu_seconds() - before < 0.06:
            return
    pytest.fail("The house still works for nobody.")
