"""The whole program killed at random moments, again and again: does it go on where it was, and how soon?

    python -m benchmarks.running.power_cuts [--cuts 200] [--minutes 60] [--seed 1] [--json out.json]

Each round starts `run --resume` as a user would (a process of its own, its helper processes with it), kills
all of them with SIGKILL at a random moment and starts again: half of the cuts come as it starts, half as
the session runs. Measured: seconds from the start of the program to the phase that goes on, whether it is the
same phase, and how far its minute is off. A session whose planned end has passed must not go on.
"""

from __future__ import annotations

import argparse
import json
import random
import sys
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import soundfile

from tests.support.program import Program, kept_in

PHASES, MINUTES = 60, 1.0  # as many as a protocol may have
HEAD = 'title = "Many parts"\ndescription = "x"\nlanguage = "en-gb"\ngoodbye = "Goodbye."\n'
PHASE = """
[[phase]]
name = "part-{n}"
title = "Part {n}"
minutes = {m}
floor = "everyone"
announcement = "x"
"""


@dataclass
class Found:
    """What the rounds showed. Lengths in seconds."""

    to_go_on: list[float] = field(default_factory=list)
    minute_off: list[float] = field(default_factory=list)
    cuts: int = 0
    cut_in_start: int = 0
    wrong: list[str] = field(default_factory=list)


def kept(folder: Path) -> dict[str, Any]:
    try:
        return json.loads(kept_in(folder).read_text())["session"]  # type: ignore[no-any-return]
    except (OSError, ValueError):
        return {}


def first_phase(program: Program, seconds: float) -> dict[str, Any] | None:
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        if found := program.events("phase"):
            return found[0]
        time.sleep(0.02)
    return None


def cut_again_and_again(folder: Path, cuts: int, minutes: float, dice: random.Random) -> Found:
    found, until = Found(), time.monotonic() + minutes * 60
    phase, elapsed = "", 0.0  # where the session was when it was cut
    for number in range(cuts):
        if time.monotonic() > until:
            break
        found.cuts += 1
        started = time.monotonic()
        program = Program(folder, "--resume")
        in_start = number > 0 and dice.random() < 0.5
        entry = first_phase(program, dice.uniform(0, 4) if in_start else 90)
        seen = time.monotonic()
        if entry is None:
            found.cut_in_start += 1
            if not in_start:
                found.wrong.append(f"cut {number}: nothing began: {program.said()[-300:]}")
        else:
            begun = 0.0
            if phase:
                if not in_start:
                    found.to_go_on.append(seen - started)
                if (entry["name"], entry["reason"]) != (phase, "restored"):
                    found.wrong.append(f"cut {number}: {phase} was cut, then {entry}")
                time.sleep(dice.uniform(0.3, 2))
                now = kept(folder)
                begun = elapsed
                if now and f"part-{now['plan']['phase_index']}" == phase and now["now"] >= entry["t"]:
                    begun = entry["t"] - now["plan"]["phase_started"]
                    found.minute_off.append(begun - elapsed)
            time.sleep(dice.uniform(0, 2))
            last = program.events("phase")[-1]
            at = entry["t"] + time.monotonic() - seen
            phase = last["name"]
            elapsed = at - last["t"] + (begun if last == entry else 0.0)
        program.power_cut()
        program.errors.close()
        program.log.unlink(missing_ok=True)
    return found


def after_the_end(folder: Path) -> str:
    data = json.loads(kept_in(folder).read_text())
    data["ends_at"] = time.time() - 1
    kept_in(folder).write_text(json.dumps(data))
    program = Program(folder, "--resume")
    entry = first_phase(program, 90)
    program.power_cut()
    return str(entry["reason"]) if entry else "nothing"


def main() -> None:
    options = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    options.add_argument("--cuts", type=int, default=200)
    options.add_argument("--minutes", type=float, default=60.0, help="ends earlier, with fewer cuts")
    options.add_argument("--seed", type=int, default=1)
    options.add_argument("--json", type=Path)
    chosen = options.parse_args()
    with tempfile.TemporaryDirectory(prefix="power-cuts-") as name:
        folder = Path(name)
        soundfile.write(folder / "silence.wav", np.zeros(16_000 * 60), 16_000, subtype="PCM_16")
        text = HEAD + "".join(PHASE.format(n=n, m=MINUTES) for n in range(PHASES))
        (folder / "three.toml").write_text(text)
        found = cut_again_and_again(folder, chosen.cuts, chosen.minutes, random.Random(chosen.seed))
        late = after_the_end(folder)
    result = {
        "cuts": found.cuts,
        "cut_while_it_started": found.cut_in_start,
        "wrong": found.wrong,
        "seconds_to_go_on": {
            "median": round(float(np.median(found.to_go_on)), 1),
            "p95": round(float(np.percentile(found.to_go_on, 95)), 1),
            "most": round(max(found.to_go_on), 1),
        },
        "minute_off_by_seconds": {
            "least": round(min(found.minute_off), 1),
            "most": round(max(found.minute_off), 1),
        },
        "begins_anew_after_the_planned_end": late == "request",
    }
    print(json.dumps(result, indent=2))
    if chosen.json:
        chosen.json.write_text(json.dumps(result, indent=2) + "\n")
    sys.exit(1 if found.wrong or late == "restored" else 0)


if __name__ == "__main__":
    main()
