"""Hands the newest state to every page that looks: a slow page misses steps, never delays another."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator, Callable
from typing import Any

from voice_facilitator.display.key_table import buttons, meanings
from voice_facilitator.session.events import Seconds

_SIGN_OF_LIFE_SECONDS = 2.0  # so that a page notices within seconds when the program is gone


class Hub:
    """Lives in the server's event loop; `publish` and `stream` are called there only."""

    def __init__(self, clock: Callable[[], Seconds] = time.monotonic) -> None:
        self._clock = clock
        self._state: dict[str, Any] = {}
        self._words: dict[str, Any] = {}
        self._state_at: Seconds = clock()
        self._number = 0  # of the newest state
        self._words_number = 0
        self._over = False
        self._waiting: dict[asyncio.Event, str] = {}  # and the role of the page that waits

    @property
    def viewers(self) -> int:
        return len(self._waiting)

    def viewers_that_are(self, role: str) -> int:
        return list(self._waiting.values()).count(role)

    def publish(self, state: dict[str, Any], at: Seconds) -> None:
        """Show `state`, true at the time `at`, from now on."""
        self._state, self._state_at = state, at
        self._number += 1
        self._wake()

    @property
    def words(self) -> dict[str, Any]:
        """The words the pages use now: they are no secret, and are there before a page has its key."""
        return self._words

    def set_texts(self, language: str, texts: dict[str, str]) -> None:
        """The words the pages use from now on, with the keys and buttons they are for."""
        self._words = {"language": language, "phrases": texts, "keys": meanings(), "buttons": buttons()}
        self._words_number += 1
        self._wake()

    def end(self) -> None:
        """The last state has been published: let every page go."""
        self._over = True
        self._wake()

    def _wake(self) -> None:
        for event in list(self._waiting):
            event.set()

    async def stream(self, extra: dict[str, Any]) -> AsyncIterator[bytes]:
        """Server-sent events for one page, beginning with how things are now.

        extra: about this page, its "role" among it; added to the words.
        """
        news = asyncio.Event()
        self._waiting[news] = extra["role"]
        state_seen = words_seen = 0
        try:
            while True:
                news.clear()
                if self._words_number != words_seen:
                    words_seen = self._words_number
                    yield _event("words", self._words | extra)
                if self._number != state_seen:
                    state_seen = self._number
                    age = round(self._clock() - self._state_at, 3)
                    yield _event("state", {**self._state, "age": age})
                if self._over:
                    return
                try:
                    await asyncio.wait_for(news.wait(), _SIGN_OF_LIFE_SECONDS)
                except TimeoutError:
                    yield b": here\n\n"
        finally:
            self._waiting.pop(news, None)


def _event(name: str, data: dict[str, Any]) -> bytes:
    return f"event: {name}\ndata: {json.dumps(data)}\n\n".encode()
