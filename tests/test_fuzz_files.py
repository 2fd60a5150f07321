"""Any bytes as a file that people or the program give: a valid result or an error with a name, nothing else.

Protocols, settings and scripts as text have fuzz tests beside their own tests; here is what was left.
"""

from __future__ import annotations

import io
import json
from pathlib import Path

import numpy as np
import pytest
import soundfile
from hypothesis import given
from hypothesis import strategies as st

from tests.plenty import tries
from voice_facilitator import models, protocols
from voice_facilitator.app import doctor, faultlog, script
from voice_facilitator.errors import FacilitatorError
from voice_facilitator.hearing.encoder import CampplusEncoder
from voice_facilitator.hearing.remark import Remark
from voice_facilitator.hearing.source import FileSource
from voice_facilitator.hearing.voice_model import Cohort
from voice_facilitator.settings import load_settings

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


SOUNDS = {kind: sound(kind) for kind in ("WAV", "FLAC", "OGG")}
ARCHIVE = archive()


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


@tries(60)
@given(st.sampled_from(sorted(SOUNDS)), slips)
def test_a_damaged_recording(file: Path, kind: str, changes: list[tuple[float, bytes, int]]) -> None:
    file.write_bytes(slipped(SOUNDS[kind], changes))
    try:
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


@tries(60)
@given(st.binary(max_size=300))
def test_any_bytes_as_settings_script_or_manifest(file: Path, content: bytes) -> None:
    file.write_bytes(content)
    protocol = protocols.load("balint-plain")
    for load in (load_settings, models.load_manifest, lambda path: script.load(path, protocol)):
        try:
            load(file)
        except FacilitatorError as error:
            assert error.message
            assert error.hint


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
