"""The reminder ladder: when the presenter speaks where the floor is not theirs.

0 nothing; 1 a quiet line on the display; 2 a chime and one sentence to the room; 3 left to the people.
It would rather miss than accuse: a doubtful voice, a short word or the first seconds of a phase never lead to
more than level 0. Whether somebody else speaks at the same time makes no difference here: the hearing tells
two voices apart, and what it then is not sure of is a doubtful voice.
"""

from __future__ import annotations

from voice_facilitator.session.events import Enrolment, PresenterEvidence, Seconds
from voice_facilitator.session.protocol import Policy
from voice_facilitator.session.state import Reminders

_REARM_SHARE = 0.5  # a new intrusion needs the evidence to have fallen below half of level 1
_REARM_SECONDS = 5.0


def level(
    evidence: PresenterEvidence,
    memory: Reminders,
    policy: Policy,
    *,
    now: Seconds,
    phase_started: Seconds,
    enrolment: Enrolment,
    resumed_at: Seconds | None = None,
) -> int:
    """The level of the ladder this evidence leads to; `memory` is brought up to date.

    resumed_at: when the last pause ended. After it nobody is reminded aloud for a while.
    Level 2 is only the wish to speak: it is remembered by `spoken`, when it really is said.
    """
    if evidence.strength < _REARM_SHARE * policy.screen_strength:
        memory.armed = True
    if (
        memory.stopped
        or memory.handed_over
        or enrolment is not Enrolment.READY
        or now - phase_started < policy.quiet_start_seconds
        # asked this way round, so that a number that is none never counts
        or not evidence.speech_seconds >= policy.least_speech_seconds
        or not evidence.strength >= policy.screen_strength
    ):
        return 0
    recent = memory.last_screen is not None and now - memory.last_screen < _REARM_SECONDS
    if memory.armed and not recent:
        memory.armed = False
        memory.last_screen = now
        return 1
    if evidence.strength < policy.voice_strength or evidence.speech_seconds < policy.voice_speech_seconds:
        return 0
    if resumed_at is not None and now - resumed_at < policy.after_pause_seconds:
        return 0
    return _level_of_the_next(memory, policy, now)


def _level_of_the_next(memory: Reminders, policy: Policy, now: Seconds) -> int:
    """What is left to do about strong evidence, after the reminders there have been."""
    if policy.voice_at_most == 0:
        return 0  # nobody wants spoken reminders: the quiet line is all there is
    if memory.voice_count >= policy.voice_at_most:
        memory.handed_over = True
        return 3
    soon = memory.last_voice is not None and now - memory.last_voice < policy.voice_every_seconds
    return 0 if soon else 2


def spoken(memory: Reminders, now: Seconds) -> None:
    """A reminder was said to the room."""
    memory.voice_count += 1
    memory.last_voice = now
