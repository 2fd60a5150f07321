"""The text that a recogniser made of an utterance is gone when it has answered."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests import privacy_scan, spoken
from voice_facilitator.privacy.memory import wiping_allocator

pytest.importorskip("vosk")

MODEL = Path(__file__).parent.parent / "models" / "commands-en"
PHRASE = "facilitator next part"
# Recognises what lies in a file, as the hearing process does, and stays to be looked at.
_RECOGNISES = """
import sys
import numpy as np
import vosk
from pathlib import Path
from voice_facilitator.hearing.commands.vosk_models import VoskEngine

model, sound, phrase, manner = sys.argv[1:]
if manner == "careless":
    vosk.KaldiRecognizer.__del__ = lambda self: None
engine = VoskEngine(Path(model), "commands-en")
heard = engine.recognise(np.fromfile(sound, np.float32), frozenset({phrase, "facilitator pause"}))
print(heard.text == phrase, flush=True)
del heard
sys.stdin.read()
"""


@pytest.mark.skipif(not wiping_allocator({}), reason="this system has no allocator that overwrites")
@pytest.mark.skipif(not os.access("/proc/self/mem", os.R_OK), reason="looking into memory is Linux")
@pytest.mark.parametrize("manner", ["as it is", "careless"])
def test_of_an_utterance_nothing_stays(manner: str, tmp_path: Path) -> None:
    sound = tmp_path / "sound"
    spoken.room(0.3, PHRASE, 0.4).tofile(sound)
    command = [sys.executable, "-c", _RECOGNISES, str(MODEL), str(sound), PHRASE, manner]
    environment = os.environ | wiping_allocator(dict(os.environ))
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline().strip() == "True"
        texts = sum(piece.count(b'"text" : "facilitator') for piece in privacy_scan.pieces(process.pid))
        process.kill()
    assert (texts > 0) is (manner == "careless"), "the look must be able to find it"
