"""Audio that is read and written in ranges, in memory and in files."""

import os
import sys
import threading
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from babe2.dsp.tape import BLOCK, MemoryTape, ScaledChannels, Streamed, Tape
from babe2.recordings.file_tape import FileTape


def noise(channels: int, samples: int) -> Tensor:
    return torch.randn(channels, samples, generator=torch.Generator().manual_seed(0))


def opened(path: Path, channels: int) -> FileTape:
    return FileTape(os.open(path, os.O_RDWR | os.O_CREAT), channels)


def in_file(x: Tensor, folder: Path) -> FileTape:
    tape = opened(folder / "x.f32", len(x))
    tape.write(0, x)
    return tape


@pytest.fixture(params=["memory", "file"])
def tape(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Tape]:
    x = noise(2, 1000)
    if request.param == "memory":
        yield MemoryTape(x)
        return
    with closing(in_file(x, tmp_path)) as held:
        yield held


def test_a_range_is_what_was_written_and_nothing_beyond(tape: Tape) -> None:
    x = torch.nn.functional.pad(noise(2, 1000), (100, 100))
    for start, stop in ((0, 1000), (-100, 1100), (990, 1010), (-50, -10), (1005, 1020), (7, 7)):
        assert torch.equal(tape.read(start, stop), x[:, 100 + start : 100 + stop])


@pytest.mark.parametrize(("start", "stop"), [(-30, 20), (980, 1040), (-999, 1999), (0, 1000)])
def test_the_mirror_image_goes_on_beyond_either_end(tape: Tape, start: int, stop: int) -> None:
    x = torch.nn.functional.pad(noise(2, 1000), (999, 999), mode="reflect")
    assert torch.equal(tape.mirrored(start, stop), x[:, 999 + start : 999 + stop])


def test_beyond_its_mirror_image_there_is_nothing() -> None:
    found = MemoryTape(torch.tensor([[1.0, 2.0, 3.0]])).mirrored(-4, 7)
    assert found.tolist() == [[0, 0, 3, 2, 1, 2, 3, 2, 1, 0, 0]]


def test_writing_over_and_beyond_the_end(tmp_path: Path) -> None:
    x = noise(2, 300)
    with closing(opened(tmp_path / "y.f32", 2)) as in_file:
        for tape in (MemoryTape.blank(2), MemoryTape.blank(2, 400), in_file):
            tape.write(0, x[:, :100])
            tape.write(100, x[:, :0])
            tape.write(200, x[:, 200:])
            assert tape.samples == 300 and not tape.read(100, 200).any()
            tape.write(50, x[:, 50:250])
            assert torch.equal(tape.read(0, 300), x)


def test_a_file_is_read_again_as_it_was_written(tmp_path: Path) -> None:
    x = noise(3, 500)
    in_file(x, tmp_path).close()
    with closing(opened(tmp_path / "x.f32", 3)) as again:
        assert again.samples == 500 and torch.equal(again.read(0, 500), x)


def test_what_is_read_is_not_what_is_kept(tape: Tape) -> None:
    tape.read(0, 1000).zero_()
    assert torch.equal(tape.read(0, 1000), noise(2, 1000))


def test_threads_that_read_at_once_read_what_was_written(tmp_path: Path) -> None:
    x, wrong, switch = noise(2, 4096), [], sys.getswitchinterval()

    def read(seed: int) -> None:
        for start in torch.randint(4000, (3000,), generator=torch.Generator().manual_seed(seed)).tolist():
            if not torch.equal(tape.read(start, start + 96), x[:, start : start + 96]):
                wrong.append(start)

    with closing(in_file(x, tmp_path)) as tape:
        threads = [threading.Thread(target=read, args=(seed,)) for seed in range(2)]
        sys.setswitchinterval(1e-6)
        try:
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
        finally:
            sys.setswitchinterval(switch)
    assert wrong == []


def test_room_that_was_asked_for_is_not_asked_for_again() -> None:
    tape = MemoryTape.blank(1, 300)
    before = tape._held.data_ptr()
    for start in range(0, 300, 100):
        tape.write(start, torch.ones(1, 100))
    assert tape._held.data_ptr() == before and tape.samples == 300


def test_a_file_that_was_cut_off_meanwhile_is_missed(tmp_path: Path) -> None:
    with closing(in_file(noise(2, 1000), tmp_path)) as tape:
        os.truncate(tmp_path / "x.f32", 100)
        with pytest.raises(OSError, match="cut off"):
            tape.read(0, 1000)


def test_blocks_are_all_of_it_a_little_at_a_time() -> None:
    x = noise(2, BLOCK + 17)
    blocks = list(MemoryTape(x).blocks())
    assert max(block.numel() for block in blocks) <= BLOCK
    assert torch.equal(torch.cat(blocks, dim=1), x)


def test_some_channels_with_their_gains(tape: Tape) -> None:
    part = ScaledChannels(tape, torch.tensor([False, True]), torch.tensor([3.0]), torch.device("cpu"))
    assert part.channels == 1 and torch.equal(part.read(5, 9), 3 * noise(2, 1000)[1:, 5:9])


def test_a_part_of_a_part_is_wherever_it_is_worked_on() -> None:
    elsewhere, every = torch.device("meta"), torch.tensor([True, True])
    part = ScaledChannels(MemoryTape(noise(2, 100)), every, torch.ones(2), elsewhere)
    again = ScaledChannels(part, every, torch.ones(2), elsewhere)
    assert again.read(-5, 50).device == again.mirrored(-5, 50).device == elsewhere


def test_a_sound_in_blocks_is_read_in_ranges_in_any_order() -> None:
    x = noise(1, 3 * BLOCK)
    begun = []

    def blocks() -> Iterator[np.ndarray]:
        begun.append(True)
        return (block.numpy() for block in x.split(50_000, dim=1))

    tape = Streamed(blocks, *x.shape)
    forward = [(-5, 10), (0, BLOCK), (BLOCK - 100, BLOCK + 7), (2 * BLOCK, 3 * BLOCK + 5)]
    for start, stop in [*forward, (100, 200)]:
        assert torch.equal(tape.read(start, stop), MemoryTape(x).read(start, stop))
    assert len(begun) == 2  # once more for the last, which lies far back
    assert torch.equal(torch.cat(list(tape.blocks()), dim=1), x)
