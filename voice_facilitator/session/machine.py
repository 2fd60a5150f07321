"""The state machine of a session, built on `transitions`. Its state is the only home of the phase.

A state is a mode and, while a phase is under way, the phase: `running/story`, and `paused/story` or
`closing/story` until it goes on or is over. `MOVES` is the one table of what leads where; the machine, the
diagram in docs/architecture.md and the checks of a restored session come from it.

`transitions` is used with care (measured with 0.9.3): no automatic transitions (they would allow a jump
anywhere), no timeouts or threads, and no callbacks, because a failing callback leaves the state changed.
What entering a state means is `Core.enter`: it moves the machine, and announces the phase.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Any
from typing import Protocol as Interface

from transitions.extensions.nesting import HierarchicalMachine, NestedState

from voice_facilitator.session.protocol import Protocol

SEPARATOR = "/"


class Mode(StrEnum):
    """What a session is doing. The first part of a state's name."""

    NOT_STARTED = "not-started"
    RUNNING = "running"
    PAUSED = "paused"
    CLOSING = "closing"
    ENDED = "ended"


IN_A_PHASE = (Mode.RUNNING, Mode.PAUSED, Mode.CLOSING)  # the modes whose states have the phases as children


class Move(StrEnum):
    """The kinds of move."""

    ENTER = "enter"
    PAUSE = "pause"
    RESUME = "resume"
    CLOSE = "close"
    BACK_TO_START = "back-to-start"
    END = "end"


class Where(StrEnum):
    """Which phase a move leads into."""

    CHOSEN = "chosen"  # the one that is named
    SAME = "same"  # the one that is under way
    NONE = "none"


@dataclass(frozen=True, slots=True)
class Kind:
    """From which modes a move leads into which mode, and in which phase."""

    sources: tuple[Mode, ...]
    into: Mode
    phase: Where


MOVES: dict[Move, Kind] = {
    Move.ENTER: Kind((Mode.NOT_STARTED, Mode.RUNNING, Mode.CLOSING), Mode.RUNNING, Where.CHOSEN),
    Move.PAUSE: Kind((Mode.RUNNING,), Mode.PAUSED, Where.SAME),
    Move.RESUME: Kind((Mode.PAUSED,), Mode.RUNNING, Where.SAME),
    Move.CLOSE: Kind((Mode.RUNNING, Mode.PAUSED), Mode.CLOSING, Where.SAME),
    Move.BACK_TO_START: Kind((Mode.RUNNING,), Mode.NOT_STARTED, Where.NONE),
    Move.END: Kind((Mode.CLOSING,), Mode.ENDED, Where.NONE),
}
UNDO_ONLY = frozenset({(Move.ENTER, Mode.CLOSING), (Move.BACK_TO_START, Mode.RUNNING)})


class Holder(Interface):
    """Whatever remembers the state: `state.State`."""

    machine: str


class _State(NestedState):
    separator = SEPARATOR  # the default "_" would split names


class _Machine(HierarchicalMachine):
    state_cls = _State


class SessionMachine:
    """Changes the state that `holder` remembers, by the table only. Raises ValueError for a state unknown."""

    def __init__(self, protocol: Protocol, holder: Holder) -> None:
        self._holder = holder
        names = [phase.name for phase in protocol.phases]
        known = {_name(mode, name) for mode in IN_A_PHASE for name in names}
        if holder.machine not in known | {Mode.NOT_STARTED, Mode.ENDED}:
            raise ValueError("no session of this protocol has such a state")
        self._machine = _Machine(
            model=self,
            # Plain strings: an enum's member is something else to the library.
            states=[{"name": m.value, "children": names} if m in IN_A_PHASE else m.value for m in Mode],
            transitions=[entry for move in Move for entry in _transitions(move, names)],
            initial=str(holder.machine),
            auto_transitions=False,
            model_attribute="state",
        )

    @property
    def state(self) -> str:
        """The whole name, such as `paused/story`."""
        return self._holder.machine

    @state.setter
    def state(self, name: str) -> None:  # for `transitions`
        self._holder.machine = name

    @property
    def mode(self) -> Mode:
        return Mode(self.state.partition(SEPARATOR)[0])

    @property
    def phase(self) -> str:
        """The name of the phase under way; empty before the first and after the last."""
        return phase_in(self.state)

    def go(self, move: Move, phase: str = "") -> None:
        """Make a move. Raises transitions.MachineError for one that the table does not have.

        phase: for a move into a phase that is chosen.
        """
        self.trigger(_trigger(move, phase))  # type: ignore[attr-defined]  # added by the library


def phase_in(state: str) -> str:
    """The name of the phase in the name of a state; empty where there is none."""
    return state.partition(SEPARATOR)[2]


def _transitions(move: Move, phases: list[str]) -> list[dict[str, Any]]:
    """The moves of a kind, as `transitions` takes them."""
    kind = MOVES[move]
    pairs: list[tuple[str, str, str]]  # trigger, source, destination
    match kind.phase:
        case Where.CHOSEN:
            pairs = [
                (_trigger(move, name), source.value, _name(kind.into, name))
                for name in phases
                for source in kind.sources
            ]
        case Where.SAME:
            pairs = [
                (_trigger(move), _name(source, name), _name(kind.into, name))
                for name in phases
                for source in kind.sources
            ]
        case Where.NONE:
            pairs = [(_trigger(move), source.value, kind.into.value) for source in kind.sources]
    return [{"trigger": trigger, "source": source, "dest": into} for trigger, source, into in pairs]


def _trigger(move: Move, phase: str = "") -> str:
    return f"{move}:{phase}" if MOVES[move].phase is Where.CHOSEN else move.value


def _name(mode: Mode, phase: str) -> str:
    return f"{mode}{SEPARATOR}{phase}"
