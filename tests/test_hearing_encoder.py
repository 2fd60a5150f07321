"""The encoder: its front end against a slow, independent reading of its definition, and what it promises."""

from __future__ import annotations

import io
import math
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest
import soundfile
import soxr

from voice_facilitator.errors import FacilitatorError
from voice_facilitator.hearing.sound.samples import RATE
from voice_facilitator.hearing.who.encoder import WINDOW_SAMPLES, CampplusEncoder, features
from voice_facilitator.hearing.who.networks import load_network
from voice_facilitator.machine.resources import shipped
from voice_facilitator.models import INSTALL_AGAIN

SHIPPED = shipped("models", "campplus.onnx")
FOR_TWO = shipped("models", "two-voices.onnx")
SENTENCE = "I keep thinking of how alone she must have felt that night, and nobody asked her about it."


@pytest.fixture(scope="module")
def encoder() -> CampplusEncoder:
    return CampplusEncoder.load(SHIPPED, FOR_TWO)


def said(voice: str) -> np.ndarray:
    """A synthetic voice at 16 kHz, all voices as loud."""
    if (program := shutil.which("espeak-ng")) is None:
        pytest.skip("espeak-ng is not installed")
    wav = subprocess.run([program, "-v", voice, "--stdout", SENTENCE], capture_output=True, check=True).stdout
    samples, rate = soundfile.read(io.BytesIO(wav), dtype="float32")
    sound = soxr.resample(samples, rate, RATE)
    return (0.05 * sound / np.sqrt(np.mean(sound * sound))).astype(np.float32)


def noise(count: int, samples: int = WINDOW_SAMPLES, seed: int = 5) -> np.ndarray:
    """Something with a colour and a mean: neither must matter more than it should."""
    rng = np.random.default_rng(seed)
    white = rng.normal(0, 0.05, (count, samples + 1))
    return (white[:, 1:] + 0.8 * white[:, :-1] + 0.01).astype(np.float32)


def reference(sound: np.ndarray) -> np.ndarray:
    """Kaldi's filter bank, one frame, one band and one frequency after the other, in double precision."""
    loudness = math.sqrt(sum(float(x) ** 2 for x in sound) / len(sound))
    sound = [float(x) * 10 ** (-25 / 20) / loudness for x in sound]

    def mel(hz: float) -> float:
        return 1127 * math.log(1 + hz / 700)

    step = (mel(RATE / 2) - mel(20)) / 81
    taper = [(0.5 - 0.5 * math.cos(2 * math.pi * k / 399)) ** 0.85 for k in range(400)]
    rows = []
    for begin in range(0, len(sound) - 400 + 1, 160):
        frame = sound[begin : begin + 400]
        mean = sum(frame) / 400
        frame = [x - mean for x in frame]
        sharp = [x - 0.97 * before for x, before in zip(frame, [frame[0], *frame[:-1]], strict=True)]
        power = np.abs(np.fft.fft([x * w for x, w in zip(sharp, taper, strict=True)], 512)) ** 2
        row = []
        for band in range(80):
            middle, energy = mel(20) + (band + 1) * step, 0.0
            for k in range(256):
                away = abs(mel(k * RATE / 512) - middle) / step
                energy += max(0.0, 1 - away) * power[k]
            row.append(math.log(max(energy, 2.0**-23)))
        rows.append(row)
    return np.array(rows) - np.mean(rows, axis=0)


def test_the_front_end_equals_the_reference() -> None:
    windows = noise(2, samples=3000)
    found = features(windows)
    assert (found.shape, found.dtype) == ((2, 17, 80), np.float32)
    for k in range(2):
        np.testing.assert_allclose(found[k], reference(windows[k]), atol=1e-3)


def test_vectors_are_192_numbers_of_length_1(encoder: CampplusEncoder) -> None:
    vectors = encoder.encode(noise(3))
    assert (vectors.shape, vectors.dtype, encoder.dim) == ((3, 2, 192), np.float32, 192)
    np.testing.assert_allclose(np.linalg.norm(vectors[:, 0], axis=1), 1, atol=1e-5)
    assert encoder.encode(noise(0)).shape == (0, 2, 192)


def test_the_end_of_a_window_is_another_voice_than_the_whole(encoder: CampplusEncoder) -> None:
    before, after = noise(1), noise(1, seed=6)[:, ::-1]
    turn = before.copy()
    turn[:, -int(0.8 * RATE) :] = after[:, -int(0.8 * RATE) :]
    (whole_a, end_a), (whole_b, end_b), (whole, end) = encoder.encode(np.concatenate([before, after, turn]))
    assert end @ end_b - end @ end_a > whole @ whole_b - whole @ whole_a


def test_a_window_that_begins_late_is_a_shorter_one(encoder: CampplusEncoder) -> None:
    window, start = noise(1), 60 * 160
    shorter = load_network(SHIPPED)(features(window[:, start:]))
    np.testing.assert_array_equal(encoder.encode(window, np.array([start])), shorter)
    assert abs(shorter - encoder.encode(window)).max() > 0.01


@pytest.mark.parametrize(
    "voices", [("en-us+m3", "en-us+f4"), ("en-gb+m7", "en-us+f2"), ("en-us+m3", "en-us+f2")]
)
def test_two_voices_at_once_are_told_apart(encoder: CampplusEncoder, voices: tuple[str, str]) -> None:
    one, other = map(said, voices)
    alone = encoder.encode(np.stack([one[20_000:][:WINDOW_SAMPLES], other[30_000:][:WINDOW_SAMPLES]]))[:, 0]
    both = encoder.two_voices(one[8_000:][:WINDOW_SAMPLES] + other[20_000:][:WINDOW_SAMPLES])
    assert both is not None
    assert (both.shape, both.dtype) == ((2, 2, 192), np.float32)
    for found in both:  # in the whole window and in its end
        close = found @ alone.T
        assert {int(k) for k in close.argmax(axis=1)} == {0, 1}, "each is one of the two"
    single = encoder.two_voices(one[8_000:][:WINDOW_SAMPLES])
    assert single is not None
    assert both[0, 0] @ both[0, 1] < 0.7 < single[0, 0] @ single[0, 1], "one voice alone is one"


def test_without_its_second_network_it_does_not_tell_two_voices() -> None:
    assert CampplusEncoder.load(SHIPPED).two_voices(noise(1)[0]) is None


def test_a_network_for_one_voice_is_not_taken_for_two() -> None:
    with pytest.raises(FacilitatorError) as caught:
        CampplusEncoder.load(SHIPPED, SHIPPED)
    assert caught.value.code == "model-damaged"


def test_what_lies_before_a_short_window_does_not_count(encoder: CampplusEncoder) -> None:
    windows, start = noise(2), np.array([60 * 160] * 2)
    windows[1, start[1] :] = windows[0, start[0] :]
    first, second = encoder.encode(windows, start)
    np.testing.assert_allclose(first, second, atol=1e-6)


@pytest.mark.parametrize("start", [WINDOW_SAMPLES - 400, WINDOW_SAMPLES])
def test_next_to_nothing_gives_numbers(encoder: CampplusEncoder, start: int) -> None:
    assert np.isfinite(encoder.encode(noise(1), np.array([start]))).all()


def test_loudness_does_not_matter(encoder: CampplusEncoder) -> None:
    window = noise(1)
    np.testing.assert_allclose(encoder.encode(window), encoder.encode(window / 50), atol=1e-4)


def test_batches_answer_like_single_windows(encoder: CampplusEncoder) -> None:
    windows = noise(9)
    starts = (np.arange(9) % 3) * 1600
    together = encoder.encode(windows, starts)
    single = [encoder.encode(windows[k : k + 1], starts[k : k + 1]) for k in range(9)]
    np.testing.assert_allclose(together, np.concatenate(single), atol=1e-4)


def test_the_same_sound_gives_the_same_bytes(encoder: CampplusEncoder) -> None:
    windows = noise(5)
    np.testing.assert_array_equal(encoder.encode(windows), encoder.encode(windows))
    np.testing.assert_array_equal(encoder.encode(windows), CampplusEncoder.load(SHIPPED).encode(windows))


def test_silence_gives_numbers(encoder: CampplusEncoder) -> None:
    assert np.isfinite(encoder.encode(np.zeros((1, WINDOW_SAMPLES), np.float32))).all()


@pytest.mark.parametrize("damage", ["missing", "cut", "text", "empty", "another network"])
def test_bad_network_files(tmp_path: Path, damage: str) -> None:
    path = tmp_path / "campplus.onnx"
    match damage:
        case "cut":
            path.write_bytes(SHIPPED.read_bytes()[:1_000_000])
        case "text":
            path.write_text("no weights", encoding="utf-8")
        case "empty":
            path.touch()
        case "another network":
            path.write_bytes(SHIPPED.read_bytes().replace(b"features", b"spectrum"))
    with pytest.raises(FacilitatorError) as caught:
        CampplusEncoder.load(path)
    assert caught.value.code == ("model-missing" if damage == "missing" else "model-damaged")
    assert caught.value.hint == INSTALL_AGAIN
