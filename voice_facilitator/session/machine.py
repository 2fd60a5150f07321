"""The state machine of a session, built on `transitions`.

Used with care (measured with transitions 0.9.3): no automatic transitions (they would allow a jump
anywhere), no timeouts or threads, and no callbacks, because a failing callback leaves the state changed.
What a change means is computed beside the machine.
"""

from __future__ import annotations

from typing import Any

from transitions.extensions.nesting import HierarchicalMachine, NestedState

from voice_facilitator.session.protocol import Protocol

NOT_STARTED = "not-started"
RUNNING = "running"
PAUSED = "paused"
CLOSING = "closing"
ENDED = "ended"
SEPARATOR = "/"


class _State(NestedState):
    separator = SEPARATOR  # the default "_" would split names


class _Machine(HierarchicalMachine):
    state_cls = _State


def states(protocol: Protocol) -> list[Any]:
    """The states as `transitions` takes them: the phases are children of `running`."""
    children = [phase.name for phase in protocol.phases]
    return [NOT_STARTED, {"name": RUNNING, "children": children}, PAUSED, CLOSING, ENDED]


def transitions(protocol: Protocol) -> list[dict[str, str]]:
    """Every legal move, as a table. `enter:NAME` is the only way into a phase."""
    moves = [
        {"trigger": "pause", "source": RUNNING, "dest": PAUSED},
        {"trigger": "not-yet", "source": RUNNING, "dest": NOT_STARTED},  # only to undo
        {"trigger": "close", "source": RUNNING, "dest": CLOSING},
        {"trigger": "close", "source": PAUSED, "dest": CLOSING},
        {"trigger": "end", "source": CLOSING, "dest": ENDED},
    ]
    for phase in protocol.phases:
        into = f"{RUNNING}{SEPARATOR}{phase.name}"
        moves += [
            {"trigger": f"enter:{phase.name}", "source": source, "dest": into}
            for source in (NOT_STARTED, RUNNING, CLOSING)  # from closing only to undo
        ]
        moves.append({"trigger": f"resume:{phase.name}", "source": PAUSED, "dest": into})
    return moves


class SessionMachine:
    """Holds the state of one session and changes it by the table only."""

    def __init__(self, protocol: Protocol, state: str = NOT_STARTED) -> None:
        self.state = state
        self._machine = _Machine(
            model=self,
            states=states(protocol),
            transitions=transitions(protocol),
            initial=state,
            auto_transitions=False,
            model_attribute="state",
        )

    @property
    def mode(self) -> str:
        """The state without the phase: `not-started`, `running`, `paused`, `closing` or `ended`."""
        return self.state.partition(SEPARATOR)[0]

    def go(self, move: str) -> None:
        """Make a move. Raises transitions.MachineError for one the table does not know."""
        self.trigger(move)  # type: ignore[attr-defined]  # added by the library
