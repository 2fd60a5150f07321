"""A live session of eight hours, faster than real time: does anything grow, get lost or stay behind?

    python -m benchmarks.running.soak [--hours 8] [--speech 0.1] [--json out.json]

The real parts: LiveSession, hearing process, speaking process (over a private PulseAudio), resume file and
fault log. The room is a long recording of synthetic voices that the hearing reads as fast as it can, and the
session's clock is the position in it. Between the voices it is digitally silent, which costs nothing: so the
share of speech decides how long this takes. Announcements are really rendered and played, cut to a fifth of a
second, because time runs many times as fast; an answer counts when the speaking process gives it, since the
session may have ended by then. Memory is compared between the end and the first half hour. Rendering takes
real time, so the room is heard only when all sentences are there.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import os
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import numpy as np
import soundfile

from tests.support import demo_room
from tests.support.virtual_room import VirtualRoom
from voice_facilitator.app import live as live_session
from voice_facilitator.app.faultlog import FaultLog
from voice_facilitator.app.live import LiveSession
from voice_facilitator.app.resume import ResumeFile
from voice_facilitator.app.setting_up import commands_of, new_session
from voice_facilitator.files import protocols
from voice_facilitator.files.settings import load_settings
from voice_facilitator.hearing.process import File, HearingProcess
from voice_facilitator.hearing.sound.samples import RATE
from voice_facilitator.machine.clocks import Moment
from voice_facilitator.session import View
from voice_facilitator.session import events as ev
from voice_facilitator.session.protocol import Protocol
from voice_facilitator.speaking.engine import Pyttsx3Engine, Speech
from voice_facilitator.speaking.process import SpeakingProcess

WARM_SECONDS = 1800.0
live_session._PREPARE_SENTENCES, live_session._PREPARE_SECONDS = 1000, 300.0
LIMIT_MB = 20.0

_SHORT_ENGINE = "benchmarks.running.soak:ShortEngine"  # as the child finds it


class ShortEngine(Pyttsx3Engine):
    """Renders everything and keeps a fifth of a second."""

    def render(self, text: str) -> Speech:
        speech = super().render(text)
        return Speech(speech.samples[: speech.rate // 5], speech.rate)


class NoScreen:
    def start(self) -> None: ...
    def update(self, view: View, level_dbfs: float | None) -> None: ...
    def stop(self) -> None: ...


def long_room(path: Path, hours: float, speech_share: float) -> None:
    """The demo's room again and again, in pieces of twelve seconds with silence between."""
    samples = (demo_room.room().samples * 32767).astype(np.int16)
    pieces = np.array_split(samples, max(1, len(samples) // (12 * RATE)))
    left = int(hours * 3600 * RATE)
    with soundfile.SoundFile(path, "w", RATE, 1, subtype="PCM_16", format="FLAC") as file:
        while left > 0:
            for piece in pieces:
                pause = np.zeros(int(len(piece) * (1 - speech_share) / speech_share), np.int16)
                for part in (piece, pause):
                    file.write(part[:left])
                    left -= len(part[:left])


def long_protocol(hours: float) -> Protocol:
    """balint-45 again and again: presenters are learnt and wiped each time."""
    one = protocols.load("balint-45")
    times = max(1, int(hours * 3600 // one.seconds))
    scale = hours * 3600 / (one.seconds * times)
    phases = [
        dataclasses.replace(phase, name=f"{phase.name}-{n}", seconds=phase.seconds * scale)
        for n in range(times)
        for phase in one.phases
    ]
    return dataclasses.replace(one, phases=tuple(phases))


def footprint(pid: int) -> tuple[float, int, int]:
    """MB of memory, threads, open files. Resident, not proportional: that would move with what else runs."""
    rollup = Path(f"/proc/{pid}/smaps_rollup").read_text()
    kilobytes = next(int(line.split()[1]) for line in rollup.splitlines() if line.startswith("Rss:"))
    return kilobytes / 1024, len(os.listdir(f"/proc/{pid}/task")), len(os.listdir(f"/proc/{pid}/fd"))  # noqa: PTH208


class Soak:
    def __init__(self, hours: float, speech_share: float, folder: Path, room: VirtualRoom) -> None:
        settings = load_settings()
        speaking = settings.speaking.model_copy(update={"speaker": room.speaker})
        recording = folder / "room.flac"
        long_room(recording, hours + 0.1, speech_share)
        protocol = long_protocol(hours)
        self.counted: Counter[str] = Counter()
        self.open: dict[int, str] = {}  # announcements by number
        self.answered: set[int] = set()
        self.samples: list[dict[str, float]] = []
        self.began = time.monotonic()
        commands = commands_of(settings, protocol, lambda text: print(text, file=sys.stderr))
        self.live = LiveSession(
            new_session(settings, protocol),
            lambda put: self._keep(HearingProcess(File(recording), settings.hearing, put, commands=commands)),
            lambda put: SpeakingProcess(speaking, self._answers(put), engine=_SHORT_ENGINE),
            NoScreen(),
            [self._count],
            sentences=protocols.sentences_of(protocol, protocols.load_wording("en-gb"), ()),
            begin_after_seconds=0.0,
            keys=False,
            resume_file=ResumeFile("balint-45", folder / "resume.json"),
            fault_log=FaultLog(folder / "faults.jsonl"),
            clock=lambda: self.hearing.position if hasattr(self, "hearing") else 0.0,
            moment=lambda: Moment(self.hearing.position if hasattr(self, "hearing") else 0.0),
            asleep=lambda: 0.0,
        )

    def _keep(self, hearing: HearingProcess) -> HearingProcess:
        self.hearing = hearing
        return hearing

    def _count(self, t: float, item: ev.Input | ev.Effect) -> None:
        self.counted[type(item).__name__] += 1
        match item:
            case ev.Announce(number=number, key=key):
                self.open[number] = f"{key} at {t:.0f} s"
            case _:
                pass

    def _answers(self, put: Callable[[ev.Input], None]) -> Callable[[ev.Input], None]:
        def answered(event: ev.Input) -> None:
            if isinstance(event, ev.AnnouncementFinished):
                self.answered.add(event.number)
            put(event)

        return answered

    def unanswered(self) -> list[str]:
        return [what for number, what in self.open.items() if number not in self.answered]

    def watch(self, stopped: threading.Event) -> None:
        while not stopped.wait(5):
            pids = {
                "program": os.getpid(),
                "hearing": self.live._hearing.pid,
                "speaking": self.live._speaking.pid,
            }
            entry: dict[str, float] = {
                "position": self.hearing.position,
                "real": time.monotonic() - self.began,
            }
            for name, pid in pids.items():
                if pid is not None:
                    try:
                        entry[name], entry[f"{name} threads"], entry[f"{name} files"] = footprint(pid)
                    except (OSError, StopIteration):
                        continue
            self.samples.append(entry)
            if len(self.samples) % 12 == 0:
                print({name: round(value, 1) for name, value in entry.items()}, file=sys.stderr, flush=True)


def main() -> None:
    options = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    options.add_argument("--hours", type=float, default=8.0)
    options.add_argument("--speech", type=float, default=0.1)
    options.add_argument("--json", type=Path)
    chosen = options.parse_args()
    with tempfile.TemporaryDirectory(prefix="soak-") as folder, VirtualRoom() as room:
        threads_before = set(threading.enumerate())
        soak = Soak(chosen.hours, chosen.speech, Path(folder), room)
        stopped = threading.Event()
        watcher = threading.Thread(target=soak.watch, args=(stopped,))
        watcher.start()
        code = soak.live.run()
        stopped.set()
        watcher.join()
        left_files = sorted(path.name for path in Path(folder).iterdir())
    time.sleep(1)
    warm_from = min(WARM_SECONDS, chosen.hours * 1200)
    warm = [entry for entry in soak.samples if entry["position"] >= warm_from and "hearing" in entry]

    def grown(name: str) -> float:
        begin, end = [e[name] for e in warm[:5] if name in e], [e[name] for e in warm[-5:] if name in e]
        return round(float(np.median(end) - np.median(begin)), 1)

    growth = {name: grown(name) for name in ("program", "hearing", "speaking")}
    real = soak.samples[-1]["real"]
    counters = soak.hearing.counters
    result = {
        "exit": int(code),
        "hours": round(soak.samples[-1]["position"] / 3600, 2),
        "real_minutes": round(real / 60, 1),
        "times_real_time": round(soak.samples[-1]["position"] / real, 1),
        "memory_mb_warm": {name: round(warm[0].get(name, 0), 1) for name in growth},
        "growth_mb": growth,
        "growth_mb_in_all": round(sum(growth.values()), 1),
        "threads_and_files_warm": {k: v for k, v in warm[0].items() if "threads" in k or "files" in k},
        "threads_and_files_end": {k: v for k, v in warm[-1].items() if "threads" in k or "files" in k},
        "events": dict(soak.counted.most_common()),
        "announcements_without_answer": soak.unanswered(),
        "restarts": soak.hearing.restarts + soak.live._speaking.restarts,
        "dropped": {
            "samples": counters.dropped_samples,
            "messages": soak.hearing.dropped,
            "announcements": soak.live._speaking.dropped,
            "inbox": soak.live.dropped_events,
        },
        "processes_left": [pid for pid in (soak.hearing.pid, soak.live._speaking.pid) if pid is not None],
        "threads_left": sorted(t.name for t in set(threading.enumerate()) - threads_before),
        "files_left": left_files,
    }
    text = json.dumps(result, indent=2)
    print(text)
    if chosen.json:
        chosen.json.write_text(text + "\n")
    bad = result["growth_mb_in_all"] >= LIMIT_MB or result["processes_left"] or result["threads_left"]
    sys.exit(1 if bad or code else 0)


if __name__ == "__main__":
    main()
