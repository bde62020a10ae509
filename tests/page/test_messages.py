"""What a visitor hears when something goes wrong."""

from __future__ import annotations

from collections.abc import Iterator

import gradio as gr
import pytest

from babe2.errors import Cancelled, RestorationError
from babe2.page.messages import in_a_sentence, nameless


@pytest.mark.parametrize(
    ("error", "told"),
    [
        (RestorationError("/tmp/gradio/ab12/My song.wav is silent."), "My song.wav is silent."),
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
    assert told in heard.value.message and "/" not in heard.value.message


def test_addresses_and_fractions_stay() -> None:
    sentence = "Try http://example.org/a/b.pt, me/mine or 1/2."
    assert nameless(sentence) == sentence
