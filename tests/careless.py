"""The control of the privacy tests: the same program, written as carelessly as programs usually are.

    python -m tests.careless run ...

It keeps what it hears in a list and "deletes" it by clearing the list, in ordinary memory. A look into its
memory must find what the group said; if it does not, the look is worth nothing.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from multiprocessing.connection import Connection
from typing import Any

from voice_facilitator.hearing import child, process
from voice_facilitator.hearing.pipeline import Hearing
from voice_facilitator.hearing.voices import VoiceBank

careful = child.run
_sound: deque[bytes] = deque(maxlen=3000)
_voices: deque[bytes] = deque(maxlen=3000)


def run(controls: Connection, messages: Connection, setup: child.Setup) -> None:
    steps, add, forget = Hearing.steps, VoiceBank.add, Hearing.forget

    def careless_steps(self: Hearing, samples: Any) -> Iterator[Any]:
        _sound.append(samples.tobytes())
        yield from steps(self, samples)

    def careless_add(self: VoiceBank, row: Any) -> None:
        _voices.append(row.tobytes())
        add(self, row)

    def careless_forget(self: Hearing, for_good: bool) -> None:
        _sound.clear()
        _voices.clear()
        forget(self, for_good)

    Hearing.steps, VoiceBank.add, Hearing.forget = careless_steps, careless_add, careless_forget  # type: ignore[method-assign]
    careful(controls, messages, setup)


if __name__ == "__main__":
    from voice_facilitator.cli import main

    child.run = run
    process.wiping_allocator = lambda _environment: {}
    main()
