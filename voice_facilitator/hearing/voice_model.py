"""A voice model: an encoder, a cohort of other voices through it, and the constants that belong to both."""

from __future__ import annotations

from dataclasses import dataclass, fields
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from voice_facilitator.errors import ExitCode, FacilitatorError
from voice_facilitator.hearing.encoder import CampplusEncoder, SpeakerEncoder
from voice_facilitator.hearing.networks import Floats, reading
from voice_facilitator.hearing.remark import AnyRemark, Remark
from voice_facilitator.hearing.vosk_models import VoskEncoder
from voice_facilitator.models import Kind, Manifest, checked_path, load_manifest
from voice_facilitator.resources import shipped
from voice_facilitator.settings import HearingSettings


@dataclass(frozen=True, slots=True)
class Rule:
    """Constants of the presenter decision. They belong to an encoder and stand beside it in the manifest.

    The defaults are those of the shipped default encoder.
    """

    margin_weight: float = 1.0  # after a round: how much it counts by what it is closer to the presenter ...
    margin: float = 0.15  # ... than to any other voice heard, beyond this
    typical_weight: float = 2.0  # without a round: how much it counts that the window sounds less ...
    typical: float = 0.30  # ... like other people's voices than this
    end_nearest_weight: float = 1.7  # for the end of a window, after a round: how much it counts that ...
    end_nearest: float = 0.35  # ... it is less close to any other voice heard than this
    end_typical_weight: float = 1.0  # the same as `typical_weight`, for the end of a window
    remark: float = 0.91  # how likely a remark of the presenter's has to be for a quiet line
    # Without weights for remarks the mean score that is worth a quiet line; with them it is where a remark's
    # strength begins to grow on its way from 1 to 2, which is `certain`. After a round:
    screen: float = 0.54
    screen_unheard: float = 0.67  # ... and without one
    certain: float = 0.79  # mean score that is next to certain
    even: float = 0.40  # score of a window's end at which presenter and other are equally likely
    agrees: float = 0.50  # score of the end that the last window must have, whatever the mean says
    whole: float = 0.75  # score of a piece in which nobody but the presenter speaks
    nothing: float = 0.15  # score of a piece that holds nothing of the presenter
    doubtful: float = 0.3  # score of a piece, or of ...
    doubtful_end: float = 0.4  # ... its end, that is worth a closer look: do two people speak?
    doubtful_two: float = 0.2  # level of a closer look after which the next window is looked at as well
    look_every: float = 3.0  # hops between closer looks where nothing points to the presenter
    closer_less: float = 0.3  # how much less the scores of a closer look count than those of one voice
    same_voice: float = 0.55  # closeness at which two seconds of speech count as one voice, for the display
    slope: float = 11.0  # log-odds for each unit of score above `even`
    quick: float = 0.04  # how much more a mean of 0.8 s has to reach than one of 1.2 s
    unsure: float = 0.1  # log-odds this close to even are told as "unsure"

    def __post_init__(self) -> None:
        if any(not np.isfinite(getattr(self, f.name)) for f in fields(self)):
            raise ValueError("a constant of the presenter decision is not a number")


@dataclass(frozen=True, slots=True, eq=False)
class Cohort:
    """Other people's voices, through the same encoder, from several rooms.

    embeddings: float32 [n, dim] of length 1. voice: int [n], which of `names` each belongs to.
    """

    embeddings: Floats
    voice: NDArray[np.int64]
    names: tuple[str, ...]

    def without(self, names: set[str]) -> Cohort:
        """The cohort less some voices: for fair figures on recordings that contain them."""
        gone = [k for k, name in enumerate(self.names) if name in names]
        keep = ~np.isin(self.voice, gone)
        return Cohort(self.embeddings[keep], self.voice[keep], self.names)

    @classmethod
    def load(cls, path: Path) -> Cohort:
        """Read a cohort (arrays `embeddings` float16, `voice`, `names`).

        Raises FacilitatorError `model-missing` or `model-damaged`.
        """
        with reading(f"The cohort {path.name}"):
            embeddings, voice, names = _read_cohort(path)
        length = np.linalg.norm(embeddings, axis=1, keepdims=True)
        return cls(embeddings / np.maximum(length, 1e-9), voice, names)


def _read_cohort(path: Path) -> tuple[Floats, NDArray[np.int64], tuple[str, ...]]:
    with np.load(path, allow_pickle=False) as archive:
        embeddings = archive["embeddings"].astype(np.float32)
        voice = archive["voice"].astype(np.int64)
        names = tuple(str(name) for name in archive["names"])
    if embeddings.ndim != 2 or voice.shape != embeddings.shape[:1] or not np.isfinite(embeddings).all():
        raise ValueError("arrays that do not belong together")
    return embeddings, voice, names


@dataclass(frozen=True, slots=True, eq=False)
class VoiceModel:
    encoder: SpeakerEncoder
    cohort: Cohort | None = None
    rule: Rule = Rule()
    remark: AnyRemark | None = None


def load_voice_model(settings: HearingSettings, folder: Path | None = None) -> VoiceModel:
    """The speaker encoder that the settings name, checked against its hash, with what belongs to it.

    folder: where the models lie, if not in the usual place.
    Raises FacilitatorError `model-unknown`, `model-missing`, `model-damaged`.
    """
    manifest = load_manifest()
    entry = manifest.find(settings.voice_model) if settings.voice_model else manifest.default_encoder()
    encoder: SpeakerEncoder
    if entry.kind is Kind.SPEAKER_ENCODER:
        first = checked_path(entry, folder)
        second = checked_path(manifest.find(entry.two_voices), folder) if entry.two_voices else None
        encoder = CampplusEncoder.load(first, second, entry.name)
    elif entry.kind is Kind.SPEAKER_MODEL:
        encoder = VoskEncoder(checked_path(entry, folder), _any_recogniser(manifest, folder), entry.name)
    else:
        raise FacilitatorError(
            "model-unknown",
            f'"{entry.name}" does not tell voices apart.',
            "Choose a speaker-encoder of: voice-facilitator models list",
            exit_code=ExitCode.USAGE,
        )
    cohort = Cohort.load(shipped("models", entry.cohort)) if entry.cohort else None
    remark = Remark.load(shipped("models", entry.remark)) if entry.remark else None
    return VoiceModel(encoder, cohort, Rule(**entry.decision), remark)


def _any_recogniser(manifest: Manifest, folder: Path | None) -> Path:
    """Whichever recogniser is here; Vosk's speaker model works through one."""
    for entry in manifest.model:
        if entry.kind is Kind.RECOGNISER and entry.path(folder).is_dir():
            return checked_path(entry, folder)
    raise FacilitatorError(
        "model-missing",
        "Vosk's speaker model works through a recogniser, and there is none.",
        "Run: voice-facilitator models fetch vosk-small-en-us",
        exit_code=ExitCode.NO_MODEL,
    )
