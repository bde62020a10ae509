"""Sharing a checkpoint on the Hugging Face Hub: its model card, what would be uploaded, and the upload.

The layout is that of the Hub's own PyTorchModelHubMixin, without the mixin: it loads with `strict=False` and falls back
to pickles, and with both overridden nothing of it would be left but the names of two files.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from babe2.bandwise import BandwiseUNet
from babe2.checkpoints import CARD, CONFIG, WEIGHTS, Checkpoint, load_folder
from babe2.errors import RestorationError
from babe2.manifest import REPO

LARGEST_TEXT = 2**20  # bytes of a card or configuration
ANY_REPO = "owner/name"  # stands in a card until it is known where the checkpoint is published
UNKNOWN = "not stated"
TAGS = ("audio", "music-restoration", "bandwidth-extension", "diffusion", "historical-recordings", "babe2")
PAPERS = ("arxiv:2403.18636", "arxiv:2306.01433")
# Licences that the Hub has a name for, among those that recordings, weights and code come under.
LICENCE = re.compile(
    r"apache-2\.0|mit|isc|zlib|bsd|bsd-[23]-clause|gpl-[23]\.0|lgpl-(2\.1|3\.0)|agpl-3\.0|mpl-2\.0|unlicense|wtfpl"
    r"|artistic-2\.0|(bigscience-|creativeml-)openrail-m|openrail|odbl|odc-by|pddl|cc|cc0-1\.0|cc-by-(2\.0|2\.5|3\.0|4\.0)"
    r"|cc-by-(sa|nc|nc-sa|nc-nd)-[34]\.0|cc-by-nd-4\.0|cc-by-nc(-sa)?-2\.0|unknown|other"
)
# From the root, from home, from here, a drive, a share: what means something on one machine only.
A_PATH = re.compile(r"""(?:^|[\s"'(=,;])(?:(?:~\w*/|\.{0,2}/|[A-Za-z]:[\\/]|\\\\)[^\s/]|file:/)""")


# The model card


def model_card(
    checkpoint: Checkpoint,
    *,
    title: str,
    licence: str,
    description: str,
    credit: str,
    training_data: str,
    intended: str = "",
    datasets: Sequence[str] = (),
    base_model: str | None = None,
    repo: str | None = None,
    results: str | None = None,
) -> str:
    """Front matter for the Hub, then what a person asks. `results` is Markdown, as `babe2 evaluate` writes it;
    `datasets` and `base_model` are names on the Hub, where they are there."""
    metadata = with_metadata({}, checkpoint, licence)
    if datasets:
        metadata["datasets"] = list(datasets)
    if base_model:
        metadata |= {"base_model": base_model, "base_model_relation": "finetune"}
    sections = {
        f"# {_line(title)}": _what_it_is(_line(description), _line(intended)),
        "## How to use it": _how_to_use(repo or ANY_REPO),
        "## What is missing is imagined": IMAGINED,
        "## Sound and network": _sound_and_network(checkpoint),
        "## Training": _training(checkpoint.provenance, _line(training_data)),
        "## Results": results or "",
        "## Licence and credit": _licence_and_credit(_line(licence), _line(credit), checkpoint.provenance),
    }
    body = "\n\n".join(f"{heading}\n\n{text.strip()}" for heading, text in sections.items() if text.strip())
    return _joined(metadata, f"\n{body}\n")


def unsaid_card(checkpoint: Checkpoint, title: str) -> str:
    """What can be told of a checkpoint of which nobody has said anything."""
    return model_card(checkpoint, title=title, licence=UNKNOWN, description="", credit=UNKNOWN, training_data=UNKNOWN)


IMAGINED = """Where a recording has lost a band or a sound, this prior puts what fits the music it learned from: it is
generated, plausible, and not evidence of what was played. Of other music it knows little. Say so wherever a restoration
is heard, keep the original recording, and do not use it to pass off invented sound or to imitate a person."""


def _what_it_is(description: str, intended: str) -> str:
    does = "A prior for the restoration of old music recordings with [BABE-2](https://arxiv.org/abs/2403.18636)."
    return " ".join(part for part in (description, does, f"Intended for: {intended}." if intended else "") if part)


def _how_to_use(repo: str) -> str:
    return f"""```python
from babe2 import Restorer
restorer = Restorer.from_checkpoint("{repo}")
restorer.restore(recording, sample_rate).save("restored.wav")
```"""


def _sound_and_network(checkpoint: Checkpoint) -> str:
    model = checkpoint.model
    network = checkpoint.network()
    parameters = sum(one.numel() for one in network.parameters())
    precision = sorted({str(value.dtype).removeprefix("torch.") for value in checkpoint.weights.values()})
    spectrum = f"{len(checkpoint.ltas)} bins, in `{WEIGHTS}`" if checkpoint.ltas is not None else "none"
    kind = "compact" if isinstance(network, BandwiseUNet) else "CQT-Diff+"
    return f"""* network: {kind}, {parameters:,} parameters, {", ".join(precision)}
* sound: {model.sample_rate} Hz, trained on segments of {model.segment / model.sample_rate:.2f} s
* settings: the `{model.column}` column
* average spectrum of the music it learned from: {spectrum}"""


def _training(provenance: dict[str, Any], training_data: str) -> str:
    """What a training or a conversion left in the configuration, as far as it concerns others."""
    data, parent, origin = (_mapping(provenance.get(name)) for name in ("data", "parent", "converted"))
    told = {
        "data": training_data if training_data != UNKNOWN else "",
        "iterations": _number(provenance.get("iterations"), "{:,}"),
        "heard": _number(provenance.get("hours_heard"), "{:.1f} hours of excerpts"),
        "files": _number(data.get("files"), "{:,}"),
        "length": _number(data.get("hours"), "{:.2f} hours"),
        "trained further from": _with_sha256(parent, "name"),
        "converted from": _with_sha256(origin, "file"),
    }
    return "\n".join(f"* {name}: {text}" for name, text in told.items() if text)


def _licence_and_credit(licence: str, credit: str, provenance: dict[str, Any]) -> str:
    owed = _mapping(provenance.get("data")).get("credit")
    thanks = [_line(name) for name in owed if isinstance(name, str)] if isinstance(owed, list) else []
    lines = [f"Licence of the weights: {licence or UNKNOWN}.", f"Credit: {credit or UNKNOWN}."]
    return "\n\n".join(lines) + "".join(f"\n* {name}" for name in thanks if name and not A_PATH.search(name))


def _with_sha256(known: dict[str, Any], name: str) -> str:
    called, digest = _line(str(known.get(name) or "")), str(known.get("sha256") or "")
    if not called or A_PATH.search(called):
        return ""
    return f"`{called}`" + (f", sha256 `{digest}`" if re.fullmatch("[0-9a-f]{64}", digest) else "")


def _mapping(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _number(value: Any, form: str) -> str:
    known = type(value) in (int, float) and math.isfinite(value) and value > 0
    return form.format(value) if known else ""


def _line(text: str) -> str:
    """A person's text in one line, without what a terminal or a page would act upon."""
    return " ".join("".join(letter if letter.isprintable() else " " for letter in text).split()).rstrip(".")


# The card's front matter


def with_metadata(metadata: dict[str, Any], checkpoint: Checkpoint, licence: str | None = None) -> dict[str, Any]:
    """What the Hub goes by, completed; what a person wrote stands."""
    said = metadata.get("license")
    said = (licence or UNKNOWN) if said in (None, "", "unknown") else said
    completed = {"library_name": "babe2", "pipeline_tag": "audio-to-audio"} | metadata | {"license": said}
    if isinstance(said, str):  # the Hub takes a list, too; then it is left alone
        completed["license"] = _licence(said)
        if completed["license"] == "other":
            completed.setdefault("license_name", re.sub(r"[^a-z0-9.]+", "-", said.lower()).strip("-") or "other")
    if "base_model" not in completed and (parent := _parent_on_the_hub(checkpoint)):
        completed |= {"base_model": parent, "base_model_relation": "finetune"}
    tags = metadata.get("tags", [])
    completed["tags"] = [*tags, *(tag for tag in (*TAGS, *PAPERS) if tag not in tags)]
    return completed


def _licence(stated: str) -> str:
    """The Hub's name for a licence as people write it."""
    name = re.sub(r"[\s_]+", "-", stated.strip().lower()).removesuffix("-licence").removesuffix("-license")
    name = {"": "unknown", "not-stated": "unknown", "cc0": "cc0-1.0"}.get(name, name)
    return name if LICENCE.fullmatch(name) else "other"


def _parent_on_the_hub(checkpoint: Checkpoint) -> str | None:
    """Only a repository can be linked to; other parents are told of in words."""
    name = str(_mapping(checkpoint.provenance.get("parent")).get("name") or "").split("@")[0]
    return name if REPO.fullmatch(name) else None


def _joined(metadata: dict[str, Any], body: str) -> str:
    import yaml

    front = yaml.safe_dump(metadata, sort_keys=False, allow_unicode=True, width=120)
    return f"---\n{front}---\n{body}"


def completed_card(text: str, checkpoint: Checkpoint, licence: str | None, repo: str) -> str:
    """A card a person wrote: its front matter completed, its body as it is, but for where the checkpoint is found."""
    import yaml

    text = text.replace("\r\n", "\n")
    parts = re.fullmatch(r"---\n(.*?)^---[ \t]*(?:\n(.*))?", text, re.DOTALL | re.MULTILINE)
    front, body = (parts[1], parts[2] or "") if parts else ("", text)
    try:
        metadata = yaml.safe_load(front) or {}
        if not all(isinstance(tag, str) for tag in metadata.get("tags", [])):
            raise ValueError
    except (yaml.YAMLError, RecursionError, ValueError, TypeError, AttributeError):
        raise RestorationError(
            f"What stands between the first two lines of `---` in {CARD} cannot be read as a model card's YAML. "
            "Mend it, or remove the file to have one made."
        ) from None
    body = body.replace(f'from_checkpoint("{ANY_REPO}")', f'from_checkpoint("{repo}")')
    completed = with_metadata(metadata, checkpoint, licence)
    return _joined(completed, body) if completed != metadata else f"---\n{front}---\n{body}"


# The plan


@dataclass(frozen=True, eq=False)
class Publication:
    """What would be uploaded, and nothing else would."""

    repo: str
    folder: Path
    checkpoint: Checkpoint = field(repr=False)
    card: str = field(repr=False)
    sizes: dict[str, int]  # bytes by file name
    about: dict[str, str]  # what a person said of it, as in ABOUT

    def as_dict(self) -> dict[str, Any]:
        return {"repo": self.repo, "folder": str(self.folder), "files": self.sizes, "card": self.card}

    def told(self) -> str:
        """For a person who is about to say yes."""
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
    """What `publish` would upload: the three files of a checkpoint that loads. `about`: any of ABOUT, for the card,
    unless the folder has one, and for a manifest."""
    if unknown := sorted(about.keys() - ABOUT.keys()):
        raise TypeError(f"there is no {unknown[0]} to tell of a checkpoint")
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
    except OSError as error:
        raise RestorationError(f"The checkpoint in {folder} cannot be read: {error.strerror or error}.") from None
    return Publication(repo, folder, checkpoint, card, sizes | {CARD: len(card.encode())}, dict(about))


def _card_of(folder: Path, checkpoint: Checkpoint, repo: str, about: dict[str, str]) -> str:
    """The folder's card, completed; a new one where there is none, or one that only a conversion wrote."""
    written = folder / CARD
    text = _text(written) if written.is_symlink() or written.exists() else None
    heading = re.search(r"^# (.+)$", text or "", re.MULTILINE)
    if text is not None and not (heading and text == unsaid_card(checkpoint, heading[1])):
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
    """What a configuration says of a person's machine would become public for good."""
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
    """Uploads in one commit. `token` is by default what the environment or `hf auth login` left."""
    import httpx2
    from huggingface_hub import CommitOperationAdd, HfApi

    from babe2 import __version__

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
        return f"The Hub's client refused {repo}: {re.sub('hf_[A-Za-z0-9]+', 'hf_...', _line(str(error)))[:200]}."
    return f"The Hub cannot be reached ({type(error).__name__}). Nothing was published; try again with a connection."


def manifest_lines(checkpoint: Checkpoint, repo: str, commit: str, size: int, about: dict[str, str]) -> str:
    """The entry for checkpoints_manifest.yaml; babe2/manifest.py defines its fields."""
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
        "settings": model.column,
        "parameters": sum(one.numel() for one in checkpoint.network().parameters()),
    }
    entry |= {key: about.get(key, UNKNOWN) for key in ("licence", "credit", "training_data", "intended")}
    return str(yaml.safe_dump({name: entry}, sort_keys=False, allow_unicode=True, width=120))
