"""Parts that fail and come back: at most one sentence for each, and none for what mends itself at once."""

from __future__ import annotations

from voice_facilitator.session import events as ev
from voice_facilitator.session.core import REQUEST_GRACE_SECONDS, Core
from voice_facilitator.session.events import MicrophoneFault, Part, SpeakerState
from voice_facilitator.session.machine import Mode
from voice_facilitator.session.state import Late, Pending, Purpose

PATIENCE_SECONDS = 5.0  # most faults are over by then: a returning microphone, a process started again
AGAIN_SECONDS = 60.0  # a part that comes and goes is not talked about each time
_EARS = (Part.MICROPHONE, Part.HEARING)  # to the group it is one: "I cannot hear the room"


def part_lost(core: Core, part: Part, reason: MicrophoneFault | None = None) -> None:
    state = core.state
    if part in state.lost:
        if reason is not None and reason is not state.microphone_fault:
            state.microphone_fault = reason
            core.emit(ev.Degraded(state.now, part, lost=True, reason=reason))
        return
    deaf_before = not core.may_hear()
    state.lost.append(part)
    state.faults += 1
    if part in _EARS:
        state.who = state.silent_since = None
    if part is Part.MICROPHONE:
        state.microphone_fault = reason
    core.emit(ev.Degraded(state.now, part, lost=True, reason=reason))
    core.withdraw(Purpose.REMINDER)
    core.show(core.wording.say(_key(Purpose.LOST, part)))
    if _withdraw(Purpose.BACK, core, part):
        state.faults_heard.append(_key(Purpose.LOST, part))  # of which they know
        return
    if part in _EARS and deaf_before:
        return  # the group knows, or will hear in a moment, that we do not hear
    if not _recently(core, _key(Purpose.LOST, part)):
        _tell(core, Purpose.LOST, part, after=PATIENCE_SECONDS)


def part_back(core: Core, part: Part) -> None:
    state = core.state
    if part not in state.lost:
        return
    state.lost.remove(part)
    if part is Part.MICROPHONE:
        state.microphone_fault = None
    if part in _EARS and core.may_hear():
        state.who, state.silent_since = SpeakerState.UNSURE, None  # until we have heard otherwise
    core.emit(ev.Degraded(state.now, part, lost=False))
    core.show(core.wording.say(_key(Purpose.BACK, part)))
    if part in _EARS and not core.may_hear():
        return
    if _withdraw(Purpose.LOST, core, part):
        return  # nobody heard of the one, so nobody needs to hear of the other
    # That the speaker was lost cannot have been heard; of the others only what was heard is taken back.
    gone = _keys(Purpose.LOST, part)
    known = part is Part.SPEAKER or any(key in state.faults_heard for key in gone)
    state.faults_heard = [key for key in state.faults_heard if key not in gone]
    if known and not _recently(core, _key(Purpose.BACK, part)):
        _tell(core, Purpose.BACK, part)


def ears_not_needed(core: Core) -> None:
    """Nobody listens any more: what has failed of it needs not be said."""
    for part in (*_EARS, Part.VOICE_MODEL):
        core.withdraw(_key(Purpose.LOST, part))


def not_heard(core: Core) -> None:
    """What is being said could not be heard; nobody needs to hear that it is over."""
    key, core.state.telling_fault = core.state.telling_fault, ""
    if key in core.state.faults_heard:
        core.state.faults_heard.remove(key)


def safeguards_missing(core: Core) -> None:
    """Say once, on the screens, that this computer does not hold the hearing process to its promises."""
    if not core.state.safeguards_told:
        core.state.safeguards_told = True
        core.show(core.wording.say("safeguards-missing"))


def _tell(core: Core, purpose: Purpose, part: Part, *, after: ev.Seconds = 0.0) -> None:
    state, key = core.state, _key(purpose, part)
    if core.mode is not Mode.RUNNING or Part.SPEAKER in state.lost:
        return
    state.fault_told[key] = state.now
    voice = Part.SPEECH_ENGINE not in state.lost  # without it, the tone says: look at the display
    due = state.now + after
    core.wait(
        Pending(
            purpose,
            key,
            core.wording.say(key),
            due,
            due + REQUEST_GRACE_SECONDS,
            voice=voice,
            late=Late.CHIME,
            holds_silence=True,
        )
    )


def _withdraw(purpose: Purpose, core: Core, part: Part) -> bool:
    """Take back what waits to be said about `part`; whether there was any."""
    found = [key for key in _keys(purpose, part) if core.withdraw(key)]
    for key in found:
        core.state.fault_told.pop(key, None)
    return bool(found)


def _recently(core: Core, key: str) -> bool:
    told = core.state.fault_told.get(key)
    return told is not None and core.state.now - told < AGAIN_SECONDS


def _key(purpose: Purpose, part: Part) -> str:
    """Of the sentence, in the wording and in the log."""
    return f"{purpose}.{part}"


def _keys(purpose: Purpose, part: Part) -> list[str]:
    return [_key(purpose, alike) for alike in (_EARS if part in _EARS else (part,))]
