"""Makes the page's examples anew: `python examples/make.py AUDIO`, where the sources lie that README.md names.

Each is spoiled as an old machine would have, restored by the command line, and drawn: left as it was, right as it is.
The piano through a horn, `old_variation`, is older than this file; only its picture is drawn here.
"""

from __future__ import annotations

import json
import shutil
import sys
from pathlib import Path

import numpy as np
import soundfile
import torch
from matplotlib.colors import LinearSegmentedColormap
from PIL import Image

from babe2 import audio
from babe2.chains import Chain
from babe2.commands.main import main
from babe2.dsp.resampling import resample
from babe2.report import figures

HERE = Path(__file__).parent
PEAK = 0.7  # of full scale
SIZE = (320, 128)  # pixels of a picture
SHELLAC = LinearSegmentedColormap.from_list("shellac", ["#17110d", "#3a2013", "#9a4a00", "#f2a65a", "#fff3df"])
A_SINGER = Chain.parse(
    "{title: A singer alone, why: A voice before a horn and nothing beside it., "
    "stages: [declick, rumble, {restore: {checkpoint: voice-small}}]}"
)
ELSEWHERE = ("input", "output", "result", "command")  # what a report says of the machine on which it was made


def sounding(source: Path, start: float, seconds: float, peak: float) -> Path:
    """A file with an excerpt whose highest sample is `peak`."""
    sound = audio.read(source, start=start, duration=seconds)
    path = HERE / "source.wav"
    audio.write(path, sound.audio * np.float32(peak / np.abs(sound.audio).max()), sound.sample_rate, overwrite=True)
    return path


def kept(name: str, source: Path, rate: int) -> None:
    """The example, 16 bits at `rate` Hz, no peak above PEAK."""
    sound = audio.read(source)
    at_rate = resample(torch.from_numpy(sound.audio), sound.sample_rate, rate).numpy()
    at_rate = at_rate * np.float32(min(1.0, PEAK / np.abs(at_rate).max()))
    audio.write(HERE / f"{name}.flac", at_rate, rate, subtype="PCM_16", overwrite=True)


def run(*words: str | Path) -> None:
    if main(list(map(str, words))):
        raise SystemExit(f"babe2 {words[0]} failed.")


def restored(name: str, *words: str | Path, command: str = "restore") -> None:
    """What babe2 makes of the example, and its report, in which the machine's folders are not named."""
    report = HERE / f"{name}.restored.json"
    made = HERE / f"{name}.restored.flac"
    run(command, HERE / f"{name}.flac", "-o", made, "--report", report, *words, "--threads", "1", "--overwrite")
    known = json.loads(report.read_text("utf-8"))
    known = {"threads": 1} | {key: value for key, value in known.items() if key not in ELSEWHERE}
    report.write_text(json.dumps(known, indent=1) + "\n", "utf-8")


def chained(name: str, chain: Chain) -> None:
    """The same by a chain, whose file lies beside it."""
    path = HERE / f"{name}.chain.yaml"
    path.write_text(chain.text(), "utf-8")
    restored(name, "--chain", path)


def picture(name: str) -> None:
    """A spectrogram: the left half of the example, the right half of what was made of it."""
    sounds = [audio.read(HERE / f"{name}{end}.flac") for end in ("", ".restored")]
    panels = figures.spectrogram_panels({str(i): (sound.audio, sound.sample_rate) for i, sound in enumerate(sounds)})
    left, right = (np.asarray(axes.images[0].get_array()) for axes in panels.axes[:2])
    middle = left.shape[1] // 2
    levels = np.concatenate([left[:, :middle], right[:, middle:]], axis=1)[::-1]
    levels = levels - levels.max()
    colours = (255 * SHELLAC(np.clip(1 + levels / 72, 0, 1))[..., :3]).astype(np.uint8)
    small = Image.fromarray(colours).resize(SIZE, Image.Resampling.LANCZOS)
    small.save(HERE / f"{name}.webp", quality=62, method=6)


def cylinder(sources: Path) -> None:
    source = sounding(sources / "real_piano" / "ligoratti_debussy_le_petit_negre.ogg", 1.0, 10.0, 0.3)
    noise = ("--noise-bank", sources / "shellac_noise", "--snr", "8", "--seed", "2")
    run("degrade", source, "-o", HERE / "old.wav", "--family", "cylinder", *noise, "--overwrite")
    kept("cylinder", HERE / "old.wav", 22_050)
    chained("cylinder", Chain.load("cylinder"))


def singer(sources: Path) -> None:
    source = sounding(sources / "singing" / "vocadito_10.flac", 0.0, 9.0, 0.3)
    run("degrade", source, "-o", HERE / "old.wav", "--family", "horn", "--seed", "2", "--overwrite")
    kept("singer", HERE / "old.wav", 22_050)
    chained("singer", A_SINGER)


def prelude(sources: Path) -> None:
    source = sounding(sources / "real_piano" / "ishizaka_bach_bwv846_soglia.ogg", 0.0, 8.0, 0.35)
    kept("prelude", source, 22_050)
    restored("prelude")


def clip() -> None:
    run("generate-test-clips", "-o", HERE / "clips", "--count", "6", "--seconds", "6", "--overwrite")
    sound, rate = soundfile.read(HERE / "clips" / "sample_006.wav")
    audio.write(HERE / "clip.flac", sound[None].astype(np.float32), rate, subtype="PCM_16", overwrite=True)
    restored("clip", command="master")
    (HERE / "clip.chain.yaml").write_text(Chain.load("master").text(), "utf-8")
    shutil.rmtree(HERE / "clips")


if __name__ == "__main__":
    wanted = sys.argv[2:] or ["cylinder", "singer", "prelude", "clip", "old_variation"]
    for each in wanted:
        if each == "clip":
            clip()
        elif each != "old_variation":
            globals()[each](Path(sys.argv[1]))
        picture(each)
    for left_over in ("source.wav", "old.wav"):
        (HERE / left_over).unlink(missing_ok=True)
