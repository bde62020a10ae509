"""Sharing a checkpoint on the Hugging Face Hub: its model card, what would be uploaded, and the upload.

The layout is that of the Hub's own PyTorchModelHubMixin, without the mixin: it loads with `strict=False` and falls back
to pickles, and with both overridden nothing of it would be left but the names of two files.
"""

from __future__ import annotations

import json
import re
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from babe2.checkpoints.card import A_PATH, UNKNOWN, blank_card, completed_card, is_prior, model_card, one_line
from babe2.checkpoints.checkpoint import CARD, CONFIG, WEIGHTS, Checkpoint, load_folder
from babe2.checkpoints.manifest import REPO
from babe2.errors import RestorationError
from babe2.extras import require
from babe2.version import __version__

LARGEST_TEXT = 2**20  # bytes of a card or configuration


# The plan


@dataclass(frozen=True, eq=False)
class Publication:
    """All that `publish` uploads, for a look beforehand."""

    repo: str
    folder: Path
    checkpoint: Checkpoint = field(repr=False)
    card: str = field(repr=False)
    sizes: dict[str, int]  # bytes by file name
    about: dict[str, str]  # what a person said of it, as in ABOUT

    def as_dict(self) -> dict[str, Any]:
        return {"repo": self.repo, "folder": str(self.folder), "files": self.sizes, "card": self.card}

    def as_text(self) -> str:
        """The plan as text, for a person who is about to say yes."""
        files = "\n".join(f"  {name}  {size:,} bytes" for name, size in self.sizes.items())
        return f"To {self.repo} on the Hugging Face Hub:\n{files}\n\n{CARD}:\n\n{self.card}"


ABOUT = {  # what a model card and a manifest say that no file knows
    "title": "of the card",
    "description": "one sentence for listeners",
    "licence": "of the weights, for instance cc-by-4.0",
    "credit": "whom to thank",
    "training_data": "what it learned from",
    "intended": "for which recordings",
}


def plan(folder: Path, repo: str, **about: str) -> Publication:
    """The plan of an upload: the three files of a checkpoint that loads. `about`: any of ABOUT, for a manifest, and for
    the card unless the folder has one."""
    if unknown := sorted(about.keys() - ABOUT.keys()):
        raise TypeError(f"unknown field {unknown[0]!r}; there are {', '.join(ABOUT)}")
    if not REPO.fullmatch(repo):
        raise RestorationError(f"{repo!r:.80} is not the name of a repository on the Hub. It is written owner/name.")
    try:
        if not (folder / WEIGHTS).is_file():
            raise RestorationError(
                f"The folder {folder} holds no {WEIGHTS}. Convert or train a checkpoint into it first."
            )
        checkpoint = load_folder(folder / WEIGHTS)
        checkpoint.network()  # what does not fit is told here, and not to those who download it
        _check_private(folder / CONFIG)
        card = _card_of(folder, checkpoint, repo, about)
        sizes = {name: (folder / name).stat().st_size for name in (WEIGHTS, CONFIG)}
    except RecursionError:
        raise RestorationError(f"{CONFIG} is nested too deep to be searched for paths of this machine.") from None
    except OSError as error:
        raise RestorationError(f"The checkpoint in {folder} cannot be read: {error.strerror or error}.") from None
    return Publication(repo, folder, checkpoint, card, sizes | {CARD: len(card.encode())}, dict(about))


def _card_of(folder: Path, checkpoint: Checkpoint, repo: str, about: dict[str, str]) -> str:
    """The model card: the folder's, completed, or a new one where a person has not written any."""
    require("hub")
    written = folder / CARD
    text = _text(written) if written.is_symlink() or written.exists() else None
    heading = re.search(r"^# (.+)$", text or "", re.MULTILINE)
    if text is not None and not (heading and text == blank_card(checkpoint, heading[1])):
        return completed_card(text, checkpoint, about.get("licence"), repo)
    unsaid = {"title": repo.split("/")[1], "description": ""}
    unsaid |= dict.fromkeys(("licence", "credit", "training_data"), UNKNOWN)
    return model_card(checkpoint, repo=repo, **(unsaid | about))


def _text(card: Path) -> str:
    if not card.is_file() or card.stat().st_size > LARGEST_TEXT:
        raise RestorationError(f"{card} is no text of a sensible size. Remove it to have a card made.")
    try:
        return card.read_text("utf-8")
    except ValueError:
        raise RestorationError(f"{card} is not UTF-8 text. Mend it, or remove it to have a card made.") from None


def _check_private(configuration: Path) -> None:
    """Refuses a configuration that names a path of this machine, as it would become public for good."""
    if named := _paths_in(json.loads(configuration.read_text("utf-8")), ""):
        raise RestorationError(
            f"{CONFIG} names a path of this machine ({named[0]}), which would become public. Take it out first."
        )


def _paths_in(value: Any, where: str) -> list[str]:
    """Where in a configuration a path stands."""
    if isinstance(value, str):
        return [where] if A_PATH.search(value) else []
    inside = value if isinstance(value, dict) else dict(enumerate(value)) if isinstance(value, list) else {}
    return [found for key, inner in inside.items() for found in _paths_in(inner, f"{where}.{key}".lstrip("."))]


# The upload


@dataclass(frozen=True, eq=False)
class Published:
    """Where a checkpoint is on the Hub, and what to write into a manifest so that others find it."""

    repo: str
    url: str
    commit: str  # 40 hexadecimal digits
    manifest_lines: str

    def as_dict(self) -> dict[str, str]:
        return asdict(self)


def publish(publication: Publication, *, private: bool = False, token: str | None = None) -> Published:
    """Uploads a plan in one commit. `token` is by default what the environment or `hf auth login` left."""
    require("hub")
    import httpx2
    from huggingface_hub import CommitOperationAdd, HfApi

    api = HfApi(token=token, library_name="babe2", library_version=__version__)
    files: dict[str, Path | bytes] = {name: publication.folder / name for name in (WEIGHTS, CONFIG)}
    files[CARD] = publication.card.encode()
    try:
        api.create_repo(publication.repo, private=private, exist_ok=True)
        operations = [CommitOperationAdd(name, content) for name, content in files.items()]
        made = api.create_commit(publication.repo, operations, commit_message=f"Publish {publication.checkpoint.name}")
    except (httpx2.HTTPError, OSError, ValueError) as error:
        # The client's own words may be many, and quote headers with the token in them.
        raise RestorationError(_refusal(error, publication.repo)) from None
    lines = manifest_lines(
        publication.checkpoint, publication.repo, made.oid, publication.sizes[WEIGHTS], publication.about
    )
    return Published(publication.repo, str(made.commit_url), made.oid, lines)


def _refusal(error: Exception, repo: str) -> str:
    """Why the Hub did not take it, and the way out."""
    import httpx2
    from huggingface_hub.errors import HfHubHTTPError, LocalTokenNotFoundError, OfflineModeIsEnabled

    if isinstance(error, OfflineModeIsEnabled):
        return "The Hub is switched off by HF_HUB_OFFLINE. Unset it to publish."
    status = error.response.status_code if isinstance(error, HfHubHTTPError) else None
    nobody = (LocalTokenNotFoundError, UnicodeEncodeError, httpx2.LocalProtocolError)  # no token, or not one at all
    if status == 401 or isinstance(error, nobody):
        return f"The Hub does not know who wants to publish {repo}. Run `hf auth login`, or set HF_TOKEN."
    if status == 403:
        return (
            f"The Hub does not let this account write to {repo} (403). Take a token that may write, or another owner."
        )
    if status == 404:
        return f"The Hub knows no {repo}, or not for this account (404). Check the name and the token."
    if status is not None and status >= 500:
        return f"The Hub has trouble of its own ({status}). Nothing was published; try again later."
    if status is not None:
        return f"The Hub refused {repo} ({status}). Nothing was published."
    if isinstance(error, ValueError):
        return f"The Hub's client refused {repo}: {re.sub('hf_[A-Za-z0-9]+', 'hf_...', one_line(str(error)))[:200]}."
    return f"The Hub cannot be reached ({type(error).__name__}). Nothing was published; try again with a connection."


def manifest_lines(checkpoint: Checkpoint, repo: str, commit: str, size: int, about: dict[str, str]) -> str:
    """The entry for checkpoints_manifest.yaml; babe2/checkpoints/manifest.py defines its fields."""
    import yaml

    model = checkpoint.model
    name = re.sub(r"[^a-z0-9]+", "-", repo.split("/")[1].lower()).strip("-")
    entry = {
        "title": about.get("title", repo.split("/")[1]),
        "description": about.get("description", UNKNOWN),
        "sources": [{"repo": repo, "revision": commit, "file": WEIGHTS}],
        "sha256": checkpoint.sha256,
        "bytes": size,
        "sample_rate": model.sample_rate,
        "segment": model.segment,
        "settings": model.column if is_prior(checkpoint) else None,
        "parameters": sum(one.numel() for one in checkpoint.network().parameters()),
    }
    entry |= {key: about.get(key, UNKNOWN) for key in ("licence", "credit", "training_data", "intended")}
    return str(yaml.safe_dump({name: entry}, sort_keys=False, allow_unicode=True, width=120))
