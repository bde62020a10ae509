"""Model cards: README.md of a checkpoint, which says what a person should know before using it."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from typing import Any

from babe2.checkpoints.checkpoint import CARD, WEIGHTS, Checkpoint
from babe2.checkpoints.manifest import REPO
from babe2.config import SpectralArchitecture
from babe2.errors import RestorationError
from babe2.network import CQTDiffPlus
from babe2.networks.bandwise import BandwiseUNet
from babe2.networks.cqtdiff import CQTDiff
from babe2.networks.spectral import SpectralUNet

ANY_REPO = "owner/name"  # stands in a card until it is known where the checkpoint is published
UNKNOWN = "not stated"
TAGS = ("audio", "music-restoration", "bandwidth-extension", "diffusion", "historical-recordings", "babe2")
PAPERS = ("arxiv:2403.18636", "arxiv:2306.01433")
# The licences that recordings and weights mostly have, by the Hub's names. Any other goes to the Hub as "other", with
# its own name beside it, which is never wrong.
LICENCE = re.compile(
    r"cc0-1\.0|cc-by(-nc)?(-sa|-nd)?-4\.0|mit|apache-2\.0|bsd-[23]-clause|a?gpl-3\.0|openrail|unknown|other"
)
KINDS = {CQTDiffPlus: "CQT-Diff+", CQTDiff: "CQTdiff", BandwiseUNet: "compact", SpectralUNet: "U-Net over spectrograms"}
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
    """The text of a model card: YAML for the Hub, then what a person asks. `results` is Markdown, as `babe2 evaluate`
    writes it; `datasets` and `base_model` are names on the Hub, if they are there."""
    from huggingface_hub import ModelCardData

    metadata = _completed({"datasets": list(datasets)} if datasets else {}, checkpoint, licence)
    if base_model:
        metadata |= {"base_model": base_model, "base_model_relation": "finetune"}
    sections = {
        f"# {one_line(title)}": _what_it_is(checkpoint, one_line(description), one_line(intended)),
        "## How to use it": _how_to_use(checkpoint, repo or ANY_REPO),
        **(
            {"## What it takes": DENOISING} if is_denoiser(checkpoint) else {"## What is missing is imagined": IMAGINED}
        ),
        "## Sound and network": _sound_and_network(checkpoint),
        "## Training": _training(checkpoint.provenance, one_line(training_data)),
        "## Results": results or "",
        "## Licence and credit": _licence_and_credit(one_line(licence), one_line(credit), checkpoint.provenance),
    }
    body = "\n\n".join(f"{heading}\n\n{text.strip()}" for heading, text in sections.items() if text.strip())
    return f"---\n{ModelCardData(**metadata).to_yaml()}\n---\n\n{body}\n"


def is_denoiser(checkpoint: Checkpoint) -> bool:
    """Whether it takes noise away, and knows nothing of what was lost."""
    size = checkpoint.model.architecture
    return isinstance(size, SpectralArchitecture) and not size.extends


def is_prior(checkpoint: Checkpoint) -> bool:
    """Whether it knows music at every level of noise, and so can restore by any method."""
    return not isinstance(checkpoint.model.architecture, SpectralArchitecture)


def blank_card(checkpoint: Checkpoint, title: str) -> str:
    """The card of a checkpoint of which nobody has said anything: what the files themselves tell."""
    return model_card(checkpoint, title=title, licence=UNKNOWN, description="", credit=UNKNOWN, training_data=UNKNOWN)


IMAGINED = """Where a recording has lost a band or a sound, this prior puts what fits the music it learned from: it is
generated, plausible, and not evidence of what was played. Of other music it knows little. Say so wherever a restoration
is heard, keep the original recording, and do not use it to pass off invented sound or to imitate a person."""


DENOISING = """It takes away what it holds for noise, and with it some of the music that the noise covers. Keep the
original recording."""


def _what_it_is(checkpoint: Checkpoint, description: str, intended: str) -> str:
    does = "A prior for the restoration of old music recordings with [BABE-2](https://arxiv.org/abs/2403.18636)."
    if is_denoiser(checkpoint):
        does = "A denoiser of old music recordings: a U-Net over spectrograms (Moliner and Välimäki, ICASSP 2022)."
    elif not is_prior(checkpoint):
        does = "Extends the band of old music recordings: BEHM-GAN's generator (Moliner and Välimäki, TASLP 2022)."
    return " ".join(part for part in (description, does, f"Intended for: {intended}." if intended else "") if part)


def _how_to_use(checkpoint: Checkpoint, repo: str) -> str:
    if is_denoiser(checkpoint):
        return f"""```sh
babe2 denoise old.wav -o denoised.wav --checkpoint {repo}
```"""
    wishes = "" if is_prior(checkpoint) else ', method="behm-gan"'
    return f"""```python
from babe2 import Restorer
restorer = Restorer.from_checkpoint("{repo}")
restorer.restore(recording, sample_rate{wishes}).save("restored.wav")
```"""


def _sound_and_network(checkpoint: Checkpoint) -> str:
    model = checkpoint.model
    network = checkpoint.network()
    parameters = sum(one.numel() for one in network.parameters())
    precision = sorted({str(value.dtype).removeprefix("torch.") for value in checkpoint.weights.values()})
    spectrum = f"{len(checkpoint.ltas)} bins, in `{WEIGHTS}`" if checkpoint.ltas is not None else "none"
    said = f"""* network: {KINDS[type(network)]}, {parameters:,} parameters, {", ".join(precision)}
* sound: {model.sample_rate} Hz, trained on segments of {model.segment / model.sample_rate:.2f} s"""
    if not is_prior(checkpoint):
        return said
    return f"""{said}
* settings: the `{model.column}` column
* average spectrum of the music it learned from: {spectrum}"""


def _training(provenance: dict[str, Any], training_data: str) -> str:
    """What a training or a conversion left in the configuration, as far as it concerns others."""
    data, parent, origin = (_mapping(provenance.get(name)) for name in ("data", "parent", "converted"))
    facts = {
        "data": training_data if training_data != UNKNOWN else "",
        "iterations": _number(provenance.get("iterations"), "{:,}"),
        "heard": _number(provenance.get("hours_heard"), "{:.1f} hours of excerpts"),
        "files": _number(data.get("files"), "{:,}"),
        "length": _number(data.get("hours"), "{:.2f} hours"),
        "trained further from": _with_sha256(parent, "name"),
        "converted from": _with_sha256(origin, "file"),
    }
    return "\n".join(f"* {name}: {text}" for name, text in facts.items() if text)


def _licence_and_credit(licence: str, credit: str, provenance: dict[str, Any]) -> str:
    owed = _mapping(provenance.get("data")).get("credit")
    thanks = [one_line(name) for name in owed if isinstance(name, str)] if isinstance(owed, list) else []
    lines = [f"Licence of the weights: {licence or UNKNOWN}.", f"Credit: {credit or UNKNOWN}."]
    return "\n\n".join(lines) + "".join(f"\n* {name}" for name in thanks if name and not A_PATH.search(name))


def _with_sha256(known: dict[str, Any], name: str) -> str:
    called, digest = one_line(str(known.get(name) or "")), str(known.get("sha256") or "")
    if not called or A_PATH.search(called):
        return ""
    return f"`{called}`" + (f", sha256 `{digest}`" if re.fullmatch("[0-9a-f]{64}", digest) else "")


def _mapping(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _number(value: Any, form: str) -> str:
    known = type(value) in (int, float) and math.isfinite(value) and value > 0
    return form.format(value) if known else ""


def one_line(text: str) -> str:
    """A person's text in one line, without what a terminal or a page would act upon."""
    return " ".join("".join(letter if letter.isprintable() else " " for letter in text).split()).rstrip(".")


# What a card tells the Hub: the YAML at its head


def _completed(metadata: dict[str, Any], checkpoint: Checkpoint, licence: str | None) -> dict[str, Any]:
    """What the Hub goes by, added to `metadata`; what a person wrote there stays."""
    stated = metadata.get("license")
    stated = (licence or UNKNOWN) if stated in (None, "", "unknown") else stated
    completed = {"library_name": "babe2", "pipeline_tag": "audio-to-audio"} | metadata | {"license": stated}
    if isinstance(stated, str):  # the Hub takes a list, too; then it is left alone
        completed["license"] = _licence(stated)
        if completed["license"] == "other":
            completed.setdefault("license_name", re.sub(r"[^a-z0-9.]+", "-", stated.lower()).strip("-") or "other")
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
    """The Hub repository of the checkpoint from which training went on; other parents are told of in words."""
    name = str(_mapping(checkpoint.provenance.get("parent")).get("name") or "").split("@")[0]
    return name if REPO.fullmatch(name) else None


def completed_card(text: str, checkpoint: Checkpoint, licence: str | None, repo: str) -> str:
    """A card that a person wrote, with its YAML completed. Its body stays as it is, but for where the checkpoint is
    found."""
    import yaml
    from huggingface_hub import RepoCard

    if not text.startswith("---"):
        text = f"---\n\n---\n{text}"
    try:
        card = RepoCard(text.replace("\r\n", "\n"))
        metadata = card.data.to_dict()
        if not text[3:].strip(" \t").startswith(("\r", "\n")) or not all(
            isinstance(tag, str) for tag in metadata.get("tags", [])
        ):
            raise ValueError
    except (yaml.YAMLError, RecursionError, ValueError, TypeError, AttributeError):
        raise RestorationError(
            f"What stands between the first two lines of `---` in {CARD} cannot be read as a model card's YAML. "
            "Mend it, or remove the file to have one made."
        ) from None
    card.text = card.text.replace(f'from_checkpoint("{ANY_REPO}")', f'from_checkpoint("{repo}")')
    for key, value in _completed(metadata, checkpoint, licence).items():
        card.data[key] = value
    return str(card)
