"""The page as programs meet it, with real clients: gradio_client, an assistant by MCP, and plain HTTP."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import json
import re
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any
from urllib.error import HTTPError
from urllib.request import urlopen

import numpy as np
import pytest
import soundfile
from gradio_client import Client, handle_file
from gradio_client.exceptions import AppError
from house import EXAMPLE, ROOT, House, assert_idle

pytest_plugins = ["house"]


def test_a_program_restores_with_progress_and_hears_what_the_library_makes(client: Client, recording: Path) -> None:
    from babe2 import Restorer, audio

    job = client.submit(handle_file(str(recording)), preset="draft", seed=5, duration=1.5, api_name="/restore")
    file, report, pictures = job.result(timeout=90)
    assert report["seed"] == 5 and report["verified"] and report["preset"] == "draft"
    assert len(pictures) == 3 and all(Path(picture).read_bytes().startswith(b"\x89PNG") for picture in pictures)
    shares = [moment[1]["share"] for moment in job.outputs()[:-1]]
    assert len(shares) > 3 and shares == sorted(shares)
    excerpt = audio.read(recording, duration=1.5)
    restorer = Restorer.from_checkpoint("piano-small", device="cpu")
    expected = restorer.restore(excerpt.audio, 22_050, preset="draft", seed=5)
    assert soundfile.info(file).subtype == "PCM_24"
    np.testing.assert_allclose(soundfile.read(file)[0].T, expected.audio, atol=2**-23)
    assert soundfile.SoundFile(file).comment == report["statement"] == expected.provenance.statement
    assert report["result"]["sha256"] == hashlib.sha256(Path(file).read_bytes()).hexdigest()


def test_cancelling_a_job_ends_its_computation(house: House, long_recording: Path) -> None:
    job = house.client().submit(handle_file(str(long_recording)), duration=90, api_name="/restore")
    for _ in range(900):
        if any(moment[1].get("share", 0) > 0 for moment in job.outputs()):
            break
        time.sleep(0.1)
    assert job.cancel()
    assert_idle(house)


def test_users_do_not_mix(house: House, client: Client, recording: Path) -> None:
    def restored(number: int) -> tuple[int, float]:
        file, report, _ = client.predict(
            handle_file(str(recording)), preset="draft", seed=number, duration=0.3 * (1 + number), api_name="/restore"
        )
        return report["seed"], soundfile.info(file).duration

    with ThreadPoolExecutor(2) as pool:
        assert list(pool.map(restored, range(2))) == [(0, 0.3), (1, 0.6)]


def test_when_too_many_wait_one_is_told_so(house: House, client: Client, long_recording: Path) -> None:
    wish = {"preset": "draft", "duration": 5, "api_name": "/restore"}
    jobs = [client.submit(handle_file(str(long_recording)), **wish) for _ in range(7)]
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
    assert_idle(house)


def test_a_file_that_is_too_large_is_turned_away(client: Client, tmp_path: Path) -> None:
    path = tmp_path / "large.wav"
    path.write_bytes(bytes(4_000_000))
    with pytest.raises(Exception, match=r"413|size"):
        client.predict(handle_file(str(path)), api_name="/restore")


@pytest.mark.parametrize(
    ("name", "content", "told"),
    [("song.wav", b"no sound" * 99, "song.wav"), ("nothing.wav", b"", "nothing.wav")],
)
def test_programs_are_told_in_a_sentence_too(
    client: Client, tmp_path: Path, name: str, content: bytes, told: str
) -> None:
    path = tmp_path / name
    path.write_bytes(content)
    with pytest.raises(AppError) as error:
        client.predict(handle_file(str(path)), api_name="/restore")
    assert told in str(error.value) and "/" not in str(error.value) and "Traceback" not in str(error.value)


@pytest.mark.parametrize(
    ("wish", "told"),
    [
        *(
            ({"checkpoint": name}, "There is no checkpoint")
            for name in ("/etc/passwd", "examples", "me/anything", "~/x")
        ),
        ({"checkpoint": "../babe2/bundled/piano-small"}, "There is no checkpoint"),
        ({"checkpoint": None}, "There is no checkpoint"),
        ({"preset": "x" * 5000}, "There is no preset"),
        ({"preset": None}, "There is no preset"),
        ({"seed": -1}, "A seed is a whole number"),
        ({"seed": 10**30}, "A seed is a whole number"),
        ({"start": -1}, "The start is a number of seconds"),
        ({"start": 500.0}, "begins at 8:20"),
        ({"duration": 0}, "has no length"),
    ],
)
def test_a_mistake_of_the_asker_is_called_that(
    client: Client, recording: Path, wish: dict[str, Any], told: str
) -> None:
    with pytest.raises(AppError, match=told) as error:
        client.predict(handle_file(str(recording)), **wish, api_name="/restore")
    assert len(str(error.value)) < 300


@pytest.mark.parametrize("wish", [{"start": "x"}, {"start": []}, {"duration": {}}, {"seed": "x"}])
def test_a_wish_of_another_kind_leaves_the_house_in_order(
    client: Client, recording: Path, wish: dict[str, Any]
) -> None:
    with pytest.raises(AppError) as error:
        client.predict(handle_file(str(recording)), **wish, api_name="/restore")
    assert "ours" not in str(error.value)


def test_an_empty_seed_is_0(client: Client, recording: Path) -> None:
    *_, (_, report, _) = client.submit(
        handle_file(str(recording)), preset="draft", seed=None, duration=0.3, api_name="/restore"
    )
    assert report["seed"] == 0


def test_more_than_is_allowed_is_told(client: Client, tmp_path: Path) -> None:
    path = tmp_path / "long.flac"
    soundfile.write(path, np.zeros(8000 * 130), 8000)
    with pytest.raises(AppError, match="Choose an excerpt"):
        client.predict(handle_file(str(path)), duration=120, api_name="/restore")


@pytest.mark.parametrize("path", [ROOT / "README.md", ROOT / "app.py", EXAMPLE, Path("/etc/passwd")])
def test_files_of_the_machine_are_not_served(house: House, path: Path) -> None:
    with pytest.raises(HTTPError, match="403"):
        urlopen(f"{house.address}gradio_api/file={path}", timeout=30)


def test_what_others_show_of_a_link_says_what_it_is(house: House) -> None:
    page = urlopen(house.address, timeout=30).read().decode()
    head = page.partition("gradio_config")[0]
    assert "Gives old music recordings their sound back" in head and 'content="babe2: old recordings restored"' in head


def test_programs_learn_what_there_is(client: Client, recording: Path) -> None:
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
    assert [one["label"] for one in named["/restore"]["returns"]] == ["restored", "report", "pictures"]


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
            given = {"recording": sent, "duration": 0.3, "preset": "draft"}
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


@pytest.mark.parametrize("address", ["http://127.0.0.1:1/old.wav", "http://192.168.0.1/old.wav"])
def test_an_address_that_cannot_be_reached_is_told(client: Client, address: str) -> None:
    sent = {"path": address, "meta": {"_type": "gradio.FileData"}}
    with pytest.raises(AppError, match="no file to be had from this address"):
        client.predict(sent, api_name="/analyse")
