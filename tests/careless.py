"""The control of the privacy tests: the same program, written as carelessly as programs usually are.

    python -m tests.careless run ...

It keeps what it hears in ordinary memory: in lists, which it "deletes" by clearing them, and in arrays, where
it only notes down from where on they count. A look into its memory must find what the group said; if it does
not, the look is worth nothing.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from typing import Any

import numpy as np

from voice_facilitator.hearing import child, process
from voice_facilitator.hearing.pipeline import Hearing
from voice_facilitator.hearing.who.voices import VoiceBank
from voice_facilitator.machine import child_process
from voice_facilitator.machine.child_process import Pipes
from voice_facilitator.session.events import Forget

careful = child.run
_sound_list: deque[bytes] = deque(maxlen=3000)
_sound = np.zeros(16_000 * 600, np.float32)  # ten minutes
_voices = np.zeros((3000, 192), np.float32)
_used = {"sound": 0, "voices": 0}
_deleted = dict(_used)  # what lies before is "not there any more"


def run(pipes: Pipes[Any, Any]) -> None:
    steps, add, forget = Hearing.steps, VoiceBank.add, Hearing.forget

    def careless_steps(self: Hearing, samples: Any) -> Iterator[Any]:
        _sound_list.append(samples.tobytes())
        np.put(_sound, np.arange(len(samples)) + _used["sound"], samples, mode="wrap")
        _used["sound"] += len(samples)
        yield from steps(self, samples)

    def careless_add(self: VoiceBank, row: Any) -> None:
        _voices[_used["voices"] % len(_voices)] = row
        _used["voices"] += 1
        add(self, row)

    def careless_forget(self: Hearing, for_good: bool) -> None:
        _sound_list.clear()
        _deleted.update(_used)
        forget(self, for_good)

    Hearing.steps, VoiceBank.add, Hearing.forget = careless_steps, careless_add, careless_forget  # type: ignore[method-assign]
    careful(pipes)


if __name__ == "__main__":
    from voice_facilitator.__main__ import main

    child_process.MODULE = "tests.careless"
    # It forgets in place, as it thinks, instead of ending the process that has heard.
    child_process.Supervisor.renew = lambda self: self.send(Forget(0.0, for_good=False))  # type: ignore[method-assign]
    child.run = run
    process.wiping_allocator = lambda _environment: {}
    main()
