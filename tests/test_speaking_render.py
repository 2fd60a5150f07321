"""Speech rendered by the real engine, and what happens when it does not answer."""

from __future__ import annotations

import io
import shutil
import tempfile
import time
from pathlib import Path

import numpy as np
import pytest
import soundfile

from tests.speech_engines import DyingChildEngine, HungChildEngine
from voice_facilitator.errors import ExitCode, FacilitatorError
from voice_facilitator.files.settings import SpeakingSettings, load_settings
from voice_facilitator.speaking import engine as engines
from voice_facilitator.speaking import listing, voices
from voice_facilitator.speaking.chime import SECONDS as CHIME_SECONDS
from voice_facilitator.speaking.chime import chime
from voice_facilitator.speaking.engine import Pyttsx3Engine
from voice_facilitator.speaking.voices import Voice

needs_espeak = pytest.mark.skipif(shutil.which("espeak-ng") is None, reason="not installed: espeak-ng")
SENTENCE = "Five minutes left. Please bring your thoughts to a close."


@pytest.fixture
def settings(tmp_path: Path) -> SpeakingSettings:
    empty = tmp_path / "settings.toml"
    empty.write_text("")
    return load_settings(empty).speaking


# ---------------------------------------------------------------- the real engine


@needs_espeak
def test_speech_has_a_plausible_length_and_level(settings: SpeakingSettings) -> None:
    speech = Pyttsx3Engine(settings).render(SENTENCE)
    assert 2 < speech.seconds < 6  # ten words at 150 a minute
    assert speech.rate >= 16_000
    assert 0.8 < np.abs(speech.samples.astype(float)).max() / 32768 < 1
    assert np.sqrt((speech.samples / 32768.0) ** 2).mean() > 0.02


@needs_espeak
def test_rate_and_voice_arrive(settings: SpeakingSettings) -> None:
    usual = Pyttsx3Engine(settings).render(SENTENCE)
    slow = Pyttsx3Engine(settings.model_copy(update={"words_per_minute": 90})).render(SENTENCE)
    german = Pyttsx3Engine(settings.model_copy(update={"language": "de"})).render(SENTENCE)
    assert slow.seconds > 1.3 * usual.seconds
    assert not np.array_equal(german.samples, usual.samples)


@needs_espeak
def test_every_render_is_complete(settings: SpeakingSettings) -> None:
    """The engine says it is done long before it is; a tenth of the files used to be missing or cut."""
    lengths = {len(Pyttsx3Engine(settings).render(SENTENCE).samples) for _ in range(8)}
    assert len(lengths) == 1


@needs_espeak
def test_nothing_is_left_on_disk(settings: SpeakingSettings) -> None:
    def files() -> set[Path]:
        folders = [Path(tempfile.gettempdir()), Path("/dev/shm")]
        found = (path for folder in folders if folder.is_dir() for path in folder.iterdir())
        return {
            path for path in found if "voice-facilitator" in path.name or path.suffix in {".wav", ".aiff"}
        }

    before = files()
    Pyttsx3Engine(settings).render(SENTENCE)
    with pytest.raises(FacilitatorError):
        Pyttsx3Engine(settings, limit_seconds=0.05).render(SENTENCE)
    with pytest.raises(FacilitatorError):
        HungChildEngine(settings, limit_seconds=0.3).render(SENTENCE)
    assert files() == before


@needs_espeak
@pytest.mark.parametrize("text", ["", "   ", "..."])
def test_a_text_without_words_is_its_own_error(settings: SpeakingSettings, text: str) -> None:
    with pytest.raises(FacilitatorError) as caught:
        Pyttsx3Engine(settings).render(text)
    assert caught.value.code == "speech-empty"


def test_a_hung_engine_is_killed_at_the_limit(settings: SpeakingSettings) -> None:
    began = time.monotonic()
    with pytest.raises(FacilitatorError) as caught:
        HungChildEngine(settings, limit_seconds=1).render(SENTENCE)
    assert caught.value.code == "speech-timeout"
    assert time.monotonic() - began < 10


def test_a_dying_engine_is_an_error(settings: SpeakingSettings) -> None:
    with pytest.raises(FacilitatorError) as caught:
        DyingChildEngine(settings).render(SENTENCE)
    assert caught.value.code == "speech-failed"


def test_a_missing_engine_names_the_line_that_mends_it(settings: SpeakingSettings) -> None:
    with pytest.raises(FacilitatorError) as caught:
        Pyttsx3Engine(settings, driver="no_such_driver").render(SENTENCE)
    assert (caught.value.code, caught.value.exit_code) == ("no-speech-engine", ExitCode.NO_ENGINE)
    assert "nstall" in caught.value.hint or "Add" in caught.value.hint


@pytest.mark.parametrize(("kind", "subtype"), [("WAV", "PCM_16"), ("AIFF", "PCM_16"), ("WAV", "FLOAT")])
def test_reads_what_engines_write(kind: str, subtype: str) -> None:
    tone = 0.2 * np.sin(np.arange(22_050) * 0.1)
    stereo = np.stack([tone, tone], axis=1)
    file = io.BytesIO()
    soundfile.write(file, stereo, 22_050, format=kind, subtype=subtype)
    speech = engines._read(file.getvalue())
    assert speech.rate == 22_050
    assert speech.seconds == pytest.approx(1.0, abs=0.05)
    assert np.abs(speech.samples.astype(int)).max() > 20_000, "a faint engine is made louder"


@pytest.mark.parametrize("sound", [b"", b"RIFF", b"not a sound at all", b"RIFF\0\0\0\0WAVEfmt "])
def test_broken_sound_is_an_error(sound: bytes) -> None:
    with pytest.raises(FacilitatorError) as caught:
        engines._read(sound)
    assert caught.value.code == "speech-failed"


def test_speech_at_another_rate_keeps_its_length() -> None:
    speech = engines.Speech((8000 * np.sin(np.arange(22_050) * 0.1)).astype(np.int16), 22_050)
    other = speech.at_rate(48_000, 0.5)
    assert len(other) == pytest.approx(48_000, abs=50)
    assert np.abs(other.astype(int)).max() == pytest.approx(4000, rel=0.1)


# ---------------------------------------------------------------- voices

KNOWN = [
    Voice("gmw/de", "German", "de"),
    Voice("mb/mb-en1", "mbrola english", "en-gb"),
    Voice("gmw/en-us", "English (America)", "en-us"),
    Voice("gmw/en", "English (Great Britain)", "en-gb"),
    Voice("gmw/en-gb-scotland", "English (Scotland)", "en-gb-scotland"),
]


@pytest.mark.parametrize(
    ("language", "expected"),
    [("en-gb", "gmw/en"), ("en_GB", "gmw/en"), ("en-us", "gmw/en-us"), ("de-at", "gmw/de"), ("fr", None)],
)
def test_the_voice_fits_the_language(language: str, expected: str | None) -> None:
    voice = voices.for_language(KNOWN, language)
    assert (voice.id if voice else None) == expected


def test_calm_voices_come_before_joke_voices() -> None:
    spoken = [Voice("a", "Grandpa (English (UK))", "en-gb"), Voice("b", "Daniel", "en-gb")]
    assert voices.for_language(spoken, "en-gb") == spoken[1]


def test_a_voice_is_found_by_part_of_its_name() -> None:
    assert voices.named(KNOWN, "scot") == KNOWN[4]
    assert voices.named(KNOWN, "GMW/EN") == KNOWN[3], "the whole id comes before parts of others"
    assert voices.named(KNOWN, "nobody") is None
    assert voices.named(KNOWN, " ") is None


@needs_espeak
def test_listing(settings: SpeakingSettings) -> None:
    found = listing.voices(settings)
    assert found[0].language.startswith("en")
    assert len(found) > 10
    chosen = listing.chosen(settings)
    assert chosen is not None
    assert chosen.language == "en-gb"
    with pytest.raises(FacilitatorError) as caught:
        listing.chosen(settings.model_copy(update={"voice": "Englsh (Scotland)"}))
    assert caught.value.code == "no-voice"
    assert 'Did you mean "English (Scotland)"?' in caught.value.hint


# ---------------------------------------------------------------- the chime


@pytest.mark.parametrize("rate", [16_000, 44_100, 48_000])
def test_the_chime_is_one_low_soft_tone(rate: int) -> None:
    tone = chime(rate, 0.2) / 32768
    assert len(tone) == pytest.approx(CHIME_SECONDS * rate, abs=1)
    assert np.abs(tone).max() == pytest.approx(0.2, rel=0.01)
    spectrum = np.abs(np.fft.rfft(tone))
    loudest = np.argmax(spectrum) * rate / len(tone)
    assert 250 < loudest < 400, "low"
    level = np.sqrt((tone[: len(tone) // 100 * 100].reshape(100, -1) ** 2).mean(axis=1))
    peak = int(np.argmax(level))
    assert 0.03 < peak * CHIME_SECONDS / 100 < 0.2, "it fades in"
    assert np.all(np.diff(level[peak + 2 :]) <= 1e-3), "one tone that only dies away"
    assert abs(tone[0]) < 1e-3
    assert abs(tone[-1]) < 1e-3


def test_a_silent_chime_is_silence() -> None:
    assert not chime(16_000, 0.0).any()
