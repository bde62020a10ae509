"""Chains: several stages after one another, as one saved file, with the same samples wherever it is run."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
import torch
from conftest import CHECKPOINT
from music import music
from soften import Soften

from babe2 import Cancelled, RestorationError
from babe2.chains import PRESETS, Chain, Link, LinkProgress
from babe2.stages import STAGES
from babe2.stages.restore import Restore

RATE = 8000


@pytest.fixture(autouse=True)
def soften(monkeypatch: pytest.MonkeyPatch) -> None:
    """A stage of one's own among the others: a class, and its name."""
    monkeypatch.setitem(STAGES, "soften", Soften)


@pytest.fixture
def old(tmp_path: Path) -> Path:
    soundfile.write(tmp_path / "old.wav", music(2.0, RATE, channels=2).T, RATE, "PCM_24")
    return tmp_path / "old.wav"


def heard(path: Path) -> np.ndarray:
    return soundfile.read(path, dtype="float32", always_2d=True)[0].T


QUARTER = Chain.of(Soften.of(), Soften.of())


@pytest.mark.parametrize("name", PRESETS)
def test_chains_that_are_brought_along_can_be_read_and_written(name: str) -> None:
    chain = Chain.load(name)
    assert chain.title and chain.why.endswith(".")
    assert Chain.parse(chain.text()) == chain


def test_a_chain_is_what_its_stages_make_one_after_the_other(old: Path) -> None:
    recording = heard(old)
    audio, report = QUARTER(recording, RATE)
    np.testing.assert_array_equal(audio, recording / 4)
    assert [stage["removed_db"] for stage in report["stages"]] == [-6.02, -6.02]
    assert "soften → soften, nothing was generated" in report["statement"]


def test_a_file_comes_out_as_the_same_sound_does_in_memory(old: Path, tmp_path: Path) -> None:
    chain = Chain.of(Soften.of(factor=0.9), Restore.of(checkpoint=CHECKPOINT, method="ltas-eq"), Soften.of())
    expected, _ = chain(heard(old), RATE)
    done = chain.restore_file(old, tmp_path / "journal")
    np.testing.assert_array_equal(done.audio, expected)
    written = done.save(tmp_path / "new.wav")
    done.discard()
    assert np.abs(heard(written) - expected).max() <= 2**-24
    assert not (tmp_path / "journal").exists()
    assert "re-equalised" in soundfile.SoundFile(written).comment


def test_what_each_stage_took_away_can_be_heard(old: Path) -> None:
    done = QUARTER.apply(heard(old), RATE)
    for step, share in zip(done.steps, (0.5, 0.25), strict=True):
        np.testing.assert_array_equal(np.concatenate(list(step.removed()), axis=1), share * heard(old).astype(float))


def test_a_chain_goes_on_where_it_was_stopped(old: Path, tmp_path: Path) -> None:
    told: list[LinkProgress] = []

    def run(**hooks: Any) -> Any:
        return QUARTER.restore_file(old, tmp_path / "journal", on_link=told.append, **hooks)

    with pytest.raises(Cancelled):
        run(cancelled=lambda: bool(told) and told[-1].link == 2)
    assert told[-1] == LinkProgress(2, 2, "soften", 0.0)
    with pytest.raises(RestorationError, match="unfinished"):
        run()
    told.clear()
    done = run(unfinished="resume")
    assert [(step.link, step.share) for step in told] == [(1, 0.0), (2, 0.0), (2, 1.0)]  # the first was done
    np.testing.assert_array_equal(done.audio, heard(old) / 4)
    done.discard()
    assert [path.name for path in tmp_path.iterdir()] == ["old.wav"]


def test_a_chain_that_was_begun_otherwise_is_not_gone_on_with(old: Path, tmp_path: Path) -> None:
    told: list[LinkProgress] = []
    with pytest.raises(Cancelled):
        QUARTER.restore_file(old, tmp_path / "j", on_link=told.append, cancelled=lambda: len(told) > 2)
    with pytest.raises(RestorationError, match="was begun otherwise"):
        Chain.of(Soften.of(factor=0.1), Soften.of()).restore_file(old, tmp_path / "j", unfinished="resume")


def test_stages_are_passed_over_where_that_is_wished(old: Path) -> None:
    chain = Chain.of(Soften.of(factor=0.1), Link(Soften.of(), bypass=True))
    assert len(chain.active) == 1 and Chain.parse(chain.text()) == chain
    recording = heard(old)
    np.testing.assert_array_equal(chain(recording, RATE)[0], np.float32(0.1) * recording)
    with pytest.raises(RestorationError, match="has no stage hiss, only soften"):
        chain.without(["hiss"])


def entries(*stages: Any) -> str:
    return json.dumps({"stages": stages})  # which is YAML, too


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("stages: [", "is not written as YAML, line"),
        ("- soften", "a file with a list `stages`"),
        ("stages: soften", "a file with a list `stages`"),
        ("stages: [soften]\nloudness: 3", "but no loudness"),
        (entries(), "1 to 32 stages, not 0"),
        (entries(*["soften"] * 33), "1 to 32 stages, not 33"),
        (entries("hush"), "no stage 'hush'. Choose from"),
        (entries({"soften": {"loudness": 3}}), "no setting loudness. Known settings: factor"),
        (entries({"soften": {"factor": "much"}}), "factor cannot be 'much'"),
        (entries({"soften": 3}), "A stage is its name"),
        (entries({"soften": {}, "restore": {}}), "A stage is its name"),
        (entries({"soften": {"track": "vocals"}}), "works on recording there: say so"),
        (entries({"soften": {"bypass": "no"}}), "`bypass` true or false"),
        (entries("separate"), "ends with vocals and accompaniment. Put remix at its end"),
        (entries("separate", "soften", "remix"), "works on vocals or accompaniment there: say so"),
        (entries("remix"), "needs several tracks. Put separate before it"),
        (entries("separate", {"separate": {"track": "vocals"}}, "remix"), "a track that is there already"),
        (entries("separate", {"remix": {"vocals": "loud"}}), "level of vocals is a number of dB"),
        ("why: &a [x]\nstages: [*a]", "in it nothing stands for something else (&, *)"),
        ("title: !!python/object/apply:os.system ['true']\nstages: [soften]", "is not written as YAML"),
    ],
)
def test_what_is_no_chain_is_refused_in_a_sentence(text: str, sentence: str) -> None:
    with pytest.raises(RestorationError) as refused:
        Chain.parse(text, "mine.yaml")
    assert sentence in str(refused.value) and str(refused.value).startswith("mine.yaml")


def test_what_a_later_stage_would_refuse_is_refused_before_any_work(old: Path, tmp_path: Path) -> None:
    told: list[LinkProgress] = []
    chain = Chain.of(Soften.of(), Restore.of(checkpoint=CHECKPOINT, loudness=3))
    with pytest.raises(RestorationError, match="no setting loudness"):
        chain.restore_file(old, tmp_path / "journal", on_link=told.append)
    assert told == [] and not (tmp_path / "journal").exists()


def test_a_place_where_no_chain_is_is_told(tmp_path: Path) -> None:
    with pytest.raises(RestorationError, match="no chain 'nowhere': give a file, or one of cylinder"):
        Chain.load("nowhere")
    (tmp_path / "sound.yaml").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(RestorationError, match="it is no text"):
        Chain.load(tmp_path / "sound.yaml")
    (tmp_path / "long.yaml").write_text("#" * 2**17)
    with pytest.raises(RestorationError, match="larger than any chain"):
        Chain.load(tmp_path / "long.yaml")


# Parted and brought together again


@pytest.fixture(scope="module")
def separator(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A separator that has learned nothing, as Demucs writes its own: its voice is a filtered mixture."""
    pytest.importorskip("demucs")
    from demucs.htdemucs import HTDemucs
    from safetensors.torch import save_file

    sizes = {"sources": ["other", "vocals"], "channels": 8, "nfft": 2048, "t_layers": 1, "t_heads": 2, "segment": 1}
    with torch.random.fork_rng():
        torch.default_generator.manual_seed(0)
        network = HTDemucs(**sizes)
    about = {"klass": "demucs.htdemucs.HTDemucs", "args": "[]", "kwargs": json.dumps(sizes)}
    path = tmp_path_factory.mktemp("separator") / "small.safetensors"
    save_file({name: value.contiguous() for name, value in network.state_dict().items()}, path, metadata=about)
    yield path


def test_a_voice_and_its_accompaniment_add_up_to_the_recording(separator: Path) -> None:
    recording = music(1.5, 22050)[:, :-7]
    chain = Chain.parse(entries({"separate": {"checkpoint": str(separator)}}, "remix"))
    done = chain.apply(recording, 22050)
    parted = done.steps[0].made.tape
    assert (parted.channels, parted.samples) == (2, recording.shape[1])
    vocals, accompaniment = parted.read(0, parted.samples).numpy()
    assert np.abs(vocals).max() > 1e-4
    np.testing.assert_allclose(done.audio, recording, atol=1e-7)
    np.testing.assert_allclose(vocals + accompaniment, recording[0], atol=1e-7)
    softer = Chain.parse(
        entries({"separate": {"checkpoint": str(separator)}}, {"soften": {"track": "vocals"}}, {"remix": {"vocals": 6}})
    )
    expected = accompaniment + 0.5 * 10 ** (6 / 20) * vocals
    np.testing.assert_allclose(softer(recording, 22050)[0][0], expected, atol=1e-6)


def test_a_separator_s_file_says_nothing_but_numbers(separator: Path, tmp_path: Path) -> None:
    from safetensors.torch import load_file, save_file

    for name, about in {
        "other class": {"klass": "os.system", "args": '["touch hacked"]', "kwargs": "{}"},
        "no sizes": {"klass": "demucs.htdemucs.HTDemucs"},
        "nothing": None,
    }.items():
        save_file(load_file(separator), tmp_path / f"{name}.safetensors", metadata=about)
        chain = Chain.parse(entries({"separate": {"checkpoint": str(tmp_path / f"{name}.safetensors")}}, "remix"))
        with pytest.raises(RestorationError, match="damaged or no separator of ours"):
            chain(music(0.2), RATE)
    assert not Path("hacked").exists()
