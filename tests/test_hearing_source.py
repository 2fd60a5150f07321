"""Audio files: what can be heard, and a clear error for what cannot."""

from __future__ import annotations

import struct
from pathlib import Path

import numpy as np
import pytest
import soundfile

from voice_facilitator.errors import ExitCode, FacilitatorError
from voice_facilitator.hearing.source import ArraySource, FileSource, Pace

RATE = 16_000


def tone(rate: int, seconds: float = 2.0, hertz: float = 440.0) -> np.ndarray:
    return (0.3 * np.sin(2 * np.pi * hertz * np.arange(round(rate * seconds)) / rate)).astype(np.float32)


def heard(source: FileSource | ArraySource) -> np.ndarray:
    try:
        return np.concatenate(list(source.blocks()))
    finally:
        source.close()


@pytest.mark.parametrize("rate", [8_000, 11_025, 16_000, 22_050, 44_100, 48_000, 96_000])
@pytest.mark.parametrize("channels", [1, 2, 6])
def test_any_rate_and_channel_count_becomes_16_khz_mono(tmp_path: Path, rate: int, channels: int) -> None:
    path = tmp_path / "a.wav"
    soundfile.write(path, np.tile(tone(rate)[:, None], (1, channels)), rate)
    samples = heard(FileSource(path, block_seconds=0.3))
    assert samples.dtype == np.float32
    assert abs(len(samples) - 2 * RATE) <= 2
    spectrum = np.abs(np.fft.rfft(samples[:RATE] * np.hanning(RATE)))
    assert int(spectrum.argmax()) == 440
    assert np.abs(samples[2000:-2000]).max() == pytest.approx(0.3, abs=0.02)


@pytest.mark.parametrize("kind", ["wav", "flac", "ogg"])
def test_formats(tmp_path: Path, kind: str) -> None:
    path = tmp_path / f"a.{kind}"
    soundfile.write(path, tone(RATE), RATE)
    assert len(heard(FileSource(path))) == 2 * RATE


def test_a_file_can_be_taken_up_in_the_middle(tmp_path: Path) -> None:
    path = tmp_path / "a.wav"
    soundfile.write(path, tone(RATE), RATE, subtype="FLOAT")
    np.testing.assert_array_equal(heard(FileSource(path, start_seconds=0.5)), tone(RATE)[RATE // 2 :])


def write_bad(path: Path, kind: str) -> None:
    match kind:
        case "empty":
            path.write_bytes(b"")
        case "text":
            path.write_text("This is the transcript of a session, not its sound.\n" * 50, encoding="utf-8")
        case "no-sound":
            soundfile.write(path, np.zeros(0, np.float32), RATE)
        case "truncated-wav" | "truncated-flac" | "truncated-ogg":
            whole = path.with_suffix("." + kind.split("-")[1])
            soundfile.write(whole, np.random.default_rng(1).uniform(-0.1, 0.1, 5 * RATE), RATE)
            path.write_bytes(whole.read_bytes()[: whole.stat().st_size // 2])
        case "header-only":
            soundfile.write(path, tone(RATE), RATE)
            path.write_bytes(path.read_bytes()[:20])
        case "no-channels":
            header = b"fmt " + struct.pack("<IHHIIHH", 16, 1, 0, RATE, RATE * 2, 2, 16)
            body = b"WAVE" + header + b"data" + struct.pack("<I", 3200) + b"\0" * 3200
            path.write_bytes(b"RIFF" + struct.pack("<I", len(body)) + body)
        case "nan" | "inf":
            samples = tone(RATE)
            samples[9_000] = np.nan if kind == "nan" else np.inf
            soundfile.write(path, samples, RATE, subtype="FLOAT")
        case "noise":
            path.write_bytes(np.random.default_rng(2).bytes(40_000))
        case "absurd-rate":
            soundfile.write(path, tone(RATE), 1)
        case "folder":
            path.mkdir()


@pytest.mark.parametrize(
    ("kind", "code"),
    [
        ("missing", "audio-missing"),
        ("empty", "audio-empty"),
        ("no-sound", "audio-empty"),
        ("text", "audio-unreadable"),
        ("noise", "audio-unreadable"),
        ("folder", "audio-unreadable"),
        ("header-only", "audio-unreadable"),
        ("no-channels", "audio-unreadable"),
        ("absurd-rate", "audio-unreadable"),
        ("truncated-wav", "audio-unreadable"),
        ("truncated-flac", "audio-unreadable"),
        ("truncated-ogg", "audio-unreadable"),
        ("nan", "audio-not-finite"),
        ("inf", "audio-not-finite"),
    ],
)
def test_bad_files_have_their_clear_errors(tmp_path: Path, kind: str, code: str) -> None:
    path = tmp_path / "bad.wav"
    write_bad(path, kind)
    with pytest.raises(FacilitatorError) as caught:
        heard(FileSource(path))
    assert caught.value.code == code
    assert caught.value.exit_code is ExitCode.BAD_FILE
    assert str(path) in caught.value.message


def test_a_recorder_that_wrote_to_a_pipe_could_not_know_the_size(tmp_path: Path) -> None:
    path = tmp_path / "piped.wav"
    soundfile.write(path, tone(RATE), RATE, subtype="PCM_16")
    data = bytearray(path.read_bytes())
    at = data.index(b"data") + 4
    data[4:8] = data[at : at + 4] = b"\xff\xff\xff\xff"
    path.write_bytes(data)
    assert len(heard(FileSource(path))) == 2 * RATE


def test_an_array_is_checked_too() -> None:
    assert len(heard(ArraySource(tone(RATE)))) == 2 * RATE
    assert len(heard(ArraySource(tone(RATE), start_seconds=1.5))) == RATE // 2
    with pytest.raises(FacilitatorError, match="not numbers"):
        ArraySource(np.full(10, np.nan, np.float32))
    with pytest.raises(FacilitatorError, match="no sound"):
        ArraySource(np.zeros(0, np.float32))


def test_pacing_counts_from_the_first_block_and_does_not_drift() -> None:
    now = 100.0
    slept: list[float] = []

    def sleep(seconds: float) -> None:
        nonlocal now
        slept.append(seconds)
        now += seconds + 0.003  # every sleep is a little late

    pace = Pace(clock=lambda: now, sleep=sleep)
    for _ in range(500):
        pace.wait(320)
    assert now == pytest.approx(110.0, abs=0.01)
    assert len(slept) == 500
