"""The page at work: what is dropped on it, what is under way, many sides and many visitors, in a real browser."""

from __future__ import annotations

import base64
import logging
import os
import re
import time
import zipfile
from contextlib import ExitStack
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
import soundfile
from axe import complaints_of_axe
from gradio_client import handle_file
from house import EXAMPLE, PATIENCE, TWELVE_SECONDS, House, assert_idle, housed
from playwright.sync_api import Browser, Page, Route, expect
from visitor import (
    DONE,
    SIZES,
    Opened,
    ask,
    begin,
    in_view,
    set_to,
    taken,
    titles,
    upload,
    visit,
)

pytest_plugins = ["browser", "house"]

reads_films = pytest.mark.skipif(find_spec("av") is None, reason="the extra formats is not installed")


DROP = """([selector, name, text]) => {
  const files = new DataTransfer();
  files.items.add(new File([Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0))], name));
  const drop = new DragEvent("drop", { dataTransfer: files, bubbles: true, cancelable: true });
  document.querySelector(selector).dispatchEvent(drop);
}"""


def drop(page: Page, selector: str, name: str, content: bytes) -> None:
    page.evaluate(DROP, [selector, name, base64.b64encode(content).decode()])


def test_files_can_be_dropped_on_each_other_and_what_cannot_be_read_is_refused_unsent(
    page: Page, house: House, recording: Path
) -> None:
    visit(page, house)
    page.set_input_files(
        "#recording input[type=file]", {"name": "song.midi", "mimeType": "audio/midi", "buffer": b"no sound"}
    )
    expect(page.locator("#refusal")).to_contain_text("song.midi\u201d cannot be read here. Save it as WAV or FLAC")
    drop(page, "#recording button", "old.wav", recording.read_bytes())
    expect(page.locator("#notice")).to_contain_text("length 2.0 s", timeout=PATIENCE)
    expect(page.locator("#refusal")).to_be_hidden()
    drop(page, "#desk .desk", "example.flac", EXAMPLE.read_bytes())
    expect(page.locator("#notice")).to_contain_text("length 12 s", timeout=PATIENCE)
    drop(page, "#recording", "song.mid", b"no sound")
    expect(page.locator("#refusal")).to_contain_text("song.mid")
    expect(page.locator("#notice")).to_contain_text("length 12 s")  # what was there is there
    drop(page, "#recording", "mine.yaml", b"stages: [rumble]")
    expect(page.locator("#refusal")).to_contain_text("mine.yaml\u201d is a chain. Choose")
    page.get_by_label("What to do").click()
    page.get_by_role("option", name="By a chain of your own").click()
    expect(page.locator("#chain textarea")).to_be_visible(timeout=PATIENCE)
    expect(page.locator("#method")).to_be_hidden()  # which the chain says
    drop(page, "#desk .desk", "mine.yaml", b"stages: [rumble]")
    expect(page.locator("#time-needed")).to_have_text("12 s of sound, 1 stage.", timeout=PATIENCE)
    assert complaints_of_axe(page) == []
    begin(page, DONE)
    expect(page.locator("#desk [data-name=restored] .title")).to_have_text("By the chain", timeout=PATIENCE)
    assert titles(page) == ["recording", "restored", "added"]
    assert taken(page, "chain-taken").read_text("utf-8") == "title: rumble\nstages:\n- rumble\n"


@pytest.mark.skipif(find_spec("av") is not None, reason="the extra formats is installed")
def test_a_memo_is_refused_unsent_where_nothing_can_read_it(page: Page, house: House) -> None:
    visit(page, house)
    drop(page, "#recording", "film.mp4", b"no sound")
    expect(page.locator("#refusal")).to_contain_text("film.mp4")


@reads_films
@pytest.mark.parametrize("how", ["chosen", pytest.param("dropped", marks=pytest.mark.slow)])
def test_a_film_from_a_telephone_is_restored(page: Page, house: House, tmp_path: Path, how: str) -> None:
    film = filmed(tmp_path / "film.mp4")
    visit(page, house)
    if how == "chosen":
        page.set_input_files("#recording input[type=file]", film)
    else:
        drop(page, "#recording", film.name, film.read_bytes())
    expect(page.locator("#notice")).to_contain_text("length 2.0 s", timeout=PATIENCE)
    set_to(page, steps=2)
    page.get_by_label("Draft").check()
    begin(page, DONE)
    file = taken(page, "file")
    assert soundfile.info(file).frames == 2 * 44_100 and "film.restored.wav" in file.name


def filmed(path: Path) -> Path:
    """Two seconds of the example, in a film."""
    import av

    sound = np.repeat(soundfile.read(EXAMPLE, frames=44_100, dtype="float32")[0], 2)[None]
    with av.open(str(path), "w") as container:
        picture, stream = (
            container.add_stream("mpeg4", rate=25),
            container.add_stream("aac", rate=44_100, layout="mono"),
        )
        picture.width, picture.height, picture.pix_fmt = 64, 48, "yuv420p"
        black = av.VideoFrame.from_ndarray(np.zeros((48, 64, 3), np.uint8), format="rgb24")
        container.mux(picture.encode(black))
        container.mux(picture.encode())
        frame = av.AudioFrame.from_ndarray(sound, format="fltp", layout="mono")
        frame.sample_rate, frame.pts = 44_100, 0
        resampler = av.AudioResampler("fltp", "mono", 44_100, frame_size=1024)
        for part in [*resampler.resample(frame), *resampler.resample(None)]:
            container.mux(stream.encode(part))
        container.mux(stream.encode())
    return path


def test_another_place_is_looked_at_and_an_impossible_one_told(page: Page, house: House) -> None:
    upload(page, house, TWELVE_SECONDS)
    page.get_by_label("From", exact=True).fill("3")
    page.get_by_label("For", exact=True).fill("2")
    page.keyboard.press("Tab")
    expect(page.locator("#desk [data-desk=clock]")).to_have_text("0:03.0 / 0:05.0", timeout=PATIENCE)
    expect(page.locator("#time-needed")).to_contain_text("2.0 s of sound", timeout=PATIENCE)
    strip = page.locator("#strip")
    expect(strip).to_contain_text("0:03.0 to 0:05.0 of 0:12.0")
    strip.get_by_role("slider", name="where it begins").press("ArrowRight")
    expect(page.get_by_label("From", exact=True)).to_have_value("4", timeout=PATIENCE)
    strip.get_by_role("slider", name="where it ends").press("ArrowRight")
    expect(page.locator("#desk [data-desk=clock]")).to_have_text("0:04.0 / 0:07.0", timeout=PATIENCE)
    window, film = (strip.locator(f"[data-strip={part}]").bounding_box() for part in ("window", "film"))
    assert window and film
    x, y = window["x"] + window["width"] / 2, window["y"] + window["height"] / 2
    page.mouse.move(x, y)
    page.mouse.down()
    page.mouse.move(x + film["width"] / 12, y, steps=3)  # by a second
    page.mouse.up()
    expect(page.locator("#desk [data-desk=clock]")).to_have_text("0:05.0 / 0:08.0", timeout=PATIENCE)
    expect(page.locator("#recording").get_by_label("Play", exact=True)).to_be_hidden()  # there is one player
    page.get_by_label("The whole recording").check()
    expect(page.get_by_label("From", exact=True)).to_be_disabled(timeout=PATIENCE)
    expect(page.locator("#desk [data-desk=clock]")).to_have_text("0:00.0 / 0:12.0", timeout=PATIENCE)
    page.get_by_label("The whole recording").uncheck()
    expect(page.get_by_label("From", exact=True)).to_be_enabled(timeout=PATIENCE)
    page.get_by_label("From", exact=True).fill("500")
    page.keyboard.press("Tab")
    expect(page.locator("#problem")).to_contain_text("begins at 8:20", timeout=PATIENCE)
    expect(page.locator("#restore")).to_be_disabled(timeout=PATIENCE)
    expect(page.locator("#time-needed")).to_be_empty()


def test_a_checkpoint_that_cannot_be_had_is_marked_and_told_beforehand(
    page: Page, house: House, recording: Path
) -> None:
    upload(page, house, recording)
    page.get_by_label("Which music").click()
    page.get_by_role("option", name="Enrico Caruso, tenor (not on this machine").click()
    expect(page.locator("#problem")).to_contain_text("may use no network", timeout=PATIENCE)
    expect(page.locator("#restore")).to_be_disabled(timeout=PATIENCE)


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("song.wav", "song.wav"),
        pytest.param("silence.wav", "This recording is silent", marks=pytest.mark.slow),
    ],
)
def test_what_cannot_be_restored_is_told_and_stays_to_be_read(
    browser: Browser, house: House, tmp_path: Path, name: str, told: str
) -> None:
    page = browser.new_page()  # whose console may complain: the player cannot read it either
    path = tmp_path / name
    if name == "silence.wav":
        soundfile.write(path, np.zeros(22_050), 22_050)
    else:
        path.write_bytes(b"this is no sound" * 100)
    visit(page, house)
    page.set_input_files("#recording input[type=file]", path)
    expect(page.locator("#problem")).to_contain_text(told, timeout=PATIENCE)
    assert "/" not in page.locator("#problem p").inner_text()
    expect(page.locator("#restore")).to_be_disabled()
    page.close()


# Under way


SHORT_SEGMENTS = {"segment_length": 45_056, "overlap": 0.1}


def test_the_sound_so_far_can_be_heard_and_a_stop_keeps_what_is_finished(page: Page, house: House) -> None:
    page.set_viewport_size(SIZES["phone"])  # type: ignore[arg-type]
    upload(page, house, EXAMPLE)
    page.get_by_label("The whole recording").check()
    set_to(page, steps=20, **SHORT_SEGMENTS)
    begin(page)
    assert in_view(page, "#stop") and in_view(page, "#status progress")
    expect(page.locator("#desk [data-name=restored]")).to_contain_text("Restored so far", timeout=PATIENCE)
    page.locator("#desk [data-desk=play]").click()
    page.locator("#desk [data-desk=loop]").click()
    page.wait_for_function("() => document.querySelector('#desk .desk').parentElement.desk.position() > 2000")
    before = page.locator("#live-picture img").get_attribute("src")
    expect(page.locator("#live-picture img")).not_to_have_attribute("src", str(before), timeout=PATIENCE)
    assert ask(page, "playing()")  # what is newer has not interrupted it
    assert complaints_of_axe(page) == []
    expect(page.locator("#status")).to_contain_text(re.compile("segment [2-9] of"), timeout=PATIENCE)
    page.click("#stop")
    expect(page.locator("#status")).to_contain_text("Stopped after", timeout=PATIENCE)
    expect(page.locator("#restore")).to_be_visible(timeout=PATIENCE)
    expect(page.locator("#problem")).to_be_hidden()
    assert 0 < page.locator("#status progress").evaluate("bar => bar.value") < 0.9
    assert 1 < soundfile.info(taken(page, "file")).duration < 11
    assert_idle(house)


def test_to_stop_before_anything_is_finished_is_no_error(page: Page, house: House, recording: Path) -> None:
    upload(page, house, recording)
    set_to(page, steps=500)
    begin(page)
    page.click("#stop")
    expect(page.locator("#status")).to_contain_text("Stopped before anything was finished", timeout=PATIENCE)
    expect(page.locator("#restore")).to_be_enabled(timeout=PATIENCE)
    expect(page.locator("#problem")).to_be_hidden()
    assert page.get_by_test_id("toast-body").count() == 0
    assert_idle(house)


def test_what_is_told_at_once_and_at_last_is_all_shown(page: Page, house: House, recording: Path) -> None:
    upload(page, house, recording)
    set_to(page, steps=500)
    page.route("**/queue/join*", answered_late)  # by then the run has told of its first steps
    begin(page)
    page.click("#stop")
    expect(page.locator("#restore")).to_be_enabled(timeout=PATIENCE)


def answered_late(route: Route) -> None:
    answer = route.fetch()
    time.sleep(3)
    route.fulfill(response=answer)


def test_who_waits_can_leave_at_once(page: Page, opened: Opened, house: House, recording: Path) -> None:
    upload(page, house, recording)
    set_to(page, steps=2000)
    begin(page)
    with opened() as other:
        upload(other, house, recording)
        other.click("#restore")
        expect(other.locator("#status")).to_contain_text("waiting for its turn, 1 before it", timeout=PATIENCE)
        other.click("#leave")
        expect(other.locator("#restore")).to_be_enabled(timeout=PATIENCE)
        expect(other.locator("#status")).to_be_empty()
        expect(page.locator("#status")).to_contain_text("step")  # the first one goes on
        page.click("#stop")
        expect(page.locator("#restore")).to_be_enabled(timeout=PATIENCE)
        set_to(other, steps=2)
        begin(other, DONE)  # who left may come again


def test_a_box_of_records_is_restored_heard_taken_and_found_again(
    page: Page, house: House, recording: Path, tmp_path: Path
) -> None:
    sound, rate = soundfile.read(recording)
    namesake, broken = tmp_path / recording.name, tmp_path / "broken.wav"
    soundfile.write(namesake, -sound[: rate // 2], rate)
    broken.write_bytes(b"no sound" * 99)
    visit(page, house)
    set_to(page, steps=2)
    page.get_by_label("Draft").check()
    page.get_by_role("button", name="A box of records").click()
    page.set_input_files("#box input[type=file]", [recording, broken, namesake])
    rows = page.locator("#box-table tbody tr")
    expect(rows).to_have_count(3, timeout=PATIENCE)
    expect(rows.nth(1)).to_contain_text("failed")
    expect(page.locator("#box-time")).to_contain_text("2 sides, 2.5 s of sound, will take", timeout=PATIENCE)
    page.click("#box-go")
    expect(page.locator("#box-status")).to_contain_text("2 of 3 sides done, 1 failed", timeout=PATIENCE)
    assert complaints_of_axe(page) == []
    page.set_viewport_size(SIZES["phone"])  # type: ignore[arg-type]
    page.evaluate("document.body.classList.add('dark')")
    assert complaints_of_axe(page) == []
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")

    with page.expect_download(timeout=PATIENCE) as one:
        page.get_by_role("button", name="Download Grüße an Clara (2).wav, restored").click()
    with page.expect_download(timeout=PATIENCE) as packed:
        page.click("#box-zip")
    assert soundfile.info(one.value.path()).frames == rate // 2
    with zipfile.ZipFile(packed.value.path()) as archive:
        sides = ["Grüße an Clara.restored.wav", "Grüße an Clara (2).restored.wav"]
        assert archive.namelist() == ["restorations.csv", *sides]
    page.get_by_role("button", name="Hear Grüße an Clara.wav, restored").click()
    expect(page.locator("#desk [data-name=restored]")).to_be_visible(timeout=PATIENCE)
    expect(page.locator("#file")).to_be_enabled(timeout=PATIENCE)
    page.wait_for_timeout(1000)  # to be left while it asks for nothing
    visit(page, house)
    expect(rows.first).to_contain_text("restored", timeout=PATIENCE)
    expect(page.locator("#file")).to_be_enabled(timeout=PATIENCE)
    page.click("#box-empty")
    expect(rows).to_have_count(0, timeout=PATIENCE)


def test_another_recording_ends_the_run_and_clears_the_page(page: Page, house: House, recording: Path) -> None:
    upload(page, house, recording)
    set_to(page, steps=2000)
    begin(page)
    page.get_by_label("Clear").first.click()
    expect(page.locator("#notice")).to_contain_text("Nothing here yet", timeout=PATIENCE)
    expect(page.locator("#status")).to_be_empty(timeout=PATIENCE)
    expect(page.locator("#file")).to_be_hidden()
    assert_idle(house)


def test_closing_the_page_ends_the_work(browser: Browser, house: House, recording: Path) -> None:
    page = browser.new_page()
    upload(page, house, recording)
    set_to(page, steps=2000)
    begin(page)
    page.close()
    assert_idle(house)


# Many at once

VISITORS, BROWSERS = 20, 3
RUNS = int(os.environ.get("BABE2_TEST_RUNS", 50))  # in all; those of the visitors are the first of them


def pieces(folder: Path) -> list[Path]:
    """As many pieces of music as there are visitors; no two are one place or one length."""
    sound, rate = soundfile.read(EXAMPLE)
    paths = [folder / f"{number}.wav" for number in range(VISITORS + BROWSERS)]
    for number, path in enumerate(paths):
        start = round(0.45 * number * rate)
        soundfile.write(path, sound[start : start + round((0.6 + 0.02 * number) * rate)], rate)
    return paths


def whose(restored: Path, paths: list[Path]) -> int:
    """Which of some pieces a restoration is most like, sample by sample."""
    sound = soundfile.read(restored)[0]

    def likeness(path: Path) -> float:
        piece = soundfile.read(path, frames=len(sound))[0]
        return abs(float(sound[: len(piece)] @ piece)) / float(np.linalg.norm(sound) * np.linalg.norm(piece))

    return max(range(len(paths)), key=lambda number: likeness(paths[number]))


@pytest.mark.slow
def test_twenty_programs_and_three_browsers_hear_each_their_own(
    browser: Browser, opened: Opened, tmp_path: Path
) -> None:
    """Each has a piece of its own. Those who wait are told how many are before them, and the memory stays flat."""
    sounds = pieces(tmp_path)
    (tmp_path / "house").mkdir()
    with housed(tmp_path / "house", BABE2_QUEUE="60") as house, ExitStack() as stack:
        pages = [stack.enter_context(opened()) for _ in range(BROWSERS)]
        for page, sound in zip(pages, sounds[VISITORS:], strict=True):
            upload(page, house, sound)
            page.get_by_label("Draft").check()
            set_to(page, steps=2)
        clients = [house.client() for _ in range(VISITORS)]
        wish = {"preset": "draft", "duration": 5, "api_name": "/restore"}
        pairs = zip(clients, sounds, strict=False)
        jobs = [client.submit(handle_file(str(sound)), **wish) for client, sound in pairs]
        while any(job.status().code.name in ("STARTING", "JOINING_QUEUE") for job in jobs):
            time.sleep(0.2)  # the programs are in line first
        for page in pages:
            page.click("#restore")
        places = told_places(pages)
        assert all(0 < place < VISITORS + BROWSERS for place in places), places
        sizes = []
        for number, (job, sound) in enumerate(zip(jobs, sounds, strict=False)):
            file, *_ = job.result(timeout=900)
            sizes.append(house.resident())
            assert soundfile.info(file).frames == soundfile.info(sound).frames
            assert whose(file, sounds) == number
        for number, (page, sound) in enumerate(zip(pages, sounds[VISITORS:], strict=True), VISITORS):
            expect(page.locator("#status")).to_contain_text(DONE, timeout=4 * PATIENCE)
            file = taken(page, "file")
            assert soundfile.info(file).frames == soundfile.info(sound).frames
            assert whose(file, sounds) == number
        for number in range(RUNS - VISITORS - BROWSERS):
            clients[number % VISITORS].predict(handle_file(str(sounds[number % VISITORS])), **wish)
            sizes.append(house.resident())
        logging.getLogger(__name__).warning("Told %s; megabytes after each run: %s", places, [*map(round, sizes)])
        assert max(sizes) < 1.1 * max(sizes[:10]), sizes
    assert "Traceback" not in (tmp_path / "house" / "log").read_text()


def told_places(pages: list[Page]) -> list[int]:
    """How many are before each of some visitors, who were told the truth once no two have one place in line."""
    for _ in range(300):
        said = [page.locator("#status").inner_text() for page in pages]
        places = [int(found[1]) for words in said if (found := re.search(r"(\d+) before it", words))]
        if len(set(places)) == len(pages):
            return places
        time.sleep(0.2)
    pytest.fail(f"Two visitors have one place in line: {said}")


@pytest.mark.slow
def test_memory_stays_flat_over_fifty_runs(house: House, recording: Path) -> None:
    client, sizes = house.client(), []
    for number in range(50):
        client.predict(handle_file(str(recording)), preset="draft", seed=number, duration=2.0, api_name="/restore")
        sizes.append(house.resident())
    assert max(sizes[40:]) < 1.1 * max(sizes[5:15]), sizes
