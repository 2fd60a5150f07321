"""The room page around a session: served before it begins, told when the program ends."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from rich.console import Console

from voice_facilitator.display.access import Access, Role
from voice_facilitator.display.browser import opened_in_browser
from voice_facilitator.display.keys import KeyReader
from voice_facilitator.display.screens import RoomScreen, Screen, Screens
from voice_facilitator.display.server import RoomServer
from voice_facilitator.display.share import Sharing, qr_blocks
from voice_facilitator.display.terminal import make_screen
from voice_facilitator.errors import FacilitatorError
from voice_facilitator.files import protocols
from voice_facilitator.machine.interrupts import interrupt

_LOOK_SECONDS = 3.0  # people wait for a phone to find the page again


@dataclass(frozen=True)
class DisplayOptions:
    """What the command line says about the room page."""

    serve: bool = True
    browser: bool = True
    port: int = 0
    share: Role | None = None
    share_address: str = ""  # or an interface; empty: the likeliest


@contextlib.contextmanager
def room_display(
    options: DisplayOptions, language: str, say: Callable[[str], None]
) -> Iterator[RoomServer | None]:
    """The running server, or None where there is none; `say` tells people about it.

    Raises FacilitatorError where something that was asked for cannot be had (a port, a network).
    """
    if not options.serve:
        yield None
        return
    sharing = Sharing(options.share_address) if options.share else None

    def invite(_token: str) -> None:
        if (shared := server.shared_address) is not None:
            say(f"For another screen or phone, good for one device:\n{qr_blocks(shared)}\n{shared}")

    address = sharing.current.address if sharing else None
    server = RoomServer(Access(options.share, invite), port=options.port, lan_address=address)
    try:
        server.start()
    except FacilitatorError as error:
        if options.port or options.share:
            raise
        say(f"{error.message} The session goes on in the terminal.")
        yield None
        return
    try:
        server.set_texts(language, protocols.load_phrases(language))
        server.show({"stage": "notice", "notice": "preparing"})
        say(f"Room page: {server.address}")
        invite("")
        with contextlib.ExitStack() as stack:
            stack.enter_context(_address_followed(server, sharing, invite))
            if options.browser and not stack.enter_context(
                opened_in_browser(server.address, lambda: server.hosts > 0)
            ):
                say("It cannot be opened by itself here: please open it in a browser.")
            yield server
    finally:
        server.stop()


@contextlib.contextmanager
def _address_followed(
    server: RoomServer, sharing: Sharing | None, invite: Callable[[str], None]
) -> Iterator[None]:
    """Meanwhile the page moves along when the machine's address changes, and others can be chosen on it."""
    if sharing is None:
        yield
        return
    over = threading.Event()

    def follow() -> None:
        while not over.wait(_LOOK_SECONDS):
            if sharing.look_again() and server.share_at(sharing.current.address):
                invite("")

    server.on_share_at = sharing.choose
    server.other_addresses = lambda: sharing.found
    thread = threading.Thread(target=follow, name="address", daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join(_LOOK_SECONDS)


class Keyboard:
    """The terminal's keys, led to whatever is on: setting up, the session, the summary."""

    def __init__(self) -> None:
        self._take: Callable[[str], None] | None = None

    def leads_to(self, take: Callable[[str], None]) -> None:
        """From now on keys go to `take`, called in a thread of its own."""
        if self._take is None:
            KeyReader(self._pressed, interrupt).start()
        self._take = take

    def _pressed(self, key: str) -> None:
        assert self._take is not None
        self._take(key)


def screens_of(
    server: RoomServer | None, console: Console, language: str, contacts: tuple[str, ...]
) -> Screen:
    """Everything a session shows itself on: the terminal, and the room page where there is one."""
    terminal = make_screen(
        console, protocols.load_phrases(language), contacts, address=server.address if server else ""
    )
    return Screens([terminal, RoomScreen(server.show, contacts)]) if server is not None else terminal
