"""What a live session shows itself on: a terminal, the room page, or several at once."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Sequence
from typing import Any, Protocol

from voice_facilitator.display.frame import TIMES, session_frame
from voice_facilitator.session import View
from voice_facilitator.session.events import Seconds

# Pages count by themselves; so often they are put right.
_TIME_EVERY_SECONDS = 1.0


class Screen(Protocol):
    """Shows a session. `update` comes with each event and a few times a second."""

    def start(self) -> None: ...
    def update(self, view: View, level_dbfs: float | None) -> None: ...
    def stop(self) -> None: ...


class RoomScreen:
    """The room page, given where its states go. Says something only when there is something new."""

    def __init__(
        self,
        show: Callable[[dict[str, Any]], None],
        contacts: tuple[str, ...] = (),
        clock: Callable[[], Seconds] = time.monotonic,
    ) -> None:
        self._show = show
        self._contacts = contacts
        self._clock = clock
        self._news: dict[str, Any] = {}
        self._shown_at: Seconds = 0.0

    def start(self) -> None:
        pass

    def update(self, view: View, level_dbfs: float | None) -> None:
        del level_dbfs
        frame = session_frame(view, self._contacts)
        news = {name: value for name, value in frame.items() if name not in TIMES}
        now = self._clock()
        if news != self._news or now - self._shown_at >= _TIME_EVERY_SECONDS:
            self._news, self._shown_at = news, now
            self._show(frame)

    def stop(self) -> None:
        pass


class Screens:
    """Several screens; one that fails takes none of the others along."""

    def __init__(self, screens: Sequence[Screen]) -> None:
        self._screens = list(screens)

    def start(self) -> None:
        for screen in self._screens:
            screen.start()

    def update(self, view: View, level_dbfs: float | None) -> None:
        for screen in self._screens:
            screen.update(view, level_dbfs)

    def stop(self) -> None:
        with contextlib.ExitStack() as stack:
            for screen in self._screens:
                stack.callback(screen.stop)
