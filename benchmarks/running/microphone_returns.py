"""A microphone that is unplugged and comes back: how many seconds until the hearing process hears it again?

    python -m benchmarks.running.microphone_returns [--times 10] [--seed 1]

Over a private PulseAudio. It is away for 1 to 20 s, since attempts become rarer; noise goes into it, and its
return is the event `PartBack`.
"""

from __future__ import annotations

import argparse
import json
import queue
import random
import sys
import time

import numpy as np

from tests.support.virtual_room import VirtualRoom
from voice_facilitator.files.settings import load_settings
from voice_facilitator.hearing.process import HearingProcess, Microphone
from voice_facilitator.session.events import Input, Part, PartBack, PartLost

LIMIT = 60.0


def wait_for(events: queue.Queue[Input], wanted: type[PartLost | PartBack]) -> float:
    """Until the microphone is lost or back."""
    while True:
        event = events.get(timeout=LIMIT)
        if isinstance(event, wanted) and event.part is Part.MICROPHONE:
            return time.monotonic()


def main() -> None:
    options = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    options.add_argument("--times", type=int, default=10)
    options.add_argument("--seed", type=int, default=1)
    chosen = options.parse_args()
    dice, returns, goes = random.Random(chosen.seed), [], []
    noise = np.random.default_rng(chosen.seed).normal(0, 30, 48_000 * 60 * 30).astype(np.int16)
    events: queue.Queue[Input] = queue.Queue()
    settings = load_settings().hearing.model_copy(update={"silent_microphone_seconds": 2.0})
    with VirtualRoom() as room:
        hearing = HearingProcess(Microphone(room.microphone), settings, events.put)
        hearing.start()
        hearing.wait_ready()
        for _ in range(chosen.times):
            playing = room.play_into_microphone(noise, 48_000, wait=False)
            time.sleep(4)
            room.unplug_microphone()
            unplugged = time.monotonic()
            playing.kill()
            playing.wait()
            goes.append(wait_for(events, PartLost) - unplugged)
            playing = room.play_into_microphone(noise, 48_000, wait=False)
            time.sleep(dice.uniform(1, 20))
            room.plug_microphone()
            plugged = time.monotonic()
            returns.append(wait_for(events, PartBack) - plugged)
            playing.kill()
            playing.wait()
        hearing.stop()
    result = {
        "times": chosen.times,
        "noticed_after_seconds": {"median": round(float(np.median(goes)), 1), "most": round(max(goes), 1)},
        "heard_again_after_seconds": {
            "median": round(float(np.median(returns)), 1),
            "most": round(max(returns), 1),
        },
    }
    print(json.dumps(result, indent=2))
    sys.exit(1 if max(returns) > 5 else 0)


if __name__ == "__main__":
    main()
