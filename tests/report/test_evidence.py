"""The take-home pack, opened and read again."""

from __future__ import annotations

import csv
import hashlib
import io
import json
import os
import shlex
import shutil
import subprocess
import zipfile
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from babe2 import Restoration, RestorationError, Restorer, audio
from babe2.commands.main import build_parser, main
from babe2.commands.options import settings_of
from babe2.equalizer import Equalizer, Flank
from babe2.report.evidence import checksums, pack, papers, read_me
from babe2.report.recipe import command_line
from babe2.report.verdict import verdict
from babe2.wording import plain_name

EXAMPLE = Path(__file__).parents[2] / "examples" / "old_variation.flac"
CHOSEN: dict[str, Any] = {"preset": "draft", "steps": 3, "churn": 0.1 + 0.2, "seed": 7}
NAME = "Étude 50%; $(x).flac"
START, SECONDS = 1.25, 3.0


@dataclass
class Kept:
    """A restoration and the files around it."""

    restorer: Restorer
    restoration: Restoration
    recording: Path
    restored: Path
    command: list[str]


@pytest.fixture(scope="module")
def kept(tmp_path_factory: pytest.TempPathFactory) -> Kept:
    folder = tmp_path_factory.mktemp("home")
    recording = folder / "upload"
    recording.write_bytes(EXAMPLE.read_bytes())
    sound = audio.read(recording, start=START, duration=SECONDS)
    restorer = Restorer.from_checkpoint("piano-small", device="cpu")
    whole = restorer.restore(sound.audio, sound.sample_rate, output_rate=44_100, **CHOSEN)
    restoration = whole.mixed(0.75)
    restored = restoration.save(folder / "restored.wav")
    command = command_line(
        restoration.report, restorer, recording=NAME, start=START, duration=SECONDS, rate=44_100, output="again.wav"
    )
    return Kept(restorer, restoration, recording, restored, command)


@pytest.fixture(scope="module")
def packed(kept: Kept, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return packed_in(kept, tmp_path_factory.mktemp("zip"))


@pytest.fixture(scope="module")
def soundless(kept: Kept, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return packed_in(kept, tmp_path_factory.mktemp("zip"), sound=False)


def packed_in(kept: Kept, folder: Path, sound: bool = True) -> Path:
    title = "Étude 50%; $(x).restored.wav"
    about = papers(
        recording=kept.recording,
        name=NAME,
        title=title,
        restored=kept.restored,
        restoration=kept.restoration,
        reference=kept.restorer.reference,
        command=kept.command,
        start=START,
        duration=SECONDS,
        credit="Those who played",
    )
    return pack(folder / "evidence.zip", about, title, kept.restored if sound else None)


def member(packed: Path, name: str) -> str:
    with zipfile.ZipFile(packed) as archive:
        return archive.read(name).decode()


def rows(packed: Path, name: str) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(member(packed, name))))


# The pack


def test_everything_is_in_it_in_one_order(packed: Path) -> None:
    with zipfile.ZipFile(packed) as archive:
        assert archive.testzip() is None
        assert archive.namelist() == [
            "README.txt",
            "report.json",
            "Étude 50%; $(x).restored.c2pa.json",
            "reproduce.txt",
            "equalizer.csv",
            "ltas.csv",
            "spectrograms.png",
            "spectrograms.svg",
            "ltas.png",
            "ltas.svg",
            "response.png",
            "response.svg",
            "sha256sums.txt",
            "Étude 50%; $(x).restored.wav",
        ]
        assert archive.read("response.png").startswith(b"\x89PNG")
        assert archive.read("response.svg").startswith(b"<?xml")


def test_the_sound_is_stored_as_it_was_given(packed: Path, kept: Kept) -> None:
    with zipfile.ZipFile(packed) as archive:
        sound = archive.infolist()[-1]
        assert sound.compress_type == zipfile.ZIP_STORED
        assert archive.read(sound) == kept.restored.read_bytes()


def test_the_report_knows_the_untouched_recording(packed: Path, kept: Kept) -> None:
    report = json.loads(member(packed, "report.json"))
    original = EXAMPLE.read_bytes()
    assert report["input"] == {"name": NAME, "bytes": len(original), "sha256": hashlib.sha256(original).hexdigest()}
    assert report["settings"]["steps"] == 3 and report["amount"] == 0.75
    assert report["checkpoint"] == "piano-small"


def test_nothing_in_it_names_the_machine(packed: Path, kept: Kept) -> None:
    with zipfile.ZipFile(packed) as archive:
        for name in archive.namelist()[:-1]:
            assert str(kept.recording.parent).encode() not in archive.read(name)
            assert b"/tmp" not in archive.read(name)


def test_the_equalizer_is_the_response_in_twelfths_of_octaves(packed: Path, kept: Kept) -> None:
    found = rows(packed, "equalizer.csv")
    hertz = np.array([float(row["frequency_hz"]) for row in found])
    gain = np.array([float(row["gain_db"]) for row in found])
    assert hertz[0] == 20 and hertz[12] == 40 and 20_000 < hertz[-1] <= 22_050
    np.testing.assert_allclose(gain, kept.restoration.response.gain_db(hertz), atol=0.05)


def test_breakpoints_are_told_with_the_slopes_on_both_sides(kept: Kept, tmp_path: Path) -> None:
    below = Flank(torch.tensor([200.0, 50.0]), torch.tensor([0.0, 6.0, 80.0]))
    curve = Equalizer(torch.tensor(1000.0), below, Flank(torch.tensor([3000.0]), torch.tensor([-3.0, -80.0])))
    restoration = replace(kept.restoration, equalizer=curve, equalizers=(curve,))
    found = [
        list(map(float, row.values()))
        for row in rows(packed_in(replace(kept, restoration=restoration), tmp_path), "breakpoints.csv")
    ]
    assert found == [[1, 50, 80, 6], [1, 200, 6, 0], [1, 1000, 0, -3], [1, 3000, -3, -80]]


def test_average_spectra_end_where_their_sounds_do(packed: Path) -> None:
    found = {round(float(row["frequency_hz"])): row for row in rows(packed, "ltas.csv")}
    assert all(found[640][name] for name in ("original_db", "restored_db", "reference_db"))
    top = found[max(found)]  # the recording and the reference end at 11 kHz
    assert top["restored_db"] and not top["original_db"] and not top["reference_db"]


def kept_sound(kept: Kept) -> tuple[Any, int]:
    sound = audio.read(kept.recording, start=START, duration=SECONDS)
    return sound.audio, sound.sample_rate


def test_the_read_me_says_what_is_no_recording(packed: Path, kept: Kept) -> None:
    told = member(packed, "README.txt")
    end = kept.restoration.report["band"]["high_hz"]  # as the restoration took it
    assert told.startswith(f"Étude 50%; $(x).restored.wav was made from {NAME}.\n")
    assert kept.restoration.provenance.statement in told and f"above {end:.0f} Hz is generated" in told
    assert "comes from a model" in told and "not a recording" in told
    assert "This was mixed with the recording as it was: 75% and 25%." in told
    assert "The checkpoint's credit: Those who played." in told


def test_equalising_alone_generates_nothing(kept: Kept) -> None:
    told = read_me("a", "b", replace(kept.restoration.provenance, generates=False).statement, False, None)
    assert "nothing was generated" in told and "not a recording" not in told and "credit" not in told


def test_what_came_out_nearly_unchanged_is_said_to_hold_hardly_anything_generated(kept: Kept) -> None:
    sound = kept_sound(kept)
    done = verdict(sound, (0.5 * sound[0], sound[1]), kept.restorer.reference)
    told = read_me("a", "b", kept.restoration.provenance.statement, True, done)
    assert "nearly unchanged" in told and "Hardly anything in it is generated" in told


def test_a_stopped_run_is_told_as_the_beginning_of_what_its_command_makes(kept: Kept) -> None:
    part = replace(kept.restoration, seconds=1.5)
    about = papers(
        recording=kept.recording,
        name=NAME,
        title="part.wav",
        restored=kept.restored,
        restoration=part,
        reference=kept.restorer.reference,
        command=kept.command,
        start=START,
        duration=SECONDS,
    )
    told = about["reproduce.txt"].decode()
    assert "makes a file that begins with this one: the run was stopped when 1.500 s were finished" in told
    assert json.loads(about["report.json"])["excerpt"] == {"start": START, "seconds": 1.5}


def test_the_command_says_all_that_decides_the_bits(kept: Kept) -> None:
    report = kept.restoration.report | {"threads": 3, "batch": 2, "precision": "bfloat16", "compile": True}
    words = command_line(report, kept.restorer, recording="a.wav")
    for option, value in (("--threads", "3"), ("--batch", "2"), ("--precision", "bfloat16")):
        assert words[words.index(option) + 1] == value
    assert "--compile" in words
    assert "--compile" not in command_line(kept.restoration.report, kept.restorer, recording="a.wav")


def test_how_it_was_made_is_told(packed: Path, kept: Kept) -> None:
    told = member(packed, "reproduce.txt")
    assert shlex.split(told.splitlines()[0]) == kept.command
    assert "seed: 7\n" in told and kept.restorer.sha256 in told


def test_the_same_restoration_packs_to_the_same_numbers(packed: Path, kept: Kept, tmp_path: Path) -> None:
    again = packed_in(kept, tmp_path)
    for name in ("report.json", "equalizer.csv", "ltas.csv", "reproduce.txt", "spectrograms.png"):
        with zipfile.ZipFile(again) as one, zipfile.ZipFile(packed) as other:
            assert one.read(name) == other.read(name)
    assert [path.name for path in tmp_path.iterdir()] == ["evidence.zip"]


def unpacked(packed: Path, folder: Path) -> Path:
    with zipfile.ZipFile(packed) as archive:
        archive.extractall(folder)
    return folder


def checked(folder: Path) -> tuple[int, str]:
    """The status and the words of `sha256sum -c` in a folder."""
    command = ["sha256sum", "--strict", "-c", "sha256sums.txt"]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, env={**os.environ, "LC_ALL": "C.UTF-8"})
    return done.returncode, done.stdout + done.stderr


def test_every_file_can_be_checked_by_its_hash(packed: Path, tmp_path: Path) -> None:
    folder = unpacked(packed, tmp_path)
    status, told = checked(folder)
    assert status == 0 and told.count(": OK") == len(list(folder.iterdir())) - 1  # all but the list itself
    (folder / "ltas.csv").write_text("changed")
    status, told = checked(folder)
    assert status == 1 and "ltas.csv: FAILED" in told


def test_the_hash_of_a_sound_outside_the_pack_is_in_it(kept: Kept, soundless: Path, tmp_path: Path) -> None:
    folder = unpacked(soundless, tmp_path)
    assert checked(folder)[0] == 1  # the sound is not there
    shutil.copy(kept.restored, folder / "Étude 50%; $(x).restored.wav")
    assert checked(folder)[0] == 0
    report = json.loads((folder / "report.json").read_text("utf-8"))
    assert report["result"]["sha256"] == hashlib.sha256(kept.restored.read_bytes()).hexdigest()
    assert report["result"]["bytes"] == kept.restored.stat().st_size
    assert report["statement"] == kept.restoration.provenance.statement


def test_odd_names_are_written_as_sha256sum_reads_them(tmp_path: Path) -> None:
    names = ["a b.wav", " c", "back\\slash", "new\nline", "歌"]
    for name in names:
        (tmp_path / name).write_text(name)
    (tmp_path / "sha256sums.txt").write_text(checksums({n: hashlib.sha256(n.encode()).hexdigest() for n in names}))
    assert checked(tmp_path)[0] == 0


def test_a_pack_without_the_sound_is_possible(soundless: Path) -> None:
    with zipfile.ZipFile(soundless) as archive:
        assert not [name for name in archive.namelist() if name.endswith(".wav")]


def test_a_folder_that_is_not_there_is_told_without_its_path(kept: Kept, tmp_path: Path) -> None:
    with pytest.raises(RestorationError, match=r"evidence\.zip cannot be written") as told:
        packed_in(kept, tmp_path / "missing")
    assert str(tmp_path) not in str(told.value)


# The command line


def test_the_command_gives_the_same_options(kept: Kept) -> None:
    options = build_parser().parse_args(kept.command[1:])
    assert kept.command[0] == "babe2"
    assert [str(path) for path in options.inputs] == [NAME]
    assert (options.checkpoint, options.method, options.preset, options.seed) == ("piano-small", "babe2", "draft", 7)
    assert (options.start, options.duration, options.rate, options.amount) == (START, SECONDS, 44_100, 0.75)
    method = kept.restorer.method(preset=options.preset, **settings_of(options))
    assert method.settings.as_dict() == kept.restoration.report["settings"]
    assert set(settings_of(options)) == {"steps", "churn"}  # what the preset says need not be said again


@pytest.mark.parametrize(
    ("preset", "overrides"),
    [
        ("standard", {}),
        ("paper", {"breakpoints_above_hz": (1500.1, 2000.123456789)}),
        ("draft", {"solver": "guided", "sigma_start": 1.0, "sigma_min": 0.02}),
        ("draft", {"solver": "guided", "sigma_start": 1.0, "sigma_min": 0.01}),
        ("standard", {"keep_low_band": False, "overlap": 1 / 3}),
        ("paper", {"ltas_floor_db": -1 / 3, "filter_weighting": "log"}),
    ],
)
def test_every_setting_comes_back_to_its_last_digit(kept: Kept, preset: str, overrides: dict[str, Any]) -> None:
    wanted = kept.restorer.method(preset=preset, **overrides)
    told = {"preset": preset, "solver": wanted.name, "settings": wanted.settings.as_dict()}
    report = json.loads(json.dumps(kept.restoration.report | told, default=str))
    options = build_parser().parse_args(command_line(report, kept.restorer, recording="a.wav")[1:])
    assert kept.restorer.method(preset=options.preset, **settings_of(options)) == wanted


def test_the_command_makes_the_same_sound_again(
    kept: Kept, packed: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path(NAME).write_bytes(kept.recording.read_bytes())
    _, *words = shlex.split(member(packed, "reproduce.txt").splitlines()[0])
    assert main([*words, "--device", "cpu"]) == 0
    assert_same_sound(Path("again.wav"), kept.restored)


def assert_same_sound(one: Path, other: Path) -> None:
    first, second = audio.read(one), audio.read(other)
    assert first.sample_rate == second.sample_rate
    np.testing.assert_array_equal(first.audio, second.audio)


def test_a_name_that_looks_like_an_option_stays_a_name(kept: Kept) -> None:
    words = command_line(kept.restoration.report, kept.restorer, recording="-o.wav")
    assert [str(path) for path in build_parser().parse_args(words[1:]).inputs] == ["-o.wav"]


def test_a_checkpoint_in_a_folder_of_this_machine_is_told_by_its_name(kept: Kept) -> None:
    report = kept.restoration.report | {"checkpoint": "/home/somebody/my prior"}
    assert "my prior" in command_line(report, kept.restorer, recording="a.wav")


def test_noise_that_was_given_has_no_command(kept: Kept) -> None:
    with pytest.raises(RestorationError, match="seed"):
        command_line(kept.restoration.report | {"seed": None}, kept.restorer, recording="a.wav")


# Names


@pytest.mark.parametrize(
    ("name", "plain"),
    [
        ("Caruso 1904.wav", "Caruso 1904.wav"),
        ("Dvořák, Píseň 歌.flac", "Dvořák, Píseň 歌.flac"),
        ("../../etc/passwd", "passwd"),
        ("C:\\Users\\x\\old.wav", "old.wav"),
        ("a\n\x1b[31mb\u202egnp.wav", "a[31mbgnp.wav"),
        ('<a>:"b"|?*.wav', "_a___b____.wav"),
        ("...", "recording"),
        ("", "recording"),
        ("\ud800.wav", "wav"),
        ("e\u0301.wav", "é.wav"),
    ],
)
def test_names_become_plain(name: str, plain: str) -> None:
    assert plain_name(name) == plain


def test_a_long_name_keeps_its_ending_and_its_letters_whole() -> None:
    name = plain_name("歌" * 300 + ".wav")
    assert len(name.encode()) <= 200 and name.endswith("歌.wav")
