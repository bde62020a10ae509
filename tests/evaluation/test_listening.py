"""A listening test: what is handed out, what comes back from a browser, and what follows from it."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path

import numpy as np
import pytest
import soundfile
import yaml
from playwright.sync_api import Page

from babe2.commands.main import main
from babe2.dsp.loudness import integrated_loudness
from babe2.evaluation.answers import Answer, Key, analysed

pytest_plugins = ["browser"]
RATE = 22_050


@pytest.fixture(scope="module")
def places(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two recordings in three versions of different loudness, rate and length."""
    folder, draw = tmp_path_factory.mktemp("versions"), np.random.default_rng(0)
    for version in ("original", "ours", "theirs"):
        (folder / version).mkdir()
    for name, hertz in (("one", 220), ("two", 440)):
        tone = np.sin(2 * np.pi * hertz * np.arange(RATE) / RATE) + 0.1 * draw.standard_normal(RATE)
        soundfile.write(folder / "original" / f"{name}.wav", 0.1 * tone, RATE)
        soundfile.write(folder / "ours" / f"{name}.restored.wav", 0.4 * tone[:-500], RATE)
        soundfile.write(folder / "theirs" / f"{name}.flac", np.stack([0.01 * np.repeat(tone, 2)] * 2, axis=1), 2 * RATE)
    return folder


def made(places: Path, output: Path, *more: str) -> Path:
    versions = ["--condition", f"ours={places / 'ours'}", "--condition", f"theirs={places / 'theirs'}"]
    assert main(["listening-test", *versions, *more, "--seconds", "1", "--seed", "3", "-o", str(output)]) == 0
    return output


@pytest.fixture(scope="module")
def mushra(places: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return made(places, tmp_path_factory.mktemp("test"), "--reference", str(places / "original"))


def conditions(test: Path) -> dict[str, str]:
    return {sound["sound"]: sound["condition"] for sound in json.loads((test / "key.json").read_text())["sounds"]}


def test_nothing_that_is_given_away_tells_which_sound_is_which(mushra: Path) -> None:
    names = set(conditions(mushra).values())
    assert names == {"ours", "theirs", "hidden reference", "anchor 7 kHz", "anchor 3.5 kHz"}
    page, other = ((mushra / "listen" / name).read_text() for name in ("index.html", "webmushra.yaml"))
    asked = page[page.index('type="application/json"') : page.rindex("<script>")]
    assert not any(name in text for name in ("ours", "theirs", "kHz") for text in (other, asked))
    stimuli = [sound for trial in yaml.safe_load(other)["pages"][:-1] for sound in trial["stimuli"].values()]
    assert sorted(stimuli) == sorted(f"sounds/{sound}" for sound in conditions(mushra))


def test_all_sounds_are_equally_loud_and_long(mushra: Path) -> None:
    heard = [soundfile.read(path, always_2d=True) for path in (mushra / "listen" / "sounds").iterdir()]
    # The low anchor of a tone with noise is as loud as the others too.
    assert {round(integrated_loudness(sound.T, rate)) for sound, rate in heard} == {-23}
    # The shorter version decides.
    assert {len(sound) / rate for sound, rate in heard} == {(RATE - 500) / RATE}


def test_the_same_seed_makes_the_same_test(mushra: Path, places: Path, tmp_path: Path) -> None:
    again = made(places, tmp_path, "--reference", str(places / "original"))
    for path in sorted(mushra.rglob("*.*")):
        assert (again / path.relative_to(mushra)).read_bytes() == path.read_bytes()


@pytest.mark.parametrize(
    ("more", "sentence"),
    [
        (["--condition", "a={}/ours"], "at least two conditions"),
        (["--condition", "a={}/ours", "--condition", "a={}/theirs"], "one name"),
        (["--condition", "ours"], "is no condition"),
        (["--condition", "a={}/ours", "--condition", "b={}/theirs", "--kind", "mushra"], "needs the original"),
        (["--condition", "a={}/ours", "--condition", "b={}/nothing"], "nothing"),
        (["--condition", "a={}/ours", "--condition", "b={}/theirs", "--seconds", "0"], "0.5 to 60 seconds"),
    ],
)
def test_what_cannot_be_asked_is_refused_in_a_sentence(
    places: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], more: list[str], sentence: str
) -> None:
    words = [word.format(places) for word in more]
    assert main(["listening-test", *words, "-o", str(tmp_path / "t")]) == 1
    assert sentence in capsys.readouterr().err
    assert not (tmp_path / "t").exists() or not list((tmp_path / "t").rglob("*.wav"))


def test_what_is_rated_in_a_browser_comes_back(
    mushra: Path, opened: Callable[[], AbstractContextManager[Page]], tmp_path: Path
) -> None:
    with opened() as page:
        page.goto((mushra / "listen" / "index.html").as_uri())
        page.get_by_label("Your name").fill("=Ann, B")
        page.get_by_role("button", name="Begin").click()
        for _ in range(2):
            page.get_by_role("button", name="Reference").click()
            page.keyboard.press("2")
            page.wait_for_timeout(300)
            assert page.get_by_role("button", name="Sound 2").get_attribute("aria-pressed") == "true"
            assert page.get_by_role("button", name="Next").is_disabled()
            for i in range(1, 6):
                page.get_by_label(f"Rating of sound {i}", exact=True).fill(str(10 * i))
            page.get_by_role("button", name="Next").click()
        with page.expect_download() as download:
            page.get_by_role("button", name="Save my answers").click()
        download.value.save_as(tmp_path / "answers.csv")
    rows = list(csv.DictReader((tmp_path / "answers.csv").read_text().splitlines()))
    assert len(rows) == 10 and {row["listener"] for row in rows} == {"'=Ann, B"}
    assert sorted(int(row["rating"]) for row in rows) == sorted(2 * [10, 20, 30, 40, 50])
    assert sum(float(row["seconds"]) > 0.1 for row in rows) == 2
    assert main(["listening-test", "--analyse", str(tmp_path / "answers.csv"), "--key", str(mushra / "key.json")]) == 1


def test_of_two_sounds_the_preferred_one_comes_back(
    places: Path, opened: Callable[[], AbstractContextManager[Page]], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    made(places, tmp_path)
    key = conditions(tmp_path)
    with opened() as page:
        page.goto((tmp_path / "listen" / "index.html").as_uri())
        page.get_by_label("Your name").fill("Ann")
        page.get_by_role("button", name="Begin").click()
        for _ in range(2):
            first = page.evaluate("players[0].name")
            page.get_by_role("button", name=f"I prefer {'A' if key[first] == 'ours' else 'B'}").click()
            page.get_by_role("button", name="Next").click()
        with page.expect_download() as download:
            page.get_by_role("button", name="Save my answers").click()
        download.value.save_as(tmp_path / "a.csv")
    capsys.readouterr()
    words = ["--analyse", str(tmp_path / "a.csv"), "--key", str(tmp_path / "key.json"), "--json"]
    assert main(["listening-test", *words]) == 0
    found = json.loads(capsys.readouterr().out)
    assert [(row["condition"], row["mean"]) for row in found["conditions"]] == [("ours", 1), ("theirs", 0)]


KEY = Key("mushra", {})


def ratings(listener: str, **by_condition: float) -> list[Answer]:
    told = [(name.replace("_", " "), rating) for name, rating in by_condition.items()]
    return [Answer(listener, question, name, rating) for name, rating in told for question in ("1", "2")]


def test_who_does_not_hear_the_reference_is_left_out_and_differences_are_those_within_a_question() -> None:
    answers = ratings("deaf", hidden_reference=20, ours=0, theirs=100)
    for i in range(4):
        answers += ratings(f"{i}", hidden_reference=100, ours=70 + 9 * i, theirs=60 + 9 * i)
    found = analysed(answers, KEY)
    assert found["left_out"] == ["deaf"] and found["listeners"] == 4
    means = {row["condition"]: row for row in found["conditions"]}
    assert means["ours"]["mean"] == pytest.approx(83.5) and means["ours"]["low"] < 80 < 88 < means["ours"]["high"]
    (pair,) = (each for each in found["differences"] if (each["better"], each["worse"]) == ("ours", "theirs"))
    assert (pair["mean"], pair["low"], pair["high"], pair["sure"]) == (10, 10, 10, True)  # though the ratings overlap


@pytest.mark.parametrize(
    ("text", "sentence"),
    [("a,b\n1,2\n", "holds no answers"), ("listener,question,trial,sound,rating\nA,0,t,x.wav,5\n", "no sound of this"),
     ("listener,question,trial,sound,rating\nA,0,t,{},500\n", "is no rating")],
)  # fmt: skip
def test_answers_that_are_none_are_refused_in_a_sentence(
    mushra: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], text: str, sentence: str
) -> None:
    (tmp_path / "a.csv").write_text(text.format(next(iter(conditions(mushra)))))
    assert main(["listening-test", "--analyse", str(tmp_path / "a.csv"), "--key", str(mushra / "key.json")]) == 1
    assert sentence in capsys.readouterr().err
