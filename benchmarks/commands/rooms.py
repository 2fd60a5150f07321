"""What `recognition.py` plays: synthetic people giving commands in simulated rooms, and human speech.

Needs pyroomacoustics (`pip install -r ../shared/speech/requirements.txt`), espeak-ng, flite and, where it is
installed, festival. The same seed gives the same sound.
"""

from __future__ import annotations

import subprocess
import tempfile
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import soundfile
import soxr

from voice_facilitator.hearing.sound.samples import RATE, Floats

# Voices that no person would take for a colleague say nothing about people.
_ODD = (
    "whisper",
    "croak",
    "robo",
    "robot",
    "demonic",
    "alien",
    "halflife",
    "half-life",
    "fast",
    "serious",
    "aunty",
)
_ACCENTS = ("en-gb", "en-us", "en-gb-scotland", "en-gb-x-rp", "en-gb-x-gbclan", "en-029")
_FLITE = ("slt", "rms", "awb", "kal16")
_FESTIVAL = ("kal_diphone", "ked_diphone", "cmu_us_slt_arctic_hts")
_SUFFIXES = {".wav", ".flac", ".ogg"}

# What people could say by itself, between two pauses, that is nearly a command and none.
NEARLY = """
please stop it; please stop that; please stop talking; she said please stop; pause please don't; please
pose; please stay; please stand up; stop pleasing him; please; stop; pause; police stop; the police
stopped; he paused; please stop her; please pass the water; pass please; top please; please drop;
facilitate the next part; facilitator said next part; facilitators need a pause; the facilitator can undo
that; facilitator yesterday; facilitator knows; facilitator noted; facilitator next patient; facilitator
next party; facilitator resumed; facilitator posed; facilitator paused here; facilitator ended the
session; facilitator go back home; facilitator beginning; facilitator; facilitator please; facilitator
how long was it; facilitator two more patients; facilitator five more people; facilitator stop reminding
her; facilitator only the time; facilitator what do you think; facilitator nobody; facilitator yes but;
facilitator no way; the facilitator is next; a good facilitator pauses; our facilitator yes; facility
next part; facilitation; felicitate her; for silly tator next; next part; undo; go back; move on; end the
session; let's begin; how long is left; yes; no; thank you; the next part; i'd like to move on; we should
end the session now; can we go back
"""


@dataclass(frozen=True, slots=True)
class Clip:
    """A piece of sound with what is known about it. `end`: of the command, in seconds."""

    name: str
    sound: Floats
    text: str = ""  # the command said in it; empty: none
    end: float = 0.0
    metres: float = 0.0  # from the microphone to whoever gives it
    talk: bool = False  # people talk before and after it


@dataclass(frozen=True, slots=True)
class Utterances:
    """What was found between pauses in a piece of speech of some `seconds`."""

    name: str
    seconds: float
    sounds: list[Floats]


def keep(file: Path, found: list[Utterances]) -> None:
    sounds = [sound for some in found for sound in some.sounds]
    np.savez(
        file,
        names=np.array([some.name for some in found]),
        seconds=np.array([some.seconds for some in found]),
        counts=np.array([len(some.sounds) for some in found]),
        lengths=np.array([len(sound) for sound in sounds]),
        samples=np.concatenate([np.zeros(0, np.float32), *sounds]).astype(np.float16),
    )


def kept(file: Path) -> list[Utterances]:
    stored = np.load(file)
    sounds = iter(np.split(stored["samples"].astype(np.float32), np.cumsum(stored["lengths"])[:-1]))
    counted = zip(stored["names"], stored["seconds"], stored["counts"], strict=True)
    return [Utterances(str(a), float(b), [next(sounds) for _ in range(c)]) for a, b, c in counted]


def voices(count: int, rng: np.random.Generator) -> list[tuple[str, str]]:
    """Engine and voice of `count` synthetic people: every recorded voice, the rest espeak-ng variants."""
    found = [("flite", name) for name in _FLITE]
    listed = Path("/usr/share/festival/voices")
    found += [("festival", name) for name in _FESTIVAL if any(listed.glob(f"*/{name}"))]
    output = subprocess.run(
        ["espeak-ng", "--voices=variant"], capture_output=True, text=True, check=True
    ).stdout
    variants = sorted(
        line.split()[4].removeprefix("!v/") for line in output.splitlines()[1:] if "!v/" in line
    )
    variants = [name for name in variants if not any(odd in name.lower() for odd in _ODD)]
    rng.shuffle(variants)
    found += [("espeak-ng", f"{_ACCENTS[k % len(_ACCENTS)]}+{name}") for k, name in enumerate(variants)]
    return found[:count]


def is_new(name: str) -> bool:
    """Whether the training of models/commands-en left the voice out (training/commands/speech.py)."""
    engine, voice = name.split("/")
    if engine == "espeak-ng":
        return zlib.crc32(voice.split("+")[1].encode()) % 6 == 0
    return voice in ("rms", "ked_diphone")


def say(engine: str, voice: str, text: str, rng: np.random.Generator) -> Floats:
    """float32 [n], 16 kHz, trimmed, at -26 dBFS; the pace varies."""
    with tempfile.TemporaryDirectory() as folder:
        file = f"{folder}/said.wav"
        stretch = float(rng.uniform(0.85, 1.25))
        if engine == "flite":
            command = [
                "flite",
                "-voice",
                voice,
                "--setf",
                f"duration_stretch={stretch:.2f}",
                "-t",
                text,
                "-o",
                file,
            ]
        elif engine == "festival":
            script = (
                f"(begin (voice_{voice}) (Parameter.set 'Duration_Stretch {stretch:.2f}) "
                f'(utt.save.wave (utt.synth (Utterance Text "{text}")) "{file}" \'riff))'
            )
            command = ["festival", "-b", script]
        else:
            pace, pitch = str(int(150 / stretch)), str(int(rng.integers(35, 65)))
            command = ["espeak-ng", "-v", voice, "-s", pace, "-p", pitch, "-w", file, text]
        subprocess.run(command, check=True, capture_output=True)
        return _levelled(_trimmed(read(Path(file))))


def read(path: Path) -> Floats:
    """A file as float32 mono at 16 kHz."""
    sound, rate = soundfile.read(path, dtype="float32", always_2d=True)
    mono = sound.mean(axis=1)
    return np.asarray(mono if rate == RATE else soxr.resample(mono, rate, RATE), np.float32)


def _trimmed(sound: Floats) -> Floats:
    loud = np.flatnonzero(np.abs(sound) > 0.02 * np.abs(sound).max())
    return sound[loud[0] : loud[-1] + 1] if len(loud) else sound


def _levelled(sound: Floats, dbfs: float = -26.0) -> Floats:
    level = float(np.sqrt(np.mean(sound * sound, dtype=np.float64)))
    return sound * np.float32(10 ** (dbfs / 20) / max(level, 1e-9))


def nearly(rng: np.random.Generator, per_text: int = 5) -> Iterator[Clip]:
    """Each of NEARLY as said by some of sixteen voices, near the microphone in a quiet room."""
    people = voices(16, rng)
    for text in (" ".join(each.split()) for each in NEARLY.split(";")):
        for k in rng.permutation(len(people))[:per_text]:
            pauses = np.zeros(int(0.4 * RATE), np.float32)
            sound = np.concatenate([pauses, say(*people[k], text, rng), pauses])
            yield Clip(text, sound + rng.normal(0, 3e-4, len(sound)).astype(np.float32))


class Rooms:
    """Seminar rooms with a microphone on the table and people at 1 to 3 m from it."""

    def __init__(self, count: int, rng: np.random.Generator) -> None:
        import pyroomacoustics as pra  # noqa: PLC0415  # a benchmark's own need

        self._rng = rng
        self.responses: list[list[tuple[Floats, float]]] = []  # and metres to the microphone
        for _ in range(count):
            size = rng.uniform([4.5, 4.5, 2.5], [8.0, 7.0, 3.2])
            rt60 = float(rng.uniform(0.3, 0.65))
            absorption, order = pra.inverse_sabine(rt60, size)
            room: Any = pra.ShoeBox(
                size, fs=RATE, materials=pra.Material(absorption), max_order=min(order, 20)
            )
            microphone = np.array([size[0] / 2, size[1] / 2, 0.78])
            room.add_microphone(microphone)
            metres = []
            for _ in range(5):
                distance, angle = (
                    rng.uniform(1.0, min(3.0, min(size[:2]) / 2 - 0.4)),
                    rng.uniform(0, 2 * np.pi),
                )
                seat = microphone + np.array([distance * np.cos(angle), distance * np.sin(angle), 0.42])
                room.add_source(seat)
                metres.append(float(np.linalg.norm(seat - microphone)))
            room.compute_rir()
            responses = [np.asarray(each, np.float32) for each in room.rir[0]]
            self.responses.append(list(zip(responses, metres, strict=True)))

    def mix(
        self, parts: list[Floats | float], *, snr_db: float, level_dbfs: float, noise: Floats | None
    ) -> tuple[Floats, list[float]]:
        """Sounds from seats of one room and pauses (seconds) between them, with noise below the speech.

        Returns the whole and how far away each of the sounds was.
        """
        seats = self.responses[int(self._rng.integers(len(self.responses)))]
        far: list[float] = []
        total = sum(int(p * RATE) if isinstance(p, float) else len(p) for p in parts) + RATE
        out = np.zeros(total, np.float32)
        at = 0
        for part in parts:
            if isinstance(part, float):
                at += int(part * RATE)
                continue
            response, metres = seats[int(self._rng.integers(len(seats)))]
            wet = np.convolve(part, response) if len(part) < 2000 else _convolve(part, response)
            wet = _levelled(wet[: total - at], level_dbfs + float(self._rng.uniform(-3, 3)))
            out[at : at + len(wet)] += wet
            far.append(metres)
            at += len(part)
        hiss = _noise(total, self._rng) if noise is None else np.resize(noise, total)
        return out + _levelled(hiss, level_dbfs - snr_db), far


def _convolve(sound: Floats, response: Floats) -> Floats:
    size = 1 << (len(sound) + len(response)).bit_length()
    product = np.fft.rfft(sound, size) * np.fft.rfft(response, size)
    return np.fft.irfft(product, size)[: len(sound) + len(response) - 1].astype(np.float32)


def _noise(samples: int, rng: np.random.Generator) -> Floats:
    """Noise that falls by 3 dB an octave, like ventilation."""
    spectrum = np.fft.rfft(rng.normal(size=samples))
    spectrum /= np.sqrt(np.maximum(np.arange(len(spectrum)), 20.0))
    return np.fft.irfft(spectrum, samples).astype(np.float32)


def commands(
    texts: list[str], speech: Path, *, seed: int, count: int, per_voice: int, loud: bool
) -> Iterator[Clip]:
    """A command, every second one with somebody talking before and after it."""
    rng = np.random.default_rng(seed)
    people = voices(count, np.random.default_rng(7))
    rooms = Rooms(16, rng)
    talk = sorted((speech / "speakers").rglob("*.flac"))
    noises = sorted((speech / "noise" / "dev" / "rain").iterdir()) if loud else []
    talks = True
    for engine, voice in people:
        chosen = rng.choice(len(texts), size=min(per_voice, len(texts)), replace=False)
        for index in chosen:
            text = texts[int(index)]
            said = say(engine, voice, text, rng)
            before, after = (_levelled(read(talk[int(rng.integers(len(talk)))])) for _ in range(2))
            before, after = before[-3 * RATE :], after[: 2 * RATE]
            pauses = float(rng.uniform(0.8, 1.5)), float(rng.uniform(1.0, 1.6))
            noise = read(noises[int(rng.integers(len(noises)))]) if loud else None
            snr = float(rng.uniform(10, 16) if loud else rng.uniform(20, 30))
            talks = not talks
            parts: list[Floats | float] = [pauses[0], said, pauses[1]]
            sound, far = rooms.mix(
                [before, *parts, after] if talks else [0.5, *parts],
                snr_db=snr,
                level_dbfs=float(rng.uniform(-48, -28)),
                noise=noise,
            )
            end = (len(before) / RATE if talks else 0.5) + pauses[0] + len(said) / RATE
            yield Clip(f"{engine}/{voice}", sound, text, end, far[1 if talks else 0], talks)


def human_speech(speech: Path, sessions: Path | None) -> Iterator[Clip]:
    """Everything people say in the corpus, by folder; the short files of one folder follow each other."""
    folders = [speech / "meetings", speech / "commands", speech / "home-commands", speech / "speakers"]
    for folder in folders:
        for place in sorted({path.parent for path in folder.rglob("*") if path.suffix in _SUFFIXES}):
            sounds = []
            for path in sorted(p for p in place.iterdir() if p.suffix in _SUFFIXES):
                sounds += [read(path), _levelled(_noise(int(1.2 * RATE), np.random.default_rng(1)), -65.0)]
            yield Clip(f"{folder.name}", np.concatenate(sounds))
    for path in sorted(sessions.rglob("session.flac")) if sessions else []:
        yield Clip("sessions", read(path))
