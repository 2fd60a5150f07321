"""Renders sentences ahead of need, and one at once when it must be.

The cache lives in memory only, and so does everything else here.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable

from voice_facilitator.errors import FacilitatorError
from voice_facilitator.speaking.engine import RENDER_SECONDS, Speech, SpeechEngine
from voice_facilitator.speaking.pieces import pieces

MAX_KNOWN = 96  # pieces kept; a session has about 50, together some 15 MB
MAX_AT_ONCE = 2  # one ahead of need, one that is needed now
RETRY_SECONDS = 60.0  # how often a lost engine is tried again
_HUNG_SECONDS = RENDER_SECONDS + 5  # the engine broke its promise to answer in time
_ONE_MORE_SECONDS = 1.0  # what each further piece of a text adds to the time in which it has to be ready
_SLICE_SECONDS = 0.05


class Renderer:
    """Keeps sentences ready, long ones in pieces, so that none is too much for the engine.

    `on_engine(works)` and `on_progress(done, total)` are called from threads of this class, one at a time and
    in the order of what they report; they must be quick. `on_engine` may repeat itself.
    """

    def __init__(
        self,
        engine: SpeechEngine,
        on_engine: Callable[[bool], None],
        on_progress: Callable[[int, int], None] = lambda _done, _total: None,
        retry_seconds: float = RETRY_SECONDS,
    ) -> None:
        self._engine = engine
        self._on_engine = on_engine
        self._on_progress = on_progress
        self._retry_seconds = retry_seconds
        self._change = threading.Condition()
        # All below is guarded by `_change`.
        self._ready: dict[str, Speech] = {}
        self._prepared: list[str] = []
        self._waiting: deque[str] = deque(maxlen=MAX_KNOWN)
        self._running: dict[str, float] = {}  # text: time it began
        self._failed: dict[str, int] = {}  # text: how often, since it last came out well
        self._nothing_to_say: set[str] = set()
        self._works = True
        self._retry_at = 0.0

    def prepare(self, texts: list[str]) -> None:
        """Renders these in the background, the first first. Call once."""
        with self._change:
            every_piece = (piece for text in texts for piece in pieces(text))
            self._prepared = list(dict.fromkeys(every_piece))[:MAX_KNOWN]
            self._waiting.extend(self._prepared)
        threading.Thread(target=self._work_ahead, name="render-ahead", daemon=True).start()

    def get(
        self, text: str, limit_seconds: float, give_up: threading.Event, tick: Callable[[], None]
    ) -> Speech | None:
        """The sentence as sound, rendered now if need be; None: not to be had within the limit.

        `give_up` ends the waiting, `tick` is called while it lasts.
        """
        wanted = pieces(text)
        until = time.monotonic() + limit_seconds + _ONE_MORE_SECONDS * max(0, len(wanted) - 1)
        begun: set[str] = set()
        while not give_up.is_set():
            with self._change:
                missing = [p for p in wanted if p not in self._ready and p not in self._nothing_to_say]
                begun |= {piece for piece in missing if piece not in begun and self._begin_now(piece)}
                if not missing:
                    return Speech.joined([self._ready[p] for p in wanted if p in self._ready])
                in_hand = self._works and any(piece in self._running for piece in missing)
                if not in_hand or time.monotonic() >= until:
                    return None
                self._change.wait(_SLICE_SECONDS)
            tick()
        return None

    def _begin_now(self, text: str) -> bool:
        """Sees to it that `text` is being rendered; False: it is ready, or there is no hope."""
        if text in self._ready or text in self._nothing_to_say:
            return False
        if text in self._running:
            return self._works
        if not self._works or len(self._running) >= MAX_AT_ONCE:
            if text not in self._waiting:
                self._waiting.appendleft(text)  # for the next time
            return False
        self._begin(text)
        return True

    def _begin(self, text: str) -> None:
        self._running[text] = time.monotonic()
        threading.Thread(target=self._render, args=(text,), name="render", daemon=True).start()

    def _work_ahead(self) -> None:
        while True:
            with self._change:
                self._change.wait(_SLICE_SECONDS if self._running else 0.5)
                self._notice_hang()
                if not self._works and time.monotonic() < self._retry_at:
                    continue
                if self._running or not self._waiting:  # one at a time: the needed one has the other place
                    continue
                text = self._waiting.popleft()
                if text in self._ready or text in self._nothing_to_say:
                    continue
                self._begin(text)

    def _notice_hang(self) -> None:
        now = time.monotonic()
        if self._works and any(now - began > _HUNG_SECONDS for began in self._running.values()):
            self._lose()

    def _lose(self) -> None:
        self._works = False
        self._retry_at = time.monotonic() + self._retry_seconds
        self._on_engine(False)

    def _render(self, text: str) -> None:
        speech, error = None, None
        try:
            speech = self._engine.render(text)
        except FacilitatorError as known:
            error = known.code
        except Exception:  # noqa: BLE001  # an engine is foreign code; any failure means: no voice now
            error = "speech-failed"
        with self._change:
            del self._running[text]
            if speech is not None:
                self._keep(text, speech)
            elif error == "speech-empty":
                self._nothing_to_say.add(text)
            else:
                self._note_failure(text, for_good=error != "speech-failed")
            if speech is not None:
                self._on_engine(True)
            if text in self._prepared:
                done = sum(t in self._ready or t in self._nothing_to_say for t in self._prepared)
                self._on_progress(done, len(self._prepared))
            self._change.notify_all()

    def _keep(self, text: str, speech: Speech) -> None:
        self._works = True
        self._failed.pop(text, None)
        if len(self._ready) >= MAX_KNOWN:
            oldest = next((t for t in self._ready if t not in self._prepared), next(iter(self._ready)))
            del self._ready[oldest]
        self._ready[text] = speech

    def _note_failure(self, text: str, *, for_good: bool) -> None:
        """A crash may be chance and is tried once more; a missing or hanging engine is lost at once."""
        self._failed[text] = self._failed.get(text, 0) + 1
        self._waiting.appendleft(text)
        if for_good or self._failed[text] > 1 or not self._works:
            self._failed.pop(text)
            self._lose()
