"""Figures of the speaking part, over a virtual sound card.

    python -m benchmarks.running.speaking

Rendering, the start and the end of an announcement against what is really heard, stopping, memory.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable
from pathlib import Path

from tests.support.virtual_room import VirtualRoom
from voice_facilitator.files.settings import load_settings
from voice_facilitator.session.events import AnnouncementFinished, AnnouncementStarted, Input
from voice_facilitator.speaking.engine import engine_for
from voice_facilitator.speaking.process import SpeakingProcess

KNOWN = [
    f"Announcement {n}. The group now imagines how doctor and patient felt in this case." for n in range(40)
]
ROUNDS = 10


def main() -> None:
    argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    ).parse_args()
    settings = load_settings().speaking
    engine = engine_for(settings)
    show("render one sentence", [timed(lambda text=text: engine.render(text)) for text in KNOWN[:ROUNDS]])  # type: ignore[misc]
    events: list[tuple[float, Input]] = []
    ready: list[float] = []

    def progress(done: int, total: int) -> None:
        if done == total:
            ready.append(time.monotonic())

    with VirtualRoom():
        began = time.monotonic()
        process = SpeakingProcess(settings, lambda event: events.append((time.monotonic(), event)))
        process.start(KNOWN, progress)
        wait_for(lambda: bool(ready))
        print(f"{len(KNOWN)} sentences ready after {ready[0] - began:.1f} s")
    process.close()
    with VirtualRoom() as room, room.listening() as heard:
        process = SpeakingProcess(settings, lambda event: events.append((time.monotonic(), event)))
        process.start(KNOWN[:1])
        time.sleep(5)
        asked, stops = [], []
        for number in range(2 * ROUNDS):
            asked.append(time.monotonic())
            process.say(number, KNOWN[0], chime=False)
            if number >= ROUNDS:
                wait_for(lambda: has(events, AnnouncementStarted(number)))  # noqa: B023
                time.sleep(1)
                stops.append(time.monotonic())
                process.stop()
            wait_for(lambda: answered(events, number))  # noqa: B023
            time.sleep(1)
        status = Path(f"/proc/{process.pid}/status").read_text()
        print(next(line for line in status.splitlines() if line.startswith("VmRSS")))
        process.close()
    sounds = heard.stretches()
    started = [moment for moment, event in events if isinstance(event, AnnouncementStarted)]
    over = [moment for moment, event in events if isinstance(event, AnnouncementFinished)]
    assert len(sounds) == len(started) == len(over) == 2 * ROUNDS, (len(sounds), len(started), len(over))
    show("asked to heard", [sound[0] - at for sound, at in zip(sounds, asked, strict=True)])
    show(
        "started is told before it is heard",
        [sound[0] - at for sound, at in zip(sounds, started, strict=True)],
    )
    show(
        "finished is told after it is heard", [at - sound[1] for sound, at in zip(sounds, over, strict=True)]
    )
    show("stop to silence", [sound[1] - at for sound, at in zip(sounds[ROUNDS:], stops, strict=True)])


def timed(call: Callable[[], object]) -> float:
    began = time.monotonic()
    call()
    return time.monotonic() - began


def has(events: list[tuple[float, Input]], wanted: Input) -> bool:
    return any(event == wanted for _, event in events)


def answered(events: list[tuple[float, Input]], number: int) -> bool:
    return any(isinstance(event, AnnouncementFinished) and event.number == number for _, event in events)


def wait_for(met: Callable[[], bool], limit: float = 120) -> None:
    until = time.monotonic() + limit
    while not met():
        if time.monotonic() > until:
            raise TimeoutError
        time.sleep(0.01)


def show(what: str, seconds: list[float]) -> None:
    middle, least, most = statistics.median(seconds), min(seconds), max(seconds)
    print(f"{what}: median {middle:.3f} s, {least:.3f} to {most:.3f} s (n = {len(seconds)})")


if __name__ == "__main__":
    main()
