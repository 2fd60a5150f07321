"""A small language for plays of a session: a timeline of what happens in, a list of readable lines out.

    heard = play('''
        0     begin
        0     silence
        59    other        # somebody talks over the end of the welcome
        63    silence
    ''', until=70)
    assert heard.only("phase", after=60) == ["64.8 phase check-in"]

What may happen: a request (`next`, `more-time 60`, `phase story`), who is heard (`other`, `presenter`,
`unsure`, `silence`, `self`), `evidence STRENGTH SECONDS`, `enrolment ready`, `lost microphone`,
`recovered microphone`, `restarted` (after a power cut).
"""

from __future__ import annotations

import functools
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from typing import Any

from voice_facilitator.app.setting_up import policy_of
from voice_facilitator.files import protocols
from voice_facilitator.files.settings import load_defaults
from voice_facilitator.session import Policy, Protocol, Session, Wording
from voice_facilitator.session import events as ev

Timed = tuple[float, ev.Input]

_VOICE_SECONDS = 3.0
_CHIME_SECONDS = 1.0


@functools.cache
def wording() -> Wording:
    return protocols.load_wording("en-gb")


@functools.cache
def protocol(name: str = "balint-45") -> Protocol:
    return protocols.load(name)


_settings = functools.cache(load_defaults)


def shipped_policy(**changed: Any) -> Policy:
    """That of the shipped settings, with some of it changed."""
    return replace(policy_of(_settings()), **changed)


def session(name: str = "balint-45", policy: Policy | None = None, contacts: tuple[str, ...] = ()) -> Session:
    return Session(protocol(name), wording(), policy or shipped_policy(), contacts)


def event(words: str) -> ev.Input:
    """What one line of a timeline means."""
    word, *rest = words.split()
    match word:
        case "tick":
            return ev.Tick()
        case "restarted":
            return ev.Restarted()
        case "evidence":
            return ev.PresenterEvidence(float(rest[0]), float(rest[1]))
        case "enrolment":
            return ev.EnrolmentChanged(ev.Enrolment(rest[0]))
        case "lost":
            return ev.PartLost(ev.Part(rest[0]))
        case "recovered":
            return ev.PartBack(ev.Part(rest[0]))
        case "phase":
            return ev.Request(ev.Action.PHASE, phase=rest[0])
        case _ if word in set(ev.SpeakerState):
            return ev.SpeakerChanged(ev.SpeakerState(word))
        case _:
            return ev.Request(ev.Action(word), seconds=float(rest[0]) if rest else None)


def timeline(text: str) -> list[Timed]:
    lines = [line.partition("#")[0].split(maxsplit=1) for line in text.splitlines()]
    return [(float(line[0]), event(line[1])) for line in lines if line]


def conversation(start: float, end: float, *, turn: float = 9.0, pause: float = 2.5) -> list[Timed]:
    """People who talk in turns, with a pause long enough to speak into after each."""
    found: list[Timed] = []
    at = start
    while at < end:
        found += [(at, event("other")), (min(at + turn, end), event("silence"))]
        at += turn + pause
    return found


def line(effect: ev.Effect) -> str:
    """One effect in words."""
    words: str
    match effect:
        case ev.PhaseEntered():
            words = f"phase {effect.name}" + (" (undo)" if effect.reason == "undo" else "")
        case ev.BackToStart():
            words = "back to start"
        case ev.Announce():
            words = f"{'say' if effect.voice else 'chime'} {effect.key}"
        case ev.ShowLine():
            words = f"show {effect.text}"
        case ev.Reminded():
            words = f"reminder {effect.level}"
        case ev.Done():
            words = f"done {effect.action.value}"
        case ev.Refused():
            words = f"refused {effect.action.value}"
        case ev.PlanChanged():
            words = f"plan {effect.ends_at:g}"
        case ev.Forget():
            words = "forget for good" if effect.for_good else "forget"
        case ev.Listen():
            names = ("enrol", "learn_others", "decide", "new_presenter")
            words = " ".join(["listen", *(name for name in names if getattr(effect, name))])
        case ev.Degraded():
            words = f"{'lost' if effect.lost else 'recovered'} {effect.part.value}"
        case ev.StopSpeaking():
            words = "hush"
        case ev.Ended():
            words = f"ended {effect.reason}"
        case _:
            raise AssertionError(effect)
    return f"{round(effect.at, 1):g} {words}"


@dataclass
class Heard:
    """What came out of a play."""

    session: Session
    effects: list[ev.Effect] = field(default_factory=list)

    def only(self, *kinds: str, after: float = -1.0, before: float = 1e9) -> list[str]:
        """The lines of these kinds, at `after` <= time < `before`."""
        lines = [line(effect) for effect in self.effects if after <= round(effect.at, 1) < before]
        return [text for text in lines if text.split()[1] in kinds]

    def texts(self, key: str) -> list[str]:
        """What was announced aloud under `key`."""
        return [e.text for e in self.effects if isinstance(e, ev.Announce) and e.voice and e.key == key]

    def plan(self) -> dict[str, float]:
        """The last plan told: planned seconds of the running and the later phases."""
        changes = [effect for effect in self.effects if isinstance(effect, ev.PlanChanged)]
        return dict(changes[-1].phases)


def play(
    text: str | Iterable[Timed],
    *,
    until: float,
    name: str = "balint-45",
    policy: Policy | None = None,
    voice_seconds: float | None = _VOICE_SECONDS,
    contacts: tuple[str, ...] = (),
    going: Session | None = None,
) -> Heard:
    """Play a timeline. Each announcement takes `voice_seconds`; None: its end is never reported.

    going: a session that has begun before.
    """
    given = timeline(text) if isinstance(text, str) else list(text)
    given = sorted(given, key=lambda timed: timed[0])
    heard = Heard(going or session(name, policy, contacts))
    speaking: Timed | None = None

    def take(happened: ev.Input, now: float) -> None:
        nonlocal speaking
        for effect in heard.session.handle(happened, now):
            heard.effects.append(effect)
            if isinstance(effect, ev.StopSpeaking):
                speaking = None
            elif isinstance(effect, ev.Announce) and voice_seconds is not None:
                length = voice_seconds if effect.voice else _CHIME_SECONDS
                finished = ev.AnnouncementFinished(effect.number, ev.Outcome.SPOKEN)
                speaking = (effect.at + length, finished)

    def run_to(now: float) -> None:
        nonlocal speaking
        while True:
            moment = heard.session.next_moment()
            if speaking is not None and speaking[0] <= min(now, 1e12 if moment is None else moment):
                at, finished = speaking
                speaking = None
                take(finished, at)
            elif moment is not None and moment <= now:
                take(ev.Tick(), moment)
            else:
                return

    for at, happened in given:
        if not isinstance(happened, ev.Restarted):  # nobody was there before
            run_to(at)
        take(happened, at)
    run_to(until)
    take(ev.Tick(), until)
    return heard
