"""Hearing sessions with known truth, phases at their true times, as the program would."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path

from presenter_counts import Heard
from presenter_sessions import casts
from session_frames import Analysed, Session

from voice_facilitator.hearing.encoder import CampplusEncoder, SpeakerEncoder
from voice_facilitator.hearing.networks import Floats
from voice_facilitator.hearing.pipeline import Hearing
from voice_facilitator.hearing.remark import features, pointing
from voice_facilitator.hearing.voice_model import VoiceModel
from voice_facilitator.resources import shipped
from voice_facilitator.session.events import EnrolmentChanged, Listen, PresenterEvidence, SpeakerChanged
from voice_facilitator.settings import Settings

PHASES = {
    "check_in": Listen(0.0, enrol=False, learn_others=True, decide=False, is_round=True),
    "presentation": Listen(0.0, enrol=True, learn_others=False, decide=False, new_presenter=True),
    "questions": Listen(0.0, enrol=False, learn_others=True, decide=False),
    "discussion": Listen(0.0, enrol=False, learn_others=False, decide=True),
    "last_word": Listen(0.0, enrol=False, learn_others=False, decide=False),
}


@dataclass(eq=False)
class Hops:
    """Takes the place of the regression: keeps what it would have looked at, and when."""

    looked_at: list[Floats] = field(default_factory=list)
    times: list[float] = field(default_factory=list)
    time = 0.0

    def __call__(self, rows: Floats, everybody_heard: bool) -> float:
        if pointing(rows):
            self.looked_at.append(features(rows, everybody_heard))
            self.times.append(self.time)
        return 0.0


def hear(session: Session, heard: Analysed, model: VoiceModel, settings: Settings, hop: int) -> Heard:
    """The decision as shipped, but that the cohort has none of the session's voices."""
    cohort = model.cohort.without(session.cast) if model.cohort else None
    hearing = Hearing(settings.hearing, replace(model, cohort=cohort))
    result = Heard(session)
    phases = sorted(session.truth["phases"], key=lambda phase: phase["start"])
    for frame in heard.frames(hop):
        if isinstance(model.remark, Hops):
            model.remark.time = frame.time
        while phases and frame.time >= phases[0]["start"]:
            hearing.listen(PHASES[phases.pop(0)["name"]])
        for event in hearing.decide(frame):
            match event:
                case SpeakerChanged(who):
                    result.speaker.append({"t": frame.time, "event": "speaker", "who": str(who)})
                case EnrolmentChanged():
                    result.quality = event.quality
                case PresenterEvidence():
                    result.evidence.append((frame.time, event, result.quality))
                case _:
                    pass
    heard.looks.keep()
    return result


def encoders_for_looks(model: VoiceModel, speech: Path) -> Callable[[Session], tuple[SpeakerEncoder, str]]:
    """Whose `two_voices` a session is heard with: of one trained without the presenter's cast."""
    if not isinstance(model.encoder, CampplusEncoder):
        return lambda _: (model.encoder, model.encoder.name)
    voices = casts(speech)
    trained = {
        cast: CampplusEncoder.load(
            shipped("models", "campplus.onnx"), Path(__file__).parent / f"two-voices-without-{cast}.onnx"
        )
        for cast in "ab"
    }

    def choose(session: Session) -> tuple[SpeakerEncoder, str]:
        cast = "a" if session.presenter["id"] in voices["a"]["speakers"] else "b"
        return trained[cast], f"without-{cast}"

    return choose
