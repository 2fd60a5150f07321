"""Writes the tables of docs/commands.md from the phrases that the program listens for."""

from __future__ import annotations

import re
from pathlib import Path

from voice_facilitator.files import phrases

PAGE = Path(__file__).parent.parent / "docs" / "commands.md"
_BLOCK = re.compile(r"(?<=<!-- tables -->\n).*?(?=<!-- end of tables -->)", re.DOTALL)


def tables() -> str:
    """One table for each language, English first."""
    parts = []
    for language in sorted(phrases.languages(), key=lambda name: (name != "en", name)):
        found = phrases.load(language)
        prefix = found.prefix.capitalize()
        headings = found.headings
        others, does = (headings.others, headings.does) if headings else ("", "")
        lines = [f"\n## {found.title}\n", f"| {prefix}, ... | {others} | {does} |", "|---|---|---|"]
        for command in found.commands:
            first, *more = (
                written + ("*" if text in command.bare else "")
                for text, written in zip(command.texts, command.written, strict=True)
            )
            lines.append(f"| **{first}** | {', '.join(more)} | {command.does} |")
        if headings and any(command.bare for command in found.commands):
            lines.append(f"\n\\* {headings.bare}")
        parts.append("\n".join(lines) + "\n")
    return "".join(parts) + "\n"


def page_with(drawn: str) -> str:
    """The page with its tables replaced."""
    return _BLOCK.sub(lambda _: drawn, PAGE.read_text(encoding="utf-8"), count=1)


if __name__ == "__main__":
    PAGE.write_text(page_with(tables()), encoding="utf-8")
