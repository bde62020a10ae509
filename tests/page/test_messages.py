"""What a visitor hears when something goes wrong."""

from __future__ import annotations

from collections.abc import Iterator

import gradio as gr
import pytest

from babe2.errors import Cancelled, RestorationError
from babe2.page.messages import for_visitors, in_a_sentence, nameless, on_the_page, sentence_of
from babe2.page.outcome import KINDS


@pytest.mark.parametrize(
    ("error", "told"),
    [
        (RestorationError("/tmp/gradio/ab12/My song.wav is silent."), "My song.wav is silent."),
        (RestorationError("/tmp/My old records/of 1912/My song.wav is silent."), "My song.wav is silent."),
        (RestorationError("~/My records/a.wav is silent."), "a.wav is silent."),
        (RestorationError("C:\\\\My records\\\\a.wav is silent."), "a.wav is silent."),
        (Cancelled(), "Stopped before anything was finished."),
        (ZeroDivisionError("in /root/secret.py"), "ours, not yours"),
    ],
)
def test_it_is_one_sentence_without_a_path(error: Exception, told: str) -> None:
    @in_a_sentence
    def work() -> Iterator[int]:
        yield 1
        raise error

    news = work()
    assert next(news) == 1
    with pytest.raises(gr.Error) as heard:
        next(news)
    assert told in heard.value.message and not set("/\\\\~") & set(heard.value.message)
    assert "records" not in heard.value.message


def test_addresses_and_fractions_stay() -> None:
    sentence = "Try http://example.org/a/b.pt, me/mine or 1/2."
    assert nameless(sentence) == sentence


def test_of_a_visitors_own_file_only_the_name_is_told() -> None:
    path = "/tmp/a b/c d/My song.wav"
    error = RestorationError(f"{path} ends early. Copy {path} again, or try 24/96.")
    assert sentence_of(error, path) == "My song.wav ends early. Copy My song.wav again, or try 24/96."


def test_what_only_helps_at_a_command_line_is_left_out() -> None:
    told = for_visitors("These settings cannot work: steps = 0. See the defaults with `babe2 info --settings`.")
    assert told == "These settings cannot work: steps = 0."


def test_what_a_command_is_told_is_told_as_it_is_done_here() -> None:
    told = for_visitors("It is too loud. Choose a .wav file with subtype FLOAT, or lower the level first.")
    assert told.endswith("Choose \u201cWAV, 32-bit float\u201d under File, or lower the level first.")
    assert "WAV, 32-bit float" in KINDS


def test_on_the_page_it_stays_to_be_read() -> None:
    @on_the_page
    def work(path: str) -> Iterator[dict[str, str]]:
        yield {"status": "reading"}
        raise RestorationError(f"{path} is silent.")

    assert list(work("/tmp/a.wav")) == [{"problem": ""}, {"status": "reading"}, {"problem": "a.wav is silent."}]


def test_a_wish_to_stop_is_no_error_on_the_page() -> None:
    @on_the_page
    def work() -> Iterator[dict[str, str]]:
        raise Cancelled
        yield {}

    assert list(work()) == [{"problem": ""}, {"status": "Stopped before anything was finished."}]
