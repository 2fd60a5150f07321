"""The demo's loudspeaker: plays the room's sound, in a process of its own that can simply be ended."""

from __future__ import annotations

import contextlib
import threading
from dataclasses import dataclass

import numpy as np

from voice_facilitator.errors import FacilitatorError
from voice_facilitator.hearing.sound.samples import Floats
from voice_facilitator.machine import soundcard
from voice_facilitator.machine.child_process import Ending, Hooks, Limits, Pipes, Supervisor
from voice_facilitator.machine.messages import Codec
from voice_facilitator.speaking.engine import Speech
from voice_facilitator.speaking.player import Player, SpeakerWedgedError

_LIMITS = Limits(start=3600.0, silent=3600.0, again=(), again_hung=0.0, steady=0.0)
_LONGEST = 1 << 28  # bytes of int16 samples


@dataclass(frozen=True, slots=True)
class Play:
    """Play the int16 mono samples that follow, at `rate` Hz, over `speaker`."""

    rate: int
    speaker: str


@dataclass(frozen=True, slots=True)
class Stop:
    """Enough."""


Control = Play | Stop
_CONTROLS: Codec[Control] = Codec(Play, Stop)
_REPORTS: Codec[Stop] = Codec(Stop)  # it has nothing to report


class Loudspeaker(Hooks[Control, Stop]):
    """Plays once, from `start` on."""

    def __init__(self, samples: Floats, rate: int, speaker: str) -> None:
        """samples: float32 mono of full scale 1, at `rate` Hz."""
        self._play = Play(rate, speaker)
        self._samples = np.asarray(samples * 32767, np.int16).tobytes()
        self._supervisor: Supervisor[Control, Stop] = Supervisor(
            "loudspeaker", _CONTROLS, _REPORTS, self, limits=_LIMITS
        )
        self.start = self._supervisor.start

    def setup(self) -> tuple[Control, tuple[bytes, ...]]:
        """See `Hooks`."""
        return self._play, (self._samples,)

    def lost(self, ending: Ending, *, was_alive: bool, failures: int) -> bool:
        """See `Hooks`: it plays once."""
        del ending, was_alive, failures
        return False

    def stop(self) -> None:
        """End it, in the middle of a word if need be."""
        self._supervisor.close(Stop(), 0.0)


def run(pipes: Pipes[Control, Stop]) -> None:
    """The process's main function."""
    soundcard.silence_native_noise()
    play = pipes.receive(_CONTROLS)
    assert isinstance(play, Play)
    samples = np.frombuffer(pipes.receive_bytes(_LONGEST), np.int16)
    threading.Thread(target=pipes.receive, args=(_CONTROLS,), daemon=True).start()  # ends with the program

    with contextlib.suppress(FacilitatorError, SpeakerWedgedError):
        Player(play.speaker).play(
            lambda rate: Speech(samples, play.rate).at_rate(rate, 1.0), abort=threading.Event()
        )
