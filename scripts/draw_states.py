"""Draws the state machine of a session into docs/architecture.md, from the table the program runs on."""

from __future__ import annotations

import re
from pathlib import Path

from transitions.extensions import HierarchicalGraphMachine
from transitions.extensions.nesting import NestedState

from voice_facilitator import protocols
from voice_facilitator.session import machine

PAGE = Path(__file__).parent.parent / "docs" / "architecture.md"
_BLOCK = re.compile(r"(?<=```mermaid\n).*?(?=```)", re.DOTALL)
_NAME = re.compile(r"[/-]")


class _State(NestedState):
    separator = machine.SEPARATOR


class _Graph(HierarchicalGraphMachine):
    state_cls = _State


def drawing() -> str:
    """The Mermaid text of the 45-minute session's machine."""
    protocol = protocols.load("balint-45")
    graph = _Graph(
        states=machine.states(protocol),
        transitions=machine.transitions(protocol),
        initial=machine.NOT_STARTED,
        auto_transitions=False,
        graph_engine="mermaid",
    )
    lines = str(graph.get_graph().source).splitlines()
    begin = lines.index("stateDiagram-v2")
    plain = [line for line in lines[begin:] if not re.match(r"\s*(class|Class)", line) and line.strip()]
    return "\n".join(_plain_names(line) for line in plain) + "\n"


def _plain_names(line: str) -> str:
    """Mermaid wants names without "/" and "-"; what people read stands in quotes or after the colon."""
    if " --> " in line:
        arrow, colon, label = line.partition(":")
        source, _, target = arrow.partition(" --> ")
        return f"{_NAME.sub('_', source)} --> {_NAME.sub('_', target)}{colon}{label}"
    head, as_, name = line.partition(" as ")
    return f"{head}{as_}{_NAME.sub('_', name)}"


def page_with(drawn: str) -> str:
    """The page with its drawing replaced."""
    return _BLOCK.sub(lambda _: drawn, PAGE.read_text(encoding="utf-8"), count=1)


if __name__ == "__main__":
    PAGE.write_text(page_with(drawing()), encoding="utf-8")
