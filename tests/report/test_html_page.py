"""A restoration as a page that opens from the disk: what it holds, that it is whole, and a listener before it."""

from __future__ import annotations

import base64
import hashlib
import io
import json
from collections.abc import Callable
from contextlib import AbstractContextManager
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote

import numpy as np
import pytest
import soundfile as sf
from axe import complaints_of_axe
from conftest import CHECKPOINT
from music import music
from playwright.sync_api import Page

from babe2 import RestorationError
from babe2.commands.main import main
from babe2.report import evidence
from babe2.report.finished import FinishedRun, differences, finished_runs, unpacked
from babe2.report.html_page import Links, page
from babe2.report.html_pages import IndexedPages
from babe2.report.html_sound import HEARD_SECONDS, heard, playable, told

pytest_plugins = ["browser"]

RATE = 8000
NAME = "<img src=x onerror=alert(1)> </script>".replace("/", "\N{FRACTION SLASH}")  # no name on a disk has a slash
WORDS = "</script><script>alert(2)</script>"  # but a report may say anything
REPORT = {"method": "babe2", "segments": [], "verdict": "It gained 9 dB.", "band": {"ends": True, "high_hz": 3500.0}}
EMPTY = {"img", "input", "source", "meta", "br", "link"}
ALONE = Links(Path("page.html"), None)
Opened = Callable[[], AbstractContextManager[Page]]


class Seen(HTMLParser):
    """A page as a browser sees it: all elements with their attributes, and the text in each kind of element."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.texts: dict[str, list[str]] = {}
        self._open: list[str] = []
        self.feed(text)
        assert self._open == []

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attributes)))
        if tag not in EMPTY:
            self._open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        if self._open[-1:] == [tag]:
            self._open.pop()

    def handle_data(self, data: str) -> None:
        if self._open:
            self.texts.setdefault(self._open[-1], []).append(data)

    def said(self) -> str:
        return " ".join(" ".join(words) for kind, words in self.texts.items() if kind not in ("script", "style"))

    def of(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.elements if name == tag]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A restored recording of six seconds with its report and its page, whose name would like to be markup."""
    folder = tmp_path_factory.mktemp("side")
    sf.write(folder / f"{NAME}.wav", 3 * music(6.0, RATE).T, RATE, "PCM_16")
    restoring = ["restore", str(folder / f"{NAME}.wav"), "--checkpoint", CHECKPOINT, "--method", "ltas-eq"]
    written = ["--report", str(folder / "report.json"), "--page", str(folder / "page.html")]
    assert main([*restoring, "--start", "1", *written]) == 0
    return folder


@pytest.fixture(scope="module")
def seen(folder: Path) -> Seen:
    return Seen((folder / "page.html").read_text("utf-8"))


# What a page holds


def test_a_page_holds_all_that_it_shows_and_leads_to_files_beside_it(seen: Seen, folder: Path) -> None:
    for tag, attributes in seen.elements:
        for name in ("src", "srcset", "href", "action", "poster", "data"):
            if (address := attributes.get(name)) is None:
                continue
            inside = address.startswith(("data:", "#"))
            assert inside or (tag == "a" and (folder / unquote(address)).is_file()), address[:80]
    style = " ".join(seen.texts["style"])
    assert not any(word in style for word in ("url(", "@import", "http:", "https:"))
    links = {unquote(each["href"] or "") for each in seen.of("a") if not (each["href"] or "").startswith("#")}
    assert links == {f"{NAME}.wav", f"{NAME}.restored.wav"}


def test_a_name_and_a_sentence_stay_words(seen: Seen) -> None:
    assert seen.texts["h1"] == [f"{NAME}.wav"]
    assert not [name for _, attributes in seen.elements for name in attributes if name.startswith("on")]
    assert {each["src"][:5] for each in seen.of("img") if each["src"]} == {"data:"}
    wild = {
        "method": WORDS,
        "segments": [],
        "input": WORDS,
        "warnings": [WORDS],
        "verdict": WORDS,
        "settings": {WORDS: 1},
    }
    found = Seen(page(FinishedRun(wild, None, None, command=WORDS), Links(Path("p.html"), None)))
    assert found.said().count(WORDS) >= 4
    assert len(found.of("script")) == 1


def test_the_only_script_is_the_one_that_the_policy_names(seen: Seen) -> None:
    (policy,) = (each["content"] or "" for each in seen.of("meta") if each.get("http-equiv"))
    scripts = [attributes for attributes in seen.of("script") if attributes.get("type") != "application/json"]
    assert len(scripts) == 1
    digest = base64.b64encode(hashlib.sha256(seen.texts["script"][-1].encode()).digest()).decode()
    assert f"script-src 'sha256-{digest}'" in policy and "default-src 'none'" in policy


def test_headings_pictures_and_sounds_have_names(seen: Seen) -> None:
    ids = [each["id"] for _, each in seen.elements if "id" in each]
    assert len(ids) == len(set(ids))
    assert all(each["aria-labelledby"] in ids for each in seen.of("section") if "aria-labelledby" in each)
    assert all((each["alt"] or "") and each["width"] for each in seen.of("img"))
    assert [each["aria-label"] for each in seen.of("audio")] == ["Recording", "LTAS-EQ", "What was added"]
    assert seen.of("html")[0]["lang"] == "en" and len(seen.of("main")) == 1


def test_the_numbers_and_how_it_was_made_are_told(seen: Seen, folder: Path) -> None:
    report, said = json.loads((folder / "report.json").read_text()), seen.said()
    digest = hashlib.sha256((folder / f"{NAME}.restored.wav").read_bytes()).hexdigest()
    for words in (report["verdict"], report["statement"], digest, "Change of each octave", "Gain of each octave"):
        assert words in said
    assert report["excerpt"] == {"start": 1.0, "seconds": 5.0} and "0:01 of the recording on" in said
    assert "babe2 restore '_img" in said and "--method ltas-eq" in said


def test_the_sounds_in_the_page_are_those_of_the_files(seen: Seen, folder: Path) -> None:
    content = [base64.b64decode((each["src"] or "").partition("base64,")[2]) for each in seen.of("audio")]
    recording, restored, added = (sf.read(io.BytesIO(each))[0] for each in content)
    before, after = (sf.read(folder / f"{NAME}{ending}")[0] for ending in (".wav", ".restored.wav"))
    np.testing.assert_allclose(recording, before[RATE:], atol=2**-15)
    np.testing.assert_allclose(restored, after, atol=2**-15)
    np.testing.assert_allclose(added, after - before[RATE:], atol=2**-15)


def test_what_is_certain_is_told_where_a_report_tells_it() -> None:
    octaves = [
        {"octave_hz": 1000.0, "cells": 9, "measured": 70.0, "inferred": 20.0, "imagined": 10.0},
        {"octave_hz": 8000.0},
    ]
    report = {
        "method": "babe2",
        "segments": [],
        "input": "a.wav",
        "certainty": {"octaves": octaves, "words": "Mostly."},
    }
    found = Seen(page(FinishedRun(report, None, None), Links(Path("p.html"), None)))
    assert "Mostly." in found.said() and "What is certain" in found.texts["h2"]
    assert [each["style"] for each in found.of("span") if "style" in each] == [
        "width:70.0%",
        "width:20.0%",
        "width:10.0%",
    ]


# Sound


def test_of_a_long_recording_the_liveliest_part_is_heard_and_said_to_be(tmp_path: Path) -> None:
    quiet, loud = music(50.0, RATE) / 100, slice(20 * RATE, 35 * RATE)
    quiet[:, loud] = music(15.0, RATE, seed=1)
    for name, gain in (("a.wav", 1), ("b.wav", 16)):  # the second passes full scale
        sf.write(tmp_path / name, gain * quiet.T, RATE, "FLOAT")
    run = FinishedRun({"excerpt": {"start": 0.0}}, tmp_path / "a.wav", tmp_path / "b.wav")
    found = heard(run, 10.0)
    assert 19.5 <= found.start <= 25 and found.seconds == 10.0
    playing = playable(found, {})
    assert playing is not None
    first, *_, softer = told(found, run.start, playing)
    assert first.startswith(f"Heard here: 10 s of 50 s, from 0:{int(found.start):02d} on;") and "softer here" in softer
    gains = {track["key"]: track["gain_db"] for track in playing.desk["tracks"]}
    assert gains["recording"] - gains["restored"] == pytest.approx(20 * np.log10(16), abs=0.05)
    assert heard(run, HEARD_SECONDS).seconds == HEARD_SECONDS


def test_odd_sounds_are_heard_as_a_browser_can(tmp_path: Path) -> None:
    sf.write(tmp_path / "a.wav", music(0.5, 96_000, channels=6).T, 96_000, "PCM_24")
    sf.write(tmp_path / "b.wav", music(0.5, 96_000).T, 96_000, "PCM_24")
    playing = playable(heard(FinishedRun({}, tmp_path / "a.wav", tmp_path / "b.wav")), {})
    assert playing is not None and playing.notes == [
        "Here all is heard at 48000 Hz.",
        "Here all channels are heard as one.",
    ]
    assert {sf.info(io.BytesIO(each)).channels for each in playing.sounds.values()} == {1}
    (tmp_path / "a.wav").write_bytes(b"no sound")
    alone = heard(FinishedRun({}, tmp_path / "a.wav", tmp_path / "b.wav"))
    assert alone.before is None and "a.wav is not audio we can read" in alone.warnings[0]
    assert [track["key"] for track in playable(alone, {}).desk["tracks"]] == ["restored"]  # type: ignore[union-attr]


# Where runs are found


def test_a_run_is_found_by_its_report_its_file_its_folder_and_its_pack(folder: Path, tmp_path: Path) -> None:
    restored, recording = folder / f"{NAME}.restored.wav", folder / f"{NAME}.wav"
    (by_report,), (by_file,), (by_folder,) = map(finished_runs, (folder / "report.json", restored, folder))
    for run in (by_report, by_file, by_folder):
        assert (run.recording, run.restored, run.start) == (recording, restored, 1.0)
    text = json.dumps(by_report.report | {"result": {"name": restored.name, "bytes": restored.stat().st_size}})
    papers = {"report.json": text.encode(), "reproduce.txt": b"babe2 restore a\n\nmakes"}
    pack = evidence.pack(tmp_path / "a.zip", papers, restored.name, restored)
    (packed,) = finished_runs(pack)
    assert packed.command == "babe2 restore a" and packed.restored is None
    with unpacked(packed) as run:
        assert run.restored is not None and run.restored.read_bytes() == restored.read_bytes()
        there = run.restored
    assert not there.exists()


def test_a_file_that_was_changed_since_is_told(folder: Path, tmp_path: Path) -> None:
    report = json.loads((folder / "report.json").read_text())
    sf.write(tmp_path / "other.wav", music(0.2, RATE).T, RATE)
    (said,) = differences(FinishedRun(report, None, tmp_path / "other.wav"))
    assert said.startswith("other.wav is not the file that this report tells of")


@pytest.mark.parametrize(
    ("name", "content", "sentence"),
    [("a.json", b"{}", "holds no report"), ("a.json", b"[", "holds no report"),
     ("a.json", b'{"stages": [3]}', "holds no report"),
     ("a.json", b'{"stages": [], "band": {"high_hz": "x"}}', "holds no report"), ("a.zip", b"PK", "no evidence pack"),
     ("a.wav", b"", "lies no report of it"), ("none", None, "is not there")],
)  # fmt: skip
def test_what_is_no_run_is_refused_in_a_sentence(
    tmp_path: Path, name: str, content: bytes | None, sentence: str
) -> None:
    if content is not None:
        (tmp_path / name).write_bytes(content)
    with pytest.raises(RestorationError, match=sentence):
        finished_runs(tmp_path / name)


def test_several_runs_get_an_index_that_is_whole_after_each(tmp_path: Path) -> None:
    pages = IndexedPages(tmp_path / "all.html")
    report = {
        "method": "babe2",
        "segments": [],
        "verdict": "It gained 9 dB.",
        "band": {"ends": True, "high_hz": 3500.0},
    }
    for folder in ("one", "two"):
        pages.add(
            FinishedRun(report | {"input": f"{folder}/side.wav", "output": f"{folder}/side.restored.wav"}, None, None)
        )
    assert "2 recordings restored." in (tmp_path / "all.html").read_text()
    pages.add(FinishedRun({"input": "bad.wav", "output": "bad", "error": "It is silent."}, None, None))
    seen = Seen((tmp_path / "all.html").read_text())
    addresses = [unquote(each["href"] or "") for each in seen.of("a")]
    assert addresses == ["all.pages/side.restored.html", "all.pages/side.restored-2.html"]
    assert all((tmp_path / address).is_file() for address in addresses)
    assert "2 recordings restored, 1 failed." in seen.said() and "It is silent." in seen.said()
    first = Seen((tmp_path / addresses[0]).read_text())
    assert "../all.html" in [each["href"] for each in first.of("a")]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["all.html", "all.pages"]


def test_a_page_is_never_written_over_a_sound_or_another_page(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for output, sentence in (("page.html", "exists already"), (f"{NAME}.wav", "no name for a page")):
        assert main(["report", str(folder / "report.json"), "-o", str(folder / output)]) == 1
        assert sentence in capsys.readouterr().err


# A listener before it

STATE = "document.querySelector('.listening').desk"


def wait_until(page: Page, condition: str) -> None:
    """Waits for a page whose policy lets nobody evaluate text, as Playwright's own waiting does."""
    for _ in range(500):
        if page.evaluate(condition):
            return
        page.wait_for_timeout(20)
    pytest.fail(f"It never came to be that {condition}")


def test_it_plays_switches_and_follows_in_a_browser_without_a_network(folder: Path, opened: Opened) -> None:
    with opened() as page:
        page.goto((folder / "page.html").as_uri())
        wait_until(page, f"{STATE}.state() === 'ready'")
        assert not page.locator(".plain").is_visible()
        page.keyboard.press("Space")
        wait_until(page, f"{STATE}.playing() && {STATE}.position() > 0.2 * {STATE}.rate()")
        page.keyboard.press("2")
        before = page.evaluate(f"{STATE}.position()")
        assert page.evaluate(f"[{STATE}.track(), {STATE}.playing()]") == ["restored", True]
        wait_until(page, f"{STATE}.position() > {before}")
        heard_now = page.locator(".spectrogram.heard")
        assert heard_now.get_attribute("data-key") == "restored"
        page.keyboard.press("Space")
        wait_until(page, f"!{STATE}.playing()")
        place = page.locator("[data-key=recording] .axes")
        box = place.bounding_box()
        assert box is not None
        place.click(position={"x": box["width"] / 2, "y": 5})
        length = page.evaluate(f"{STATE}.position() / {STATE}.rate()")
        assert length == pytest.approx(2.5, abs=0.1)  # half of five seconds
        page.keyboard.press("ArrowLeft")
        assert page.evaluate(f"{STATE}.position() / {STATE}.rate()") == pytest.approx(length - 2, abs=0.01)
        gains = page.evaluate(f"{STATE}.gains()")
        assert page.get_by_role("radio", name="LTAS-EQ").inner_text().count(f"{gains['restored']:+.1f}"[1:]) == 1
        for size, scheme in (((390, 844), "dark"), ((1280, 800), "light")):
            page.set_viewport_size({"width": size[0], "height": size[1]})
            page.emulate_media(color_scheme=scheme)  # type: ignore[arg-type]
            assert complaints_of_axe(page) == []
            assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
        page.emulate_media(media="print")
        assert not page.locator(".listening").is_visible() and page.locator(".pictures img").first.is_visible()
        assert page.locator("pre").is_visible() and page.locator("details table").is_visible()
