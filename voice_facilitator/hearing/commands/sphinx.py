"""The one place where pocketsphinx is used: commands with the English model that its package brings.

A grammar alone rejects nothing: it returns one of its phrases for nearly any sound. So each utterance is
decoded twice, once with the phrases and once with a loop of all phones (with a phone trigram), and the score
is by how much the phrase explains the sound better than the free phones do.

For comparison and for who chooses it: it understands people close to the microphone better than our own small
model does, but takes far too much talk for commands (benchmarks/commands/recognition.py).
"""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np

from voice_facilitator.errors import ExitCode, FacilitatorError
from voice_facilitator.files.phrases import Phrases
from voice_facilitator.hearing.commands.commands import Recognised
from voice_facilitator.hearing.sound.samples import Floats

LANGUAGE = "en"
_NATS = 1024.0  # pocketsphinx scales its logarithms down by this
_LEAST = 0.0  # nats a frame


class SphinxEngine:
    """Recognises English phrases; two decodings of about 0.05 and 0.15 s for a second of sound."""

    name = "pocketsphinx"

    def __init__(self) -> None:
        """Raises FacilitatorError `engine-missing`."""
        try:
            import pocketsphinx  # noqa: PLC0415  # only by who chose it, and not everybody has it
        except ImportError as error:
            raise FacilitatorError(
                "engine-missing",
                "pocketsphinx is not installed.",
                'Run: pip install "voice-facilitator[pocketsphinx]", or choose another engine.',
                exit_code=ExitCode.NO_ENGINE,
            ) from error
        self._sphinx: Any = pocketsphinx
        folder = Path(pocketsphinx.get_model_path()) / "en-us"
        self._decoder: Any = pocketsphinx.Decoder(
            hmm=str(folder / "en-us"), dict=str(folder / "cmudict-en-us.dict"), lm=None, loglevel="FATAL"
        )
        self._decoder.add_allphone_file("phones", str(folder / "en-us-phone.lm.bin"))
        self._grammar: frozenset[str] = frozenset()

    def unknown_words(self, phrases: Phrases) -> set[str]:
        """See `CommandEngine`."""
        return {word for word in phrases.words() if self._decoder.lookup_word(word) is None}

    def recognise(self, samples: Floats, texts: frozenset[str]) -> Recognised:
        """See `CommandEngine`."""
        if texts != self._grammar:
            self._decoder.add_jsgf_string("phrases", _jsgf(texts))
            self._grammar = texts
        sound = (samples * 32767).astype(np.int16)
        text, phrase_score = self._decode("phrases", sound)
        if text not in texts:  # nothing, or a phrase broken off
            sound[:] = 0
            return Recognised("")
        _, phones_score = self._decode("phones", sound)
        sound[:] = 0
        return Recognised(text, (phrase_score - phones_score) * _NATS / self._decoder.n_frames() - _LEAST)

    def _decode(self, search: str, sound: np.ndarray[Any, np.dtype[np.int16]]) -> tuple[str, float]:
        decoder = self._decoder
        decoder.activate_search(search)
        decoder.start_utt()
        decoder.process_raw(sound.view(np.uint8), full_utt=True)
        decoder.end_utt()
        found = decoder.hyp()
        return ("", 0.0) if found is None else (found.hypstr, math.log(max(found.best_score, 1e-300)))


def _jsgf(texts: frozenset[str]) -> str:
    return "#JSGF V1.0;\ngrammar commands;\npublic <command> = " + " | ".join(sorted(texts)) + ";\n"
