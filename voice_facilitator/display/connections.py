"""Who may hold a connection to the room display, and for how long.

The pages of this machine have a room of their own, so that whatever the network does, the wall stays. Within
a room each address has so many; where one is full, the connection that has let us wait longest makes way, and
where none does the newcomer is told. A client that is slow to ask or slow to read is let go.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol

REQUEST_SECONDS = 10.0  # for a whole request: a phone in a poor Wi-Fi needs one or two
READ_SECONDS = 20.0  # without reading anything of an answer
_OWN = frozenset({"127.0.0.1", "::1"})
# A browser opens six connections at most; a phone that comes back may have six old ones on the way out.
_PER_ADDRESS = 16
_MOST_OWN, _MOST_OTHERS = 64, 150
_USUAL_DESCRIPTORS = 1024
_FULL = (
    b"HTTP/1.1 503 Service Unavailable\r\ncontent-type: text/plain; charset=utf-8\r\nretry-after: 10\r\n"
    b"connection: close\r\n\r\nToo many pages are open. Close some, and try again.\n"
)


def _descriptors_granted() -> int:
    if sys.platform == "win32":
        return _USUAL_DESCRIPTORS
    import resource  # noqa: PLC0415  # not on Windows

    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return _USUAL_DESCRIPTORS if soft == resource.RLIM_INFINITY else soft


@dataclass
class Rooms:
    """The connections that are open: at most a fifth of the file descriptors that the system grants."""

    descriptors: int = field(default_factory=_descriptors_granted)
    open: dict[Connection, None] = field(default_factory=dict)  # the one heard of last stands at the end

    def enter(self, newcomer: Connection) -> bool:
        """Whether there is room; another connection may have been closed for it."""
        room = [one for one in self.open if one.is_own == newcomer.is_own]
        same = [one for one in room if one.address == newcomer.address]
        share = min(1.0, self.descriptors / _USUAL_DESCRIPTORS)
        most = int((_MOST_OWN if newcomer.is_own else _MOST_OTHERS) * share)
        if not newcomer.is_own and len(same) >= _PER_ADDRESS:
            crowd = same
        elif len(room) >= most:
            crowd = room
        else:
            crowd = []
        if crowd:
            makes_way = next((one for one in crowd if one.lets_us_wait), None)
            if makes_way is None:
                return False
            makes_way.abort()
        self.open[newcomer] = None
        return True

    def heard_of(self, connection: Connection) -> None:
        if connection in self.open:
            del self.open[connection]
            self.open[connection] = None

    def leave(self, connection: Connection) -> None:
        self.open.pop(connection, None)


class Connection(H11Protocol):
    """One connection, as uvicorn holds it, with a place in a room and with deadlines."""

    def __init__(self, rooms: Rooms, **options: Any) -> None:
        super().__init__(**options)
        self._rooms = rooms
        self._deadline: asyncio.TimerHandle | None = None
        self._reading: asyncio.TimerHandle | None = None
        self.address = ""
        self.is_own = False

    @property
    def lets_us_wait(self) -> bool:
        """Nothing is being answered: it is the client's turn, to ask or to finish asking."""
        answering = self.cycle is not None and not self.cycle.response_complete
        return not answering or self.conn.their_state is h11.SEND_BODY

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as uvicorn's
        super().connection_made(transport)
        self.address = self.client[0] if self.client else ""
        self.is_own = self.address in _OWN
        if not self._rooms.enter(self):
            transport.write(_FULL)
            transport.close()
            return
        self._deadline = self.loop.call_later(REQUEST_SECONDS, self.abort)

    def data_received(self, data: bytes) -> None:
        self._rooms.heard_of(self)
        super().data_received(data)
        if self.conn.their_state not in (h11.IDLE, h11.SEND_BODY):
            _cancel(self._deadline)
            self._deadline = None
        elif self._deadline is None:
            self._deadline = self.loop.call_later(REQUEST_SECONDS, self.abort)

    def pause_writing(self) -> None:
        super().pause_writing()
        self._reading = self.loop.call_later(READ_SECONDS, self.abort)

    def resume_writing(self) -> None:
        super().resume_writing()
        _cancel(self._reading)

    def connection_lost(self, exc: Exception | None) -> None:
        self._rooms.leave(self)
        _cancel(self._deadline)
        _cancel(self._reading)
        super().connection_lost(exc)

    def abort(self) -> None:
        self._rooms.leave(self)
        self.transport.abort()


def _cancel(timer: asyncio.TimerHandle | None) -> None:
    if timer is not None:
        timer.cancel()


def connections(rooms: Rooms) -> Callable[..., Connection]:
    """What uvicorn makes for each connection."""
    return lambda **options: Connection(rooms, **options)
