"""The command line, as a person or a script meets it: real files, exit codes, one sentence on stderr."""

import errno
import json
import resource
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import soundfile as sf
from conftest import CHECKPOINT, QUICK
from music import chord

from babe2.commands.main import main
from babe2.commands.restore import PLOTS


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
    monkeypatch.setattr("babe2.commands.restore.restorer_of", lambda options: pytest.fail("the work had begun"))
    Path("notes.wav").write_text("la la la")
    assert restore(wav, *arguments) == 1
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
    run = subprocess.run([sys.executable, "-c", script, *arguments], capture_output=True, text=True)
    assert run.returncode == 1 and run.stderr.startswith("babe2: ") and "Traceback" not in run.stderr, run.stderr
    assert [path.name for path in wav.parent.iterdir()] == ["old.wav"]


def interrupted_run(*arguments: object, after: str) -> subprocess.CompletedProcess[str]:
    """A run in a process of its own that receives Ctrl-C as soon as `after` holds of the step it is told of."""
    script = (
        "import os, signal, sys, babe2.commands.restore as cli; from contextlib import contextmanager\n"
        "real = cli.progress_line\n"
        "@contextmanager\n"
        "def watched(name):\n"
        "    with real(name) as show:\n"
        "        def shown(step):\n"
        "            show(step)\n"
        f"            if not isinstance(step, str) and {after}: os.kill(os.getpid(), signal.SIGINT)\n"
        "        yield shown\n"
        "cli.progress_line = watched\n"
        "sys.exit(__import__('babe2.commands.main').commands.main.main(sys.argv[1:]))"
    )
    command = [sys.executable, "-c", script, *map(str, arguments), "--checkpoint", CHECKPOINT, *QUICK]
    return subprocess.run(command, capture_output=True, text=True, timeout=60)


def test_ctrl_c_ends_with_130_and_keeps_what_is_finished(tmp_path: Path) -> None:
    sf.write(tmp_path / "long.wav", chord(6), 8000)
    run = interrupted_run("restore", tmp_path / "long.wav", "--json", after="step.segment == 3")
    assert run.returncode == 130, run.stderr
    left = ["long.partial.wav", "long.restored.journal", "long.wav"]
    assert sorted(path.name for path in tmp_path.iterdir()) == left
    assert sf.info(tmp_path / "long.partial.wav").duration == pytest.approx(2 * 11700 / 8000, abs=0.1)
    assert json.loads(run.stdout)["output"] == str(tmp_path / "long.partial.wav")
    assert "stopped; the finished 2.9 s are in" in run.stderr and "--resume goes on" in run.stderr


def test_what_is_to_replace_a_file_goes_on_too(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    sf.write(tmp_path / "long.wav", chord(6), 8000)
    (tmp_path / "long.restored.wav").write_bytes(b"old")
    run = interrupted_run("restore", tmp_path / "long.wav", "--overwrite", after="step.segment == 3")
    assert "The same with --resume goes on" in run.stderr
    assert restore(tmp_path / "long.wav", "--resume", method="babe2") == 0
    assert "is there already. Remove" in capsys.readouterr().err
    assert restore(tmp_path / "long.wav", "--overwrite", "--resume", method="babe2") == 0
    assert sf.info(tmp_path / "long.restored.wav").frames == 48000
    assert sorted(path.name for path in tmp_path.iterdir()) == ["long.partial.wav", "long.restored.wav", "long.wav"]


def test_a_stopped_run_hands_over_a_wav_whatever_was_wished(tmp_path: Path) -> None:
    sf.write(tmp_path / "long.wav", chord(6), 8000)
    wish = ["-o", tmp_path / "new.ogg", "--subtype", "VORBIS"]
    run = interrupted_run("restore", tmp_path / "long.wav", *wish, after="step.segment == 3")
    assert run.returncode == 130 and "the finished 2.9 s are in" in run.stderr
    assert sf.info(tmp_path / "long.partial.wav").format == "WAV"


@pytest.mark.parametrize("letter", ["a", "\u3042"])
def test_the_longest_names_are_restored_and_stopped(letter: str, tmp_path: Path) -> None:
    stem = letter * ((255 - len(".restored.wav")) // len(letter.encode()))
    sf.write(tmp_path / f"{stem}.wav", chord(6), 8000)
    run = interrupted_run("restore", tmp_path / f"{stem}.wav", after="step.segment == 3")
    assert run.returncode == 130 and "the finished 2.9 s are in" in run.stderr, run.stderr
    assert restore(tmp_path / f"{stem}.wav", "--resume", method="babe2") == 0
    assert (tmp_path / f"{stem}.restored.wav").exists()


def test_plots_that_cannot_be_drawn_leave_the_result_and_no_journal(
    wav: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("babe2.report.figures.save", full)
    assert restore(wav, "--plots", tmp_path / "plots", method="babe2") == 1
    said = capsys.readouterr().err
    assert "The plots cannot be written" in said and "--resume" not in said
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


def test_what_was_stopped_goes_on_where_it_was(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    sf.write(tmp_path / "long.wav", chord(6), 8000)
    interrupted_run("restore", tmp_path / "long.wav", after="step.segment == 3")
    for wish in ([], ["--overwrite"]):  # which is about results, not about hours of work
        assert restore(tmp_path / "long.wav", *wish, method="babe2") == 1
        assert "Go on with it with --resume, or remove that folder to begin anew" in capsys.readouterr().err
    assert restore(tmp_path / "long.wav", "--resume", "--seed", 3, method="babe2") == 1
    assert "was begun otherwise (seed)" in capsys.readouterr().err
    assert restore(tmp_path / "long.wav", "--resume", "--json", method="babe2") == 0
    report = json.loads(capsys.readouterr().out)
    assert len(report["segments"]) == 4 and not (tmp_path / "long.restored.journal").exists()
    whole, _ = sf.read(tmp_path / "long.restored.wav")
    assert restore(tmp_path / "long.wav", "-o", tmp_path / "again.wav", method="babe2") == 0
    np.testing.assert_array_equal(whole, sf.read(tmp_path / "again.wav")[0])
    assert restore(tmp_path / "long.wav", "--resume", method="babe2") == 0
    assert "is there already" in capsys.readouterr().err


def test_ctrl_c_before_anything_is_finished_leaves_nothing(tmp_path: Path) -> None:
    sf.write(tmp_path / "long.wav", chord(6), 8000)
    run = interrupted_run("restore", tmp_path / "long.wav", after="step.segment == 1")
    assert run.returncode == 130 and "Nothing was finished" in run.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["long.wav"]


def test_ctrl_c_spares_the_files_that_were_done_and_begins_no_other(tmp_path: Path) -> None:
    for name in ("a", "b", "c"):
        sf.write(tmp_path / f"{name}.wav", chord(), 8000)
    inputs = [tmp_path / f"{name}.wav" for name in ("a", "b", "c")]
    run = interrupted_run("restore", *inputs, "--json", after="name == 'b.wav'")
    assert run.returncode == 130
    assert [report.get("output") for report in json.loads(run.stdout)] == [str(tmp_path / "a.restored.wav"), None]
    assert not (tmp_path / "c.restored.wav").exists()


def test_the_cost_is_told_and_nothing_is_done(wav: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert restore(wav, "--estimate", method="babe2") == 0
    assert "second" in (said := capsys.readouterr().out) and "of disk meanwhile" in said
    assert restore(wav, "--estimate", "--json", method="babe2") == 0
    told = json.loads(capsys.readouterr().out)
    assert told["segments"] == 1 and told["evaluations"] > 0 and told["input"] == str(wav)
    assert [path.name for path in wav.parent.iterdir()] == ["old.wav"]


# What is done is not lost


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
    ("option", "place"), [("--report", "/proc/r.json"), ("--report", "no/r.json"), ("--plots", "/proc/plots")]
)
def test_places_nothing_can_be_written_to_are_told_before_any_work(
    wav: Path, option: str, place: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert restore(wav, option, place) == 1
    error = capsys.readouterr().err
    assert error.startswith("babe2: ") and error.count("\n") == 1, error
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


@pytest.mark.parametrize("closed", [">&-", "2>&-", ">/dev/full"])
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


def test_info_lists_settings_and_versions(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["info", "--settings", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["settings"]["voice"]["sigma_start"] == 10 and "torch" in found
    assert main(["info", "--settings"]) == 0
    assert "guidance_strength" in capsys.readouterr().out
