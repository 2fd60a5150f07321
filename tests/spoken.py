"""Synthetic people who say things, for tests of spoken commands."""

from __future__ import annotations

import functools
import shutil
import subprocess
import tempfile
from pathlib import Path

import numpy as np
import pytest
import soundfile

from voice_facilitator.hearing.sound.samples import RATE, Floats
from voice_facilitator.hearing.sound.source import Resampler

FLITE_VOICES = ("slt", "rms", "awb")  # synthesised from recorded people: an American woman, a man, a Scot


@functools.cache
def say(text: str, voice: str = "slt") -> Floats:
    """float32 [n] at 16 kHz. voice: one of flite's, or one of espeak-ng's with its language ("en-gb+f2")."""
    engine = "flite" if voice in FLITE_VOICES else "espeak-ng"
    if shutil.which(engine) is None:
        pytest.skip(f"{engine} is not installed")
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "said.wav"
        if engine == "flite":
            command = ["flite", "-voice", voice, "-t", text, "-o", str(file)]
        else:
            command = ["espeak-ng", "-v", voice, "-s", "140", "-w", str(file), text]
        subprocess.run(command, check=True, capture_output=True)
        samples, rate = soundfile.read(file, dtype="float32")
    return np.asarray(Resampler(rate).push(samples, last=True), np.float32)


def quiet(seconds: float) -> Floats:
    """The sound of an empty room: faint noise."""
    noise = np.random.default_rng(int(seconds * 1000)).normal(size=int(seconds * RATE))
    return (noise * 3e-4).astype(np.float32)


def room(*parts: float | str | tuple[str, str]) -> Floats:
    """Silence (seconds) and sentences (text, or text and voice) one after the other."""
    sounds = []
    for part in parts:
        if isinstance(part, int | float):
            sounds.append(quiet(part))
        else:
            text, voice = (part, "slt") if isinstance(part, str) else part
            spoken = say(text, voice)
            sounds.append(spoken * np.float32(0.6) + quiet(len(spoken) / RATE)[: len(spoken)])
    return np.concatenate(sounds)
