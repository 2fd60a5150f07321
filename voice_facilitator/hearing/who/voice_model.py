"""A voice model: an encoder, a cohort of other voices through it, and the constants that belong to both."""

from __future__ import annotations

from dataclasses import dataclass, fields
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from voice_facilitator.errors import ExitCode, FacilitatorError
from voice_facilitator.files.settings import HearingSettings
from voice_facilitator.hearing.commands.vosk_models import VoskEncoder
from voice_facilitator.hearing.sound.samples import Floats
from voice_facilitator.hearing.who.encoder import CampplusEncoder, SpeakerEncoder
from voice_facilitator.hearing.who.networks import reading
from voice_facilitator.hearing.who.remark import AnyRemark, Remark
from voice_facilitator.machine.resources import shipped
from voice_facilitator.models import Kind, Manifest, checked_path, load_manifest


@dataclass(frozen=True, slots=True)
class Rule:
    """Constants of the presenter decision. They belong to an encoder and stand beside it in the manifest.

    The defaults are those of the shipped default encoder. Units and directions:
    `..._score`: on the session's own scale, where 0 is the others' level and 1 the presenter's (without a
    cohort a cosine); higher is more the presenter's. `..._closeness`, `margin`: cosines. `..._weight`: score
    for each unit of cosine. `..._likelihood`: 0 to 1. `..._log_odds`: natural, above 0 for the presenter.
    """

    # What is added to a window's score. After a round, for being closer to the presenter than to any other
    # voice heard by more than `margin`; for a window's end, for being less close to the others than this.
    margin_weight: float = 1.0
    margin: float = 0.15
    end_nearest_weight: float = 1.7
    end_nearest_closeness: float = 0.35
    # Without a round, for being less close to the cohort than this: it sounds less like anybody else.
    cohort_weight: float = 2.0
    cohort_closeness: float = 0.30
    end_cohort_weight: float = 1.0

    # Level 1: a quiet line needs a remark at least this likely.
    remark_likelihood: float = 0.91
    # Without weights for remarks it needs a mean score at least this high, a higher one where there was no
    # round; with them a remark's strength begins to grow there, on its way from 1 to 2, at `certain_score`.
    screen_score: float = 0.54
    screen_score_without_round: float = 0.67
    # Level 2: a spoken reminder needs at least this mean score over 1.2 s, or so much more over 0.8 s, and at
    # least this score at the end of the last window, whatever the mean says.
    certain_score: float = 0.79
    short_mean_extra: float = 0.04
    least_end_score: float = 0.50

    # How much of a window is the presenter's: nothing up to the one score, all of it from the other on.
    absent_score: float = 0.15
    solo_score: float = 0.75

    # Whether two people speak at once is looked at above either of these scores (of a window, of its end),
    # after a look that found more than this level, and otherwise once in so many hops.
    doubtful_score: float = 0.3
    doubtful_end_score: float = 0.4
    doubtful_level: float = 0.2
    look_every_hops: float = 3.0
    two_voices_discount: float = 0.3  # so much less count the scores of one of two voices

    # Who is shown: so many log-odds for each unit by which a window's end scores above this; nearer to 0 than
    # the last of these it is "unsure".
    equal_score: float = 0.40
    log_odds_per_score: float = 11.0
    unsure_log_odds: float = 0.1

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
