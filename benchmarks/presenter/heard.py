"""Hearing sessions with known truth, phases at their true times, as the program would."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path

from benchmarks.presenter.counts import Heard
from benchmarks.presenter.frames import Analysed, Session
from benchmarks.presenter.sessions import casts
from voice_facilitator.files.settings import Settings
from voice_facilitator.hearing.pipeline import Hearing
from voice_facilitator.hearing.sound.samples import Floats
from voice_facilitator.hearing.who.encoder import CampplusEncoder, SpeakerEncoder
from voice_facilitator.hearing.who.remark import features, pointing
from voice_facilitator.hearing.who.voice_model import VoiceModel
from voice_facilitator.machine.resources import shipped
from voice_facilitator.models import file_hash
from voice_facilitator.session.events import EnrolmentChanged, Listen, PresenterEvidence, SpeakerChanged

# What tells two voices at once here (SHA-256): trained as the shipped network, without a cast's voices.
HOLD_OUT = {
    "a": "7a003052990d40d20d8bcf9362f25f32f7cfc3513e3c90506e5e8d41113eeaa1",
    "b": "e7887b364359d97bee249392f52947661c8ce3682d1c2ca06f357a76e097c0ad",
}
NETWORKS = Path(__file__).parents[3] / "shared" / "models"
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


def add_networks_argument(parser: argparse.ArgumentParser) -> None:
    """Where the hold-out networks are, for a benchmark that hears sessions."""
    parser.add_argument(
        "--networks",
        type=Path,
        default=NETWORKS,
        help="folder of the hold-out networks, two-voices-without-*.onnx (default: ../shared/models)",
    )


def hold_out_networks(folder: Path) -> dict[str, Path]:
    """By cast; ends the program where they are not those that the figures come from."""
    found = {cast: folder / f"two-voices-without-{cast}.onnx" for cast in HOLD_OUT}
    for cast, file in found.items():
        if not file.exists():
            raise SystemExit(
                f"{file} is not there. Say with --networks where the hold-out networks are; "
                "training/README.md tells how they are made."
            )
        if file_hash(file) != HOLD_OUT[cast]:
            raise SystemExit(
                f"{file} is not the network that the figures come from: its SHA-256 is {file_hash(file)}. "
                f"Copy it again; if you have trained it anew, put that number into HOLD_OUT in {__file__}."
            )
    return found


def encoders_for_looks(
    model: VoiceModel, speech: Path, networks: Path
) -> Callable[[Session], tuple[SpeakerEncoder, str]]:
    """Whose `two_voices` a session is heard with: of one trained without the presenter's cast."""
    if not isinstance(model.encoder, CampplusEncoder):
        return lambda _: (model.encoder, model.encoder.name)
    voices = casts(speech)
    trained = {
        cast: CampplusEncoder.load(shipped("models", "campplus.onnx"), network)
        for cast, network in hold_out_networks(networks).items()
    }

    def choose(session: Session) -> tuple[SpeakerEncoder, str]:
        cast = "a" if session.presenter["id"] in voices["a"]["speakers"] else "b"
        return trained[cast], f"without-{cast}"

    return choose
