"""Files that mean harm, or merely look as if they did: each is refused in a sentence, nothing in it runs, nothing is
written, and no more memory is taken than they have on disk."""

import json
import os
import pickle
import re
import shutil
import struct
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import programs
import pytest
import torch
from conftest import REFERENCE

from babe2 import RestorationError, Restorer
from babe2.checkpoints.loading import load
from babe2.checkpoints.published import convert

PUBLISHED = REFERENCE / "small_ckpt_original_format.pt"


class Payload:
    """A pickle that leaves a trace when it is run."""

    def __init__(self, trace: Path) -> None:
        self.trace = trace

    def __reduce__(self) -> tuple[Callable[..., Any], tuple[Any, ...]]:
        return os.system, (f"touch {self.trace}",)


# Pickles


def payload_in_a_zip(path: Path, trace: Path) -> None:
    torch.save(Payload(trace), path)


def payload_as_old_files_are(path: Path, trace: Path) -> None:
    torch.save(Payload(trace), path, _use_new_zipfile_serialization=False)


def payload_bare(path: Path, trace: Path) -> None:
    path.write_bytes(pickle.dumps(Payload(trace)))


def payload_among_the_weights(path: Path, trace: Path) -> None:
    """All else is as published."""
    good = load(PUBLISHED)
    torch.save({"it": 4, "ema": good.weights, "LTAS": good.ltas, "args": {"exp": Payload(trace)}}, path)


def payload_in_a_second_pickle(path: Path, trace: Path) -> None:
    """Two readers of zips may each take another of two parts with one name."""
    with zipfile.ZipFile(PUBLISHED) as good, zipfile.ZipFile(path, "w") as archive:
        root = good.namelist()[0].split("/")[0]
        archive.writestr(f"{root}/DATA.PKL", pickle.dumps(Payload(trace), 2))
        for name in good.namelist():
            archive.writestr(name, good.read(name))


def of_instructions(path: Path, instructions: bytes, **parts: bytes) -> None:
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("archive/data.pkl", instructions)
        archive.writestr("archive/version", b"3\n")
        archive.writestr("archive/byteorder", b"little")
        for name, content in parts.items():
            archive.writestr(f"archive/data/{name.strip('_')}", content)


class Gigabytes:
    def __reduce__(self) -> tuple[Callable[..., Any], tuple[Any, ...]]:
        return bytearray, (2**40,)


def a_pickle_that_asks_for_all_memory(path: Path, trace: Path) -> None:
    of_instructions(path, pickle.dumps(Gigabytes(), 2))


def a_pickle_that_takes_for_ever_to_hash(path: Path, trace: Path) -> None:
    """A tuple of the same tuple twice, sixty times over, is the key of a dict."""
    storeys = b"".join(b"h" + bytes([i]) + b"\x86q" + bytes([i + 1]) for i in range(60))
    of_instructions(path, b"\x80\x02}(K\x01\x85q\x00" + storeys + b"K\x01u.")


def a_pickle_without_an_end(path: Path, trace: Path) -> None:
    of_instructions(path, b"\x80\x02" + b"(" * 10_000)


def a_pickle_nested_too_deep(path: Path, trace: Path) -> None:
    of_instructions(path, b"\x80\x02" + b"]" * 100_000 + b"a" * 99_999 + b".")


def a_pickle_too_large(path: Path, trace: Path) -> None:
    of_instructions(path, b"\x80\x02" + b"}" * 2**24 + b".")


def weights_larger_than_the_file(path: Path, trace: Path) -> None:
    storage = (
        b"(X\x07\x00\x00\x00storagectorch\nFloatStorage\nX\x01\x00\x00\x000X\x03\x00\x00\x00cpuJ\xff\xff\xff\x7ftQ"
    )
    tensor = b"ctorch._utils\n_rebuild_tensor_v2\n(" + storage + b"K\x00J\xff\xff\xff\x7f\x85K\x01\x85\x89}tR"
    of_instructions(path, b"\x80\x02}X\x03\x00\x00\x00ema}X\x01\x00\x00\x00w" + tensor + b"ss.", _0=bytes(16))


def pushed_long(value: int) -> bytes:
    digits = pickle.encode_long(value)
    return b"\x8a" + bytes([len(digits)]) + digits


ORDERED, A_LIST = b"ccollections\nOrderedDict\n", b"c__builtin__\nlist\n"
DEEP_TUPLE = b")" + b"\x85" * 200_000
SAME_HASH = [pushed_long((2**61 - 1) * i) + b"N" for i in range(1, 150_000)]  # of the hash 0, all of them
INSTRUCTIONS = {  # small files that take all time, all memory or the process
    "a deep tuple as a key": b"}" + DEEP_TUPLE + b"Ns.",
    "a deep tuple among pairs": ORDERED + b"](" + DEEP_TUPLE + b"N\x86e\x85R.",
    "a deep tuple as an object's state": ORDERED + b")R](" + DEEP_TUPLE + b"N\x86eb.",
    "a deep tuple of two megabytes": b")" + b"\x85" * 2_000_000 + b".",
    "lists in lists of four megabytes": b"]" * 2_000_000 + b"a" * 1_999_999 + b".",
    "keys with the same hash": b"}(" + b"".join(SAME_HASH) + b"u.",
    "keys with the same hash among pairs": ORDERED
    + b"]("
    + b"".join(pair + b"\x86" for pair in SAME_HASH)
    + b"e\x85R.",
    "copies of a long list": A_LIST + b"q\x00](" + b"N" * 200_000 + b"eq\x01](" + b"h\x00h\x01\x85R" * 50_000 + b"e.",
    "a long key used again and again": b"}("
    + b"X\x01\x00\x00\x00a" * 50_000
    + b"tq\x00("
    + b"h\x00N" * 100_000
    + b"u.",
    "a set": b"\x8f(K\x01\x90.",
    "more is taken than there is": b"s.",
    "a mark that is not there": b"t.",
}


# Zips


def a_zip_bomb(path: Path, trace: Path) -> None:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("archive/version", b"3\n")
        with archive.open("archive/data.pkl", "w", force_zip64=True) as part:
            for _ in range(256):
                part.write(bytes(2**20))


def a_zip_in_a_zip(path: Path, trace: Path) -> None:
    a_zip_bomb(path, trace)
    inner = path.read_bytes()
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("archive/data.pkl", inner)


def a_zip_whose_parts_are_the_same_bytes(path: Path, trace: Path) -> None:
    """A thousand entries of its directory point to one part."""
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("archive/data.pkl", bytes(2**20))
        archive.filelist *= 1000


def a_zip_that_claims_gigabytes(path: Path, trace: Path) -> None:
    content = bytearray(PUBLISHED.read_bytes())
    at = content.rindex(b"PK\x01\x02", 0, content.rindex(b"PK\x01\x02"))
    content[at + 20 : at + 28] = struct.pack("<II", 2**32 - 2, 2**32 - 2)
    path.write_bytes(content)


def names_that_lead_elsewhere(path: Path, trace: Path) -> None:
    with zipfile.ZipFile(PUBLISHED) as good, zipfile.ZipFile(path, "w") as archive:
        for name in good.namelist():
            archive.writestr(name, good.read(name))
        archive.writestr(f"{good.namelist()[0].split('/')[0]}/../../{trace.name}", b"evil")


def names_that_are_absolute(path: Path, trace: Path) -> None:
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr(f"{trace}/data.pkl", b"\x80\x02}.")


def cut_short(path: Path, trace: Path) -> None:
    path.write_bytes(PUBLISHED.read_bytes()[:-5000])


def empty(path: Path, trace: Path) -> None:
    path.write_bytes(b"")


def a_folder_called_like_a_file(path: Path, trace: Path) -> None:
    path.mkdir()


def a_pipe(path: Path, trace: Path) -> None:
    os.mkfifo(path)


def a_device(path: Path, trace: Path) -> None:
    path.symlink_to("/dev/zero")


def a_link_to_nothing(path: Path, trace: Path) -> None:
    path.symlink_to("nowhere")


def a_link_to_itself(path: Path, trace: Path) -> None:
    path.symlink_to(path)


ANY_FILE = [empty, a_folder_called_like_a_file, a_pipe, a_device, a_link_to_nothing, a_link_to_itself]
PICKLES = [
    payload_in_a_zip,
    payload_as_old_files_are,
    payload_bare,
    payload_among_the_weights,
    payload_in_a_second_pickle,
    a_pickle_that_asks_for_all_memory,
    a_pickle_that_takes_for_ever_to_hash,
    a_pickle_without_an_end,
    a_pickle_nested_too_deep,
    a_pickle_too_large,
    weights_larger_than_the_file,
    a_zip_bomb,
    a_zip_in_a_zip,
    a_zip_whose_parts_are_the_same_bytes,
    a_zip_that_claims_gigabytes,
    names_that_lead_elsewhere,
    names_that_are_absolute,
    cut_short,
    *ANY_FILE,
]


# Safetensors: eight bytes that tell the length of a header of JSON, and then numbers


def of_header(header: object, numbers: int = 64, length: int | None = None) -> Callable[[Path, Path], None]:
    said = header.encode() if isinstance(header, str) else json.dumps(header).encode()

    def write(path: Path, trace: Path) -> None:
        path.write_bytes(struct.pack("<Q", len(said) if length is None else length) + said + bytes(numbers))

    return write


def tensor(shape: list[int], offsets: list[int], dtype: str = "F32") -> dict[str, Any]:
    return {"dtype": dtype, "shape": shape, "data_offsets": offsets}


GOOD = {"w": tensor([16], [0, 64])}
DEEP = "[" * 100_000 + "]" * 100_000
SAFETENSORS: dict[str, Callable[[Path, Path], None]] = {
    "a pickle under another name": payload_in_a_zip,
    "a bare pickle under another name": payload_bare,
    "a header longer than the file": of_header(GOOD, length=10_000),
    "a header of half of all there is": of_header(GOOD, length=2**63),
    "a header of all there is": of_header(GOOD, length=2**64 - 1),
    "a header of nothing": of_header(GOOD, length=0),
    "a header too short": of_header(GOOD, length=5),
    "a header that is no JSON": of_header("{not json}"),
    "a header that is a list": of_header([]),
    "a header nested deep": of_header(DEEP),
    "a header nested deep in what is said besides": of_header('{"__metadata__": ' + DEEP + "}"),
    "offsets beyond the file": of_header({"w": tensor([32], [0, 128])}),
    "offsets beyond all there is": of_header({"w": tensor([2**62], [0, 2**64 - 1])}),
    "offsets beyond numbers": of_header({"w": tensor([2**62], [0, 2**70])}),
    "offsets that overlap": of_header({"v": tensor([16], [0, 64]), "w": tensor([8], [32, 64])}),
    "offsets backwards": of_header({"w": tensor([16], [64, 0])}),
    "offsets with a hole": of_header({"w": tensor([8], [32, 64])}),
    "numbers left over": of_header(GOOD, numbers=128),
    "a negative shape": of_header({"w": tensor([-16], [0, 64])}),
    "a huge shape": of_header({"w": tensor([2**40, 2**40], [0, 64])}),
    "a huge shape of nothing": of_header({"w": tensor([0, 2**63], [0, 0])}, numbers=0),
    "a shape that wraps around": of_header({"w": tensor([2**32, 2**32, 16], [0, 64])}),
    "a shape with a fraction": of_header('{"w": {"dtype": "F32", "shape": [1.5], "data_offsets": [0, 6]}}'),
    "a kind of number that nobody knows": of_header({"w": tensor([16], [0, 64], "F99")}),
    "numbers of four bits": of_header({"w": tensor([128], [0, 64], "F4")}),
    "whole numbers": of_header({"w": tensor([8], [0, 64], "I64")}),
    "a name twice": of_header(f'{{"w": {json.dumps(GOOD["w"])}, "w": {json.dumps(GOOD["w"])}}}'),
    "a name of a megabyte": of_header({"w" * 2**20: tensor([16], [0, 64])}),
    "a name that moves the cursor": of_header({"\x1b[2J\nAll is well": tensor([16], [0, 64])}),
    "weights without end": of_header(
        "{" + ",".join(f'"{i}":{{"dtype":"F32","shape":[0],"data_offsets":[0,0]}}' for i in range(50_000)) + "}", 0
    ),
    **{make.__name__.replace("_", " "): make for make in ANY_FILE},
}


# Configurations


def written(text: str | bytes) -> Callable[[Path, Path], None]:
    return lambda path, trace: path.write_bytes(text if isinstance(text, bytes) else text.encode()) and None


def changed(change: Callable[[dict[str, Any]], object]) -> Callable[[Path, Path], None]:
    def write(path: Path, trace: Path) -> None:
        described = json.loads(path.read_text())
        change(described)
        path.write_text(json.dumps(described))

    return write


def of_100_megabytes(path: Path, trace: Path) -> None:
    path.write_text('{"format": "babe2", "filler": [' + "0," * 50_000_000 + "0]}")


CONFIGURATIONS: dict[str, Callable[[Path, Path], None]] = {
    "100 MB": of_100_megabytes,
    "nested 100 000 deep": written('{"format": "babe2", "model": ' + DEEP + "}"),
    "a list": written("[]"),
    "no text": written(b"\xff\xfe\x00"),
    "a number that is none": changed(lambda it: it["model"].update(sigma_data=float("nan"))),
    "an infinite rate": changed(lambda it: it["model"].update(sample_rate=float("inf"))),
    "a rate in words": changed(lambda it: it["model"].update(sample_rate="8000")),
    "a model that is a list": changed(lambda it: it.update(model=[1])),
    "no architecture": changed(lambda it: it["model"].update(architecture=None)),
    "channels by the billion": changed(lambda it: it["model"]["architecture"].update(channels=[2**30] * 4)),
    "channels without end": changed(lambda it: it["model"]["architecture"].update(channels=[8] * 10_000)),
    "a provenance that is a number": changed(lambda it: it.update(provenance=3)),
    "another format": changed(lambda it: it.update(format="../../evil")),
    "a network with a path": changed(lambda it: it.update(network="../../evil")),
    **{make.__name__.replace("_", " "): make for make in ANY_FILE},
}


def emptied(path: Path) -> None:
    if path.is_symlink() or path.exists():
        path.unlink()


def sentences(text: str) -> int:
    return len(re.findall(r"[.!?](?=\s|$)", text))


def is_refused(spec: Path, within: Path) -> None:
    """In at most two sentences, by the front door and by conversion; afterwards all is as it was."""
    before = sorted(within.rglob("*"))
    for take in (lambda: Restorer.from_checkpoint(spec, device="cpu"), lambda: convert(spec, within / "out")):
        with pytest.raises(RestorationError) as refusal:
            take()
        told = str(refusal.value)
        assert 1 <= sentences(told) <= 2 and len(told) < 1500 and told.isprintable(), told[:3000]
    assert sorted(within.rglob("*")) == before


@pytest.fixture(scope="module")
def converted(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A checkpoint as it should be, which others are made from."""
    folder = tmp_path_factory.mktemp("converted") / "good"
    convert(PUBLISHED, folder)
    return folder


@pytest.mark.parametrize("make", PICKLES, ids=lambda make: make.__name__.replace("_", " "))
def test_a_hostile_pt_file_is_refused(tmp_path: Path, make: Callable[[Path, Path], None]) -> None:
    make(tmp_path / "evil.pt", tmp_path / "trace")
    is_refused(tmp_path / "evil.pt", tmp_path)


@pytest.mark.parametrize("name", SAFETENSORS)
def test_a_hostile_safetensors_file_is_refused(tmp_path: Path, converted: Path, name: str) -> None:
    shutil.copytree(converted, tmp_path / "evil")
    weights = tmp_path / "evil" / "model.safetensors"
    emptied(weights)
    SAFETENSORS[name](weights, tmp_path / "trace")
    is_refused(tmp_path / "evil", tmp_path)
    if weights.is_file():
        is_refused(weights, tmp_path)


@pytest.mark.parametrize("name", CONFIGURATIONS)
def test_a_hostile_configuration_is_refused(tmp_path: Path, converted: Path, name: str) -> None:
    shutil.copytree(converted, tmp_path / "evil")
    make = CONFIGURATIONS[name]
    if make in ANY_FILE:
        emptied(tmp_path / "evil" / "config.json")
    make(tmp_path / "evil" / "config.json", tmp_path / "trace")
    is_refused(tmp_path / "evil", tmp_path)


def test_a_link_that_a_person_made_is_followed(tmp_path: Path) -> None:
    convert(PUBLISHED, tmp_path / "there")
    (tmp_path / "here").mkdir()
    for name in ("model.safetensors", "config.json"):
        (tmp_path / "here" / name).symlink_to(tmp_path / "there" / name)
    (tmp_path / "its.pt").symlink_to(PUBLISHED)
    assert load(tmp_path / "here").model == load(tmp_path / "its.pt").model


def test_the_refusal_names_what_the_pickle_asked_for(tmp_path: Path) -> None:
    payload_among_the_weights(tmp_path / "evil.pt", tmp_path / "trace")
    with pytest.raises(RestorationError, match=r": it asks for posix.system, which no checkpoint needs. Nothing in it"):
        load(tmp_path / "evil.pt")


LIMITED = """
import resource, sys
from babe2 import RestorationError, Restorer
from babe2.checkpoints.loading import load

load(sys.argv[1]).network()  # what loading needs of code is there
taken = int(open("/proc/self/statm").read().split()[0]) * resource.getpagesize()
resource.setrlimit(resource.RLIMIT_AS, (taken + int(sys.argv[2]), resource.RLIM_INFINITY))
resource.setrlimit(resource.RLIMIT_CPU, (20 + 3 * len(sys.argv[3:]), resource.RLIM_INFINITY))
for spec in sys.argv[3:]:
    try:
        Restorer.from_checkpoint(spec, device="cpu")
    except RestorationError as error:
        print(str(error)[-200:])
"""


def test_bombs_are_refused_within_little_memory_and_time(tmp_path: Path) -> None:
    """300 MB above what the program has anyway, and three seconds of the processor for each, are enough to say no. A
    process of its own tries, as some of them would kill it."""
    bombs = []
    for name, instructions in INSTRUCTIONS.items():
        bombs.append(tmp_path / f"{name}.pt")
        of_instructions(bombs[-1], b"\x80\x02" + instructions)
    for make in PICKLES[5:15]:
        bombs.append(tmp_path / f"{make.__name__}.pt")
        make(bombs[-1], tmp_path / "trace")
    for name in ("a header of half of all there is", "a huge shape of nothing", "weights without end"):
        bombs.append(tmp_path / name)
        convert(PUBLISHED, bombs[-1])
        SAFETENSORS[name](bombs[-1] / "model.safetensors", tmp_path / "trace")
    bombs.append(tmp_path / "100 MB")
    convert(PUBLISHED, bombs[-1])
    of_100_megabytes(bombs[-1] / "config.json", tmp_path / "trace")
    done = programs.run("-c", LIMITED, PUBLISHED, 300 * 2**20, *bombs)
    assert done.returncode == 0, done.stderr
    told = done.stdout.splitlines()
    assert len(told) == len(bombs) and all("Nothing in it was run" in line for line in told[: len(INSTRUCTIONS)]), told
