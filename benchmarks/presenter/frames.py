"""Sessions with known truth, and what the hearing makes of them before any decision.

What `--cache` keeps are embeddings of licensed corpora's voices, outside the repository, so that a second run
takes seconds. The program itself never writes an embedding anywhere.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from voice_facilitator.files.settings import HearingSettings
from voice_facilitator.hearing.pipeline import Frame, Hearing
from voice_facilitator.hearing.sound.activity import CHUNK, CHUNK_SECONDS
from voice_facilitator.hearing.sound.samples import Floats
from voice_facilitator.hearing.sound.source import FileSource
from voice_facilitator.hearing.who.encoder import WINDOW_SAMPLES, SpeakerEncoder
from voice_facilitator.hearing.who.speaker import WINDOW_SECONDS, Piece
from voice_facilitator.hearing.who.turns import HOP_CHUNKS
from voice_facilitator.hearing.who.voice_model import VoiceModel


@dataclass(frozen=True, eq=False)
class Session:
    """One rendered session: its truth and where its sound lies."""

    name: str
    folder: Path
    truth: dict[str, Any]

    @property
    def audio(self) -> Path:
        return self.folder / "session.flac"

    @property
    def cast(self) -> set[str]:
        return {speaker["id"] for speaker in self.truth["speakers"]}

    @property
    def presenter(self) -> dict[str, Any]:
        return next(s for s in self.truth["speakers"] if s["role"] == "presenter")

    @property
    def has_round(self) -> bool:
        return any(phase["name"] == "check_in" for phase in self.truth["phases"])

    def phase(self, name: str) -> tuple[float, float]:
        found = next(phase for phase in self.truth["phases"] if phase["name"] == name)
        return found["start"], found["end"]


def sessions_in(folders: list[Path]) -> list[Session]:
    """Every folder with truth.json and session.flac below `folders`, sorted by name."""
    found = {path.parent for folder in folders for path in folder.rglob("truth.json")}
    return [
        Session(folder.name, folder, json.loads((folder / "truth.json").read_text()))
        for folder in sorted(found, key=lambda f: f.name)
        if (folder / "session.flac").exists()
    ]


class Looks:
    """Closer looks at windows of one session (`SpeakerEncoder.two_voices`), each worked out once."""

    def __init__(self, session: Session, encoder: SpeakerEncoder, file: Path | None) -> None:
        self._session = session
        self._encoder = encoder
        self._file = file
        self._found: dict[int, Floats] = {}
        self._sound: Floats | None = None
        if file is not None and file.exists():
            with np.load(file) as archive:
                self._found = dict(zip(archive["at"].tolist(), archive["voices"], strict=True))

    def at(self, chunk: int) -> Floats | None:
        """The two voices in the 1.6 s up to the end of a chunk."""
        if chunk not in self._found:
            if self._sound is None:
                self._sound = np.concatenate(list(FileSource(self._session.audio, block_seconds=10).blocks()))
            found = self._encoder.two_voices(self._sound[: (chunk + 1) * CHUNK][-WINDOW_SAMPLES:])
            if found is None:
                return None
            self._found[chunk] = found.astype(np.float16)
        return self._found[chunk].astype(np.float32)

    def keep(self) -> None:
        """Write them to the cache, and let go of the sound."""
        if self._sound is not None and self._file is not None:
            self._file.parent.mkdir(parents=True, exist_ok=True)
            np.savez(self._file, at=np.array(list(self._found)), voices=np.stack(list(self._found.values())))
        self._sound = None


class Analysed:
    """The frames of one session through one encoder; iterating gives `Frame`s that may be wiped."""

    def __init__(self, arrays: dict[str, Floats], looks: Looks) -> None:
        self._a = arrays
        self.looks = looks

    @classmethod
    def of(
        cls,
        session: Session,
        encoder: SpeakerEncoder,
        settings: HearingSettings,
        cache: Path | None,
        closer: tuple[SpeakerEncoder, str],
    ) -> Analysed:
        """closer: the encoder whose `two_voices` is asked, and a name for it."""
        file = cache / encoder.name / f"{session.name}.npz" if cache else None
        looks = Looks(session, closer[0], cache / closer[1] / f"{session.name}.npz" if cache else None)
        if file is not None and file.exists():
            with np.load(file) as archive:
                return cls({name: archive[name] for name in archive.files}, looks)
        arrays = _analyse(session.audio, encoder, settings)
        if file is not None:
            file.parent.mkdir(parents=True, exist_ok=True)
            np.savez(file, **arrays)
        return cls(arrays, looks)

    def frames(self, hop_chunks: int = HOP_CHUNKS) -> Iterator[Frame]:
        """hop_chunks: leave out the windows that a small computer would not look at."""
        a = self._a
        full = dict(zip(a["fi"].tolist(), a["fe"].astype(np.float32), strict=True))
        fresh = dict(zip(a["gi"].tolist(), a["ge"].astype(np.float32), strict=True))
        lengths = dict(zip(a["gi"].tolist(), a["gs"].tolist(), strict=True))
        ends = dict(zip(a["li"].tolist(), a["le"].astype(np.float32), strict=True))

        def piece(of: dict[int, Floats], at: int, seconds: float) -> Piece | None:
            """The end that was kept is that of the shorter one of two."""
            if at not in of:
                return None
            voices = np.stack([of[at], ends[at]])
            return Piece(seconds, lambda: voices, partial(self.looks.at, at) if of is full else None)

        for k, (speech, level) in enumerate(zip(a["speech"].tolist(), a["level"].tolist(), strict=True)):
            at = k if (k + 1) % hop_chunks == 0 else -1
            yield Frame(
                (k + 1) * CHUNK_SECONDS,
                speech,
                level,
                piece(full, at, WINDOW_SECONDS),
                piece(fresh, at, lengths.get(at, 0.0)),
            )

    @property
    def speech(self) -> Floats:
        """bool [chunks]: what the voice activity said."""
        return self._a["speech"]

    @property
    def windows(self) -> tuple[Floats, Floats]:
        """End times [n] in seconds and voices [n, dim] of the full windows."""
        return (self._a["fi"] + 1) * CHUNK_SECONDS, self._a["fe"].astype(np.float32)


def _analyse(path: Path, encoder: SpeakerEncoder, settings: HearingSettings) -> dict[str, Floats]:
    hearing = Hearing(settings, VoiceModel(encoder))
    speech, level = [], []
    full: list[tuple[int, Floats]] = []
    fresh: list[tuple[int, Floats, float]] = []
    ends: list[tuple[int, Floats]] = []
    for block in FileSource(path, block_seconds=10).blocks():
        for frame in hearing._analyse(block):  # the half of the hearing before any decision
            k = len(speech)
            speech.append(frame.speech)
            level.append(frame.level)
            if frame.full is not None:
                full.append((k, frame.full.voices[0].astype(np.float16)))
            if frame.fresh is not None:
                fresh.append((k, frame.fresh.voices[0].astype(np.float16), frame.fresh.seconds))
            last = frame.full if frame.fresh is None else frame.fresh
            if last is not None:
                ends.append((k, last.voices[1].astype(np.float16)))
            frame.wipe()
    empty = np.zeros((0, encoder.dim), np.float16)
    return {
        "speech": np.array(speech),
        "level": np.array(level, np.float32),
        "fi": np.array([k for k, _ in full], np.int64),
        "fe": np.stack([row for _, row in full]) if full else empty,
        "gi": np.array([k for k, _, _ in fresh], np.int64),
        "ge": np.stack([row for _, row, _ in fresh]) if fresh else empty,
        "gs": np.array([seconds for _, _, seconds in fresh], np.float32),
        "li": np.array([k for k, _ in ends], np.int64),
        "le": np.stack([row for _, row in ends]) if ends else empty,
    }
