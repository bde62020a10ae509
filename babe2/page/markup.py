"""The page's own HTML: what stands at its head and its foot, and the gallery's cards."""

from __future__ import annotations

import base64
from html import escape
from pathlib import Path

from babe2.page.beforehand import Card

PAPER = "https://arxiv.org/abs/2403.18636"
CITATION = """\
@inproceedings{moliner2024equalizer,
  author    = {E. Moliner and M. Turunen and F. Elvander and V. V{\\"a}lim{\\"a}ki},
  title     = {A Diffusion-Based Generative Equalizer for Music Restoration},
  booktitle = {Proc. 27th Int. Conf. Digital Audio Effects (DAFx24)},
  year      = {2024}
}"""
KEPT = (
    "What you drop is a file in this server's temporary folder, which no other visitor reaches. It and what was made "
    "of it are deleted after six to seven hours; nothing is sent elsewhere. Your browser keeps a token, by which you "
    "find your last results again for an hour."
)
COPY = """element.addEventListener("click", async (event) => {
  const button = event.target.closest("[data-copy]");
  if (!button) return;
  await navigator.clipboard?.writeText(element.querySelector("pre").textContent);
  button.textContent = navigator.clipboard ? "Copied" : "Select it and copy";
})"""


MARK = (  # a record
    '<svg class="mark" viewBox="0 0 100 100" aria-hidden="true"><circle class="disc" cx="50" cy="50" r="50"/>'
    f'<g class="grooves">{"".join(f"""<circle cx="50" cy="50" r="{radius}"/>""" for radius in (46, 39, 32, 25))}</g>'
    '<circle class="label" cx="50" cy="50" r="17"/><circle class="hole" cx="50" cy="50" r="3"/></svg>'
)


def head(promise: str, imagined: str, languages: str) -> str:
    """What it is in a sentence, and what is imagined in another; `languages` are buttons to choose one of them."""
    return (
        f'<header class="head"><div class="top"><p class="brand">{MARK}<span>babe2</span></p>'
        f'<p class="languages">{languages}</p></div>'
        "<h1>Hear what the horn could not.</h1>"
        f'<p class="lead">{escape(promise)}: drop one, press <strong>Restore</strong>, and compare at equal loudness. '
        f"<em>{escape(imagined)}</em></p></header>"
    )


def gallery(cards: list[Card], folder: Path) -> str:
    """The examples as buttons, each with its picture, and whose they are one click away."""
    buttons = "".join(
        f'<li><button type="button" data-example="{escape(card.name)}">'
        f'<img src="{_inline(folder / f"{card.name}.webp")}" alt="" width="320" height="128">'
        f'<span class="words"><span class="title">{escape(card.title)}</span>'
        f'<span class="did">{escape(card.did)}</span></span></button></li>'
        for card in cards
    )
    credits = "".join(f"<li>{escape(card.credit)}</li>" for card in cards)
    return (
        '<section class="gallery" aria-labelledby="gallery-title"><h2 id="gallery-title">Or hear one of these</h2>'
        f'<ul class="cards">{buttons}</ul><details><summary>What the pictures show, and credits</summary>'
        "<p>Each is a spectrogram, high notes at the top: the left half as it was, the right half as it became. "
        f"All were restored beforehand.</p><ul>{credits}</ul></details></section>"
    )


def foot(space: str | None) -> str:
    """Where it comes from, how it is cited, and what becomes of what is dropped here; `space` is the Space's id."""
    home = f"https://huggingface.co/spaces/{space}"

    def place(words: str, path: str) -> str:
        """A file of the repository: a link where it is known where that lies."""
        if space is None:
            return f"<li>{words}: <code>{path}</code></li>"
        return f'<li><a href="{home}/blob/main/{path}">{words}</a></li>'

    links = [
        f'<li><a href="{PAPER}">The paper</a></li>',
        place("How it works", "docs/how-it-works.md"),
        place("Model cards", "docs/checkpoints.md"),
        place("Questions", "docs/questions.md"),
    ]
    if space is not None:
        links += [
            f'<li><a href="{home}/tree/main">Source</a></li>',
            f'<li><a href="{home}?duplicate=true">Duplicate this Space</a></li>',
        ]
    return (
        f'<div class="foot"><ul class="links">{"".join(links)}</ul>'
        '<details class="cite"><summary>Cite the paper</summary>'
        f'<pre tabindex="0" aria-label="BibTeX">{escape(CITATION)}</pre>'
        '<button type="button" data-copy>Copy</button></details>'
        f"<details><summary>What becomes of what you drop</summary><p>{escape(KEPT)}</p></details></div>"
    )


def _inline(picture: Path) -> str:
    """A picture as an address that asks for nothing."""
    return f"data:image/webp;base64,{base64.b64encode(picture.read_bytes()).decode()}"
