"""The page as a stranger meets it, in a real browser; the same house as programs meet it, with real clients."""

from __future__ import annotations

import asyncio
import base64
import json
import os
import re
import socket
import subprocess
import sys
import time
import zipfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.error import HTTPError
from urllib.request import urlopen

import numpy as np
import pytest
import soundfile
from gradio_client import Client, handle_file
from gradio_client.exceptions import AppError
from playwright.sync_api import Browser, Page, expect

pytest_plugins = ["browser"]

ROOT = Path(__file__).parents[1]
EXAMPLE = ROOT / "examples" / "old_variation.flac"
PATIENCE = 90_000  # ms; a busy machine is slow


@dataclass(frozen=True)
class House:
    """The demo in a process of its own."""

    address: str
    process: subprocess.Popen[bytes]

    def cpu_seconds(self) -> float:
        fields = Path(f"/proc/{self.process.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def client(self) -> Client:
        return Client(self.address, verbose=False)


def free_port() -> int:
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        return held.getsockname()[1]


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    folder, port = tmp_path_factory.mktemp("house"), free_port()
    environment = os.environ | {
        "GRADIO_SERVER_NAME": "127.0.0.1",
        "GRADIO_SERVER_PORT": str(port),
        "GRADIO_TEMP_DIR": str(folder / "gradio"),
        "GRADIO_MCP_SERVER": "True",
        "TMPDIR": str(folder),
        "HF_HUB_OFFLINE": "1",
        "BABE2_LONGEST_SECONDS": "100",
        "BABE2_LARGEST_FILE": "3mb",
        "BABE2_QUEUE": "3",
        "OMP_NUM_THREADS": "1",
    }
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen([sys.executable, "app.py"], cwd=ROOT, env=environment, stdout=log, stderr=log)
    house = House(f"http://127.0.0.1:{port}/", process)
    try:
        wait_for(house, folder / "log")
        yield house
    finally:
        process.terminate()
        process.wait(20)


def wait_for(house: House, log: Path) -> None:
    for _ in range(600):
        try:
            urlopen(house.address, timeout=5).close()
            return
        except OSError:
            assert house.process.poll() is None, log.read_text()
            time.sleep(0.1)
    pytest.fail(f"The page did not appear. {log.read_text()}")


@pytest.fixture
def recording(tmp_path: Path) -> Path:
    """A 24-bit stereo file of another rate."""
    sound, rate = soundfile.read(EXAMPLE, frames=22_050 * 3)
    path = tmp_path / "Grüße an Clara.wav"
    soundfile.write(path, np.stack([sound, 0.5 * sound], axis=1), rate, subtype="PCM_24")
    return path


@pytest.fixture
def long_recording(tmp_path: Path) -> Path:
    sound, rate = soundfile.read(EXAMPLE)
    path = tmp_path / "long.flac"
    soundfile.write(path, np.tile(sound, 8), rate)
    return path


# The page


def upload(page: Page, house: House, path: Path) -> None:
    page.goto(house.address)
    page.set_input_files("input[type=file]", path)
    expect(page.locator("#notice")).to_contain_text("LUFS", timeout=PATIENCE)
    expect(page.locator("#restore")).to_be_enabled(timeout=PATIENCE)


def titles(page: Page) -> list[str]:
    return page.locator("#desk [data-desk=tracks] [data-name]").evaluate_all(
        "tracks => tracks.map((each) => each.dataset.name)"
    )


def progress_seen(page: Page) -> list[float]:
    """Every place the bar stood at until the run was over."""
    return page.evaluate(
        """async () => {
          const seen = new Set();
          for (const began = Date.now(); Date.now() - began < 90000;) {
            const bar = document.querySelector("#status progress");
            if (bar) seen.add(bar.value);
            if (document.querySelector("#status")?.innerText.includes("done:")) break;
            await new Promise((resolve) => setTimeout(resolve, 30));
          }
          return [...seen];
        }"""
    )


def test_a_stranger_restores_compares_and_takes_it_home(page: Page, house: House, recording: Path) -> None:
    upload(page, house, recording)
    assert titles(page) == ["recording", "ltas_eq"]
    expect(page.locator("#time-needed")).to_contain_text("will take about", timeout=PATIENCE)
    page.click("#restore")
    seen = progress_seen(page)
    assert len(seen) >= 4 and seen == sorted(seen) and seen[-1] == 1
    expect(page.locator("#desk [data-name=added]")).to_be_visible(timeout=PATIENCE)
    assert titles(page) == ["recording", "ltas_eq", "restored", "added"]
    pictures = page.locator(".tabitem img")
    expect(pictures.first).to_be_visible(timeout=PATIENCE)
    file, pack = (taken(page, name) for name in ("file", "pack"))
    sound = soundfile.info(file)
    before = soundfile.info(recording)
    assert (sound.frames, sound.samplerate, sound.channels) == (before.frames, before.samplerate, before.channels)
    assert sound.subtype == "PCM_24" and file.name.startswith("Grüße an Clara")
    with zipfile.ZipFile(pack) as opened:
        assert opened.testzip() is None
        text = "".join(opened.read(name).decode() for name in opened.namelist() if name.endswith((".txt", ".json")))
    assert "babe2 restore" in text and "/tmp" not in text
    assert_papers(page)


def assert_papers(page: Page) -> None:
    """Every picture as PNG and SVG, and the numbers."""
    page.get_by_text("Pictures and numbers").click()
    links = page.locator("#papers a[download]")
    expect(links).to_have_count(9, timeout=PATIENCE)
    kinds = [Path(str(name)).suffix for name in links.evaluate_all("links => links.map((each) => each.download)")]
    assert sorted(kinds) == [".csv"] * 2 + [".json"] + [".png"] * 3 + [".svg"] * 3
    with page.expect_download(timeout=PATIENCE) as download:
        links.nth(kinds.index(".csv")).click()
    assert download.value.suggested_filename == "Grüße an Clara.equalizer.csv"
    assert Path(download.value.path()).read_text("utf-8").startswith("frequency_hz,gain_db\n20.00,")


def test_an_example_was_restored_beforehand(page: Page, house: House) -> None:
    page.goto(house.address)
    page.get_by_text("old_variation.flac").click()
    expect(page.locator("#desk [data-name=restored]")).to_be_visible(timeout=PATIENCE)
    expect(page.locator("#warnings")).to_contain_text("restored beforehand")


def test_empty_fields_show_what_they_mean(page: Page, house: House) -> None:
    page.goto(house.address)
    page.get_by_text("More", exact=True).click()
    page.get_by_text("How it is sampled").click()
    steps, start = (page.locator(f"#set-{name}").get_by_role("textbox") for name in ("steps", "sigma_min"))
    expect(steps).to_have_attribute("placeholder", "16")
    page.get_by_label("Draft").check()
    expect(steps).to_have_attribute("placeholder", "10", timeout=PATIENCE)
    page.get_by_label("Which music").click()
    page.get_by_role("option", name="Singing voice, general", exact=True).click()  # which is not on this machine
    expect(start).to_have_attribute("placeholder", "0.001", timeout=PATIENCE)
    expect(start).to_have_value("")


def test_of_many_complaints_the_latest_stands(page: Page, house: House, recording: Path) -> None:
    upload(page, house, recording)
    page.get_by_text("More", exact=True).click()
    page.get_by_text("How it is sampled").click()
    page.locator("#set-steps").get_by_role("textbox").fill("many")
    complaints = page.get_by_test_id("toast-text")
    for tries in (1, 2):
        page.click("#restore")
        expect(complaints.nth(tries)).to_be_attached(timeout=PATIENCE)  # leaving the field was the first
        expect(page.locator("#restore")).to_be_enabled(timeout=PATIENCE)
    assert [each.is_visible() for each in complaints.all()] == [False] * (complaints.count() - 1) + [True]


def test_nothing_covers_the_picture_before_and_after(page: Page, house: House, recording: Path) -> None:
    upload(page, house, recording)
    page.click("#restore")
    expect(page.locator("#before-and-after img").last).to_be_visible(timeout=PATIENCE)
    expect(page.locator("#before-and-after button")).to_be_hidden()


def taken(page: Page, button: str) -> Path:
    link = page.locator(f"#{button}, #{button} a").last
    expect(link).to_be_enabled(timeout=PATIENCE)
    page.wait_for_timeout(500)
    with page.expect_download(timeout=PATIENCE) as download:
        link.click()
    path = Path(download.value.path())
    return path.rename(path.with_name(download.value.suggested_filename))


def test_amount_rate_and_kind_are_the_listeners_choice(page: Page, house: House, recording: Path) -> None:
    upload(page, house, recording)
    page.click("#restore")
    expect(page.locator("#status")).to_contain_text("done:", timeout=PATIENCE)
    first = taken(page, "file")
    chosen = {"File": "FLAC, 24 bit", "Sample rate, Hz": "48000"}
    for label, value in chosen.items():
        page.get_by_label(label, exact=True).click()
        page.get_by_role("option", name=value, exact=True).click()
    for _ in range(60):
        page.wait_for_timeout(500)
        second = taken(page, "file")
        if second.suffix == ".flac" and soundfile.info(second).samplerate == 48_000:
            break
    info = soundfile.info(second)
    assert (info.format, info.subtype, info.samplerate) == ("FLAC", "PCM_24", 48_000)
    assert info.frames == round(soundfile.info(first).frames * 48_000 / 22_050)


def test_stop_ends_the_work_and_keeps_what_is_finished(page: Page, house: House, long_recording: Path) -> None:
    upload(page, house, long_recording)
    page.get_by_label("The whole recording").check()
    page.click("#restore")
    expect(page.locator("#status")).to_contain_text("segment 2 of", timeout=PATIENCE)
    page.click("#stop")
    expect(page.locator("#status")).to_contain_text("done:", timeout=PATIENCE)
    expect(page.locator("#desk [data-name=restored]")).to_be_visible(timeout=PATIENCE)
    assert 5 < soundfile.info(taken(page, "file")).duration < 90
    assert_idle(house)


def assert_idle(house: House, within: float = 10.0) -> None:
    """Soon nothing is computed any more."""
    end = time.monotonic() + within
    while time.monotonic() < end:
        before = house.cpu_seconds()
        time.sleep(1)
        if house.cpu_seconds() - before < 0.25:
            return
    pytest.fail("The house still works for nobody.")


def test_closing_the_page_ends_the_work(browser: Browser, house: House, long_recording: Path) -> None:
    page = browser.new_page()
    upload(page, house, long_recording)
    page.get_by_label("The whole recording").check()
    page.click("#restore")
    expect(page.locator("#status")).to_contain_text("step", timeout=PATIENCE)
    page.close()
    assert_idle(house, within=30)


def test_the_keyboard_alone_will_do(page: Page, house: House, recording: Path) -> None:
    upload(page, house, recording)
    page.locator("#restore").focus()
    page.keyboard.press("Enter")
    expect(page.locator("#desk [data-name=restored]")).to_be_visible(timeout=PATIENCE)
    page.locator("#desk [data-desk=play]").focus()
    page.keyboard.press("3")
    expect(page.locator("#desk [data-name=restored]")).to_have_attribute("aria-checked", "true")


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_it_fits_a_phone_by_day_and_by_night(page: Page, house: House, long_recording: Path, scheme: Any) -> None:
    page.emulate_media(color_scheme=scheme)
    page.set_viewport_size({"width": 390, "height": 844})
    upload(page, house, long_recording)
    expect(page.locator("#desk [data-name=recording]")).to_be_visible(timeout=PATIENCE)
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    assert page.evaluate("document.body.classList.contains('dark')") == (scheme == "dark")


def test_what_cannot_be_read_is_told_in_a_sentence(browser: Browser, house: House, tmp_path: Path) -> None:
    page = browser.new_page()  # whose console may complain: the player cannot read it either
    path = tmp_path / "song.wav"
    path.write_bytes(b"this is no sound" * 100)
    page.goto(house.address)
    page.set_input_files("input[type=file]", path)
    told = page.get_by_test_id("toast-body")
    expect(told).to_be_visible(timeout=PATIENCE)
    assert "song.wav" in told.inner_text() and "/" not in told.inner_text()
    page.close()


def test_the_blind_test_knows_its_two_sounds(page: Page, house: House, recording: Path) -> None:
    upload(page, house, recording)
    page.click("#restore")
    expect(page.locator("#desk [data-name=added]")).to_be_visible(timeout=PATIENCE)
    page.locator("#desk [data-desk=blindness]").click()
    expect(page.locator("#desk [data-desk=voices]")).to_be_visible()


# Programs


def test_a_program_restores_with_progress(house: House, recording: Path) -> None:
    job = house.client().submit(handle_file(str(recording)), seed=5, duration=2.0, api_name="/restore")
    file, report, pictures = job.result(timeout=90)
    info = soundfile.info(file)
    assert (info.frames, info.subtype) == (2 * 22_050, "PCM_24")
    assert report["seed"] == 5 and report["verified"] and report["preset"] == "standard"
    assert len(pictures) == 3 and all(Path(picture).read_bytes().startswith(b"\x89PNG") for picture in pictures)
    shares = [moment[1]["share"] for moment in job.outputs()[:-1]]
    assert len(shares) > 3 and shares == sorted(shares)


def test_the_same_seed_gives_the_same_sound_as_the_library(house: House, recording: Path) -> None:
    from babe2 import Restorer, audio

    file, *_ = house.client().predict(handle_file(str(recording)), preset="draft", duration=1.5, api_name="/restore")
    excerpt = audio.read(recording, duration=1.5)
    expected = Restorer.from_checkpoint("piano-small", device="cpu").restore(excerpt.audio, 22_050, preset="draft")
    np.testing.assert_allclose(soundfile.read(file)[0].T, expected.audio, atol=2**-23)


def test_cancelling_a_job_ends_its_computation(house: House, long_recording: Path) -> None:
    job = house.client().submit(handle_file(str(long_recording)), duration=90, api_name="/restore")
    for _ in range(900):
        if any(moment[1].get("share", 0) > 0 for moment in job.outputs()):
            break
        time.sleep(0.1)
    assert job.cancel()
    assert_idle(house)


def test_users_do_not_mix(house: House, tmp_path: Path) -> None:
    sound, rate = soundfile.read(EXAMPLE)

    def restored(number: int) -> tuple[int, float]:
        path = tmp_path / f"{number}.wav"
        soundfile.write(path, sound[: rate * (1 + number)], rate)
        file, report, _ = house.client().predict(
            handle_file(str(path)), preset="draft", seed=number, duration=1.0 + number, api_name="/restore"
        )
        return report["seed"], soundfile.info(file).duration

    with ThreadPoolExecutor(3) as pool:
        assert list(pool.map(restored, range(3))) == [(0, 1.0), (1, 2.0), (2, 3.0)]


def test_when_too_many_wait_one_is_told_so(house: House, long_recording: Path) -> None:
    clients = [house.client() for _ in range(7)]
    sound = handle_file(str(long_recording))
    jobs = [client.submit(sound, duration=10, api_name="/restore") for client in clients]
    told = []
    try:
        for _ in range(300):
            told = [str(job.exception()) for job in jobs if job.done()]
            if told:
                break
            time.sleep(0.1)
    finally:
        for job in jobs:
            job.cancel()
    assert told and all("full" in text for text in told)
    assert_idle(house, within=60)


def test_a_file_that_is_too_large_is_turned_away(house: House, tmp_path: Path) -> None:
    path = tmp_path / "large.wav"
    path.write_bytes(bytes(4_000_000))
    with pytest.raises(Exception, match=r"413|size"):
        house.client().predict(handle_file(str(path)), api_name="/restore")


@pytest.mark.parametrize(
    ("name", "content", "told"),
    [("song.wav", b"no sound" * 99, "song.wav"), ("nothing.wav", b"", "nothing.wav")],
)
def test_programs_are_told_in_a_sentence_too(
    house: House, tmp_path: Path, name: str, content: bytes, told: str
) -> None:
    path = tmp_path / name
    path.write_bytes(content)
    with pytest.raises(AppError) as error:
        house.client().predict(handle_file(str(path)), api_name="/restore")
    assert told in str(error.value) and "/" not in str(error.value) and "Traceback" not in str(error.value)


@pytest.mark.parametrize("checkpoint", ["/etc/passwd", "examples", "me/anything", "../babe2/bundled/piano-small", ""])
def test_only_checkpoints_of_the_list_are_loaded(house: House, recording: Path, checkpoint: str) -> None:
    with pytest.raises(AppError, match="There is no checkpoint"):
        house.client().predict(handle_file(str(recording)), checkpoint=checkpoint, api_name="/restore")


def test_more_than_is_allowed_is_told(house: House, long_recording: Path) -> None:
    sound, rate = soundfile.read(long_recording)
    soundfile.write(long_recording, np.tile(sound, 2)[: rate * 130], rate)
    with pytest.raises(AppError, match="Choose an excerpt"):
        house.client().predict(handle_file(str(long_recording)), duration=120, api_name="/restore")


@pytest.mark.parametrize("path", [ROOT / "README.md", ROOT / "app.py", EXAMPLE, Path("/etc/passwd")])
def test_files_of_the_machine_are_not_served(house: House, path: Path) -> None:
    with pytest.raises(HTTPError, match="403"):
        urlopen(f"{house.address}gradio_api/file={path}", timeout=30)


def test_choosing_a_checkpoint_fetches_nothing(page: Page, house: House, recording: Path) -> None:
    upload(page, house, recording)
    page.get_by_label("Which music").click()
    page.get_by_role("option", name="Solo piano", exact=True).click()
    expect(page.locator("#time-needed")).to_contain_text("fetches this checkpoint first", timeout=PATIENCE)
    page.click("#restore")  # without a network
    expect(page.get_by_test_id("toast-body")).to_contain_text("may use no network", timeout=PATIENCE)
    expect(page.locator("#restore")).to_be_enabled(timeout=PATIENCE)
    expect(page.locator("#live-picture")).to_be_hidden()


def test_another_recording_ends_the_run_and_clears_the_page(page: Page, house: House, long_recording: Path) -> None:
    upload(page, house, long_recording)
    page.get_by_label("The whole recording").check()
    page.click("#restore")
    expect(page.locator("#status")).to_contain_text("segment 2 of", timeout=PATIENCE)
    page.get_by_label("Clear").first.click()
    expect(page.locator("#notice")).to_contain_text("Nothing here yet", timeout=PATIENCE)
    expect(page.locator("#status")).to_be_empty(timeout=PATIENCE)
    expect(page.locator("#file")).to_be_hidden()
    assert_idle(house)


def test_programs_learn_what_there_is(house: House, recording: Path) -> None:
    client = house.client()
    assert [one["id"] for one in client.predict(api_name="/checkpoints")][:2] == ["piano-small", "piano"]
    found = client.predict(handle_file(str(recording)), api_name="/analyse")
    assert 2500 < found["bandwidth_high_hz"] < 4000 and found["ratio_to_reference_db"]
    named = client.view_api(return_format="dict")["named_endpoints"]  # type: ignore[index]
    assert set(named) == {"/restore", "/analyse", "/checkpoints"}
    assert [one["parameter_name"] for one in named["/restore"]["parameters"]] == [
        "recording",
        "checkpoint",
        "preset",
        "seed",
        "start",
        "duration",
    ]


def test_an_assistant_finds_the_tools_and_restores_a_file(house: House, recording: Path) -> None:
    from mcp import ClientSession
    from mcp.client.streamable_http import streamablehttp_client

    sent = "data:audio/wav;base64," + base64.b64encode(recording.read_bytes()).decode()

    async def visit() -> tuple[list[str], Any]:
        async with (
            streamablehttp_client(f"{house.address}gradio_api/mcp/") as (read, write, _),
            ClientSession(read, write) as session,
        ):
            await session.initialize()
            tools = [tool.name for tool in (await session.list_tools()).tools]
            name = next(tool for tool in tools if tool.endswith("restore"))
            given = {"recording": sent, "duration": 1.0, "preset": "draft"}
            return tools, await session.call_tool(name, given)

    with ThreadPoolExecutor(1) as elsewhere:  # the browser's own loop may be running in this thread
        tools, answer = elsewhere.submit(lambda: asyncio.run(visit())).result()
    assert {re.sub(r"^.*?_?(restore|analyse|checkpoints)$", r"\1", name) for name in tools} == {
        "restore",
        "analyse",
        "checkpoints",
    }
    said = json.dumps([part.model_dump() for part in answer.content], default=str)
    assert not answer.isError and "restored.wav" in said, said[:2000]


@pytest.mark.slow
def test_memory_stays_flat_over_fifty_runs(house: House, recording: Path) -> None:
    def resident() -> float:
        status = Path(f"/proc/{house.process.pid}/status").read_text()
        return int(re.search(r"VmRSS:\s+(\d+)", status)[1]) / 1e3  # type: ignore[index]

    client, sizes = house.client(), []
    for number in range(50):
        client.predict(handle_file(str(recording)), preset="draft", seed=number, duration=2.0, api_name="/restore")
        sizes.append(resident())
    assert max(sizes[40:]) < 1.1 * max(sizes[5:15]), sizes
