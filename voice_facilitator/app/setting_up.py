"""From settings to a session: what every command that runs one needs."""

from __future__ import annotations

from voice_facilitator import protocols
from voice_facilitator.session import Policy, Protocol, Session
from voice_facilitator.settings import Settings


def policy_of(settings: Settings, *, moves_by_itself: bool = True) -> Policy:
    """The settings the session core needs, in its own type."""
    own, ladder = settings.session, settings.reminders
    return Policy(
        gap_seconds=own.gap_seconds,
        held_silence_seconds=own.held_silence_seconds,
        undo_seconds=own.undo_seconds,
        moves_by_itself=moves_by_itself,
        **ladder.model_dump(),
    )


def new_session(settings: Settings, protocol: Protocol, *, moves_by_itself: bool = True) -> Session:
    """A session of `protocol` with the wording of its language. Raises FacilitatorError.

    moves_by_itself: false leaves it to requests to move from phase to phase.
    """
    wording = protocols.load_wording(protocol.language)
    policy = policy_of(settings, moves_by_itself=moves_by_itself)
    return Session(protocol, wording, policy, tuple(settings.session.support_contacts))
