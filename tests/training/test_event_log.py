"""The file that TensorBoard reads, read back by another hand."""

from __future__ import annotations

import struct
from pathlib import Path

import pytest
from classroom import parsed

from babe2.training.event_log import EventLog, crc32c, masked, records, varint


def test_the_checksum_is_castagnolis() -> None:
    assert crc32c(b"123456789") == 0xE3069283  # RFC 3720's check value
    assert crc32c(bytes(32)) == 0x8A9136AA  # and its example
    assert masked(b"") == 0xA282EAD8


@pytest.mark.parametrize(("value", "encoded"), [(0, b"\0"), (127, b"\x7f"), (300, b"\xac\x02")])
def test_whole_numbers_take_seven_bits_to_a_byte(value: int, encoded: bytes) -> None:
    assert varint(value) == encoded


def test_what_was_written_is_read_back(tmp_path: Path) -> None:
    log = EventLog(tmp_path / "run", began=1.7e9)
    log.write(300, {"loss": 0.5, "level/0": 2.0}, now=1.7e9 + 1)
    log.close()
    assert log.path.name.startswith("events.out.tfevents.1700000000.")
    first, second = records(log.path.read_bytes())
    assert parsed(first) == [(1, struct.pack("<d", 1.7e9)), (3, b"brain.Event:2")]
    time, step, summary = parsed(second)
    assert time == (1, struct.pack("<d", 1.7e9 + 1)) and step == (2, 300) and summary[0] == 5
    values = [dict(parsed(value)) for number, value in parsed(summary[1]) if number == 1]
    assert values == [{1: b"loss", 2: struct.pack("<f", 0.5)}, {1: b"level/0", 2: struct.pack("<f", 2.0)}]


def test_a_file_cut_off_is_read_as_far_as_it_goes_and_damage_is_found(tmp_path: Path) -> None:
    log = EventLog(tmp_path, began=0.0)
    log.write(1, {"loss": 1.0}, now=0.0)
    log.close()
    content = log.path.read_bytes()
    assert len(list(records(content[:-3]))) == 1
    with pytest.raises(ValueError, match="damaged"):
        list(records(content[:20] + b"x" + content[21:]))
