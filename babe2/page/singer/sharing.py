"""Taking home what was learned, and publishing it: always with its card."""

from __future__ import annotations

import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from babe2.checkpoints.card import UNKNOWN, one_line
from babe2.checkpoints.checkpoint import CARD, CONFIG, WEIGHTS
from babe2.checkpoints.publishing import Published, plan, publish
from babe2.errors import RestorationError
from babe2.page.singer.own import OwnCheckpoint
from babe2.wording import plain_name

if TYPE_CHECKING:
    import gradio as gr

LICENCES = ("cc-by-4.0", "cc-by-sa-4.0", "cc-by-nc-4.0", "cc-by-nc-sa-4.0", "cc0-1.0", "other")
LONGEST_TEXT = 300  # characters of what is said of it
SOMEBODY = "me"  # stands for the owner in the card of what is taken home
LOOPBACK = ("127.0.0.1", "::1")


@dataclass(frozen=True)
class Said:
    """What its visitor says of a checkpoint."""

    licence: str = UNKNOWN
    credit: str = ""

    def about(self, own: OwnCheckpoint) -> dict[str, str]:
        """The fields of its model card."""
        return {
            "title": own.title,
            "description": own.about,
            "licence": cut(self.licence) or UNKNOWN,
            "credit": cut(self.credit) or UNKNOWN,
            "training_data": UNKNOWN,
            "intended": "Old recordings of the same singer or instrument",
        }


def cut(text: object) -> str:
    """A person's text in one line of a sensible length."""
    return one_line(text)[:LONGEST_TEXT] if isinstance(text, str) else ""


def take_home(own: OwnCheckpoint, folder: Path) -> Path:
    """Writes a ZIP of a checkpoint's folder with its card into `folder`."""
    name = plain_name(own.title).replace(".", "-")
    card = plan(own.folder, f"{SOMEBODY}/checkpoint", **Said().about(own)).card
    path = folder / f"{name}.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_STORED) as pack:  # weights do not become smaller
        for file in (WEIGHTS, CONFIG):
            pack.write(own.folder / file, f"{name}/{file}")
        pack.writestr(f"{name}/{CARD}", card.replace(f'"{SOMEBODY}/checkpoint"', f'"{name}"'))
    return path


def share(own: OwnCheckpoint, repo: str, said: Said, *, may: bool, private: bool, token: str | None) -> Published:
    """Publishes a checkpoint with its card; `may` is its visitor's word that the recordings may be used for it."""
    if not may:
        raise RestorationError("Say first that these recordings may be used for this, by the law and by who plays.")
    if said.licence not in LICENCES:
        raise RestorationError("Choose a licence for what is published.")
    return publish(plan(own.folder, repo.strip(), **said.about(own)), private=private, token=token)


def token_for(typed: str, signed_in: gr.OAuthToken | None, at_home: bool) -> str | None:
    """Who publishes: by the token that was typed, the login on the page, or this machine's own login (None).

    The last is for its owner only: whoever comes over a network must not publish in his name.
    """
    if typed and typed.strip():
        return typed.strip()
    if signed_in is not None:
        return signed_in.token
    if at_home:
        return None
    raise RestorationError("The Hub has to know who publishes. Sign in, or give a token that may write.")


def is_at_home(request: gr.Request | None, on_a_space: bool) -> bool:
    """Whether a visitor sits at this machine itself, and no proxy between."""
    if on_a_space or request is None or request.client is None:
        return False
    passed_on = any(name in request.headers for name in ("x-forwarded-for", "forwarded", "x-real-ip"))
    return request.client.host in LOOPBACK and not passed_on
