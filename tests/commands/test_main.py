"""The command line, as a person or a script meets it: real files, exit codes, one sentence on stderr."""

import hashlib
import json
import os
import resource
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import programs
import pytest
import soundfile as sf
import torch
from conftest import CHECKPOINT, QUICK
from music import chord
from terminals import on_a_terminal, read_until, under_nohup

from babe2 import Restorer
from babe2.commands.main import main
from babe2.commands.restore import PLOTS
from babe2.commands.targets import beside
from babe2.report.recipe import command_line


def restore(*arguments: object, method: str = "ltas-eq") -> int:
    quick = QUICK if method == "babe2" else []
    return main(["restore", *map(str, arguments), "--checkpoint", CHECKPOINT, "--method", method, *quick])


def assert_said_in_one_line(sentence: str, capsys: pytest.CaptureFixture[str]) -> None:
    error = capsys.readouterr().err
    assert sentence in error and error.count("\n") == 1, error


@pytest.fixture
def wav(tmp_path: Path) -> Path:
    sf.write(tmp_path / "old.wav", chord(), 8000, "PCM_16")
    return tmp_path / "old.wav"


def test_restore_writes_beside_the_input_and_says_what_it_did(wav: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert restore(wav, method="babe2") == 0
    written = sf.info(wav.with_name("old.restored.wav"))
    assert (written.frames, written.samplerate, written.subtype) == (4800, 8000, "PCM_24")
    assert "old.restored.wav: 0.60 s, 3 evaluations" in capsys.readouterr().out


def test_json_report_and_plots(wav: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    status = restore(wav, "--json", "--report", tmp_path / "r.json", "--plots", tmp_path / "plots", method="babe2")
    assert status == 0
    told = json.loads(capsys.readouterr().out)
    assert told == json.loads((tmp_path / "r.json").read_text())
    assert told["input"] == str(wav) and told["settings"]["steps"] == 2
    assert [Path(path).name for path in told["plots"]] == [f"old.restored.{name}.png" for name in PLOTS]
    assert all(Path(path).read_bytes().startswith(b"\x89PNG") for path in told["plots"])


def test_a_known_response_is_kept_to_and_stands_in_the_command_that_makes_it_again(
    wav: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    known = tmp_path / "machine.csv"
    known.write_text("hertz,db\n100,0\n1000,0\n4000,-30\n")
    wished = ["--response", known, "--set", "solver=guided", "--set", "steps=2", "--set", "sigma_min=0.1"]
    command = ["restore", str(wav), "--checkpoint", CHECKPOINT, "--method", "informed", "--json", *map(str, wished)]
    assert main(command) == 0
    told = json.loads(capsys.readouterr().out)
    assert (told["method"], told["solver"], told["response_file"]) == ("informed", "guided", str(known))
    assert told["response"]["gain_db"][-1] == pytest.approx(-30)
    restorer = Restorer.from_checkpoint(CHECKPOINT, device="cpu")
    again = command_line(told, restorer, recording=wav.name)
    assert again[again.index("--response") + 1] == str(known)
    assert "solver=guided" in again and "steps=2" in again


def test_informed_without_a_response_and_a_response_that_is_none_are_told(
    wav: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["restore", str(wav), "--checkpoint", CHECKPOINT, "--method", "informed"]) == 1
    assert_said_in_one_line("informed keeps to a response that is given", capsys)
    (tmp_path / "none.csv").write_text("nothing\n")
    assert main(["restore", str(wav), "--checkpoint", CHECKPOINT, "--response", str(tmp_path / "none.csv")]) == 1
    assert_said_in_one_line("no two frequencies", capsys)
    response = str(tmp_path / "none.csv")
    assert main(["restore", str(wav), "--checkpoint", CHECKPOINT, "--method", "ltas-eq", "--response", response]) == 1
    assert_said_in_one_line("A given response changes nothing with the method ltas-eq", capsys)


@pytest.mark.parametrize("rate", [8000, 11025])
def test_none_changes_nothing_but_the_rate_and_says_so(
    wav: Path, rate: int, capsys: pytest.CaptureFixture[str]
) -> None:
    command = ["restore", str(wav), "--checkpoint", CHECKPOINT, "--method", "none", "--amount", "0.5"]
    assert main([*command, "--rate", str(rate), "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    changed = "nothing was changed." if rate == 8000 else "nothing was changed but the sample rate."
    assert told["statement"].endswith(changed) and told["verdict"] == "Nothing was changed."
    assert not told["generates"] and told["evaluations"] == 0 and told["warnings"] == []
    written, rate_of = sf.read(told["output"], always_2d=True)
    assert rate_of == rate and len(written) == round(4800 * rate / 8000)
    if rate == 8000:
        np.testing.assert_array_equal(written, sf.read(wav, always_2d=True)[0])


def test_how_it_is_to_sound_is_reported_and_stands_in_the_command_that_makes_it_again(
    wav: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    like = tmp_path / "like.wav"
    sf.write(like, np.tile(chord(), (12, 1)), 8000)
    wished = [
        "--checkpoint",
        CHECKPOINT,
        "--brightness",
        "-1.5",
        "--reference",
        str(like),
        "--set",
        "steps=2",
        "--json",
    ]
    assert main(["restore", str(wav), *wished]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["brightness"] == -1.5 and told["reference_file"] == str(like) and len(told["reference_sha256"]) == 64
    assert told["verdict"].endswith(".")
    words = command_line(told | {"seed": 0}, Restorer.from_checkpoint(CHECKPOINT), recording="old.wav")
    assert words[words.index("--brightness") + 1] == "-1.5" and words[words.index("--reference") + 1] == str(like)


def test_a_reference_that_is_too_short_is_named_before_any_work(wav: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["restore", str(wav), "--checkpoint", CHECKPOINT, "--reference", str(wav)]) == 1
    assert_said_in_one_line("5 s or more", capsys)
    assert not wav.with_name("old.restored.wav").exists()


def test_an_existing_result_is_kept_unless_told_otherwise(wav: Path, capsys: pytest.CaptureFixture[str]) -> None:
    target = wav.with_name("old.restored.wav")
    target.write_bytes(b"precious")
    assert restore(wav) == 1
    assert "exists already" in capsys.readouterr().err and target.read_bytes() == b"precious"
    assert restore(wav, "--overwrite") == 0
    assert sf.info(target).frames == 4800


def test_the_input_is_never_its_own_output(wav: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = wav.read_bytes()
    assert restore(wav, "-o", wav, "--overwrite") == 1
    assert "is an input" in capsys.readouterr().err and wav.read_bytes() == before


def test_many_inputs_go_into_a_folder_and_one_bad_one_stops_no_other(
    wav: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "notes.txt").write_text("la la la")
    sf.write(tmp_path / "second.flac", chord(), 8000)
    out = tmp_path / "out"
    out.mkdir()
    assert restore(wav, tmp_path / "notes.txt", tmp_path / "second.flac", "-o", out) == 1
    assert sorted(path.name for path in out.iterdir()) == ["old.restored.wav", "second.restored.wav"]
    assert "notes.txt" in capsys.readouterr().err


def test_inputs_that_would_overwrite_each_other_are_refused(
    wav: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "b").mkdir()
    sf.write(tmp_path / "b" / "old.flac", chord(), 8000)
    assert restore(wav, tmp_path / "b" / "old.flac", "-o", tmp_path) == 1
    assert "Several results" in capsys.readouterr().err


def test_an_excerpt_at_another_rate_depth_and_amount(wav: Path, tmp_path: Path) -> None:
    target = tmp_path / "excerpt.flac"
    options = ["--start", "0.2", "--duration", "0.25", "--rate", "16000", "--subtype", "PCM_16", "--amount", "0.5"]
    assert restore(wav, "-o", target, *options) == 0
    info = sf.info(target)
    assert (info.frames, info.samplerate, info.subtype, info.format) == (4000, 16000, "PCM_16", "FLAC")


def test_tags_travel_along(tmp_path: Path) -> None:
    with sf.SoundFile(tmp_path / "old.flac", "w", 8000, 1) as file:
        file.title, file.artist = "Vesti la giubba", "Enrico Caruso"
        file.write(chord())
    assert restore(tmp_path / "old.flac", "-o", tmp_path / "new.wav") == 0
    with sf.SoundFile(tmp_path / "new.wav") as file:
        assert (file.title, file.artist) == ("Vesti la giubba", "Enrico Caruso")


# What a result says of itself


def test_the_report_knows_the_result_by_its_hash_and_what_it_says(
    wav: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert restore(wav, "--json", method="babe2") == 0
    told, target = json.loads(capsys.readouterr().out), wav.with_name("old.restored.wav")
    assert told["result"] == {
        "name": "old.restored.wav",
        "bytes": target.stat().st_size,
        "sha256": hashlib.sha256(target.read_bytes()).hexdigest(),
    }
    assert sf.SoundFile(target).comment == told["statement"] and "method guided" in told["statement"]


def test_people_are_told_what_the_file_says(wav: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert restore(wav, "--amount", "0.25") == 0
    (last,) = capsys.readouterr().out.splitlines()[-1:]
    assert last.strip() == sf.SoundFile(wav.with_name("old.restored.wav")).comment
    assert "nothing was generated. This was mixed with the recording as it was: 25% and 75%." in last


@pytest.mark.parametrize("kind", ["wav", "rf64", "aiff", "flac", "ogg", "mp3"])
def test_whatever_is_written_is_known_again_when_it_is_analysed(
    wav: Path, kind: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert restore(wav, "-o", target := wav.with_name(f"new.{kind}")) == 0
    assert capsys.readouterr().err == "" and sf.info(target).frames == pytest.approx(4800, abs=1200 * (kind == "mp3"))
    assert main(["analyse", str(target)]) == 0
    assert capsys.readouterr().out.count("This file was already restored with babe2") == 1
    assert main(["analyse", str(wav)]) == 0
    assert "already restored" not in capsys.readouterr().out


def test_a_format_that_cannot_say_it_is_warned_of(wav: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert restore(wav, "-o", wav.with_name("new.w64"), "--json") == 0
    output = capsys.readouterr()
    warning = "new.w64 cannot say of itself that it was restored: its format has no place for that."
    assert warning in output.err and warning in json.loads(output.out)["warnings"]


def test_a_manifest_definition_is_written_where_it_is_wished(wav: Path, capsys: pytest.CaptureFixture[str]) -> None:
    place = wav.with_name("old.c2pa.json")
    assert restore(wav, "--provenance", place, "--json") == 0
    report, definition = json.loads(capsys.readouterr().out), json.loads(place.read_text("utf-8"))
    assert report["provenance"] == str(place) and definition["title"] == "old.restored.wav"
    (details,) = (each["data"] for each in definition["assertions"] if each["label"] == "babe2.restoration")
    assert details["recording"] == {
        "name": "old.wav",
        "bytes": wav.stat().st_size,
        "sha256": hashlib.sha256(wav.read_bytes()).hexdigest(),
    }
    assert details["unsigned_result"] == report["result"] and not details["generated"]
    assert restore(wav, "--provenance", place, "-o", wav.with_name("other.wav")) == 1
    assert "exists already" in capsys.readouterr().err
    assert restore(wav, "--provenance", wav, "-o", wav.with_name("other.wav"), "--overwrite") == 1
    assert "is an input" in capsys.readouterr().err


def test_of_several_results_the_definitions_lie_in_a_folder(wav: Path, tmp_path: Path) -> None:
    other = tmp_path / "other.flac"
    sf.write(other, chord(), 8000)
    assert restore(wav, other, "--provenance", tmp_path / "signed") == 0
    names = sorted(path.name for path in (tmp_path / "signed").iterdir())
    assert names == ["old.restored.c2pa.json", "other.restored.c2pa.json"]


# Odd recordings are restored

ODD: dict[str, tuple[str, int, int, str]] = {
    "8 bit": ("a.wav", 8000, 1, "PCM_U8"),
    "24 bit": ("a.wav", 44100, 2, "PCM_24"),
    "float": ("a.wav", 22050, 1, "FLOAT"),
    "double": ("a.wav", 22050, 1, "DOUBLE"),
    "96 kHz": ("a.wav", 96000, 1, "PCM_24"),
    "5.1": ("a.wav", 48000, 6, "PCM_16"),
    "flac": ("a.flac", 44100, 2, "PCM_24"),
    "ogg": ("a.ogg", 44100, 1, "VORBIS"),
    "mp3": ("a.mp3", 44100, 1, "MPEG_LAYER_III"),
    "aiff": ("a.aiff", 11025, 1, "PCM_16"),
    "w64": ("a.w64", 32000, 1, "PCM_16"),
    "mu-law": ("a.wav", 8000, 1, "ULAW"),
}


@pytest.mark.parametrize(("name", "rate", "channels", "subtype"), ODD.values(), ids=ODD.keys())
def test_odd_recordings_are_restored(tmp_path: Path, name: str, rate: int, channels: int, subtype: str) -> None:
    sf.write(tmp_path / name, chord(0.6, rate, channels), rate, subtype)
    frames = sf.info(tmp_path / name).frames
    assert restore(tmp_path / name, "-o", tmp_path / "out.wav") == 0
    found = sf.info(tmp_path / "out.wav")
    assert (found.samplerate, found.channels) == (rate, channels)
    assert found.frames == frames if name != "a.mp3" else abs(found.frames - frames) < 2400  # MP3 pads


def test_a_wrong_extension_does_not_matter(tmp_path: Path) -> None:
    sf.write(tmp_path / "a.flac", chord(), 8000)
    (tmp_path / "a.flac").rename(tmp_path / "a.mp3")
    assert restore(tmp_path / "a.mp3", "-o", tmp_path / "out.wav") == 0


def test_a_truncated_file_is_restored_as_far_as_it_goes(wav: Path, capsys: pytest.CaptureFixture[str]) -> None:
    wav.write_bytes(wav.read_bytes()[:-4000])
    assert restore(wav, "--json") == 0
    assert sf.info(wav.with_name("old.restored.wav")).frames == 2800
    streams = capsys.readouterr()
    assert "promises" in streams.err and "promises" in json.loads(streams.out)["warnings"][0]


# Bad ones get one sentence, exit status 1, and leave nothing behind


def silent(path: Path) -> None:
    sf.write(path, np.zeros(8000), 8000)


def holed(path: Path) -> None:
    sound = chord()
    sound[100] = np.nan
    sf.write(path, sound, 8000, "FLOAT")


def header(rate: int = 8000, channels: int = 1, bits: int = 16) -> bytes:
    block = max(1, channels * bits // 8)
    fields = [(1, 2), (channels, 2), (rate, 4), (rate * block % 2**32, 4), (block % 2**16, 2), (bits, 2)]
    fmt = b"".join(value.to_bytes(size, "little") for value, size in fields)
    return (
        b"RIFF" + (2**20).to_bytes(4, "little") + b"WAVEfmt \x10\0\0\0" + fmt + b"data" + (2**20).to_bytes(4, "little")
    )


BAD: dict[str, Callable[[Path], object]] = {
    "silence": silent,
    "nan": holed,
    "no samples": lambda path: sf.write(path, np.zeros(0), 8000),
    "one sample": lambda path: sf.write(path, np.ones(1) / 2, 8000),
    "nothing there": lambda path: None,
    "a folder": lambda path: path.mkdir(),
    "empty file": lambda path: path.write_bytes(b""),
    "text": lambda path: path.write_text("Vesti la giubba\n" * 100),
    "header alone": lambda path: path.write_bytes(header()),
    "no channels": lambda path: path.write_bytes(header(channels=0) + bytes(4000)),
    "60000 channels": lambda path: path.write_bytes(header(channels=60000) + bytes(400000)),
    "no rate": lambda path: path.write_bytes(header(rate=0) + bytes(4000)),
    "4 GHz": lambda path: path.write_bytes(header(rate=4_000_000_000) + bytes(4000)),
    "noise of bytes": lambda path: path.write_bytes(np.random.default_rng(0).bytes(5000)),
    "unreadable": lambda path: path.symlink_to("/proc/self/mem"),
}


@pytest.mark.parametrize("make", BAD.values(), ids=BAD.keys())
def test_bad_recordings_get_a_sentence(
    tmp_path: Path, make: Callable[[Path], object], capsys: pytest.CaptureFixture[str]
) -> None:
    make(tmp_path / "bad.wav")
    before = sorted(tmp_path.iterdir())
    assert restore(tmp_path / "bad.wav", method="babe2") == 1
    streams = capsys.readouterr()
    assert streams.out == ""
    assert streams.err.startswith("babe2: ") and streams.err.count("\n") == 1, streams.err
    assert sorted(tmp_path.iterdir()) == before


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["--start", "99"], "0.6"),
        (["--set", "steps"], "NAME=VALUE"),
        (["--set", "stepss=3"], "Known settings"),
        (["--set", "steps=1e99"], "steps"),
        (["--amount", "7"], "between 0 and 1"),
        (["--device", "abacus"], "no device"),
    ],
)
def test_wishes_that_cannot_be_met_get_a_sentence(
    wav: Path,
    arguments: list[str],
    sentence: str,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(wav.parent)
    before = sorted(wav.parent.iterdir())
    assert restore(wav, *arguments) == 1
    assert_said_in_one_line(sentence, capsys)
    assert sorted(wav.parent.iterdir()) == before


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["-o", "nowhere/out.wav"], "folder of nowhere/out.wav does not exist"),
        (["-o", "/proc/out.wav"], "cannot be written"),
        (["-o", "out.xyz"], "xyz"),
        (["-o", "x" * 300 + ".wav"], "too long"),
        (["-o", "notes.wav"], "exists already"),
        (["-o", "out.flac", "--subtype", "FLOAT"], "FLAC cannot be stored as FLOAT"),
        (["--subtype", "PCM_13"], "PCM_13"),
    ],
)
def test_a_target_that_cannot_be_written_is_refused_before_any_work(
    wav: Path,
    arguments: list[str],
    sentence: str,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(wav.parent)
    Path("notes.wav").write_text("la la la")
    assert main(["restore", str(wav), "--checkpoint", "no/such/checkpoint", *arguments]) == 1
    assert_said_in_one_line(sentence, capsys)
    assert sorted(path.name for path in wav.parent.iterdir()) == ["notes.wav", "old.wav"]


def test_a_wrong_command_is_a_usage_error(capsys: pytest.CaptureFixture[str]) -> None:
    for arguments in (["restore"], ["unravel"], ["restore", "a.wav", "--preset", "best"]):
        with pytest.raises(SystemExit) as stopped:
            main(arguments)
        assert stopped.value.code == 2
    assert "Traceback" not in capsys.readouterr().err


def test_a_full_disk_leaves_nothing_half_written(wav: Path) -> None:
    script = (
        "import resource, signal, sys; signal.signal(signal.SIGXFSZ, signal.SIG_IGN);"
        f"resource.setrlimit(resource.RLIMIT_FSIZE, (5000, {resource.RLIM_INFINITY}));"
        "from babe2.commands.main import main; sys.exit(main(sys.argv[1:]))"
    )
    arguments = ["restore", str(wav), "--checkpoint", CHECKPOINT, "--method", "ltas-eq"]
    run = programs.run("-c", script, *arguments)
    assert run.returncode == 1 and run.stderr.startswith("babe2: ") and "Traceback" not in run.stderr, run.stderr
    assert [path.name for path in wav.parent.iterdir()] == ["old.wav"]


# A run that is stopped

LONG = ["--set", "steps=4"]  # so that a signal arrives before the segment under way is finished


@pytest.fixture
def long_wav(tmp_path: Path) -> Path:
    """Three segments."""
    sf.write(tmp_path / "long.wav", chord(4.55), 8000)
    return tmp_path / "long.wav"


def stopped(*arguments: object, journal: Path, finished: int) -> int:
    """Restores here, and sends this process a Ctrl-C as soon as the journal holds so many finished segments."""
    over = threading.Event()

    def watch() -> None:
        lines = journal / "journal.jsonl"
        while not over.is_set():
            if lines.exists() and lines.read_bytes().count(b"\n") > finished:
                os.kill(os.getpid(), signal.SIGINT)
                return
            time.sleep(0.005)

    watcher = threading.Thread(target=watch)
    watcher.start()
    try:
        return restore(*arguments, method="babe2")
    finally:
        over.set()
        watcher.join()


def restoring(*arguments: object) -> list[object]:
    return ["restore", *arguments, "--checkpoint", CHECKPOINT, *QUICK, *LONG]


@pytest.mark.parametrize(
    "number",
    [signal.SIGINT, *(pytest.param(number, marks=pytest.mark.slow) for number in (signal.SIGTERM, signal.SIGHUP))],
    ids=lambda number: number.name,
)
def test_whatever_asks_a_run_to_stop_what_is_finished_is_kept(number: signal.Signals, long_wav: Path) -> None:
    process, terminal = on_a_terminal(*restoring(long_wav, "--json"))
    said = read_until(terminal, b"segment 3/3, step 1")
    process.send_signal(number)
    said += read_until(terminal, b"never said")  # to the end
    os.close(terminal)
    out, _ = process.communicate()
    assert process.returncode == 128 + number, said
    assert b"stopped; the finished 2.9 s are in" in said and b"--resume goes on" in said
    left = ["long.partial.wav", "long.restored.journal", "long.wav"]
    assert sorted(path.name for path in long_wav.parent.iterdir()) == left
    assert sf.info(long_wav.with_name("long.partial.wav")).duration == pytest.approx(2 * 11700 / 8000, abs=0.1)
    assert json.loads(out)["output"] == str(long_wav.with_name("long.partial.wav"))


def test_a_terminal_that_is_closed_costs_nothing_that_is_finished(long_wav: Path) -> None:
    process, terminal = on_a_terminal(*restoring(long_wav))
    read_until(terminal, b"segment 3/3, step 1")
    os.close(terminal)
    process.communicate()
    assert process.returncode == 128 + signal.SIGHUP
    assert sf.info(long_wav.with_name("long.partial.wav")).frames > 2 * 11000


@pytest.mark.slow
def test_a_run_under_nohup_outlives_its_terminal(long_wav: Path) -> None:
    process, terminal = under_nohup(*restoring(long_wav))
    read_until(terminal, b"segment 2/3")
    os.close(terminal)
    process.communicate()
    assert process.returncode == 0
    assert sf.info(long_wav.with_name("long.restored.wav")).frames == 36400


def test_what_is_kept_of_a_stopped_run_is_the_beginning_of_its_result(
    long_wav: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    journal = long_wav.with_name("long.restored.journal")
    assert stopped(long_wav, journal=journal, finished=2) == 130
    part, _ = sf.read(long_wav.with_name("long.partial.wav"))
    for wish in ([], ["--overwrite"]):  # which is about results, not about hours of work
        assert restore(long_wav, *wish, method="babe2") == 1
        assert "Go on with it with --resume, or remove that folder to begin anew" in capsys.readouterr().err
    assert restore(long_wav, "--resume", "--seed", 3, method="babe2") == 1
    assert "was begun otherwise (seed)" in capsys.readouterr().err
    assert restore(long_wav, "--resume", "--json", method="babe2") == 0
    report = json.loads(capsys.readouterr().out)
    assert len(report["segments"]) == 3 and not journal.exists()
    whole, _ = sf.read(long_wav.with_name("long.restored.wav"))
    np.testing.assert_array_equal(part, whole[: len(part)])
    said = sf.SoundFile(long_wav.with_name("long.partial.wav")).comment
    assert said.endswith(f"The run was stopped: these are the {len(part) / 8000:.1f} s that were finished.")
    assert restore(long_wav, "-o", long_wav.with_name("again.wav"), method="babe2") == 0
    assert long_wav.with_name("long.restored.wav").read_bytes() == long_wav.with_name("again.wav").read_bytes()
    assert said.startswith(sf.SoundFile(long_wav.with_name("again.wav")).comment)
    assert restore(long_wav, "--resume", method="babe2") == 0
    assert "is there already" in capsys.readouterr().err


def test_what_is_to_replace_a_file_goes_on_too(long_wav: Path, capsys: pytest.CaptureFixture[str]) -> None:
    target, journal = long_wav.with_name("long.restored.wav"), long_wav.with_name("long.restored.journal")
    target.write_bytes(b"old")
    assert stopped(long_wav, "--overwrite", journal=journal, finished=2) == 130
    assert "The same with --resume goes on" in capsys.readouterr().err
    assert restore(long_wav, "--resume", method="babe2") == 0
    assert "is there already. Remove" in capsys.readouterr().err
    assert restore(long_wav, "--overwrite", "--resume", method="babe2") == 0
    assert sf.info(target).frames == 36400
    left = ["long.partial.wav", "long.restored.wav", "long.wav"]
    assert sorted(path.name for path in long_wav.parent.iterdir()) == left


def test_a_stopped_run_hands_over_a_wav_whatever_was_wished(long_wav: Path, capsys: pytest.CaptureFixture[str]) -> None:
    wish = ["-o", long_wav.with_name("new.ogg"), "--subtype", "VORBIS"]
    assert stopped(long_wav, *wish, journal=long_wav.with_name("new.journal"), finished=2) == 130
    assert "s are in" in capsys.readouterr().err
    assert sf.info(long_wav.with_name("long.partial.wav")).format == "WAV"


@pytest.mark.parametrize("letter", [pytest.param("a", marks=pytest.mark.slow), "\u3042"])
def test_the_longest_names_are_restored_and_stopped(
    letter: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    stem = letter * ((255 - len(".restored.wav")) // len(letter.encode()))
    path = tmp_path / f"{stem}.wav"
    sf.write(path, chord(4.5), 8000)
    assert stopped(path, journal=beside(path, f"{stem}.restored.journal"), finished=2) == 130
    assert "s are in" in capsys.readouterr().err
    assert restore(path, "--resume", method="babe2") == 0
    assert (tmp_path / f"{stem}.restored.wav").exists()


def test_ctrl_c_before_anything_is_finished_leaves_nothing(long_wav: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert stopped(long_wav, journal=long_wav.with_name("long.restored.journal"), finished=0) == 130
    assert "Nothing was finished" in capsys.readouterr().err
    assert [path.name for path in long_wav.parent.iterdir()] == ["long.wav"]


def test_ctrl_c_spares_the_files_that_were_done_and_begins_no_other(
    wav: Path, long_wav: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    last = wav.with_name("last.wav")
    sf.write(last, chord(), 8000)
    journal = long_wav.with_name("long.restored.journal")
    assert stopped(wav, long_wav, last, "--json", journal=journal, finished=0) == 130
    done, begun = json.loads(capsys.readouterr().out)
    assert done["output"] == str(wav.with_name("old.restored.wav")) and "output" not in begun
    assert not last.with_name("last.restored.wav").exists()


# What it would cost


def test_the_cost_is_told_and_nothing_is_done(wav: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert restore(wav, "--estimate", method="babe2") == 0
    assert "second" in (said := capsys.readouterr().out) and "of disk meanwhile" in said
    assert restore(wav, "--estimate", "--json", method="babe2") == 0
    told = json.loads(capsys.readouterr().out)
    assert told["segments"] == 1 and told["evaluations"] > 0 and told["input"] == str(wav)
    assert [path.name for path in wav.parent.iterdir()] == ["old.wav"]


def test_the_cost_is_that_of_the_method(wav: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert restore(wav, "--estimate", "--json", method="ltas-eq") == 0
    assert json.loads(capsys.readouterr().out)["evaluations"] == 0


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["--start", "99"], "old.wav ends after 0.6 s, so nothing begins at 99 s"),
        (["--start", "-1"], "An excerpt needs a start of 0 s or later"),
        (["--duration", "-3"], "a duration above 0 s"),
        (["--duration", "nan"], "a duration above 0 s"),
    ],
)
def test_the_cost_of_an_impossible_excerpt_is_not_guessed(
    wav: Path, arguments: list[str], sentence: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["restore", str(wav), "--estimate", "--checkpoint", "no/such/checkpoint", *arguments]) == 1
    assert_said_in_one_line(sentence, capsys)


# What is done is not lost


def test_plots_that_cannot_be_drawn_leave_the_result_and_no_journal(
    wav: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (40_000, before[1]))  # bytes; the sound is smaller, the pictures are not
    try:
        assert restore(wav, "--plots", tmp_path / "plots") == 1
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert_said_in_one_line("spectrogram.png cannot be written", capsys)
    assert sf.info(wav.with_name("old.restored.wav")).frames == 4800
    assert not wav.with_name("old.restored.journal").exists()


def test_what_is_passed_over_keeps_its_report(wav: Path, tmp_path: Path) -> None:
    report = tmp_path / "r.json"
    assert restore(wav, "--report", report) == 0
    first = json.loads(report.read_text())
    assert restore(wav, "--report", report, "--resume") == 0
    assert json.loads(report.read_text()) == first | {"skipped": True}
    report.write_text("[]")
    assert restore(wav, "--report", report, "--resume") == 0
    assert json.loads(report.read_text())["skipped"]


def test_what_a_container_cannot_hold_is_kept(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    sf.write(tmp_path / "hot.wav", 8 * chord(), 8000, "FLOAT")
    assert restore(tmp_path / "hot.wav", "-o", tmp_path / "restored.flac", method="babe2") == 1
    assert "over full scale" in (error := capsys.readouterr().err) and "is kept in" in error
    assert not (tmp_path / "restored.flac").exists()
    assert restore(tmp_path / "hot.wav", "-o", tmp_path / "restored.wav", "--resume", "--json", method="babe2") == 0
    assert json.loads(capsys.readouterr().out)["seconds"] < 1  # nothing was computed again
    kept = sf.info(tmp_path / "restored.wav")
    assert (kept.subtype, kept.frames) == ("FLOAT", 4800)
    assert not (tmp_path / "restored.journal").exists()


@pytest.mark.parametrize("option", ["--report", "--plots", "-o"])
def test_nothing_is_written_over_an_input(wav: Path, option: str, capsys: pytest.CaptureFixture[str]) -> None:
    before = wav.read_bytes()
    assert restore(wav, option, wav, "--overwrite") == 1
    assert capsys.readouterr().err.count("\n") == 1
    assert wav.read_bytes() == before and len(list(wav.parent.iterdir())) == 1


@pytest.mark.parametrize(
    ("option", "place", "sentence"),
    [
        ("--report", "/proc/r.json", "/proc/r.json cannot be written"),
        ("--report", "no/r.json", "The folder of no/r.json does not exist"),
        ("--report", ".", ". exists already"),
        ("--plots", "/proc/plots", "/proc/plots cannot be a folder to write to"),
    ],
)
def test_places_nothing_can_be_written_to_are_named_before_any_work(
    wav: Path, option: str, place: str, sentence: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["restore", str(wav), "--checkpoint", "no/such/checkpoint", option, place]) == 1
    assert_said_in_one_line(sentence, capsys)
    assert [path.name for path in wav.parent.iterdir()] == ["old.wav"]


def test_one_file_under_two_names_is_noticed(wav: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (wav.parent / "sub").mkdir()
    assert restore(wav, wav.parent / "sub" / ".." / "old.wav") == 1
    assert "Several results" in capsys.readouterr().err


def test_json_of_several_files_tells_of_failures_too(
    wav: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert restore(wav, tmp_path / "missing.wav", "--json") == 1
    good, bad = json.loads(capsys.readouterr().out)
    assert good["output"] and "does not exist" in bad["error"]


def test_a_name_cannot_forge_a_message(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert restore(tmp_path / "a.wav\nbabe2: all is fine") == 1
    assert capsys.readouterr().err.count("\n") == 1


@pytest.mark.parametrize("closed", [">&-", pytest.param("2>&-", marks=pytest.mark.slow), ">/dev/full"])
def test_closed_and_full_streams_do_not_cost_the_result(wav: Path, closed: str) -> None:
    command = f"{sys.executable} -m babe2 restore {wav} --checkpoint {CHECKPOINT} --method ltas-eq {closed}"
    run = subprocess.run(["sh", "-c", command], capture_output=True, text=True)
    assert "Traceback" not in run.stderr
    assert sf.info(wav.with_name("old.restored.wav")).frames == 4800


@pytest.mark.parametrize("option", [["--precision", "bfloat16"], ["--save-memory"]])
def test_faster_and_smaller_ways_give_nearly_the_same(wav: Path, tmp_path: Path, option: list[str]) -> None:
    assert restore(wav, "-o", tmp_path / "plain.wav", method="babe2") == 0
    assert restore(wav, "-o", tmp_path / "other.wav", *option, method="babe2") == 0
    plain, other = (sf.read(tmp_path / name)[0] for name in ("plain.wav", "other.wav"))
    # Two steps of an untrained network, in bfloat16 with eight bits of precision.
    assert np.abs(plain - other).std() < 0.1 * plain.std()


def test_analyse_tells_people_and_machines(wav: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["analyse", str(wav), "--checkpoint", CHECKPOINT]) == 0
    assert "noise floor" in capsys.readouterr().out
    assert main(["analyse", str(wav), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["duration_seconds"] == pytest.approx(0.6)


def test_sample_writes_what_was_asked(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["sample", "--checkpoint", CHECKPOINT, "--count", "2", "--seconds", "0.5", "--set", "steps=2", "--json"]
    assert main([*arguments, "-o", str(tmp_path / "dream.wav")]) == 0
    files = json.loads(capsys.readouterr().out)["files"]
    assert [Path(file).name for file in files] == ["dream-1.wav", "dream-2.wav"]
    assert all(sf.info(file).frames == 4000 for file in files)
    assert all(sf.SoundFile(file).comment.endswith("all of its sound is generated.") for file in files)


def test_the_number_of_threads_is_a_wish_and_stands_in_the_report(
    wav: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = torch.get_num_threads()
    try:
        assert restore(wav, "--threads", 2, "--json") == 0
        assert json.loads(capsys.readouterr().out)["threads"] == 2
        assert restore(wav, "--threads", 0, "--overwrite") == 1
        assert_said_in_one_line("threads", capsys)
    finally:
        torch.set_num_threads(before)


def test_info_lists_settings_and_versions(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["info", "--settings", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["settings"]["voice"]["sigma_start"] == 10 and "torch" in found
    assert main(["info", "--settings"]) == 0
    shown = capsys.readouterr().out
    tables = [table.splitlines() for table in shown.split("\n\n")[1:]]
    assert [table[0].split()[0] for table in tables] == ["piano", "voice", "compact", "instruments"]
    for table in tables:
        columns = ["paper", "standard", "draft", "solver=guided", "solver=babe", "sample"]
        assert table[0].split()[1:] == [*columns, "used", "by"]
        rows = {row.split()[0]: row.split()[1:] for row in table[1:]}
        assert len({row.rindex("  ") for row in table}) == 1  # aligned
        presets = found["presets"][table[0].split()[0]]
        assert rows["steps"][:6] == [str(taken["steps"]) for taken in presets.values()]
        assert rows["ltas"][1] == "-" and "ltas" not in presets["standard"]
    assert "guidance_strength" in shown and "1500.0,2000.0" in shown  # as --set takes them, to the last digit
