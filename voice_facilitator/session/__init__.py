"""The session core: pure and deterministic. No clock, file, thread, socket or log in here."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from voice_facilitator.session.protocol import Policy, Protocol, Wording
    from voice_facilitator.session.session import Session
    from voice_facilitator.session.view import View

__all__ = ["Policy", "Protocol", "Session", "View", "Wording"]

_MODULES = {
    "Policy": "protocol",
    "Protocol": "protocol",
    "Wording": "protocol",
    "Session": "session",
    "View": "view",
}


def __getattr__(name: str) -> Any:
    """A module is loaded when it is asked for: who needs only the events, as the hearing process does, is
    spared the state machine."""
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_MODULES[name]}"), name)
