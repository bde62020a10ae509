"""A run in another process, as where a graphics card is lent for each run."""

from __future__ import annotations

import pickle
from dataclasses import replace
from multiprocessing.queues import Queue
from pathlib import Path
from typing import Any

import numpy as np
import programs
import pytest
import torch

from babe2 import Cancelled, Restoration, RestorationError, audio
from babe2.page.checkpoint_cards import restorer_of
from babe2.page.excerpt import Excerpt
from babe2.page.underway.job import Moment
from babe2.page.underway.stop import Stop
from babe2.page.underway.zerogpu import card_seconds, check_lease, restored

EXAMPLE = Path(__file__).parents[2] / "examples" / "old_variation.flac"
OPTIONS: dict[str, Any] = {"preset": "draft", "seed": 3, "steps": 3}


def run_elsewhere(told: Queue[bytes], sound: audio.Recording, options: dict[str, Any], stop: Stop) -> None:
    try:
        for news in restored("piano-small", sound, options, stop):
            told.put(pickle.dumps(news))  # what tensors share would end with this process
    except Cancelled as error:
        told.put(pickle.dumps(error))


def heard(told: Queue[bytes]) -> Any:
    return pickle.loads(told.get(timeout=60))


def elsewhere(sound: audio.Recording, options: dict[str, Any], stop: Stop) -> tuple[Any, Any]:
    """A new process, and what it will tell."""
    told = programs.server().Queue()
    process = programs.server().Process(target=run_elsewhere, args=(told, sound, options, stop))
    process.start()
    return process, told


@pytest.fixture(scope="module")
def sound() -> audio.Recording:
    return Excerpt(0.0, 1.0).read(EXAMPLE, longest=1.0)


def test_it_tells_the_same_from_another_process(sound: audio.Recording) -> None:
    process, told = elsewhere(sound, OPTIONS, Stop.new())
    news = [heard(told)]
    while isinstance(news[-1], Moment):
        news.append(heard(told))
    process.join(20)
    *moments, there = news
    *_, here = restored("piano-small", sound, OPTIONS, Stop.new())
    assert isinstance(there, Restoration) and isinstance(here, Restoration)
    np.testing.assert_allclose(there.audio, here.audio, atol=1e-5)  # the other process has threads of its own
    assert there.at_rate(44_100).audio.shape == (1, 44_100)
    assert any(moment.sound is not None and moment.equalizer is not None for moment in moments)


def test_a_stop_reaches_it_there(sound: audio.Recording) -> None:
    stop = Stop.new()
    process, told = elsewhere(sound, {"steps": 10_000}, stop)
    while not heard(told).step:
        pass
    stop.ask()
    while isinstance(last := heard(told), Moment):
        pass
    process.join(20)
    assert isinstance(last, Cancelled) and process.exitcode == 0


def test_everything_that_goes_there_or_comes_back_can_be_pickled(sound: audio.Recording) -> None:
    *_, restoration = restored("piano-small", sound, OPTIONS, Stop.new())
    again = pickle.loads(pickle.dumps((restoration, Cancelled(restoration))))  # type: ignore[arg-type]
    np.testing.assert_array_equal(again[0].audio, restoration.audio)  # type: ignore[union-attr]
    assert restorer_of("piano-small") is restorer_of("piano-small")  # which is named there, and not sent


def test_more_sound_and_finer_presets_need_the_card_longer(sound: audio.Recording) -> None:
    stop = Stop.new()
    needed = [card_seconds("piano-small", sound, {"preset": preset}, stop) for preset in ("draft", "standard", "paper")]
    stop.ask()
    assert needed == [21, 23, 30]


def test_an_unknown_preset_is_told_in_a_sentence(sound: audio.Recording) -> None:
    with Stop.new() as stop, pytest.raises(RestorationError, match="There is no preset 'xx") as told:
        card_seconds("piano-small", sound, {"preset": "x" * 5000}, stop)
    assert len(str(told.value)) < 200


def test_what_needs_a_card_longer_than_it_is_lent_is_told_before_it_is_asked_for(
    sound: audio.Recording, monkeypatch: pytest.MonkeyPatch
) -> None:
    check_lease(replace(sound, sample_rate=1), {"preset": "paper"})  # where no card is lent all may be long
    monkeypatch.setattr("babe2.page.underway.zerogpu.spaces", object())
    check_lease(sound, {"preset": "paper"})
    with pytest.raises(RestorationError, match=r"enough for 33 s of sound in the preset standard\. Choose a shorter"):
        check_lease(replace(sound, sample_rate=100), {"preset": "standard"})


def test_what_is_computed_without_a_lent_card_stays_on_the_processor(tmp_path: Path) -> None:
    """Calibration, first look and LTAS-EQ run where no card is lent, which must not touch one."""
    (tmp_path / "spaces.py").write_text("def GPU(**_):\n    return lambda work: work\n")
    script = (
        f"import sys; sys.path.append({str(tmp_path)!r}); from babe2.page.checkpoint_cards import DEVICE; print(DEVICE)"
    )
    assert programs.run("-c", script).stdout == "cpu\n"


def test_a_run_leaves_the_number_of_threads_alone(sound: audio.Recording, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    before = torch.get_num_threads()
    torch.set_num_threads(3)
    try:
        with Stop.new() as stop:
            list(restored("piano-small", sound, {"steps": 2}, stop))
        assert torch.get_num_threads() == 3
    finally:
        torch.set_num_threads(before)
