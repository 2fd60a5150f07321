"""Many announcements through one speaking process: does its memory grow?

    python -m benchmarks.running.speaking_memory [--announcements 160] [--json out.json]

The real process, engine and player over a private PulseAudio. All sentences are rendered first; each is begun
in its full length with the chime, and stopped as soon as it is heard: nobody wants to wait for all of it.
"""

from __future__ import annotations

import argparse
import json
import sys
import threading
from collections import Counter
from pathlib import Path

from benchmarks.running.soak import footprint
from tests.support.virtual_room import VirtualRoom
from voice_facilitator.files import protocols
from voice_facilitator.files.settings import load_settings
from voice_facilitator.session import events as ev
from voice_facilitator.speaking.process import SpeakingProcess

LIMIT_SECONDS = 120.0


def main() -> None:
    options = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    options.add_argument("--announcements", type=int, default=160)
    options.add_argument("--json", type=Path)
    chosen = options.parse_args()
    texts = protocols.sentences_of(protocols.load("balint-45"), protocols.load_wording("en-gb"), ())
    outcomes: Counter[str] = Counter()
    finished, prepared = threading.Semaphore(0), threading.Event()

    def happened(event: ev.Input) -> None:
        if isinstance(event, ev.AnnouncementStarted):
            speaking.stop()
        elif isinstance(event, ev.AnnouncementFinished):
            outcomes[event.outcome.value] += 1
            finished.release()

    def progress(done: int, total: int) -> None:
        if done == total:
            prepared.set()

    memory: list[float] = []
    with VirtualRoom() as room:
        settings = load_settings().speaking.model_copy(update={"speaker": room.speaker})
        speaking = SpeakingProcess(settings, happened)
        speaking.start(list(texts), progress)
        prepared.wait(LIMIT_SECONDS)
        for number in range(chosen.announcements):
            speaking.say(number, texts[number % len(texts)])
            finished.acquire(timeout=LIMIT_SECONDS)
            if number % 20 == 0 and speaking.pid is not None:
                memory.append(round(footprint(speaking.pid)[0], 1))
                print(number, memory[-1], "MB", file=sys.stderr, flush=True)
        speaking.close()
    result = {"announcements": dict(outcomes), "restarts": speaking.restarts, "memory_mb": memory}
    print(json.dumps(result, indent=2))
    if chosen.json:
        chosen.json.write_text(json.dumps(result, indent=2) + "\n")


if __name__ == "__main__":
    main()
