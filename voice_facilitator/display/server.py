"""The room display's web server: a thread of the program, on this machine only unless shared.

Only the newest state is kept, so a page that does not listen costs nothing but its connection.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
import threading
import time
from collections.abc import Callable
from typing import Any

import uvicorn

from voice_facilitator.display.access import Access, Role
from voice_facilitator.display.connections import Rooms, connections
from voice_facilitator.display.hub import Hub
from voice_facilitator.display.key_table import Press
from voice_facilitator.display.routes import Choice, Doors, Limits, application
from voice_facilitator.display.share import LocalAddress, in_url, qr_rows
from voice_facilitator.errors import ExitCode, FacilitatorError
from voice_facilitator.session.events import Seconds

_LOOPBACK = "127.0.0.1"
_START_SECONDS = 10.0
_GOODBYE_SECONDS = 2
_SEND_BUFFER_BYTES = (
    65_536  # many states; what nobody reads is noticed, instead of lying in megabytes of buffers
)
_GONE_MILLISECONDS = 30_000


class RoomServer:
    """Shows states to pages and hands on what they ask for. `start` and `stop` once each."""

    def __init__(
        self,
        access: Access,
        *,
        port: int = 0,
        lan_address: str | None = None,
        limits: Limits | None = None,
        clock: Callable[[], Seconds] = time.monotonic,
    ) -> None:
        """port: 0 takes any free one. lan_address: this machine's address for others; None: loopback only."""
        self.access = access
        self.port = port
        self._lan_address = lan_address
        self._names = {_LOOPBACK, "localhost", *([lan_address] if lan_address else [])}
        self._limits = limits or Limits.usual()
        self._clock = clock
        self._hub = Hub(clock)
        self.rooms = Rooms()
        self._server: _Server | None = None
        self._thread: threading.Thread | None = None
        # Changed by whoever runs the present stage; called in the server's thread.
        self.on_press: Callable[[Press], bool] = lambda _press: False
        self.on_choice: Callable[[Choice], bool] = lambda _choice: False
        self.on_summary: Callable[[], dict[str, Any] | None] = lambda: None
        self.on_share_at: Callable[[str], bool] = lambda _address: False
        self.other_addresses: Callable[[], list[LocalAddress]] = list

    def start(self) -> None:
        """Raises FacilitatorError `display-port` when the address cannot be had."""
        sockets = [self._listen(_LOOPBACK)]
        if self._lan_address is not None:
            sockets.append(self._listen(self._lan_address))
        doors = Doors(self._press, self._choose, self._summary, self._invitation, self._share_at)
        app = application(
            self._hub,
            self.access,
            doors,
            names=self._names,
            port=self.port,
            limits=self._limits,
            clock=self._clock,
        )
        config = uvicorn.Config(
            app,
            http=connections(self.rooms),  # type: ignore[arg-type]  # a type or what makes one
            ws="none",
            loop="asyncio",
            lifespan="off",
            interface="asgi3",
            log_config=None,
            log_level="critical",
            access_log=False,
            server_header=False,
            proxy_headers=False,
            timeout_graceful_shutdown=_GOODBYE_SECONDS,
            h11_max_incomplete_event_size=16_384,
        )
        self._server = _Server(config)
        self._thread = threading.Thread(target=self._run, args=(sockets,), name="display", daemon=True)
        self._thread.start()
        if not self._server.ready.wait(_START_SECONDS):
            raise _cannot(self.port, "the server did not start")

    def _run(self, sockets: list[socket.socket]) -> None:
        assert self._server is not None
        with contextlib.suppress(SystemExit):  # uvicorn's way of giving up
            self._server.run(sockets)
        for one in sockets:
            one.close()

    def _listen(self, address: str) -> socket.socket:
        listening = socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET, socket.SOCK_STREAM)
        try:
            if os.name == "posix":  # elsewhere it would let two programs have one port
                listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            _let_go_of_who_does_not_read(listening)
            listening.bind((address, self.port))
            listening.listen(128)
        except OSError as error:
            listening.close()
            raise _cannot(self.port, error.strerror or str(error)) from error
        self.port = listening.getsockname()[1]
        return listening

    def stop(self) -> None:
        """Tells every page that the program has ended, and ends. Takes a few seconds at most."""
        if self._server is None or self._thread is None:
            return
        self.show({"stage": "over"})
        self._in_loop(self._hub.end)
        self._server.should_exit = True
        self._thread.join(_GOODBYE_SECONDS + 3)

    def show(self, state: dict[str, Any]) -> None:
        """Show `state` on every page from now on; any thread may."""
        at = self._clock()
        self._in_loop(lambda: self._hub.publish(state, at))

    def set_texts(self, language: str, texts: dict[str, str]) -> None:
        """Use these words from now on; any thread may."""
        self._in_loop(lambda: self._hub.set_texts(language, texts))

    def _in_loop(self, call: Callable[[], None]) -> None:
        loop = self._server.running_loop if self._server is not None else None
        if loop is not None:
            with contextlib.suppress(RuntimeError):  # it has ended meanwhile
                loop.call_soon_threadsafe(call)

    @property
    def viewers(self) -> int:
        """Pages that look just now."""
        return self._hub.viewers

    @property
    def hosts(self) -> int:
        """Pages of this machine that look just now."""
        return self._hub.viewers_that_are(Role.HOST.value)

    @property
    def address(self) -> str:
        """For the browser on this machine. What stands behind the # is not sent over any network."""
        return f"http://{_LOOPBACK}:{self.port}/#{self.access.host_token}"

    @property
    def shared_address(self) -> str | None:
        """For another device: good for one page, then there is a new one."""
        if self._lan_address is None or self.access.invitation is None:
            return None
        return f"http://{in_url(self._lan_address)}:{self.port}/#{self.access.invitation}"

    def share_at(self, address: str) -> bool:
        """Serve others at this address of the machine instead. Not from the server's own thread."""
        loop = self._server.running_loop if self._server is not None else None
        if loop is None:
            return False
        moved = asyncio.run_coroutine_threadsafe(self._move_to(address), loop)
        try:
            return moved.result(_START_SECONDS)
        except TimeoutError:
            return False

    async def _move_to(self, address: str) -> bool:
        server = self._server
        assert server is not None
        if self._lan_address is None or address == self._lan_address:
            return address == self._lan_address
        try:
            listening = self._listen(address)
        except FacilitatorError:  # it has gone again, or its port is taken
            return False
        door = connections(self.rooms)
        opened = await asyncio.get_running_loop().create_server(
            lambda: door(
                config=server.config, server_state=server.server_state, app_state=server.lifespan.state
            ),
            sock=listening,
        )
        server.servers.pop().close()  # the one of the local network is the last
        server.servers.append(opened)
        self._names.discard(self._lan_address)
        self._names.add(address)
        self._lan_address = address
        return True

    async def _share_at(self, address: str) -> bool:
        return self.on_share_at(address) and await self._move_to(address)

    def _press(self, press: Press) -> bool:
        return self.on_press(press)

    def _choose(self, choice: Choice) -> bool:
        return self.on_choice(choice)

    def _summary(self) -> dict[str, Any] | None:
        return self.on_summary()

    def _invitation(self) -> dict[str, Any] | None:
        address = self.shared_address
        if address is None:
            return None
        others = [
            [one.address, one.interface] for one in self.other_addresses() if one.address != self._lan_address
        ]
        return {"address": address, "rows": qr_rows(address), "others": others}


class _Server(uvicorn.Server):
    """uvicorn, saying when it is ready and leaving the program's signals alone."""

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self.ready = threading.Event()
        self.running_loop: Any = None

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self.running_loop = asyncio.get_running_loop()
        self.ready.set()


def _let_go_of_who_does_not_read(listening: socket.socket) -> None:
    """Connections inherit these: a phone that has left answers nothing, and one may stay and never read."""
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _SEND_BUFFER_BYTES)
    if hasattr(socket, "TCP_USER_TIMEOUT"):  # Linux
        listening.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, _GONE_MILLISECONDS)


def _cannot(port: int, reason: str) -> FacilitatorError:
    where = f"on port {port} " if port else ""
    return FacilitatorError(
        "display-port",
        f"The room display cannot be served {where}({reason}).",
        "Choose another port with --port, or go without: --no-display.",
        exit_code=ExitCode.FAILED,
    )
