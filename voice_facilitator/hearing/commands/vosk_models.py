"""The one place where vosk is used: recognisers for commands, and its speaker model as a `SpeakerEncoder`.

vosk kills the whole process on some faults, so the folders are looked at before it touches them, and it is
used in the hearing process only. Its speaker vectors come out of a recogniser, so one is needed too; what
that recognises is thrown away unread.
"""

from __future__ import annotations

import atexit
import json
import struct
import subprocess
import sys
import weakref
from dataclasses import dataclass, fields
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from voice_facilitator.errors import ExitCode, FacilitatorError
from voice_facilitator.files.phrases import Phrases
from voice_facilitator.hearing.commands.commands import Recognised
from voice_facilitator.hearing.sound.samples import RATE, Floats

# Each group names files of which one is enough; without them vosk fails, some of them fatally.
RECOGNISER_FILES = (
    ("am/final.mdl", "final.mdl"),
    ("conf/mfcc.conf", "mfcc.conf"),
    ("graph/HCLr.fst", "graph/HCLG.fst", "HCLr.fst", "HCLG.fst"),
)
_FST_MAGIC = 2125659606
_HEADER_BYTES = 256
_STATE_BYTES, _ARC_BYTES = 12, 16  # the least that each takes in a file
_TRY_OUT_SECONDS = 60.0
_TRY_OUT = """import sys, vosk
vosk.SetLogLevel(-1)
vosk.KaldiRecognizer(vosk.Model(model_path=sys.argv[1]), 16000, '["[unk]"]').AcceptWaveform(bytes(32000))"""
_JOINT = "_"  # a phrase that a model knows as one word
_FILLER = "[unk]"  # whatever is not in the grammar
_ALTERNATIVES = 8  # word sequences looked at; the phrase is hardly ever found further down

# A grammar at run time needs the graph in two parts: with HCLG.fst alone it kills the process.
GRAMMAR_FILES = (
    *RECOGNISER_FILES[:2],
    ("graph/HCLr.fst", "HCLr.fst"),
    ("graph/Gr.fst", "Gr.fst"),
)
_WORD_FILES = (("graph/words.txt", "words.txt"),)
SPEAKER_FILES = (("mfcc.conf",), ("final.ext.raw",), ("mean.vec",), ("transform.mat",))


_loaded: weakref.WeakSet[VoskEncoder | VoskEngine] = weakref.WeakSet()


@atexit.register
def _let_go() -> None:
    """Free the models while vosk is whole: at the very end it trips over its own remains, and says so."""
    for each in list(_loaded):
        each.__dict__.clear()


def _load_vosk() -> Any:
    """The library, loaded only by who chose it. It brings an HTTP client to fetch models with, 8 MB of them
    and none of our business: what hears may not reach a network. So it gets an empty module instead."""
    client = "requests"
    here = client in sys.modules
    sys.modules.setdefault(client, ModuleType(client))
    try:
        import vosk  # noqa: PLC0415
    finally:
        if not here:
            del sys.modules[client]
    vosk.SetLogLevel(-1)
    return vosk


class VoskEncoder:
    """Vosk's x-vectors (128 numbers). A window with under half a second of speech gives zeros."""

    dim = 128
    tells_two = False

    def __init__(self, speaker_model: Path, recogniser: Path, name: str = "vosk-spk") -> None:
        """speaker_model, recogniser: unpacked model folders.

        Raises FacilitatorError `model-missing` or `model-damaged`.
        """
        check_folder(speaker_model, SPEAKER_FILES, "vosk-spk")
        check_folder(recogniser, RECOGNISER_FILES, "vosk-small-en-us")
        self.name = name
        vosk = _load_vosk()
        try:
            self._model = vosk.Model(model_path=str(recogniser))
            self._speaker_model = vosk.SpkModel(str(speaker_model))
        except Exception as error:  # vosk raises bare Exception
            what = f"{speaker_model.name} or {recogniser.name}"
            raise _damaged(f"Vosk cannot load {what}.", "vosk-spk vosk-small-en-us") from error
        self._vosk: Any = vosk
        _loaded.add(self)

    def encode(self, windows: Floats, starts: NDArray[np.int64] | None = None) -> Floats:
        """See `SpeakerEncoder.encode`. The end of a window is no other than the whole."""
        out = np.zeros((len(windows), 2, self.dim), np.float32)
        for row, window in enumerate(windows):
            valid = window if starts is None else window[int(starts[row]) :]
            # The speaker model must be set before any sound: later it kills the process.
            recogniser = self._vosk.KaldiRecognizer(self._model, RATE)
            recogniser.SetSpkModel(self._speaker_model)
            recogniser.AcceptWaveform((np.clip(valid, -1, 1) * 32767).astype(np.int16).tobytes())
            vector = np.array(json.loads(recogniser.FinalResult()).get("spk", ()), np.float32)
            if vector.shape == (self.dim,) and np.isfinite(vector).all():
                out[row] = vector / max(float(np.linalg.norm(vector)), 1e-9)
        return out

    def two_voices(self, window: Floats) -> None:
        """See `SpeakerEncoder.two_voices`: it cannot."""
        return


@dataclass(frozen=True, slots=True)
class CommandRule:
    """When a phrase counts as said. The constants belong to a model and stand beside it in the manifest.

    A grammar returns a phrase for any sound, at confidence 1.0. What tells a command from talk is that the
    whole phrase is (nearly) the best of all word sequences, an unknown word's among them, and that the
    network is sure of its sounds: the cost of the path for each second.
    """

    within: float = 1.0  # how much worse than the best word sequence the phrase may be
    clear: float = 0.5  # a phrase of another meaning must be worse by more than this
    least: float = -1000.0  # score for each second of sound; the default is for models nobody has measured
    step: float = 10.0  # what one unit of the margin in the settings means on that scale

    def __post_init__(self) -> None:
        if any(not np.isfinite(getattr(self, f.name)) for f in fields(self)):
            raise ValueError("a constant of the command decision is not a number")

    def score(self, behind: float, per_second: float) -> float:
        """At least 0 is a command. behind: how much worse the phrase is than the best word sequence."""
        return min((self.within - behind) / max(self.within, 1e-3), (per_second - self.least) / self.step)


class VoskEngine:
    """Recognises phrases with any Vosk model folder that can take a grammar."""

    def __init__(self, folder: Path, name: str, rule: CommandRule | None = None) -> None:
        """Raises FacilitatorError `model-missing` or `model-damaged`."""
        self._rule = rule or CommandRule()
        self.check(folder, name)
        self.name = name
        vosk = _load_vosk()
        try:
            self._model = vosk.Model(model_path=str(folder))
            vosk.KaldiRecognizer(self._model, RATE, f'["{_FILLER}"]')  # finds what the model alone does not
        except Exception as error:  # vosk raises bare Exception
            raise _damaged(f"Vosk cannot load {folder.name}.", name) from error
        self._vosk: Any = vosk
        _loaded.add(self)

    @staticmethod
    def check(folder: Path, name: str) -> None:
        """Look at the files before vosk does. Raises FacilitatorError `model-missing` or `model-damaged`."""
        check_folder(folder, (*GRAMMAR_FILES, *_WORD_FILES), name)
        for choices in GRAMMAR_FILES[2:]:
            _check_graph(_first(folder, choices), name)
        words = _first(folder, *_WORD_FILES)
        if not any(line.startswith(f"{_FILLER} ".encode()) for line in words.read_bytes().splitlines()):
            # Without the filler everything would be one of our phrases.
            raise _damaged(f"{words} is damaged or cut off.", name)

    def unknown_words(self, phrases: Phrases) -> set[str]:
        """See `CommandEngine`."""
        return {word for word in phrases.words() if not self._knows(word)}

    def recognise(self, samples: Floats, texts: frozenset[str]) -> Recognised:
        """See `CommandEngine`."""
        said = self._entries(texts)
        others = {text.split()[0] for text in texts} - said.keys()  # the prefix, and then anything
        grammar = json.dumps([*sorted({*said, *others}), _FILLER], ensure_ascii=False)
        # One for each utterance: it keeps the text and what it made of the sound for as long as it is there.
        recogniser = self._vosk.KaldiRecognizer(self._model, RATE, grammar)
        recogniser.SetMaxAlternatives(_ALTERNATIVES)
        recogniser.AcceptWaveform((samples * 32767).astype(np.int16).tobytes())
        found = json.loads(recogniser.FinalResult()).get("alternatives", [])
        begins = found[0]["text"].split(" ")[0].split(_JOINT)[0] if found else ""
        # The grammar becomes a bigram: its words can come back in any order, so only whole phrases count.
        likely = [(said[each["text"]], each["confidence"]) for each in found if each["text"] in said]
        if not likely:
            return Recognised("", 0.0, begins)
        text, best = likely[0]
        score = self._rule.score(found[0]["confidence"] - best, best * RATE / len(samples))
        near = {each for each, confidence in likely if best - confidence <= self._rule.clear}
        return Recognised(text, score, begins, frozenset(near - {text}))

    def _entries(self, texts: frozenset[str]) -> dict[str, str]:
        """The phrases by what they are in the grammar: one word where the model knows one, as ours does."""
        whole = {text: text.replace(" ", _JOINT) for text in texts}
        return {entry if self._knows(entry) else text: text for text, entry in whole.items()}

    def _knows(self, word: str) -> bool:
        return bool(self._model.vosk_model_find_word(word) >= 0)


def try_out(folder: Path, name: str) -> None:
    """Load a folder that no hash vouches for in a process of its own: some faults kill whoever loads it.

    Raises FacilitatorError `model-missing` or `model-damaged`.
    """
    VoskEngine.check(folder, name)
    command = [sys.executable, "-c", _TRY_OUT, str(folder)]
    try:
        done = subprocess.run(command, capture_output=True, check=False, timeout=_TRY_OUT_SECONDS)
        good = done.returncode == 0
    except subprocess.TimeoutExpired:
        good = False
    if not good:
        raise _damaged(f"Vosk cannot load {folder.name}.", name)


def _check_graph(path: Path, name: str) -> None:
    """Raises FacilitatorError `model-damaged` for a graph that would kill the process or hear nothing."""
    with path.open("rb") as file:
        header = file.read(_HEADER_BYTES)
    good = False
    try:
        (magic,) = struct.unpack_from("<i", header)
        at = 4
        for _ in range(2):  # the types of graph and arc
            (length,) = struct.unpack_from("<i", header, at)
            at += 4 + length
        _version, _flags, _properties, _start, states, arcs = struct.unpack_from("<iiQqqq", header, at)
        least = _STATE_BYTES * max(0, states) + _ARC_BYTES * max(0, arcs)
        good = magic == _FST_MAGIC and path.stat().st_size >= least
    except struct.error:  # too short
        pass
    if not good:
        raise _damaged(f"{path} is damaged or cut off.", name)


def _damaged(message: str, names: str) -> FacilitatorError:
    return FacilitatorError(
        "model-damaged",
        message,
        f"Remove the folder and run: voice-facilitator models fetch {names}",
        exit_code=ExitCode.NO_MODEL,
    )


def _first(folder: Path, choices: tuple[str, ...]) -> Path:
    return next(folder / file for file in choices if (folder / file).is_file())


def check_folder(folder: Path, needed: tuple[tuple[str, ...], ...], name: str) -> None:
    """Raises FacilitatorError when files are missing or empty that vosk would trip over."""
    if not folder.is_dir():
        raise FacilitatorError(
            "model-missing",
            f"The model {name} is not in {folder.parent}.",
            f"Run: voice-facilitator models fetch {name}",
            exit_code=ExitCode.NO_MODEL,
        )
    for choices in needed:
        if not any((folder / file).is_file() and (folder / file).stat().st_size for file in choices):
            raise _damaged(f"The model in {folder} lacks {choices[0]}.", name)
