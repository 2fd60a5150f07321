"""A session on the room page without a room: real session, server and page; the time is the test's.

with Stage("balint-45") as stage:
    stage.press("begin")
    stage.go_on(65)                  # seconds of the session
    stage.server.address             # for a browser
"""

from __future__ import annotations

import shutil
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from types import TracebackType
from typing import Any

import pytest

from tests.support import plays
from voice_facilitator.app.conductor import Conductor
from voice_facilitator.app.presses import Presses
from voice_facilitator.display.access import Access, Role
from voice_facilitator.display.key_table import Press
from voice_facilitator.display.screens import RoomScreen
from voice_facilitator.display.server import RoomServer
from voice_facilitator.files import protocols
from voice_facilitator.session import Session
from voice_facilitator.session import events as ev
from voice_facilitator.session.protocol import Protocol

CHROMIUM = next((found for name in ("chromium", "google-chrome") if (found := shutil.which(name))), None)
# What Debian's Chromium needs to run as root in a small machine, and to call nobody.
FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-dev-shm-usage",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]


class _Quiet:
    """Ears that hear nothing and a mouth that says nothing, and is done at once."""

    def listen(self, effect: ev.Listen) -> None: ...
    def forget(self, for_good: bool) -> None: ...
    def gate(self, closed: bool) -> None: ...
    def allow(self, actions: frozenset[ev.Action]) -> None: ...
    def stop(self) -> None: ...

    def say(self, number: int, text: str, *, chime: bool, voice: bool) -> None: ...


class Stage:
    """One session, shown and driven by pages."""

    def __init__(
        self,
        protocol: str | Protocol = "balint-45",
        contacts: tuple[str, ...] = ("Occupational health, extension 4310",),
        *,
        share: Role | None = None,
        lan_address: str | None = None,
        port: int = 0,
        says_stop: str = "",
    ) -> None:
        """says_stop: what spoken commands would understand, if there were any."""
        format_ = plays.protocol(protocol) if isinstance(protocol, str) else protocol
        wording = replace(protocols.load_wording(format_.language), stop=says_stop)
        self.session = Session(format_, wording, plays.shipped_policy(), contacts)
        self.effects: list[ev.Input | ev.Effect] = []
        self.now = 0.0
        self.arrived = 0  # presses from everywhere, those that come too soon as well
        self.server = RoomServer(Access(share), port=port, lan_address=lan_address)
        self._presses = Presses()
        self._conductor = Conductor(
            self.session, _Quiet(), _Quiet(), [self._presses, lambda _t, item: self.effects.append(item)]
        )
        self._screen = RoomScreen(self.server.show, contacts)
        self._lock = threading.RLock()
        self._language = format_.language

    def __enter__(self) -> Stage:
        self.server.on_press = self._pressed
        self.server.start()
        self.server.set_texts(self._language, protocols.load_phrases(self._language))
        self.tell("tick")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.server.stop()

    def tell(self, words: str) -> None:
        """Something happens, in the words of `tests.support.plays`."""
        self._take(plays.event(words))

    def press(self, action: str) -> None:
        self._pressed(Press(ev.Action(action), "key"))

    def go_on(self, seconds: float) -> None:
        """So many seconds of the session go by."""
        with self._lock:
            for effect in [e for e in self.effects if isinstance(e, ev.Announce)][-1:]:
                self._take(ev.AnnouncementFinished(effect.number, ev.Outcome.SPOKEN))
            self.now += seconds
            self.tell("tick")

    @contextmanager
    def hung(self) -> Iterator[None]:
        """The server answers nobody, as after a power cut of the network."""
        over = threading.Event()
        self.server._in_loop(lambda: over.wait(60) and None)
        try:
            yield
        finally:
            over.set()

    def done(self) -> list[str]:
        """The requests carried out so far."""
        return [item.action.value for item in self.effects if isinstance(item, ev.Done)]

    def _pressed(self, press: Press) -> bool:
        with self._lock:
            self.arrived += 1
            if not self._presses.too_soon(press, self.session.view().phase, self.now):
                self._take(press.request())
        return True

    def _take(self, event: ev.Input) -> None:
        with self._lock:
            self._conductor.take(event, self.now)
            self._screen.update(self.session.view(), None)


@contextmanager
def chromium() -> Iterator[Any]:
    """The system's own browser, driven by Playwright; skips where there is none."""
    if CHROMIUM is None:
        pytest.skip("not installed: chromium (apt install chromium)")
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, headless=True, args=FLAGS)
        try:
            yield browser
        finally:
            browser.close()


def version() -> str:
    """Which browser this was."""
    assert CHROMIUM is not None
    return subprocess.run([CHROMIUM, "--version"], capture_output=True, text=True, check=False).stdout.strip()
