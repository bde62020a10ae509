"""The page as a stranger meets it, in a real browser."""

from __future__ import annotations

import base64
import hashlib
import json
import os
import re
import time
import zipfile
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
from axe import complaints_of_axe
from gradio_client import handle_file
from house import EXAMPLE, PATIENCE, ROOT, House, assert_idle, housed
from playwright.sync_api import Browser, Page, TimeoutError, expect

pytest_plugins = ["browser", "house"]

EXAMPLE_NAME = "Piano, as a horn of 1910 heard it"
TWELVE_SECONDS = ROOT / "examples" / "variation.flac"  # which was not restored beforehand
reads_films = pytest.mark.skipif(find_spec("av") is None, reason="the extra formats is not installed")
DONE = re.compile("Done:")
SIZES = {"desktop": {"width": 1280, "height": 800}, "phone": {"width": 390, "height": 844}}
# What axe-core finds that is Gradio's own and that neither an option nor a style sheet can mend: rule -> reason.
GRADIOS_OWN = {"aria-prohibited-attr": "the place of a picture that is not there yet has a name and no role"}

Opened = Callable[[], AbstractContextManager[Page]]


# The page


LISTENS = """() => {
  const files = new DataTransfer();
  files.items.add(new File([], "a"));
  const over = new DragEvent("dragover", { dataTransfer: files, bubbles: true, cancelable: true });
  return !document.body.dispatchEvent(over);
}"""


def visit(page: Page, house: House) -> None:
    """Opens the page, ready to be used."""
    page.goto(house.address)
    for part in ("#desk .desk", "#refusal"):
        expect(page.locator(part)).to_be_attached(timeout=PATIENCE)
    page.wait_for_function(LISTENS, timeout=PATIENCE)


def upload(page: Page, house: House, path: Path) -> None:
    """Opens the page and gives it a recording."""
    visit(page, house)
    page.set_input_files("#recording input[type=file]", path)
    expect(page.locator("#notice")).to_contain_text("LUFS", timeout=PATIENCE)
    expect(page.locator("#restore")).to_be_enabled(timeout=PATIENCE)
    expect(page.locator("#desk [data-name=recording]")).to_be_visible(timeout=PATIENCE)


def set_to(page: Page, **settings: Any) -> None:
    """Fills in settings under More."""
    if not page.locator("#set-steps").is_visible():
        page.get_by_text("More", exact=True).click()
        page.get_by_text("How it is sampled").click()
    for name, value in settings.items():
        if not page.locator(f"#set-{name}").is_visible():
            page.get_by_text("Long recordings").click()
        page.locator(f"#set-{name}").get_by_role("textbox").fill(str(value))


def begin(page: Page, until: str | re.Pattern[str] = "step") -> None:
    """Presses Restore and waits until the bar says something."""
    page.click("#restore")
    expect(page.locator("#status")).to_contain_text(until, timeout=PATIENCE)


def titles(page: Page) -> list[str]:
    return page.locator("#desk [data-desk=tracks] [data-name]").evaluate_all(
        "tracks => tracks.map((each) => each.dataset.name)"
    )


def ask(page: Page, what: str) -> Any:
    """What the desk says of itself."""
    return page.locator("#desk .desk").evaluate(f"(section) => section.parentElement.desk.{what}")


def taken(page: Page, button: str) -> Path:
    """The file behind a button."""
    for tries in range(20):
        expect(page.locator(f"#{button}")).to_be_enabled(timeout=PATIENCE)
        try:
            with page.expect_download(timeout=3000) as download:
                page.click(f"#{button}")
            break
        except TimeoutError:  # a newer file has just taken its place
            assert tries < 19
    path = Path(download.value.path())
    return path.rename(path.with_name(f"{path.stem[:8]} {download.value.suggested_filename}"))


def taken_when(page: Page, is_right: Callable[[Path], bool]) -> Path:
    """The restored file, once it is as it was wished for."""
    for _ in range(100):
        if is_right(path := taken(page, "file")):
            return path
    pytest.fail("The file never became what was wished for.")


def share_of(restored: np.ndarray, recorded: np.ndarray, file: Path) -> float:
    """How much of the restoration is in a file, by least squares."""
    sound, _ = soundfile.read(file)
    change = restored - recorded
    return float(((sound - recorded) * change).sum() / (change**2).sum())


def in_view(page: Page, selector: str) -> bool:
    """Whether all of an element lies within what is seen of the page, not covered by anything."""
    return page.evaluate(
        """(selector) => {
          const element = document.querySelector(selector), box = element.getBoundingClientRect();
          const [x, y] = [(box.left + box.right) / 2, (box.top + box.bottom) / 2];
          const top = document.elementFromPoint(x, y);
          return box.height > 0 && box.top >= 0 && box.bottom <= innerHeight && element.contains(top);
        }""",
        selector,
    )


@dataclass(frozen=True)
class Journey:
    """A page on which a recording has been restored, and what was seen on the way."""

    page: Page
    first_tracks: list[str]  # on the desk before anything was restored
    complaints: dict[str, list[str]]  # of axe, by what the page was doing


@pytest.fixture(scope="module")
def journey(opened: Opened, house: House, recording: Path) -> Iterator[Journey]:
    with opened() as page:
        page.set_viewport_size(SIZES["desktop"])  # type: ignore[arg-type]
        upload(page, house, recording)
        tracks, complaints = titles(page), {"looked": complaints_of_axe(page, but=GRADIOS_OWN)}
        expect(page.locator("#time-needed")).to_contain_text("will take about", timeout=PATIENCE)
        set_to(page, steps=3)
        page.get_by_label("Draft").check()
        begin(page, re.compile("step|Done"))
        complaints["running"] = complaints_of_axe(page, but=GRADIOS_OWN)
        expect(page.locator("#status")).to_contain_text(DONE, timeout=PATIENCE)
        expect(page.locator("#desk [data-name=added]")).to_be_visible(timeout=PATIENCE)
        expect(page.locator("#file")).to_be_enabled(timeout=PATIENCE)
        complaints["done"] = complaints_of_axe(page, but=GRADIOS_OWN)
        yield Journey(page, tracks, complaints)


@pytest.fixture
def restored_page(journey: Journey) -> Page:
    """The journey's page; those who share it leave it as it was."""
    return journey.page


def test_a_stranger_restores_and_compares(journey: Journey, restored_page: Page) -> None:
    assert journey.first_tracks == ["recording", "ltas_eq"]
    assert titles(restored_page) == ["recording", "ltas_eq", "restored", "added"]
    expect(restored_page.locator("#before-and-after img").last).to_be_visible(timeout=PATIENCE)
    expect(restored_page.locator("#before-and-after button")).to_be_hidden()  # nothing covers the picture
    verdict = restored_page.locator("#warnings").inner_text()
    assert "It gained" in verdict and "imagined" in verdict


def test_who_presses_play_hears_the_restoration(restored_page: Page) -> None:
    expect(restored_page.locator("#desk [data-name=restored]")).to_have_attribute("aria-checked", "true")


def test_the_file_is_as_long_and_fine_as_the_recording(restored_page: Page, recording: Path) -> None:
    file = taken(restored_page, "file")
    sound, before = soundfile.info(file), soundfile.info(recording)
    assert (sound.frames, sound.samplerate, sound.channels) == (before.frames, before.samplerate, before.channels)
    assert sound.subtype == "PCM_24" and "Grüße an Clara.restored" in file.name


def test_the_amount_of_the_keyboard_is_what_is_heard_and_taken(restored_page: Page, recording: Path) -> None:
    page = restored_page
    whole, before = soundfile.read(taken(page, "file"))[0], soundfile.read(recording)[0]
    slider = page.locator("#amount input[type=range]")
    slider.focus()
    for _ in range(10):
        page.keyboard.press("ArrowLeft")
    expect(page.locator("#amount input[type=number]")).to_have_value("0.5")
    file = taken_when(page, lambda file: share_of(whole, before, file) < 0.99)
    file = taken_when(page, lambda file: share_of(whole, before, file) < 0.55)
    assert share_of(whole, before, file) == pytest.approx(0.5, abs=0.001)
    expect(page.locator("#desk [data-name=restored] .title")).to_have_text("Restored, 50%", timeout=PATIENCE)
    slider.focus()
    page.keyboard.press("End")
    expect(page.locator("#desk [data-name=restored] .title")).to_have_text("Restored", timeout=PATIENCE)
    taken_when(page, lambda file: share_of(whole, before, file) > 0.99)


def test_it_can_be_taken_as_loud_as_it_was_heard(restored_page: Page, recording: Path) -> None:
    page, whole = restored_page, soundfile.read(taken(restored_page, "file"))[0]

    def level_db(file: Path) -> float:
        return 10 * np.log10((soundfile.read(file)[0] ** 2).mean() / (whole**2).mean())

    (heard,) = {round(gain, 1) for key, gain in ask(page, "gains()").items() if key == "restored"}
    page.get_by_label("As loud as the recording").check()
    louder = taken_when(page, lambda file: abs(level_db(file)) > 0.01)
    assert level_db(louder) == pytest.approx(heard - ask(page, "gains()")["recording"], abs=0.1)
    page.get_by_label("As loud as the recording").uncheck()
    taken_when(page, lambda file: abs(level_db(file)) < 0.01)


def test_beside_the_file_stands_what_it_says_of_itself(restored_page: Page) -> None:
    file = taken(restored_page, "file")
    said = restored_page.locator("#said")
    expect(said).to_contain_text(soundfile.SoundFile(file).comment, timeout=PATIENCE)
    expect(said).to_contain_text(hashlib.sha256(file.read_bytes()).hexdigest())


def test_rate_and_kind_are_the_listeners_choice(restored_page: Page, recording: Path) -> None:
    page = restored_page

    def choose(**chosen: str) -> None:
        for label, value in chosen.items():
            page.get_by_label(label.replace("_", " "), exact=True).click()
            page.get_by_role("option", name=value, exact=True).click()

    choose(File="FLAC, 24 bit")
    page.get_by_label("Sample rate, Hz", exact=True).click()
    page.get_by_role("option", name="48000", exact=True).click()
    wished = ("FLAC", "PCM_24", 48_000)

    def kind(file: Path) -> tuple[str, str, int]:
        info = soundfile.info(file)
        return info.format, info.subtype, info.samplerate

    file = taken_when(page, lambda file: kind(file) == wished)
    assert soundfile.info(file).frames == round(soundfile.info(recording).frames * 48_000 / 22_050)
    choose(File="WAV, 24 bit")
    page.get_by_label("Sample rate, Hz", exact=True).click()
    page.get_by_role("option", name="as the recording", exact=True).click()
    taken_when(page, lambda file: kind(file) == ("WAV", "PCM_24", 22_050))


def test_the_evidence_pack_is_made_when_it_is_wanted(restored_page: Page) -> None:
    page = restored_page
    expect(page.locator("#pack")).to_be_hidden()
    expect(page.locator("#file")).to_be_enabled(timeout=PATIENCE)  # what is ready to be taken is of this run
    page.click("#make-pack")
    expect(page.locator("#pack")).to_be_visible(timeout=PATIENCE)
    with zipfile.ZipFile(taken(page, "pack")) as opened:
        assert opened.testzip() is None
        text = "".join(opened.read(name).decode() for name in opened.namelist() if name.endswith((".txt", ".json")))
    assert "babe2 restore" in text and "--threads 1" in text and "/tmp" not in text
    page.get_by_text("A page of it all, pictures and numbers").click()
    links = page.locator("#papers a[download]")
    expect(links).to_have_count(11, timeout=PATIENCE)
    kinds = [Path(str(name)).suffix for name in links.evaluate_all("links => links.map((each) => each.download)")]
    assert sorted(kinds) == [".csv"] * 2 + [".html"] + [".json"] * 2 + [".png"] * 3 + [".svg"] * 3
    expect(page.locator("#papers").get_by_label("Remove this file").first).to_be_hidden()  # they are for taking
    with page.expect_download(timeout=PATIENCE) as download:
        links.nth(kinds.index(".csv")).click()
    assert Path(download.value.path()).read_text("utf-8").startswith("frequency_hz,gain_db\n20.00,")


def test_the_keyboard_alone_will_do(restored_page: Page) -> None:
    page = restored_page
    expect(page.locator("#file")).to_be_enabled(timeout=PATIENCE)  # nothing is at work any more
    page.locator("#desk [data-desk=play]").focus()
    page.keyboard.press("1")
    expect(page.locator("#desk [data-name=recording]")).to_have_attribute("aria-checked", "true")
    page.locator("#restore").focus()
    page.keyboard.press("Enter")
    expect(page.locator("#stop")).to_be_focused(timeout=PATIENCE)  # it has taken the place of what was pressed
    expect(page.locator("#status")).to_contain_text(DONE, timeout=PATIENCE)
    expect(page.locator("#restore")).to_be_focused(timeout=PATIENCE)
    expect(page.locator("#desk [data-name=restored]")).to_have_attribute("aria-checked", "true", timeout=PATIENCE)


def test_the_blind_test_knows_its_two_sounds(restored_page: Page) -> None:
    desk = restored_page.locator("#desk")
    desk.locator("[data-desk=blindness]").click()
    expect(desk.locator("[data-desk=voices]")).to_be_visible()
    desk.locator("[data-desk=blindness]").click()
    expect(desk.locator("[data-desk=voices]")).to_be_hidden()


def test_a_wrong_setting_is_told_and_stays_to_be_read(restored_page: Page) -> None:
    page = restored_page
    set_to(page, steps="banana")
    page.keyboard.press("Tab")
    expect(page.locator("#problem")).to_contain_text("steps cannot be 'banana'", timeout=PATIENCE)
    expect(page.locator("#restore")).to_be_disabled()
    assert page.get_by_test_id("toast-body").count() == 0 and in_view(page, "#problem p")
    assert complaints_of_axe(page, but=GRADIOS_OWN) == []
    set_to(page, steps=3)
    page.keyboard.press("Tab")
    expect(page.locator("#problem")).to_be_hidden(timeout=PATIENCE)
    expect(page.locator("#restore")).to_be_enabled(timeout=PATIENCE)


@pytest.mark.parametrize("state", ["looked", "running", "done"])
def test_axe_finds_nothing_serious_on_the_way(journey: Journey, state: str) -> None:
    assert journey.complaints[state] == []


@pytest.mark.parametrize(
    ("size", "scheme"),
    [("desktop", "light"), ("phone", "dark")]
    + [pytest.param(*other, marks=pytest.mark.slow) for other in (("desktop", "dark"), ("phone", "light"))],
)
def test_it_fits_by_day_and_by_night(restored_page: Page, size: str, scheme: Any) -> None:
    page = restored_page
    page.emulate_media(color_scheme=scheme)
    page.set_viewport_size(SIZES[size])  # type: ignore[arg-type]
    expect(page.locator("body")).to_have_class(re.compile("dark") if scheme == "dark" else re.compile("^((?!dark).)*$"))
    try:
        page.wait_for_function("(width) => document.documentElement.scrollWidth <= width", arg=SIZES[size]["width"])
        assert complaints_of_axe(page, but=GRADIOS_OWN) == []
        for place in ("0", "document.body.scrollHeight"):
            page.evaluate(f"window.scrollTo(0, {place})")
            assert in_view(page, "#restore") and in_view(page, "#status span")
    finally:
        page.emulate_media(color_scheme="light")
        page.set_viewport_size(SIZES["desktop"])  # type: ignore[arg-type]


def test_what_is_chosen_keeps_its_mark_under_the_pointer(restored_page: Page) -> None:
    chosen = restored_page.get_by_role("radio", name="Draft:")
    restored_page.get_by_label("The whole recording").focus()
    chosen.hover()
    grounds = [
        radio.evaluate("radio => getComputedStyle(radio).backgroundColor")
        for radio in (chosen, restored_page.get_by_role("radio", name="Standard:"))
    ]
    assert grounds[0] != grounds[1]


# Before anything is restored


def take_example(page: Page) -> None:
    """Takes the example, and waits until all of it is there."""
    page.get_by_text(EXAMPLE_NAME).click()
    expect(page.locator("#desk [data-name=added]")).to_be_visible(timeout=PATIENCE)
    expect(page.locator("#file")).to_be_enabled(timeout=PATIENCE)


def test_an_example_has_the_outcome_of_a_run(page: Page, house: House) -> None:
    visit(page, house)
    assert complaints_of_axe(page, but=GRADIOS_OWN) == []
    take_example(page)
    expect(page.locator("#warnings")).to_contain_text("restored beforehand")
    expect(page.locator("#warnings")).to_contain_text("It gained")
    expect(page.locator("#before-and-after img").last).to_be_visible(timeout=PATIENCE)
    for tab, content in {"Spectrum": "#ltas img", "Machine": "#response img", "Numbers": "#numbers td"}.items():
        page.locator("#tabs").get_by_role("tab", name=tab).click()
        expect(page.locator(content).first).to_be_visible(timeout=PATIENCE)
    assert complaints_of_axe(page, but=GRADIOS_OWN) == []
    with page.expect_download(timeout=PATIENCE) as download:
        page.click("#report")
    assert json.loads(Path(download.value.path()).read_text("utf-8"))["band"]["ends"] is True
    assert download.value.suggested_filename == "old_variation.report.json"
    restored = soundfile.read(EXAMPLE.with_name("old_variation.restored.flac"))[0]
    np.testing.assert_allclose(soundfile.read(taken(page, "file"))[0], restored, atol=2**-23)
    page.click("#make-pack")
    expect(page.locator("#pack")).to_be_visible(timeout=PATIENCE)
    with zipfile.ZipFile(taken(page, "pack")) as opened:
        assert "--preset standard --seed 0" in opened.read("reproduce.txt").decode()


# Found again


GROUND = """(picture) => {
  const img = document.querySelector(`${picture} img`);
  if (!img?.complete || !img.naturalWidth) return null;
  const canvas = document.createElement("canvas"), pen = canvas.getContext("2d");
  [canvas.width, canvas.height] = [8, 8];
  pen.drawImage(img, 0, 0);
  return pen.getImageData(1, 1, 1, 1).data[0] < 60 ? "dark" : "light";
}"""
PICTURES = {"Before and after": "#before-and-after", "Spectrum": "#ltas", "Machine": "#response"}


def expect_ground(page: Page, tab: str, ground: str) -> None:
    """Waits until the picture of a tab has a dark or a light ground."""
    page.locator("#tabs").get_by_role("tab", name=tab).click()
    page.wait_for_function(f"(picture) => ({GROUND})(picture) === '{ground}'", arg=PICTURES[tab], timeout=PATIENCE)


def test_pictures_are_dark_on_a_dark_page(page: Page, house: House) -> None:
    page.emulate_media(color_scheme="dark")
    upload(page, house, TWELVE_SECONDS)
    expect_ground(page, "Spectrum", "dark")
    take_example(page)
    for ground in ("dark", "light"):
        page.emulate_media(color_scheme=ground)  # type: ignore[arg-type]
        for tab in PICTURES:
            expect_ground(page, tab, ground)


def test_a_result_is_there_again_after_a_reload_for_its_visitor_only(
    page: Page, opened: Opened, house: House, recording: Path
) -> None:
    upload(page, house, recording)
    set_to(page, steps=2)
    page.get_by_label("Draft").check()
    begin(page, DONE)
    before = soundfile.read(taken(page, "file"))[0]
    page.wait_for_timeout(1000)  # to be left while it asks for nothing
    page.reload()
    expect(page.locator("#status")).to_contain_text(DONE, timeout=PATIENCE)
    expect(page.locator("#notice")).to_contain_text("LUFS", timeout=PATIENCE)
    assert titles(page) == ["recording", "ltas_eq", "restored", "added"]
    np.testing.assert_array_equal(soundfile.read(taken(page, "file"))[0], before)
    with opened() as other:
        upload(other, house, recording)
        assert titles(other) == ["recording", "ltas_eq"]
        expect(other.locator("#file")).to_be_hidden()
    page.get_by_label("Clear").first.click()
    expect(page.locator("#notice")).to_contain_text("Nothing here yet", timeout=PATIENCE)
    page.wait_for_timeout(1000)  # to be left while it asks for nothing
    visit(page, house)
    page.wait_for_timeout(1000)
    expect(page.locator("#notice")).to_contain_text("Nothing here yet")


def test_nothing_is_cut_off_on_a_phone(page: Page, house: House) -> None:
    page.set_viewport_size(SIZES["phone"])  # type: ignore[arg-type]
    visit(page, house)
    take_example(page)
    tabs = page.locator("#tabs").get_by_role("tab").filter(visible=True)
    assert tabs.all_inner_texts() == ["Before and after", "Spectrum", "Machine", "Numbers"]
    cut = """() => [...document.querySelectorAll("input:not([type=range]):not([type=file])")]
      .filter((input) => input.offsetParent && input.scrollWidth > input.clientWidth + 1).map((input) => input.value)"""
    assert page.evaluate(cut) == []
    expect(page.locator("footer .show-api")).to_be_visible()


def test_the_page_for_programs_opens_by_its_address(page: Page, house: House) -> None:
    page.goto(f"{house.address}?view=api")
    expect(page.locator(".api-docs")).to_be_visible(timeout=PATIENCE)


def test_empty_fields_show_what_they_mean(page: Page, house: House) -> None:
    visit(page, house)
    page.get_by_text("More", exact=True).click()
    page.get_by_text("How it is sampled").click()
    steps, start = (page.locator(f"#set-{name}").get_by_role("textbox") for name in ("steps", "sigma_min"))
    expect(steps).to_have_attribute("placeholder", "16")
    page.get_by_label("Draft").check()
    expect(steps).to_have_attribute("placeholder", "10", timeout=PATIENCE)
    page.get_by_label("Which music").click()
    page.get_by_role("option", name="Singing voice, general").click()  # which is not on this machine
    expect(start).to_have_attribute("placeholder", "0.001", timeout=PATIENCE)
    expect(start).to_have_value("")


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
    assert complaints_of_axe(page, but=GRADIOS_OWN) == []
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
    assert complaints_of_axe(page, but=GRADIOS_OWN) == []
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
    assert complaints_of_axe(page, but=GRADIOS_OWN) == []

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

VISITORS, BROWSERS, RUNS = 20, 3, int(os.environ.get("BABE2_TEST_RUNS", 40))


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
        for number, (job, sound) in enumerate(zip(jobs, sounds, strict=False)):
            file, *_ = job.result(timeout=900)
            assert soundfile.info(file).frames == soundfile.info(sound).frames
            assert whose(file, sounds) == number
        for number, (page, sound) in enumerate(zip(pages, sounds[VISITORS:], strict=True), VISITORS):
            expect(page.locator("#status")).to_contain_text(DONE, timeout=4 * PATIENCE)
            file = taken(page, "file")
            assert soundfile.info(file).frames == soundfile.info(sound).frames
            assert whose(file, sounds) == number
        sizes = [house.resident()]
        for number in range(RUNS):
            clients[number % VISITORS].predict(handle_file(str(sounds[number % VISITORS])), **wish)
            sizes.append(house.resident())
        assert max(sizes[-RUNS // 4 :]) < 1.1 * max(sizes[: RUNS // 4]), sizes


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
