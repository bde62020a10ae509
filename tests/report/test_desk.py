"""The listening desk in a real browser, on a page as small as can be, heard through a tape on its output.

Most sounds here are ramps: sample n of the recording has the value n / 2**20, of LTAS-EQ half of it, and of the
restoration its negative. What comes out of the desk then tells which sample of which track was heard when.
"""

from __future__ import annotations

import base64
import csv
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from importlib.resources import files
from pathlib import Path
from typing import Any

import gradio as gr
import numpy as np
import pytest
from playwright.sync_api import Locator, Page, Route, expect

from babe2.dsp.loudness import integrated_loudness
from babe2.report.tracks import LTAS_EQ, RECORDING, RESTORED, desk_parts, desk_tracks

pytest_plugins = ["browser"]

RATE = 22_050  # Hz
SECONDS = 20
RAMP = np.arange(SECONDS * RATE, dtype=np.float32)[None] / 2**20
RAMPS = {RECORDING: RAMP, LTAS_EQ: RAMP / 2, RESTORED: -RAMP}
MINUS = "\N{MINUS SIGN}"
SWITCH = 0.07  # s that a switch may take from the key to the last trace of the old track

TAPE = """
async (section) => {
  window.tape = [];
  const output = section.parentElement.desk.output();
  if (window.recorded === output) return;
  window.recorded = output;
  const code = `registerProcessor("tape", class extends AudioWorkletProcessor {
    process([input]) { if (input.length) this.port.postMessage([currentFrame, input[0].slice()]); return true; }
  })`;
  await output.context.audioWorklet.addModule(URL.createObjectURL(new Blob([code], { type: "text/javascript" })));
  const recorder = new AudioWorkletNode(output.context, "tape");
  recorder.port.onmessage = ({ data }) => window.tape.push(data);
  output.connect(recorder);
}"""
REWIND = "() => { const blocks = window.tape; window.tape = []; return blocks; }"
PLAYED = """
() => {
  const blocks = window.tape;
  window.tape = [];
  const samples = Float32Array.from(blocks.flatMap(([, values]) => [...values]));
  const bytes = new Uint8Array(samples.buffer);
  let text = "";
  for (let i = 0; i < bytes.length; i += 4096) text += String.fromCharCode(...bytes.subarray(i, i + 4096));
  return [blocks.map(([frame]) => frame), btoa(text)];
}"""
BOOKED = """
(section) => {
  const desk = section.parentElement.desk, { context } = desk.output();
  for (;;) {
    const clock = context.currentTime, position = desk.position();
    if (clock === context.currentTime) return [Math.round(clock * desk.rate()), position];
  }
}"""


class Desk:
    """The desk on a page, and what a listener does with it."""

    def __init__(self, page: Page) -> None:
        self.page = page
        self.section = page.locator("#desk .desk")

    def part(self, name: str) -> Locator:
        return self.section.locator(f"[data-desk={name}]")

    def track(self, key: str) -> Locator:
        return self.part("tracks").locator(f"[data-name={key}]")

    def ask(self, what: str) -> Any:
        return self.section.evaluate(f"(section) => section.parentElement.desk.{what}")

    def press(self, *keys: str) -> None:
        for key in keys:
            self.page.keyboard.press(key)

    def lay(self, button: str) -> None:
        """Lays the sounds of a button of the page on the desk, and puts the keyboard's focus there."""
        self.page.click(f"#{button}")
        self.page.wait_for_selector("#desk .desk[data-state=ready]")
        self.part("play").focus()

    def play(self) -> None:
        self.part("play").focus()
        self.press("Space")
        self.wait(0)
        self.press("Space")
        self.page.wait_for_timeout(150)  # until it has faded out
        self.section.evaluate(TAPE)  # while nothing plays: a browser needs a moment for its first recorder
        self.press("Space")
        self.wait(0.05)

    def wait(self, seconds: float) -> None:
        """Waits until the music plays, and then some."""
        self.page.wait_for_function("() => document.querySelector('#desk .desk').parentElement.desk.playing()")
        self.page.wait_for_timeout(1000 * seconds)

    def tape(self) -> tuple[np.ndarray, np.ndarray]:
        """What was heard since the last time: each sample's frame on the clock, and its value."""
        frames, text = self.page.evaluate(PLAYED)
        clock = (np.array(frames)[:, None] + np.arange(128)).ravel()
        samples = np.frombuffer(base64.b64decode(text), np.float32)
        begun = np.max(np.flatnonzero(np.diff(clock, prepend=clock[0] - 2) != 1))  # a new tape skips at first
        return clock[begun:], samples[begun:]

    def booked(self) -> int:
        """By how much the desk believes its position to be ahead of the clock."""
        clock, position = self.section.evaluate(BOOKED)
        return position - clock

    def booked_for_good(self) -> int:
        """The same once it stays: a busy browser begins later than it was asked to, and the desk then books anew."""
        for _ in range(10):
            booked = self.booked()
            self.wait(0.2)
            if abs(self.booked() - booked) <= 1:
                break
        return booked


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The page: a button for each set of sounds, the desk, and a text field that has nothing to do with it."""
    folder = tmp_path_factory.mktemp("desk")

    def noises() -> dict[str, np.ndarray]:
        """A tenth of a second of three colours of noise, again and again, so that all of it is equally loud."""
        steps = np.random.default_rng(0).standard_normal((3, 1, RATE // 10))
        white, walk = steps[0], np.cumsum(steps[1] - steps[1].mean(), axis=1)
        sounds = {RECORDING: white, LTAS_EQ: walk, RESTORED: np.diff(steps[2], append=0)}
        levels = {RECORDING: 0.03, LTAS_EQ: 0.1, RESTORED: 0.2}
        return {key: np.tile(levels[key] * sound / np.abs(sound).max(), 40) for key, sound in sounds.items()}

    def broken() -> dict[str, Any]:
        value = desk_tracks(RAMPS, RATE, folder)
        (folder / "broken.wav").write_bytes(b"no sound at all")
        value["tracks"][1]["file"] = value["tracks"][1]["file"] | {"path": str(folder / "broken.wav")}
        return value

    values: dict[str, Callable[[], Any]] = {
        "ramps": lambda: desk_tracks(RAMPS, RATE, folder),
        "newer": lambda: desk_tracks(RAMPS | {RESTORED: -RAMP / 4}, RATE, folder) | {"note": "newer"},
        "wished": lambda: desk_tracks(RAMPS | {RESTORED: -RAMP / 3}, RATE, folder, select=RESTORED),
        "noises": lambda: desk_tracks(noises(), RATE, folder),
        "single": lambda: desk_tracks({RECORDING: RAMP}, RATE, folder),
        "broken": broken,
        "nothing": lambda: None,
    }
    with gr.Blocks(analytics_enabled=False) as demo:
        buttons = {name: gr.Button(name, elem_id=name) for name in values}
        gr.Textbox(label="Notes", elem_id="notes")
        desk = gr.HTML(**desk_parts(), apply_default_css=False, elem_id="desk")
        for name, button in buttons.items():
            button.click(values[name], None, desk, api_visibility="private")
    fonts = ["system-ui", "sans-serif"]
    demo.launch(
        server_name="127.0.0.1",
        prevent_thread_lock=True,
        quiet=True,
        run_history=False,
        theme=gr.themes.Base(font=fonts, font_mono=["monospace"]),
    )
    yield demo.local_url
    demo.close(verbose=False)


@pytest.fixture(scope="module")
def page(opened: Callable[[], AbstractContextManager[Page]], address: str) -> Iterator[Page]:
    """One for all tests: to load it takes longer than most of them."""
    with opened() as page:
        page.goto(address)
        page.wait_for_selector("#desk .desk")
        yield page


@pytest.fixture
def desk(page: Page) -> Desk:
    """An empty desk, as it was at first."""
    desk = Desk(page)
    while desk.part("blind").is_visible():
        desk.part("blindness").click()
    if desk.part("match").is_visible():
        desk.part("match").check()
    page.click("#nothing")
    page.wait_for_selector("#desk .desk[data-state=empty]")
    return desk


def settled(samples: np.ndarray, indices: np.ndarray) -> np.ndarray:
    """Where one track alone is heard: its value per sample index is 1, a half or -1 of the ramp's."""
    share = samples * 2**20 / np.maximum(indices, 1)
    return np.min(np.abs(share[:, None] - np.array([1, 0.5, -1, -0.25])), axis=1) < 2e-6


def test_a_switch_keeps_the_position_to_the_sample_and_leaves_neither_gap_nor_click(desk: Desk) -> None:
    desk.lay("ramps")
    desk.play()
    for key in "2313":
        desk.wait(0.15)
        desk.press(key)
    desk.wait(0.15)
    booked = desk.booked()
    clock, samples = desk.tape()
    indices = clock + booked  # where the desk says that it was
    alone = settled(samples, indices)
    shares = samples * 2**20 / np.maximum(indices, 1)
    heard = np.round(shares[alone] * 2) / 2
    assert list(heard[np.flatnonzero(np.diff(heard, prepend=0))]) == [1, 0.5, -1, 1, -1]
    # Every settled sample is the one that the books say: the value of a track one sample further would show.
    np.testing.assert_allclose(samples[alone] / heard * 2**20, indices[alone], atol=0.3)
    assert (~alone).sum() < 4 * SWITCH * RATE + 2 * SWITCH * RATE  # the switches, and the fade with which it began
    # No gap: from the recording to LTAS-EQ it never gets softer than LTAS-EQ.
    half = np.flatnonzero(np.isclose(shares, 0.5, atol=1e-4))[0]
    assert shares[np.flatnonzero(np.isclose(shares, 1, atol=1e-4))[0] : half].min() > 0.4999
    # No click: a fade of 3 ms takes more than a hundred steps from one track to the other.
    assert np.abs(np.diff(samples)).max() < 2 * np.abs(samples).max() / (0.003 * RATE) * 1.05


def test_measured_gains_make_all_tracks_equally_loud(desk: Desk) -> None:
    desk.lay("noises")
    gains = desk.ask("gains()")
    assert max(gains.values()) - min(gains.values()) > 6  # there was something to match
    loudness = {}
    desk.press("l")
    desk.play()
    for number, key in enumerate((RECORDING, LTAS_EQ, RESTORED), start=1):
        desk.press(str(number))
        desk.wait(SWITCH + 0.1)
        desk.page.evaluate(REWIND)
        desk.wait(1.1)
        whole_turns = desk.tape()[1][:RATE]  # of the noise; the meter's filters take a while to settle
        loudness[key] = integrated_loudness(np.tile(whole_turns, 5), RATE)
    expected = desk.ask("gains()")[RECORDING] + float(level(desk.track(RECORDING)))
    assert max(loudness.values()) - min(loudness.values()) < 0.1
    assert loudness[RECORDING] == pytest.approx(expected, abs=0.15)  # whose level is shown to a tenth of a decibel
    assert f"{expected:.1f}".replace("-", MINUS) in desk.part("target").inner_text()


def level(track: Locator) -> str:
    return track.locator(".level").first.inner_text().replace(MINUS, "-").removesuffix(" LUFS")


def test_matching_can_be_defeated_and_the_gains_say_so(desk: Desk) -> None:
    desk.lay("noises")
    matched = desk.ask("gains()")
    shown = desk.track(LTAS_EQ).locator(".level").last
    assert shown.inner_text() == f"plays at {matched[LTAS_EQ]:+.1f} dB".replace("-", MINUS)
    desk.part("match").uncheck()
    assert set(desk.ask("gains()").values()) == {0.0}
    assert shown.inner_text() == "plays at +0.0 dB"


def test_a_loop_goes_round_without_a_click_and_the_books_follow(desk: Desk) -> None:
    desk.lay("ramps")
    timeline = desk.part("timeline").bounding_box()
    assert timeline is not None
    x, y = timeline["x"], timeline["y"] + 30
    desk.page.mouse.move(x + 0.4 * timeline["width"], y)
    desk.page.mouse.down()
    desk.page.mouse.move(x + 0.43 * timeline["width"], y, steps=3)
    desk.page.mouse.up()
    loop = desk.ask("loop()")
    assert loop == pytest.approx({"start": 0.4 * len(RAMP[0]), "end": 0.43 * len(RAMP[0])}, abs=len(RAMP[0]) / 300)
    assert desk.ask("position()") == loop["start"]
    desk.play()
    desk.wait(1.8)  # three times round
    booked, (clock, samples) = desk.booked(), desk.tape()
    length = loop["end"] - loop["start"]
    indices = loop["start"] + (clock + booked - loop["start"]) % length
    alone = settled(samples, indices)
    assert alone.mean() > 0.8
    np.testing.assert_allclose(samples[alone] * 2**20, indices[alone], atol=0.3)
    seams = np.flatnonzero(np.diff(indices) < 0)
    assert len(seams) >= 2 and np.abs(samples[seams]).max() < 0.01
    desk.press("Escape")
    assert desk.ask("loop()") is None and desk.ask("playing()")


def test_a_newer_restoration_takes_over_without_losing_the_position(desk: Desk) -> None:
    desk.lay("ramps")
    desk.play()
    desk.press("3")
    booked = desk.booked_for_good()
    desk.page.evaluate("document.querySelector('#newer').click()")
    desk.part("note").filter(has_text="newer").wait_for()
    for _ in range(10):  # a busy browser may be late
        desk.wait(0.3)
        clock, samples = desk.tape()
        indices = clock + booked
        newer = np.isclose(samples * 2**20 / np.maximum(indices, 1), -0.25, atol=5e-7)
        if newer[-1000:].all():
            break
    assert desk.booked() == pytest.approx(booked, abs=1)
    assert newer[-1000:].all() and desk.ask("track()") == RESTORED
    np.testing.assert_allclose(samples[newer] * -(2**22), indices[newer], atol=0.5)


def test_a_wish_outlives_the_value_that_was_overtaken(desk: Desk) -> None:
    desk.lay("ramps")
    held: list[Route] = []
    late = 2  # of the sounds that are wished for two are not on the desk yet
    desk.page.route("**/*.wav", lambda route: held.append(route) if len(held) < late else route.continue_())
    desk.page.evaluate("document.querySelector('#wished').click()")
    while len(held) < late:
        desk.page.wait_for_timeout(20)
    desk.page.evaluate("document.querySelector('#newer').click()")
    desk.part("note").filter(has_text="newer").wait_for()
    for route in held:
        route.continue_()
    desk.page.unroute("**/*.wav")
    assert desk.ask("track()") == RESTORED


def test_the_keyboard_alone_does_everything(desk: Desk) -> None:
    desk.lay("ramps")
    desk.part("play").press("Shift+Tab")  # the timeline
    assert desk.part("timeline").evaluate("(part) => part.matches(':focus-visible')")
    desk.press("ArrowRight")
    assert desk.ask("position()") == 2 * RATE
    assert desk.part("timeline").get_attribute("aria-valuetext") == "0:02.0 of 0:20.0"
    desk.press("Shift+ArrowLeft")
    assert desk.ask("position()") == pytest.approx(1.8 * RATE, abs=1)
    desk.press("[", "Shift+ArrowRight", "Shift+ArrowRight", "]")
    assert desk.ask("loop()") == pytest.approx({"start": 1.8 * RATE, "end": 2.2 * RATE}, abs=1)
    desk.press("l")
    assert desk.ask("loop()") is None
    desk.press("Escape", "Home")
    assert desk.ask("position()") == 0
    desk.press("Shift+Tab")  # the tracks, one stop for all of them
    desk.press("ArrowDown", "ArrowDown")
    assert desk.ask("track()") == RESTORED
    assert desk.page.evaluate("document.activeElement.dataset.name") == RESTORED
    desk.press("4")
    assert desk.ask("track()") == "added" and desk.track("added").get_attribute("aria-checked") == "true"
    desk.press("Space")
    desk.wait(0)
    desk.press("Space")
    assert not desk.ask("playing()")


def test_every_control_is_a_stop_of_the_tab_key_with_a_name(desk: Desk) -> None:
    desk.lay("ramps")
    desk.part("blindness").click()
    desk.part("voices").locator("[aria-checked=true]").focus()
    expected = desk.section.evaluate("""(section) => [...section.querySelectorAll(
        "button, input, select, summary, [role=slider]")]
      .filter((control) => control.checkVisibility() && !control.disabled && control.tabIndex === 0).length""")
    stops: dict[str, str] = {}
    desk.page.locator("#notes textarea, #notes input").first.focus()
    for _ in range(expected):
        desk.press("Tab")
        stop, name, outline = desk.page.evaluate("""() => {
          const at = document.activeElement, label = at.closest("label")?.textContent;
          return [at.dataset.desk ?? at.dataset.name ?? at.tagName,
            (at.getAttribute("aria-label") ?? label ?? at.textContent).trim(), getComputedStyle(at).outlineStyle];
        }""")
        stops[stop] = name
        assert name and outline == "solid"
    assert len(stops) == expected
    assert {"first", "second", "planned", "feedback", "a", "timeline", "play", "loop", "volume"} <= set(stops)


TONE = """([script, rate]) => {
  const { Spectrum, ROWS, LOWEST_HZ } = new Function(`${script}; return { Spectrum, ROWS, LOWEST_HZ };`)();
  const tone = Float32Array.from({ length: rate }, (_, i) => 0.5 * Math.sin(2 * Math.PI * 1000 * i / rate));
  const spectrum = new Spectrum([tone, tone.map(() => 0)], rate, 0, rate);
  spectrum.develop(Infinity);
  const middle = Math.floor(spectrum.columns / 2) * ROWS, levels = [...spectrum.levels.slice(middle, middle + ROWS)];
  const hertz = levels.map((_, row) => LOWEST_HZ * 2 ** ((row + 0.5) / ROWS * spectrum.octaves));
  return [hertz, levels];
}"""


def test_a_spectrogram_has_a_tone_where_it_sounds_and_as_loud(desk: Desk) -> None:
    script = (files("babe2") / "report" / "desk" / "spectrum.js").read_text("utf-8")
    hertz, levels = map(np.array, desk.page.evaluate(TONE, [script, RATE]))
    assert hertz[levels.argmax()] == pytest.approx(1000, rel=0.03)
    assert -10.6 < levels.max() < -9  # half of full scale, in one of two channels, perhaps between two bins
    assert levels[np.abs(np.log2(hertz / 1000)) > 0.5].max() < levels.max() - 60


def test_the_picture_is_drawn_nearer_and_follows_the_playhead(desk: Desk) -> None:
    desk.lay("ramps")
    desk.page.wait_for_function(
        "() => Object.values(document.querySelector('#desk .desk').parentElement.desk.pictures()).every(Boolean)"
    )
    desk.press("+", "+")
    span = len(RAMP[0]) / 1.6**2
    assert desk.ask("view()") == pytest.approx({"start": 0, "end": span}, abs=2)
    assert desk.part("scroll").is_visible()
    desk.press("End", "ArrowLeft")  # the playhead is turned to
    view = desk.ask("view()")
    assert view["start"] < desk.ask("position()") < view["end"] == pytest.approx(len(RAMP[0]), abs=2)
    timeline = desk.part("timeline").bounding_box()
    assert timeline is not None
    desk.page.mouse.click(timeline["x"] + timeline["width"] / 2, timeline["y"] + 30)
    assert desk.ask("position()") == pytest.approx((view["start"] + view["end"]) / 2, abs=len(RAMP[0]) / 300)
    desk.part("scroll").focus()
    desk.press("Home")
    assert desk.ask("view()")["start"] == 0 and desk.ask("position()") > span  # who looks elsewhere is left there
    desk.press("0")
    assert desk.ask("view()") == {"start": 0, "end": len(RAMP[0])} and not desk.part("scroll").is_visible()
    desk.press("s")
    assert desk.part("picture").get_attribute("aria-pressed") == "false" and desk.part("certain").is_hidden()
    desk.press("s")


def test_typing_elsewhere_is_left_alone(desk: Desk) -> None:
    desk.lay("ramps")
    notes = desk.page.locator("#notes textarea, #notes input").first
    notes.focus()
    desk.page.keyboard.type("2 horns [loud]")
    assert notes.input_value() == "2 horns [loud]"
    assert desk.ask("track()") == RECORDING and not desk.ask("playing()") and desk.ask("loop()") is None


def sign_of(desk: Desk, voice: str) -> int:
    """Which of the two ramps is heard, by ear."""
    desk.press(voice)
    desk.wait(0.06)
    desk.page.evaluate(REWIND)
    desk.page.wait_for_function("() => window.tape.length")
    return int(np.sign(desk.tape()[1][-1]))


def test_the_blind_test_keeps_honest_books(desk: Desk, tmp_path: Path) -> None:
    desk.lay("ramps")
    desk.press("]", "l")  # the whole track, again and again
    desk.part("match").uncheck()
    desk.play()
    desk.part("blindness").focus()
    desk.press("Enter")
    assert desk.part("match").is_checked() and desk.part("match").is_disabled()
    assert not desk.part("tracks").is_visible() and desk.part("hint").inner_text() == ""
    desk.part("planned").fill("6")
    desk.part("voices").locator("[data-name=a]").focus()
    truths = []
    for trial in range(6):
        assert f"Trial {trial + 1} of 6" in desk.part("verdict").inner_text()
        assert desk.part("answer-a").is_disabled()  # not before X was heard
        a, b, x = (sign_of(desk, voice) for voice in "abx")
        assert {a, b} == {1, -1}
        truths.append((a, "A" if x == a else "B"))
        told = truths[-1][1] if trial else {"A": "B", "B": "A"}[truths[-1][1]]  # wrong once, the first time
        assert "right" not in desk.part("verdict").inner_text().replace("right answers comes", "")
        desk.part(f"answer-{told.lower()}").click()
    assert desk.part("verdict").inner_text().startswith("5 of 6 right (p = 0.11).")
    with desk.page.expect_download() as download:
        desk.part("csv").click()
    download.value.save_as(tmp_path / "answers.csv")
    rows = list(csv.DictReader((tmp_path / "answers.csv").read_text().splitlines()))
    names = {1: "Recording", -1: "Restored"}
    assert [(row["a_track"], row["b_track"], row["x"]) for row in rows] == [(names[a], names[-a], x) for a, x in truths]
    assert [row["right"] for row in rows] == ["no"] + 5 * ["yes"]
    assert [int(row["trial"]) for row in rows] == list(range(1, 7))
    assert all(0.1 < float(row["seconds_listened"]) < 60 and row["loop"] == "0.00-20.00" for row in rows)
    desk.part("again").click()
    assert "Trial 1 of 6" in desk.part("verdict").inner_text()
    desk.part("blindness").click()
    assert desk.part("tracks").is_visible() and not desk.part("match").is_checked()


def test_the_order_is_drawn_anew_and_chance_is_exact(desk: Desk) -> None:
    desk.lay("ramps")
    assert desk.ask("chanceOf(9, 12)") == pytest.approx(299 / 4096)
    assert desk.ask("chanceOf(12, 12)") == pytest.approx(1 / 4096)
    assert desk.ask("chanceOf(0, 5)") == 1
    desk.part("blindness").click()
    desk.part("planned").fill("24")
    desk.press("Enter")
    desk.part("voices").locator("[data-name=a]").focus()
    desk.press("Space")
    desk.wait(0)
    for _ in range(24):
        desk.press("x")
        desk.part("answer-a").evaluate("(button) => button.click()")
    with desk.page.expect_download() as download:
        desk.part("csv").click()
    rows = list(csv.DictReader(Path(download.value.path()).read_text().splitlines()))
    # Of 24 fair coins all but two fall alike once in 28 000 times.
    assert (
        3 <= sum(row["x"] == "A" for row in rows) <= 21
        and 3 <= sum(row["a_track"] == "Recording" for row in rows) <= 21
    )


def test_nothing_changes_under_a_listener_who_is_being_tested(desk: Desk) -> None:
    desk.lay("ramps")
    desk.part("blindness").click()
    desk.page.evaluate("document.querySelector('#single').click()")
    desk.page.wait_for_timeout(500)
    assert desk.part("voices").is_visible() and len(desk.ask("gains()")) == 4
    desk.part("blindness").click()
    desk.page.wait_for_function("() => document.querySelectorAll('#desk [data-desk=tracks] button').length === 1")
    assert desk.part("blindness").is_disabled()  # one track is nothing to compare


def test_the_desk_says_when_it_is_empty_and_when_a_sound_cannot_be_read(desk: Desk) -> None:
    assert (
        desk.part("message").inner_text()
        == "Here you will compare the recording and its restoration, at equal loudness."
    )
    desk.page.click("#broken")
    desk.page.wait_for_selector("#desk .desk[data-state=error]")
    assert desk.part("message").inner_text().startswith("This browser cannot decode “LTAS-EQ”.")
    desk.lay("ramps")
    desk.page.click("#nothing")
    desk.page.wait_for_selector("#desk .desk[data-state=empty]")


def test_a_browser_that_does_not_begin_to_play_is_told_of(desk: Desk) -> None:
    """As Firefox without a loudspeaker, which never says that its clock runs."""
    desk.lay("single")
    desk.part("play").click()
    desk.page.wait_for_function("() => document.querySelector('#desk .desk').parentElement.desk.position() > 0")
    desk.part("play").click()
    context = "section.parentElement.desk.output().context"
    desk.section.evaluate(
        f"async section => {{ await {context}.suspend(); {context}.resume = () => new Promise(() => 0) }}"
    )
    desk.part("play").click()
    expect(desk.part("message")).to_contain_text("does not play yet. Press Play again")
    desk.section.evaluate(f"section => {{ delete {context}.resume }}")
    desk.part("play").click()
    expect(desk.part("message")).to_be_empty()
    desk.part("play").click()


def test_a_phone_shows_the_whole_desk_in_light_and_dark(desk: Desk, address: str) -> None:
    desk.page.set_viewport_size({"width": 390, "height": 844})
    for scheme in ("light", "dark"):
        desk.page.wait_for_timeout(1000)  # Gradio calls it an error to be left unanswered
        desk.page.goto(f"{address}?__theme={scheme}")
        desk.lay("ramps")
        for blind in (False, True):
            if blind:
                desk.part("blindness").click()
            assert desk.page.evaluate("document.documentElement.scrollWidth") <= 390
            assert desk.section.evaluate("""(section) => {
              const edge = section.getBoundingClientRect().right;
              const parts = section.querySelectorAll("button, input, label");
              return [...parts].every((part) => !part.checkVisibility() || part.getBoundingClientRect().right <= edge);
            }""")
            assert min(contrasts(desk)) > 4.5, scheme


def contrasts(desk: Desk) -> list[float]:
    """How much the text of each visible part stands out from what it is written on (WCAG 2)."""
    pairs = desk.section.evaluate("""(section) => {
      const pen = Object.assign(document.createElement("canvas"), { width: 1, height: 1 })
        .getContext("2d", { willReadFrequently: true });
      const rgba = (colour) => {
        pen.clearRect(0, 0, 1, 1);
        pen.fillStyle = colour;
        pen.fillRect(0, 0, 1, 1);
        return [...pen.getImageData(0, 0, 1, 1).data];
      };
      const ground = (at) => {
        const colour = rgba(getComputedStyle(at).backgroundColor);
        return colour[3] === 255 || !at.parentElement ? colour : ground(at.parentElement);
      };
      return [...section.querySelectorAll("span, p, button, summary, label, output, dd, kbd")]
        .filter((each) => each.checkVisibility() && each.textContent.trim() && !each.closest(":disabled, .spoken"))
        .map((each) => [rgba(getComputedStyle(each).color), ground(each)]);
    }""")
    levels = np.array(pairs)[:, :, :3] / 255
    linear = np.where(levels <= 0.04045, levels / 12.92, ((levels + 0.055) / 1.055) ** 2.4)
    luminance = np.sort(linear @ [0.2126, 0.7152, 0.0722], axis=1)
    return list((luminance[:, 1] + 0.05) / (luminance[:, 0] + 0.05))
