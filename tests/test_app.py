"""The page as a stranger meets it, in a real browser."""

from __future__ import annotations

import hashlib
import json
import re
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.request import urlopen

import numpy as np
import pytest
import soundfile
from axe import complaints_of_axe
from house import EXAMPLE, PATIENCE, TWELVE_SECONDS, House, assert_idle
from playwright.sync_api import Page, expect
from visitor import (
    DONE,
    SIZES,
    Opened,
    ask,
    begin,
    in_view,
    set_to,
    share_of,
    taken,
    taken_when,
    titles,
    upload,
    visit,
)

pytest_plugins = ["browser", "house"]

EXAMPLE_NAME = "Piano, as a horn of 1910 heard it"


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
        tracks, complaints = titles(page), {"looked": complaints_of_axe(page)}
        expect(page.locator("#time-needed")).to_contain_text("will take about", timeout=PATIENCE)
        set_to(page, steps=3)
        page.get_by_label("Draft").check()
        begin(page, re.compile("step|Done"))
        complaints["running"] = complaints_of_axe(page)
        expect(page.locator("#status")).to_contain_text(DONE, timeout=PATIENCE)
        expect(page.locator("#desk [data-name=added]")).to_be_visible(timeout=PATIENCE)
        expect(page.locator("#file")).to_be_enabled(timeout=PATIENCE)
        complaints["done"] = complaints_of_axe(page)
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


def test_the_amount_of_the_keyboard_is_what_is_heard_and_taken(
    restored_page: Page, house: House, recording: Path
) -> None:
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
    assert_idle(house)  # nothing asks for itself again


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
    assert complaints_of_axe(page) == []
    set_to(page, steps=3)
    page.keyboard.press("Tab")
    expect(page.locator("#problem")).to_be_hidden(timeout=PATIENCE)
    expect(page.locator("#restore")).to_be_enabled(timeout=PATIENCE)


def test_a_setting_is_found_by_a_word(restored_page: Page) -> None:
    page = restored_page
    set_to(page)  # opens More
    sought = page.locator("#sought").get_by_role("textbox")
    sought.fill("churn")
    expect(page.locator("#set-churn_noise")).to_be_visible(timeout=PATIENCE)
    expect(page.locator("#set-steps")).to_be_hidden(timeout=PATIENCE)
    sought.fill("banana")
    expect(page.get_by_text("No setting tells of that")).to_be_visible(timeout=PATIENCE)
    assert complaints_of_axe(page) == []
    sought.fill("steps")
    expect(page.locator("#set-steps").get_by_role("textbox")).to_have_value("3", timeout=PATIENCE)
    sought.fill("")
    expect(page.locator("#set-churn_noise")).to_be_visible(timeout=PATIENCE)  # again, and its group is still open


@pytest.mark.parametrize("state", ["looked", "running", "done"])
def test_axe_finds_nothing_on_the_way(journey: Journey, state: str) -> None:
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
        assert complaints_of_axe(page) == []
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


def test_how_is_a_slider_that_arrow_keys_move(restored_page: Page) -> None:
    draft, standard = (restored_page.get_by_role("radio", name=name) for name in ("Draft:", "Standard:"))
    draft.focus()
    for key, stop in {"ArrowRight": standard, "ArrowLeft": draft}.items():
        restored_page.keyboard.press(key)
        expect(stop).to_be_checked()
        expect(stop).to_be_focused()
    expect(restored_page.locator("#how em")).to_have_count(3, timeout=PATIENCE)  # the time of each, below it
    expect(restored_page.get_by_role("img", name="Average spectrum of the music it knows: strongest")).to_be_visible()


# Before anything is restored


PLACE = "part => Math.round(part.getBoundingClientRect().top + scrollY)"


def take_example(page: Page) -> None:
    """Takes the example, and waits until all of it is there."""
    page.get_by_text(EXAMPLE_NAME).click()
    expect(page.locator("#desk [data-name=added]")).to_be_visible(timeout=PATIENCE)
    expect(page.locator("#file")).to_be_enabled(timeout=PATIENCE)


def test_an_example_has_the_outcome_of_a_run(page: Page, house: House) -> None:
    visit(page, house)
    assert complaints_of_axe(page) == []
    place = page.locator("#gallery").evaluate(PLACE)
    take_example(page)
    assert page.locator("#gallery").evaluate(PLACE) == place  # a recording that comes moves nothing of it
    expect(page.locator("#warnings")).to_contain_text("restored beforehand")
    expect(page.locator("#warnings")).to_contain_text("It gained")
    expect(page.locator("#before-and-after img").last).to_be_visible(timeout=PATIENCE)
    for tab, content in {"Spectrum": "#ltas img", "Machine": "#response img", "Numbers": "#numbers td"}.items():
        page.locator("#tabs").get_by_role("tab", name=tab).click()
        expect(page.locator(content).first).to_be_visible(timeout=PATIENCE)
    assert complaints_of_axe(page) == []
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
    assert in_view(page, "#desk [data-desk=play]")  # at first sight
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


# In another language

AS_THEY_ARE = re.compile(  # names, values, and what the page for programs says
    "babe2|BABE|LTAS-EQ|CC BY 4.0|cc.*|align|declick|fill|dehum|rumble|denoise|steady|sqrt|true|false|off|objective"
    "|autoregressive|recording|checkpoints?|preset|seed|start|duration|pictures|report|analysis|Run"
)
SHOWN = "(input) => Object.getOwnPropertyDescriptor(HTMLInputElement.prototype, 'value').get.call(input)"
CHOSEN = "(input) => input.value"
GERMAN = {  # what sentences become that are put together while somebody is there
    "12 s of sound will take about 20 seconds on this machine.": (
        "12 s Klang brauchen auf diesem Rechner etwa 20 Sekunden."
    ),
    "segment 1 of 2, step 3 of 31, about a minute left": "Abschnitt 1 von 2, Schritt 3 von 31, noch etwa eine Minute",
    "3.4 kHz \u2192 8 kHz": "3,4 kHz \u2192 8 kHz",
    "\u201cRestored. All.mid\u201d cannot be read here. Save it as WAV or FLAC (or MP3) with an audio program and drop "
    "that.": (
        "\u201eRestored. All.mid\u201c lässt sich hier nicht lesen. Bitte mit einem Audioprogramm als WAV oder "
        "FLAC (oder MP3) speichern und das hierher ziehen."
    ),
    "Restored. All.wav": "Restored. All.wav",
}


def labels(house: House) -> list[str]:
    """What the page's parts are called, as Gradio is told."""
    with urlopen(f"{house.address}config") as answer:
        parts = [part["props"] for part in json.load(answer)["components"]]
    said = [part.get(name) for part in parts for name in ("label", "info", "placeholder", "alt_text")]
    said += [choice[0] for part in parts for choice in part.get("choices") or []]
    return [text for text in said if isinstance(text, str) and "\n" not in text]


def test_a_visitor_from_germany_reads_german_and_may_choose(opened: Opened, house: House, tmp_path: Path) -> None:
    own = tmp_path / "Restored. All.wav"  # a name that says what the page says, too
    own.write_bytes(TWELVE_SECONDS.read_bytes())
    with opened(locale="de-DE") as page:
        visit(page, house)
        expect(page.locator("html")).to_have_attribute("lang", "de")
        expect(page.get_by_role("heading", level=1)).to_have_text("Hören, was der Trichter nicht hörte.")
        expect(page).to_have_title("babe2: alte Aufnahmen restauriert")
        page.locator("[data-example]").first.click()
        expect(page.locator("#warnings h2")).to_contain_text("Gewonnen sind", timeout=PATIENCE)
        expect(page.locator("#desk [data-name=restored] .title")).to_have_text("Restauriert", timeout=PATIENCE)
        expect(page.locator("#file")).to_be_enabled(timeout=PATIENCE)
        assert complaints_of_axe(page) == []

        assert {english: page.evaluate("(text) => words.say(text)", english) for english in GERMAN} == GERMAN
        called = labels(house)
        unknown = page.evaluate("(texts) => { texts.forEach(words.say); return words.unknown(); }", called)
        assert [
            text for text in unknown if any(text in each for each in called) and not AS_THEY_ARE.fullmatch(text)
        ] == []

        what = page.get_by_label("Was geschieht")  # a list's field shows German, and says in English what was chosen
        assert [what.evaluate(SHOWN), what.evaluate(CHOSEN)] == ["Restaurieren", "Restore"]
        what.click()
        page.get_by_role("option", name="Reinigen und restaurieren: Walze").click()
        expect(page.get_by_label("denoise: Entfernt Rauschen")).to_be_checked(timeout=PATIENCE)
        assert [what.evaluate(SHOWN), what.evaluate(CHOSEN)] == [
            "Reinigen und restaurieren: Walze",
            "Clean and restore: cylinder",
        ]

        english, german = (page.get_by_role("button", name=name, exact=True) for name in ("English", "Deutsch"))
        english.press("Enter")
        expect(page.locator("html")).to_have_attribute("lang", "en")
        expect(page.get_by_role("heading", level=1)).to_have_text("Hear what the horn could not.")
        expect(page.locator("#restore")).to_have_text("Restore")
        expect(english).to_have_attribute("aria-pressed", "true")
        expect(german).to_have_attribute("aria-pressed", "false")
        assert page.get_by_label("What to do").evaluate(SHOWN) == "Clean and restore: cylinder"
        visit(page, house)  # what was chosen is kept
        expect(page.get_by_role("heading", level=1)).to_have_text("Hear what the horn could not.")
        expect(page.locator("#recording")).to_contain_text("Click to Upload")  # Gradio follows
        german.click()
        expect(page.locator("#restore")).to_have_text("Restaurieren")
        page.set_input_files("#recording input[type=file]", own)
        expect(page.locator("#strip .name")).to_have_text(own.name, timeout=PATIENCE)
        expect(page.locator("#time-needed")).to_contain_text("Klang brauchen auf diesem Rechner etwa", timeout=PATIENCE)
