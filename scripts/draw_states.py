"""Draws the state machine of a session into docs/architecture.md, from the table the program runs on."""

from __future__ import annotations

import re
from itertools import pairwise
from pathlib import Path

from voice_facilitator.files import protocols
from voice_facilitator.session.machine import IN_A_PHASE, MOVES, UNDO_ONLY, Mode, Where

PAGE = Path(__file__).parent.parent / "docs" / "architecture.md"
_BLOCK = re.compile(r"(?<=```mermaid\n).*?(?=```)", re.DOTALL)


def drawing() -> str:
    """The Mermaid text: modes and moves from the table, the phases of the 45-minute session inside."""
    lines = ["stateDiagram-v2", f"  [*] --> {_id(Mode.NOT_STARTED)}"]
    for mode in Mode:
        inside = " / the same part" if mode in IN_A_PHASE and mode is not Mode.RUNNING else ""
        lines.append(f'  state "{mode}{inside}" as {_id(mode)}')
    phases = [phase.name for phase in protocols.load("balint-45").phases]
    lines.append(f"  state {_id(Mode.RUNNING)} {{")
    lines += [f'    state "{name}" as {_id(name)}' for name in phases]
    lines += [f"    {_id(a)} --> {_id(b)}: enter" for a, b in pairwise(phases)]
    lines.append("  }")
    for move, kind in MOVES.items():
        for source in kind.sources:
            if kind.phase is Where.CHOSEN and source is kind.into:
                continue  # from part to part: drawn inside
            only = " (only to undo)" if (move, source) in UNDO_ONLY else ""
            lines.append(f"  {_id(source)} --> {_id(kind.into)}: {move}{only}")
    lines.append(f"  {_id(Mode.ENDED)} --> [*]")
    return "\n".join(lines) + "\n"


def _id(name: str) -> str:
    """Mermaid wants names without "-"; what people read stands in quotes."""
    return name.replace("-", "_")


def page_with(drawn: str) -> str:
    """The page with its drawing replaced."""
    return _BLOCK.sub(lambda _: drawn, PAGE.read_text(encoding="utf-8"), count=1)


if __name__ == "__main__":
    PAGE.write_text(page_with(drawing()), encoding="utf-8")
