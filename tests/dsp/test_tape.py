from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
import torch
from torch import Tensor

from babe2.dsp.tape import BLOCK, MemoryTape, ScaledChannels, Tape
from babe2.recordings.journal import FileTape


def noise(channels: int, samples: int) -> Tensor:
    return torch.randn(channels, samples, generator=torch.Generator().manual_seed(0))


def in_file(x: Tensor, folder: Path) -> FileTape:
    tape = FileTape(folder / "x.f32", len(x))
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


def test_a_stretch_is_what_was_written_and_nothing_beyond(tape: Tape) -> None:
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
    with closing(FileTape(tmp_path / "y.f32", 2)) as in_file:
        for tape in (MemoryTape.blank(2), in_file):
            tape.write(0, x[:, :100])
            tape.write(100, x[:, :0])
            tape.write(200, x[:, 200:])
            assert tape.samples == 300 and not tape.read(100, 200).any()
            tape.write(50, x[:, 50:250])
            assert torch.equal(tape.read(0, 300), x)


def test_a_file_is_read_again_as_it_was_written(tmp_path: Path) -> None:
    x = noise(3, 500)
    in_file(x, tmp_path).close()
    with closing(FileTape(tmp_path / "x.f32", 3)) as again:
        assert again.samples == 500 and torch.equal(again.read(0, 500), x)


def test_what_is_read_is_not_what_is_kept(tape: Tape) -> None:
    tape.read(0, 1000).zero_()
    assert torch.equal(tape.read(0, 1000), noise(2, 1000))


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
