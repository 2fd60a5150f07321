"""Audio files: what can be heard, and a clear error for what cannot."""

from __future__ import annotations

import io
import os
import struct
from pathlib import Path

import numpy as np
import pytest
import soundfile

from voice_facilitator.errors import ExitCode, FacilitatorError
from voice_facilitator.hearing.sound.source import ArraySource, FileSource, Pace

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


# ------------------------------------------------------------ headers that say too little or too much

WHOLE = tone(RATE, 4.0, 300.0)


def encoded(kind: str, samples: np.ndarray = WHOLE, rate: int = RATE, **options: str) -> bytes:
    out = io.BytesIO()
    soundfile.write(out, samples, rate, format=kind, **options)
    return out.getvalue()


def changed(data: bytes, *changes: tuple[int, bytes]) -> bytes:
    found = bytearray(data)
    for at, put in changes:
        found[at : at + len(put)] = put
    return bytes(found)


def seconds_of(path: Path, data: bytes) -> float:
    path.write_bytes(data)
    return round(len(heard(FileSource(path))) / RATE, 2)


def refusal(path: Path, data: bytes) -> FacilitatorError:
    path.write_bytes(data)
    with pytest.raises(FacilitatorError) as caught:
        heard(FileSource(path))
    assert caught.value.hint
    assert caught.value.code.startswith("audio-")
    return caught.value


LENGTHS = {  # by format: what stands before the length of the sound, how it is written, what it counts too
    "WAV": (b"data", "<I", 0),
    "WAVEX": (b"data", "<I", 0),
    "RF64": (b"ds64____________", "<Q", 0),
    "AIFF": (b"SSND", ">I", 8),
    "CAF": (b"data", ">Q", 4),
    "W64": (b"data____________", "<Q", 24),
    "AU": (b".snd____", ">I", 0),
}
each_length = pytest.mark.parametrize("kind", LENGTHS)


def with_length(kind: str, length: int, samples: np.ndarray = WHOLE, subtype: str = "PCM_16") -> bytes:
    before, written, more = LENGTHS[kind]
    data = encoded(kind, samples, subtype=subtype)
    at = data.index(before[:4]) + len(before)
    largest = (1 << 8 * struct.calcsize(written)) - 1
    return changed(data, (at, struct.pack(written, largest if length < 0 else length + more)))


@each_length
@pytest.mark.parametrize("length", [-1, 0, RATE], ids=["largest", "nothing", "half a second"])
def test_a_recorder_that_died_left_all_of_it(tmp_path: Path, kind: str, length: int) -> None:
    path = tmp_path / "a"
    assert seconds_of(path, with_length(kind, length)) == 4.0
    begins_silently = np.concatenate([np.zeros(RATE, np.float32), WHOLE])
    assert seconds_of(path, with_length(kind, length, begins_silently)) == 5.0


@each_length
def test_how_much_is_missing_is_said(tmp_path: Path, kind: str) -> None:
    assert "is cut off: 50 %" in refusal(tmp_path / "a", with_length(kind, 4 * len(WHOLE))).message
    data = encoded(kind)
    assert "is cut off: 4" in refusal(tmp_path / "a", data[: len(data) // 2]).message


@pytest.mark.parametrize(
    "subtype", ["PCM_U8", "PCM_24", "PCM_32", "FLOAT", "DOUBLE", "ULAW", "ALAW", "IMA_ADPCM", "GSM610"]
)
def test_every_coding_is_read_whole(tmp_path: Path, subtype: str) -> None:
    whole = encoded("WAV", subtype=subtype)
    assert seconds_of(tmp_path / "a", whole) == 4.0
    assert seconds_of(tmp_path / "a", with_length("WAV", 0, subtype=subtype)) == 4.0
    assert refusal(tmp_path / "a", whole[:-2000])


@pytest.mark.parametrize("more", [b"LIST\x04\0\0\0abcd", b"LIST\x05\0\0\0abcde\0", b"\0\0\0"])
def test_what_stands_behind_the_sound_is_no_sound(tmp_path: Path, more: bytes) -> None:
    assert seconds_of(tmp_path / "a", encoded("WAV") + more) == 4.0


@pytest.mark.parametrize("kind", ["FLAC", "OGG"])
def test_streams_one_after_the_other_are_all_heard(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "a"
    assert seconds_of(path, encoded(kind) * 3) == 12.0
    assert FileSource(path).seconds == pytest.approx(12, abs=0.01)
    other = encoded(kind, tone(24_000, 2.0), 24_000)
    assert seconds_of(path, encoded(kind) + other) == 6.0
    source = FileSource(path, start_seconds=4.5)
    assert len(heard(source)) == pytest.approx(1.5 * RATE, abs=2)
    assert refusal(path, (encoded(kind) * 2)[:-500])
    assert refusal(path, encoded(kind)[:-500] + encoded(kind))


@pytest.mark.parametrize("kind", ["WAV", "AIFF", "RF64", "CAF", "W64", "MP3"])
def test_joined_files_are_not_cut_off_silently(tmp_path: Path, kind: str) -> None:
    assert "more than one recording" in refusal(tmp_path / "a", encoded(kind) * 2).message


def test_two_pieces_of_sound_in_one_file(tmp_path: Path) -> None:
    whole = encoded("WAV")
    assert "more than one recording" in refusal(tmp_path / "a", whole + whole[36:]).message


def test_two_tracks_at_the_same_time(tmp_path: Path) -> None:
    first, second = encoded("OGG"), encoded("OGG", tone(RATE))
    page = 28 + 30  # a first page holds 30 bytes
    both = first[:page] + second[:page] + first[page:] + second[page:]
    assert "at the same time" in refusal(tmp_path / "a", both).message


def without_length(flac: bytes) -> bytes:
    begin = 8 + 13  # in the first block of metadata
    return changed(flac, (begin, bytes([flac[begin] & 0xF0]) + bytes(4)))


def test_a_flac_stream_that_does_not_say_how_long_it_is(tmp_path: Path) -> None:
    path = tmp_path / "a.flac"
    endless = without_length(encoded("FLAC"))
    assert seconds_of(path, endless) == 4.0
    assert FileSource(path).seconds == 0
    assert len(heard(FileSource(path, start_seconds=1))) == 3 * RATE
    assert refusal(path, endless[: len(endless) // 2])


def test_an_mp3_is_heard_where_it_says_how_long_it_is(tmp_path: Path) -> None:
    whole = encoded("MP3")
    assert seconds_of(tmp_path / "a", whole) == 4.0
    assert "is cut off" in refusal(tmp_path / "a", whole[: len(whole) // 2]).message
    mute = whole.replace(b"Xing", b"xing")
    assert "does not say how long" in refusal(tmp_path / "a", mute).message


@pytest.mark.parametrize("kind", ["FLAC", "WAV"])
def test_a_tag_before_the_sound(tmp_path: Path, kind: str) -> None:
    tag = b"ID3\x04\0\0\0\0\x01\0" + bytes(128)
    assert seconds_of(tmp_path / "a", tag + encoded(kind)) == pytest.approx(4.0, abs=0.01)


@pytest.mark.parametrize(
    ("begins", "what"),
    [
        (b"\0\0\0\x20ftypM4A ", "MPEG-4"),
        (b"\x1aE\xdf\xa3", "WebM"),
        (b"0&\xb2u\x8ef\xcf\x11", "Windows Media"),
        (b"#!AMR\n", "AMR"),
        (b"\xff\xf1P\x80", "AAC"),
    ],
)
def test_what_libsndfile_cannot_decode_is_named_with_a_way_out(
    tmp_path: Path, begins: bytes, what: str
) -> None:
    error = refusal(tmp_path / "a", begins + bytes(2000))
    assert what in error.message
    assert "ffmpeg" in error.hint


# ------------------------------------------------------------ what a microphone or a cable adds


def loudness(path: Path, samples: np.ndarray) -> float:
    soundfile.write(path, samples, RATE, subtype="FLOAT")
    got = heard(FileSource(path))
    return float(np.sqrt((got[RATE:] ** 2).mean()))


def test_channels_that_cancel_out_are_heard(tmp_path: Path) -> None:
    path, alone = tmp_path / "a.wav", float(np.sqrt((WHOLE**2).mean()))
    assert loudness(path, np.stack([WHOLE, -WHOLE], 1)) == pytest.approx(alone, rel=0.01)
    assert loudness(path, np.stack([WHOLE, -0.6 * WHOLE], 1)) == pytest.approx(0.8 * alone, rel=0.01)
    assert loudness(path, np.stack([WHOLE + 0.2, 0.1 - WHOLE], 1)) == pytest.approx(alone, rel=0.01)
    one_of_two = np.stack([WHOLE, np.zeros_like(WHOLE)], 1)
    assert loudness(path, one_of_two) == pytest.approx(0.5 * alone, rel=0.01)


def test_channels_of_different_people_are_all_heard(tmp_path: Path) -> None:
    random = np.random.default_rng(3)
    people = random.normal(0, 0.1, (len(WHOLE), 8)).astype(np.float32)
    assert loudness(tmp_path / "a.wav", people) == pytest.approx(0.1 / np.sqrt(8), rel=0.05)


@pytest.mark.parametrize("offset", [0.3, -0.3, 0.01])
def test_a_constant_offset_is_taken_away(tmp_path: Path, offset: float) -> None:
    path = tmp_path / "a.wav"
    quiet = 0.1 * WHOLE
    soundfile.write(path, quiet + offset, RATE, subtype="FLOAT")
    got = heard(FileSource(path))
    assert np.abs(got - quiet).max() < 0.002
    assert np.abs(np.diff(got) - np.diff(quiet)).max() < 1e-4, "no step between blocks"


def test_samples_far_above_full_scale_are_refused(tmp_path: Path) -> None:
    for factor in (32_768, 1e30):
        error = refusal(tmp_path / "a", encoded("WAV", WHOLE * factor, subtype="FLOAT"))
        assert "far above full scale" in error.message
    assert seconds_of(tmp_path / "a", encoded("WAV", WHOLE * 8, subtype="FLOAT")) == 4.0


# ------------------------------------------------------------ names


@pytest.mark.skipif(os.name != "posix", reason="file names are bytes on POSIX only")
def test_a_name_in_another_encoding(tmp_path: Path) -> None:
    path = tmp_path / b"caf\xe9.wav".decode("utf-8", "surrogateescape")
    assert seconds_of(path, encoded("WAV")) == 4.0
    assert "caf\ufffd.wav" in refusal(path, b"no sound").message
    with pytest.raises(FacilitatorError, match="no audio file"):
        FileSource(tmp_path / "\ud800.wav")
