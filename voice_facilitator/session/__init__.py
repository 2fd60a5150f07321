"""The session core: pure and deterministic. No clock, file, thread, socket or log in here."""

from voice_facilitator.session.protocol import Policy, Protocol, Wording
from voice_facilitator.session.session import Session
from voice_facilitator.session.view import View

__all__ = ["Policy", "Protocol", "Session", "View", "Wording"]
