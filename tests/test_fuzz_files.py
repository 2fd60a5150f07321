"""Any bytes as a file that people or the program give: a valid result or an error with a name, nothing else,
and without much work.

Protocols, settings and scripts as text have fuzz tests beside their own tests, too.
"""

from __future__ import annotations

import io
import json
import struct
import tempfile
from pathlib import Path

import numpy as np
import pytest
import soundfile
from hypothesis import given
from hypothesis import strategies as st

from tests.plenty import tries
from tests.test_models import zipped
from tests.work import at_most
from voice_facilitator import models
from voice_facilitator.app import faultlog
from voice_facilitator.errors import FacilitatorError
from voice_facilitator.files import checked_toml, phrases, protocols
from voice_facilitator.files.settings import load_settings
from voice_facilitator.hearing.sound.source import FileSource
from voice_facilitator.hearing.who.encoder import CampplusEncoder
from voice_facilitator.hearing.who.remark import Remark
from voice_facilitator.hearing.who.voice_model import Cohort
from voice_facilitator.machine.resources import shipped
from voice_facilitator.models.fetch import unpack
from voice_facilitator.tools import doctor, script
from voice_facilitator.visible import visible

slips = st.lists(
    st.tuples(st.floats(0, 1), st.binary(max_size=6), st.integers(0, 60)), min_size=1, max_size=4
)


def slipped(whole: bytes, changes: list[tuple[float, bytes, int]]) -> bytes:
    """`whole` with bytes put in and others cut out: where (share of the length), what, how many."""
    for share, put, cut in changes:
        at = int(share * len(whole))
        whole = whole[:at] + put + whole[at + cut :]
    return whole


def sound(kind: str) -> bytes:
    out = io.BytesIO()
    tone = 0.1 * np.sin(np.arange(1600) / 5)
    soundfile.write(out, tone, 16_000, format=kind)
    return out.getvalue()


def archive() -> bytes:
    out = io.BytesIO()
    np.savez(out, embeddings=np.eye(4, 192, dtype=np.float32))
    return out.getvalue()


SOUNDS = {
    kind: sound(kind) for kind in ("WAV", "WAVEX", "RF64", "AIFF", "AU", "CAF", "W64", "FLAC", "OGG", "MP3")
}
SOUNDS |= {f"{kind} twice": SOUNDS[kind] * 2 for kind in ("OGG", "FLAC", "WAV")}
ARCHIVE = archive()
ZIP = zipped({"model-1/README": b"a model", "model-1/am/final.mdl": bytes(range(256))})


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "any"


def hear(path: Path) -> None:
    source = FileSource(path)
    try:
        for count, block in enumerate(source.blocks()):
            assert block.dtype == np.float32
            assert np.isfinite(block).all()
            if count > 20:  # a header may claim hours
                break
    finally:
        source.close()


@tries(60)
@given(st.binary(max_size=300) | st.binary(max_size=200).map(lambda rest: b"RIFF" + rest))
def test_any_bytes_as_sound(file: Path, content: bytes) -> None:
    file.write_bytes(content)
    try:
        hear(file)
    except FacilitatorError as error:
        assert error.code.startswith("audio-")


@tries(200)
@given(st.sampled_from(sorted(SOUNDS)), slips)
def test_a_damaged_recording(file: Path, kind: str, changes: list[tuple[float, bytes, int]]) -> None:
    file.write_bytes(slipped(SOUNDS[kind], changes))
    try:
        with at_most():
            hear(file)
    except FacilitatorError as error:
        assert error.code.startswith("audio-")
        assert error.hint


numbers = st.sampled_from([0, 1, 0x7FFF_FFFF, 0x8000_0000, 0xFFFF_FFFF]) | st.integers(0, 0xFFFF_FFFF)


@tries(200)
@given(
    st.sampled_from(sorted(SOUNDS)), st.lists(st.tuples(st.integers(0, 120), numbers), max_size=3), st.data()
)
def test_a_recording_with_any_number_in_its_header(
    file: Path, kind: str, changes: list[tuple[int, int]], data: st.DataObject
) -> None:
    whole = bytearray(SOUNDS[kind])
    for at, number in changes:
        whole[at : at + 4] = struct.pack(data.draw(st.sampled_from(["<I", ">I"])), number)
    file.write_bytes(whole)
    try:
        with at_most():
            hear(file)
    except FacilitatorError as error:
        assert error.code.startswith("audio-")


@tries(60)
@given(st.binary(max_size=300) | slips.map(lambda changes: slipped(ARCHIVE, changes)))
def test_any_bytes_as_a_model(file: Path, content: bytes) -> None:
    for load, ending in ((CampplusEncoder.load, ".onnx"), (Cohort.load, ".npz"), (Remark.load, ".npz")):
        path = file.with_suffix(ending)
        path.write_bytes(content)
        try:
            load(path)
        except FacilitatorError as error:
            assert error.code in ("model-damaged", "model-missing")


SHIPPED = {
    "protocol": shipped("config", "protocols", "balint-45.toml"),
    "based": shipped("config", "protocols", "balint-60-de.toml"),
    "settings": shipped("config", "settings.toml"),
    "commands": shipped("config", "commands", "de.toml"),
    "manifest": shipped("models", "manifest.toml"),
    "wording": shipped("config", "wording", "de.toml"),
}
WRITTEN = {kind: path.read_bytes() for kind, path in SHIPPED.items()}
WRITTEN["script"] = b'{"t": 1, "do": "next"}\n{"t": 2.5, "do": "phase", "name": "story"}\n'
odd = st.sampled_from(
    [
        b"\xef\xbb\xbf",
        b"\xff\xfe",
        b"\0",
        b"\r",
        b"\x1b[2J",
        b"\\u001b]0;x\\u0007",
        b"\xe2\x80\xae",
        b"\xc2\x9b2J",
        b'"""',
        b"'''",
        b"[[",
        b"]]",
        b"{",
        b"}",
        b"=",
        b"#",
        b"\n[phase]\n",
        b"\n[[phase]]\n",
        b" = 1\n",
        b".a" * 70,
        b"[" * 2000,
        b"9" * 5000,
        b"0x" + b"f" * 5000,
        b"1e999",
        b"nan",
        b"1979-05-27",
        b"\\ud800",
        b"{oops}",
        b"\xe9",
    ]
)
odd_slips = st.lists(
    st.tuples(st.floats(0, 1), odd | st.binary(max_size=6), st.integers(0, 60)), min_size=1, max_size=4
)


def read(kind: str, file: Path) -> None:
    match kind:
        case "protocol" | "based":
            found = protocols.load(str(file.with_suffix(".toml")))
            assert visible(found.title + found.description) == found.title + found.description
            protocols.hard_to_follow(found)
        case "settings":
            load_settings(file)
        case "commands":
            phrases.parse(checked_toml.read_text(file, "commands"), str(file))
        case "manifest":
            models.load_manifest(file)
        case "script":
            script.load(file, protocols.load("balint-45"))
        case "wording":
            protocols.load_wording("de")
            protocols.load_phrases("de")


@tries(400)
@given(st.sampled_from(sorted(WRITTEN)), st.binary(max_size=300) | odd_slips)
def test_any_bytes_as_a_written_file(
    file: Path, monkeypatch: pytest.MonkeyPatch, kind: str, content: bytes | list[tuple[float, bytes, int]]
) -> None:
    data = content if isinstance(content, bytes) else slipped(WRITTEN[kind], content)
    for path in (file, file.with_suffix(".toml")):
        path.write_bytes(data)
    with monkeypatch.context() as patch:
        if kind == "wording":
            own = file.parent / "config" / "wording"
            own.mkdir(parents=True, exist_ok=True)
            (own / "en-gb.toml").write_bytes(shipped("config", "wording", "en-gb.toml").read_bytes())
            (own / "de.toml").write_bytes(data)
            patch.setattr(protocols, "shipped", file.parent.joinpath)
        try:
            with at_most():
                read(kind, file)
        except FacilitatorError as error:
            assert error.message
            assert error.hint
            assert len(error.message.splitlines()) <= 11
            assert visible(error.message + error.hint, layout=True) == error.message + error.hint


@tries(100)
@given(st.binary(max_size=300) | slips.map(lambda changes: slipped(ZIP, changes)))
def test_any_bytes_as_a_download(file: Path, content: bytes) -> None:
    file.write_bytes(content)
    with tempfile.TemporaryDirectory(dir=file.parent) as name:
        try:
            inner = unpack(file, Path(name))
        except FacilitatorError as error:
            assert error.code == "model-damaged"
        else:
            assert inner.parent == Path(name)


@tries(60)
@given(
    st.binary(max_size=200)
    | st.lists(
        st.dictionaries(
            st.sampled_from(["what", "t", "part", "lost", "restarts", "dropped", "missed_seconds"]),
            st.none()
            | st.text(max_size=5)
            | st.sampled_from(["part", "counted"])
            | st.floats()
            | st.booleans(),
        )
    ).map(lambda lines: "\n".join(map(json.dumps, lines)).encode())
)
def test_any_bytes_as_a_fault_log(file: Path, content: bytes) -> None:
    file.write_bytes(content)
    doctor._last_session_of(faultlog.read(file))
    faultlog.FaultLog(file)
    assert faultlog.last_session(faultlog.read(file)) == {
        "day": faultlog.read(file)[-1]["day"],
        "lost": [],
        "restarts": 0,
        "dropped": 0,
        "missed_seconds": 0.0,
    }
