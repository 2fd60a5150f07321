"""What the hearing costs: share of real time on one core, where it goes, whether it grows.

    python -m benchmarks.running.hearing_cost SESSION.flac --hours 4

The sound is handed over 0.2 s at a time, as the microphone does, and begun again until it has lasted so
long. Two minutes are the round, two teach the presenter's voice, and the rest is a discussion.
"""

from __future__ import annotations

import os

from voice_facilitator.machine.resources import ONE_THREAD

os.environ.update(dict.fromkeys(ONE_THREAD, "1"))  # as the hearing process does, before NumPy is loaded

import argparse
import contextlib
import re
import resource
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from voice_facilitator.files.settings import Settings, load_settings
from voice_facilitator.hearing.commands.command_engines import CommandSetup
from voice_facilitator.hearing.pipeline import Hearing
from voice_facilitator.hearing.process import File, HearingProcess
from voice_facilitator.hearing.sound.source import FileSource
from voice_facilitator.hearing.who.voice_model import VoiceModel, load_voice_model
from voice_facilitator.session.events import Listen

SMALL_HOP_SECONDS = 0.4
STORY = Listen(0.0, enrol=True, learn_others=False, decide=False, new_presenter=True)
ROUND = Listen(0.0, enrol=False, learn_others=True, decide=False, is_round=True)
DISCUSSION = Listen(0.0, enrol=False, learn_others=False, decide=True)
PHASES = ((0.0, ROUND), (120.0, STORY), (240.0, DISCUSSION))  # seconds of sound at which each begins


@dataclass(frozen=True)
class Cost:
    """Shares of real time, in one process, on one core."""

    all: float
    activity: float  # speech or not
    encoder: float
    closer: float  # looks at windows in which two people may speak
    decision: float
    growth: float | None  # the last quarter by the first; None with fewer than four passes
    memory: float  # MB, at most

    def row(self, name: str) -> str:
        parts = (self.all, self.activity, self.encoder, self.closer, self.decision)
        growth = "-" if self.growth is None else f"{self.growth:.2f}"
        cells = [f"{100 * part:.1f}" for part in parts] + [growth, f"{self.memory:.0f}"]
        return f"| {name} | " + " | ".join(cells) + " |"


HEAD = (
    "| setting | all, % of real time | speech or not | voices | two voices | decision "
    "| last by first quarter | MB |"
)


def measure(path: Path, model: VoiceModel, settings: Settings, hours: float) -> Cost:
    """hours: of sound, at least one pass through the file."""
    clock = time.process_time
    spent = {"activity": 0.0, "encoder": 0.0, "closer": 0.0, "decision": 0.0}

    def timed(name: str, work: Callable[..., Any]) -> Callable[..., Any]:
        def run(*args: Any, **more: Any) -> Any:
            began = clock()
            answer = work(*args, **more)
            spent[name] += clock() - began
            return answer

        return run

    class Encoder:
        """The same encoder, timed."""

        name, dim, tells_two = model.encoder.name, model.encoder.dim, model.encoder.tells_two
        encode = staticmethod(timed("encoder", model.encoder.encode))
        two_voices = staticmethod(timed("closer", model.encoder.two_voices))

    hearing = Hearing(settings.hearing, replace(model, encoder=Encoder()))
    hearing._activity.step = timed("activity", hearing._activity.step)  # type: ignore[method-assign]
    hearing.decide = timed("decision", hearing.decide)  # type: ignore[method-assign]
    heard, began = 0.0, clock()
    phases = list(PHASES)
    marks = [(0.0, 0.0)]
    while heard < hours * 3600 or len(marks) == 1:
        for block in FileSource(path, block_seconds=0.2).blocks():
            if phases and heard >= phases[0][0]:
                hearing.listen(phases.pop(0)[1])
            hearing.feed(block)
            heard += len(block) / 16_000
        marks.append((heard, clock() - began))
    quarter = max(1, (len(marks) - 1) // 4)
    first, last = (
        (b[1] - a[1]) / (b[0] - a[0])
        for a, b in ((marks[0], marks[quarter]), (marks[-1 - quarter], marks[-1]))
    )
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    spent["decision"] -= spent["encoder"] + spent["closer"]  # they are asked for there
    shares = [value / heard for value in (clock() - began, *spent.values())]
    return Cost(*shares, last / first if len(marks) > 4 else None, memory)


def process(path: Path, settings: Settings) -> tuple[float, float] | None:
    """What the real hearing process needs, commands and all: share of the sound's time, and MB at most.

    None where there is no /proc. The sound is heard as fast as it goes, so phases come a little late.
    """
    over = threading.Event()
    hearing = HearingProcess(
        File(path),
        settings.hearing,
        lambda _event: None,
        on_end=over.set,
        commands=CommandSetup(settings.commands, "en"),
    )
    phases = list(PHASES)
    hearing.send(phases.pop(0)[1])
    hearing.start()
    megabytes = ticks = 0
    while not over.wait(0.05):
        if phases and hearing.position >= phases[0][0]:
            hearing.send(phases.pop(0)[1])
        with contextlib.suppress(OSError, AttributeError):
            status = Path(f"/proc/{hearing.pid}/status").read_text()
            megabytes = int(re.search(r"VmHWM:\s*(\d+)", status)[1])  # type: ignore[index]
            times = Path(f"/proc/{hearing.pid}/stat").read_text().rpartition(")")[2].split()
            ticks = int(times[11]) + int(times[12])
    seconds = hearing.position
    hearing.stop()
    return (ticks / os.sysconf("SC_CLK_TCK") / seconds, megabytes / 1024) if megabytes else None


def table(path: Path, hours: float) -> str:
    """Both settings, and what the real process holds."""
    settings = load_settings()
    model = load_voice_model(settings.hearing)
    small = settings.model_copy(
        update={"hearing": settings.hearing.model_copy(update={"hop_seconds": SMALL_HOP_SECONDS})}
    )
    rows = [
        measure(path, model, small, 0.0).row("small machine, hop 0.4 s"),
        measure(path, model, settings, hours).row("default, hop 0.2 s"),
    ]
    needed = process(path, settings)
    found = "\n".join([HEAD, "|" + "---|" * (HEAD.count("|") - 1), *reversed(rows)])
    if needed is not None:
        found += "\n\nThe program's hearing process, one pass, start and commands included: "
        found += f"{100 * needed[0]:.1f} % of real time, {needed[1]:.0f} MB."
    return found


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("sound", type=Path, help="a session's sound")
    parser.add_argument(
        "--hours", type=float, default=0.0, help="go on with the same sound up to this length"
    )
    options = parser.parse_args()
    print(table(options.sound, options.hours))


if __name__ == "__main__":
    main()
