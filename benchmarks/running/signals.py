"""The whole program sent SIGINT, SIGTERM and SIGHUP at random moments: does it always end as it should?

    python -m benchmarks.running.signals [--times 200] [--at-once 4] [--seed 1] [--json out.json]

Each round starts `run` with a short session and sends one to four signals in random order, to the program
alone or to all of its processes (as a terminal and a logout do), from a tenth of a millisecond to seconds
apart. The first comes at any moment from the start of Python to the end of the program. A quarter of the
rounds tell voices apart, a quarter run in a terminal that is closed instead. It must

- end with 130, or with 0 where the session had ended by itself before;
- say nothing like a traceback;
- stop a session that runs in order, so that the voices are wiped (`ended` in the event log);
- leave the resume file where the computer or the terminal went away, and none where a person pressed Ctrl-C;
- leave no process behind.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import random
import re
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import soundfile

from tests.support.program import PROTOCOL, kept_in, orphans

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
# The signal comes so long after one of these: a busy machine takes its time between them.
AFTER = {"the start": 12.0, "the first part": 9.0, "the end": 1.5}
LIMIT_SECONDS = 60.0  # for its end: the machine is busy
WORRYING = re.compile(r"Traceback|Exception|Error|Fatal|Aborted", re.IGNORECASE)


@dataclass
class Round:
    """One program and what becomes of it. `kind`: alone, hearing, terminal."""

    kind: str
    after: str
    begin_seconds: float
    numbers: list[signal.Signals]
    gaps_seconds: list[float]
    to_all: bool
    stage: str = ""
    code: int | None = None
    seconds_to_end: float = 0.0
    wrong: str = ""


def drawn(dice: random.Random) -> Round:
    many, after = dice.choice([1, 2, 2, 3, 4]), dice.choice(sorted(AFTER))
    return Round(
        dice.choice(["alone", "alone", "hearing", "terminal"]),
        after,
        dice.uniform(0, AFTER[after]),
        [dice.choice(SIGNALS) for _ in range(many)],
        [10 ** dice.uniform(-4, 0.5) for _ in range(many)],
        dice.random() < 0.5,
    )


def held_back() -> None:
    """As the installed command does: until the program is there to answer."""
    signal.pthread_sigmask(signal.SIG_BLOCK, SIGNALS)


def started(found: Round, folder: Path) -> tuple[subprocess.Popen[bytes], int | None]:
    """The program, and the hand on its terminal where it has one."""
    (folder / "three.toml").write_text(
        PROTOCOL.format(minutes=0.04).replace("goodbye =", "closing_seconds = 2\ngoodbye =")
    )
    command = [sys.executable, "-m", "voice_facilitator", "run", "--begin-after", "0", "--no-browser"]
    command += ["--protocol", str(folder / "three.toml"), "--audio", str(folder.parent / "silence.wav")]
    command += ["--events", str(folder / "events.jsonl")]
    command += [] if found.kind == "hearing" else ["--timer-only"]
    environment = {**os.environ, "XDG_STATE_HOME": str(folder), "PULSE_SERVER": "unix:/nonexistent"}
    if found.kind != "terminal":
        said = (folder / "said").open("wb")
        program = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=said,
            stderr=said,
            env=environment,
            start_new_session=True,
            preexec_fn=held_back,  # noqa: PLW1509
        )
        return program, None
    hand, terminal = os.openpty()

    def in_terminal() -> None:
        import fcntl  # noqa: PLC0415
        import termios  # noqa: PLC0415

        os.setsid()
        fcntl.ioctl(0, termios.TIOCSCTTY, 0)
        held_back()

    program = subprocess.Popen(
        command,
        stdin=terminal,
        stdout=terminal,
        stderr=terminal,
        env=environment,
        preexec_fn=in_terminal,  # noqa: PLW1509
    )
    os.close(terminal)
    os.set_blocking(hand, False)
    return program, hand


def drain(hand: int | None) -> None:
    """Reads what the terminal shows."""
    if hand is not None:
        with contextlib.suppress(OSError):
            while os.read(hand, 65_536):
                pass


def events(folder: Path) -> list[dict[str, object]]:
    try:
        lines = (folder / "events.jsonl").read_text().splitlines()
    except OSError:
        return []
    return [json.loads(line) for line in lines if line.endswith("}")]


def play(found: Round, folder: Path) -> Round:
    folder.mkdir()
    program, hand = started(found, folder)
    awaited = {"the first part": "phase", "the end": "ended"}.get(found.after)
    while awaited and not any(entry["event"] == awaited for entry in events(folder)):
        drain(hand)
        time.sleep(0.02)
    until = time.monotonic() + found.begin_seconds
    while time.monotonic() < until and program.poll() is None:
        drain(hand)
        time.sleep(min(0.05, max(0.0, until - time.monotonic())))
    names = [str(entry["event"]) for entry in events(folder)]
    found.stage = (
        "over"
        if "ended" in names
        else "session"
        if "phase" in names
        else "ready"
        if (folder / "events.jsonl").exists()
        else "start"
    )
    sent = time.monotonic()
    if hand is not None:
        os.close(hand)
        found.numbers = [signal.SIGHUP]
    else:
        for number, gap in zip(found.numbers, found.gaps_seconds, strict=True):
            if program.poll() is not None:  # its number may be another program's by now
                break
            with contextlib.suppress(ProcessLookupError):
                (os.killpg if found.to_all else os.kill)(program.pid, number)
            with contextlib.suppress(subprocess.TimeoutExpired):
                program.wait(gap)
    try:
        found.code = program.wait(LIMIT_SECONDS)
    except subprocess.TimeoutExpired:
        found.wrong = "it did not end"
        os.killpg(program.pid, signal.SIGKILL)
        program.wait()
        return found
    found.seconds_to_end = time.monotonic() - sent
    found.wrong = judged(found, folder, program.pid)
    return found


def judged(found: Round, folder: Path, session: int) -> str:
    """What is wrong, or nothing."""
    ends = [entry["reason"] for entry in events(folder) if entry["event"] == "ended"]
    said = (folder / "said").read_text(errors="replace") if (folder / "said").exists() else ""
    by_itself = ends == ["planned"]
    could_go_on = ends == ["stopped"] and not any(entry.get("id") == "goodbye" for entry in events(folder))
    until = time.monotonic() + 10
    while (left := orphans()) and time.monotonic() < until:
        time.sleep(0.1)
    problems = {
        f"exit code {found.code}": found.code != 130 and not (found.code == 0 and by_itself),
        f"it said: {said[-300:]}": WORRYING.search(said) is not None,
        "not stopped in order": found.stage == "session" and len(ends) != 1,
        "no resume file": could_go_on
        and found.stage == "session"
        and found.numbers[0] is not signal.SIGINT
        and not kept_in(folder).exists(),
        "a resume file": found.numbers[0] is signal.SIGINT and kept_in(folder).exists(),
        f"processes left: {left}": bool(left),
    }
    return "; ".join(text for text, is_wrong in problems.items() if is_wrong)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--times", type=int, default=200)
    parser.add_argument("--at-once", type=int, default=4)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    dice = random.Random(options.seed)
    rounds = [drawn(dice) for _ in range(options.times)]
    with tempfile.TemporaryDirectory() as name, ThreadPoolExecutor(options.at_once) as pool:
        folder = Path(name)
        soundfile.write(folder / "silence.wav", np.zeros(16_000 * 60), 16_000, subtype="PCM_16")
        list(pool.map(lambda n: play(rounds[n], folder / str(n)), range(len(rounds))))
    print("| caught in | " + " | ".join(["rounds", "as it should", "130", "0", "longest end"]) + " |")
    print("|---|---|---|---|---|---|")
    for stage in ("start", "ready", "session", "over"):
        of = [one for one in rounds if one.stage == stage]
        codes = Counter(one.code for one in of)
        longest = max((one.seconds_to_end for one in of), default=0.0)
        good = sum(not one.wrong for one in of)
        print(f"| {stage} | {len(of)} | {good} | {codes[130]} | {codes[0]} | {longest:.1f} s |")
    for one in rounds:
        if one.wrong:
            print(
                f"{one.kind}, {one.stage}, {[n.name for n in one.numbers]}, {one.gaps_seconds}: {one.wrong}"
            )
    if options.json:
        options.json.write_text(json.dumps([vars(one) for one in rounds], indent=1))
    sys.exit(any(one.wrong for one in rounds))


if __name__ == "__main__":
    main()
