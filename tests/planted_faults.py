"""Do the tests notice? Puts one fault after the other into a copy of the program; runs what should notice.

    python -m tests.planted_faults          all of them, some minutes
    python -m tests.planted_faults 3 8      the third and the eighth

Not part of the suite. Each fault once survived all tests. One whose text is no longer found is an error: the
fault moves with the code, or goes with it.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

_ROOT = Path(__file__).resolve().parent.parent
_LIMIT_SECONDS = 600
_COPIED = ("config", "tests", "voice_facilitator", "pyproject.toml")
_LINKED = ("models", "docs", "README.md")  # nothing is planted there


@dataclass(frozen=True)
class Fault:
    what: str
    file: str
    right: str
    wrong: str
    tests: str


FAULTS = (
    Fault(
        "a spoken reminder without the end agreeing",
        "hearing/who/turns.py",
        "if self._end is None or self._end < rule.least_end_score:",
        "if self._end is None:",
        "test_hearing_judgement.py",
    ),
    Fault(
        "the presenter's seconds are never let go of",
        "hearing/who/turns.py",
        "_LET_GO_HOPS = 5",
        "_LET_GO_HOPS = 5_000_000",
        "test_hearing_judgement.py",
    ),
    Fault(
        "a closer look's end counts in full",
        "hearing/who/speaker.py",
        "self.two.best_end.score - rule.two_voices_discount",
        "self.two.best_end.score",
        "test_hearing_judgement.py",
    ),
    Fault(
        "a full bank of voices takes every new one",
        "hearing/who/voices.py",
        "            self._every *= 2\n",
        "",
        "test_hearing_judgement.py",
    ),
    Fault(
        "of two equally likely commands one is taken",
        "hearing/commands/commands.py",
        "counts = False  # one of two",
        "pass  # one of two",
        "test_commands_rule.py",
    ),
    Fault(
        "an utterance is not brought to one level",
        "hearing/commands/commands.py",
        "        sound *= np.float32(_LEVEL / max(level, 1e-6))\n",
        "",
        "test_commands_rule.py",
    ),
    Fault(
        "a quiet line may come again at once",
        "session/floor.py",
        "_REARM_SECONDS = 5.0",
        "_REARM_SECONDS = 0.0",
        "test_session_scenarios.py",
    ),
    Fault(
        "a new phase does not begin anew with reminders",
        "session/core.py",
        "        state.reminders.armed = True\n",
        "",
        "test_session_scenarios.py",
    ),
    Fault(
        "a pause takes the discussion below a minute",
        "session/schedule.py",
        "max(phase.least_seconds - elapsed, 60.0)",
        "max(phase.least_seconds - elapsed, 0.0)",
        "test_session_schedule.py",
    ),
    Fault(
        "a caption goes after 12 s however long it is",
        "session/core.py",
        "max(LINE_SECONDS, len(text) / READ_CHARACTERS_PER_SECOND)",
        "LINE_SECONDS",
        "test_session_scenarios.py",
    ),
    Fault(
        "the user's gap_seconds never reach the session",
        "app/setting_up.py",
        "gap_seconds=own.gap_seconds",
        "gap_seconds=1.8",
        "test_settings.py",
    ),
    Fault(
        "an event is told before what fell due earlier",
        "app/conductor.py",
        "if not told and effect.at >= now:",
        "if not told:",
        "test_app_conductor.py",
    ),
    Fault(
        "a key inside a multi-line string counts as one",
        "files/checked_toml.py",
        """return '""' + "\\n" * breaks if breaks else match[0]""",
        "return match[0]",
        "test_settings.py",
    ),
    Fault(
        "an announcement of ten minutes ago is said",
        "speaking/worker.py",
        "STALE_SECONDS = 6.0",
        "STALE_SECONDS = 6000.0",
        "test_speaking_worker.py",
    ),
    Fault(
        "an abort cuts instead of fading",
        "speaking/player.py",
        "ramp = np.linspace(1, 0, fade)[: len(piece)] ** 2",
        "ramp = np.ones(len(piece))",
        "test_speaking_feed.py",
    ),
)


def planted(fault: Fault, text: str) -> str:
    """`text` with the fault in it. Raises ValueError where it does not fit in exactly once."""
    count = text.count(fault.right)
    if count != 1:
        raise ValueError(f'{fault.file} has {count} times what "{fault.what}" replaces: {fault.right!r}')
    return text.replace(fault.right, fault.wrong)


def failures(tree: Path, tests: list[str]) -> list[str]:
    """Names of the tests that fail in a copy of the program."""
    command = [sys.executable, "-m", "pytest", "-q", "-n0", "-p", "no:cacheprovider", "--tb=no"]
    run = subprocess.run(
        [*command, *(f"tests/{name}" for name in tests)],
        cwd=tree,
        env=os.environ | {"PYTHONPATH": str(tree), "PYTHONDONTWRITEBYTECODE": "1"},
        capture_output=True,
        text=True,
        check=False,
        timeout=_LIMIT_SECONDS,
    )
    found = re.findall(r"^(?:FAILED|ERROR) tests/\S+?::(\S+)", run.stdout, re.MULTILINE)
    if run.returncode not in (0, 1) or (run.returncode == 1) != bool(found):
        raise RuntimeError(f"the tests did not run:\n{run.stdout[-2000:]}{run.stderr[-2000:]}")
    return list(dict.fromkeys(name.partition("[")[0] for name in found))


def main(numbers: list[int]) -> int:
    chosen = [fault for number, fault in enumerate(FAULTS, 1) if not numbers or number in numbers]
    wrong = {fault: planted(fault, _source(_ROOT, fault).read_text("utf-8")) for fault in chosen}
    survived = 0
    with tempfile.TemporaryDirectory() as folder:
        tree = Path(folder)
        for name in _COPIED:
            copy = shutil.copytree if (_ROOT / name).is_dir() else shutil.copy
            copy(_ROOT / name, tree / name)
        for name in _LINKED:
            (tree / name).symlink_to(_ROOT / name)
        fail_anyway = failures(tree, sorted({fault.tests for fault in chosen}))
        if fail_anyway:
            print(f"These fail without any fault and are not counted: {', '.join(fail_anyway)}\n")
        print("| fault | in | killed by |\n|---|---|---|")
        for fault in chosen:
            source = _source(tree, fault)
            right = source.read_text("utf-8")
            source.write_text(wrong[fault], "utf-8")
            found = [name for name in failures(tree, [fault.tests]) if name not in fail_anyway]
            source.write_text(right, "utf-8")
            survived += not found
            told = ", ".join(f"`{name}`" for name in found) or "**nothing: it survives**"
            print(f"| {fault.what} | {fault.file} | {told} |", flush=True)
    return 1 if survived else 0


def _source(tree: Path, fault: Fault) -> Path:
    return tree / "voice_facilitator" / fault.file


if __name__ == "__main__":
    sys.exit(main([int(number) for number in sys.argv[1:]]))
