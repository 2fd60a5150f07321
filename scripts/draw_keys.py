"""Writes README's table of keys from the one that page and terminal go by."""

from __future__ import annotations

import re
from pathlib import Path

from voice_facilitator.display.key_table import KEYS
from voice_facilitator.files import protocols
from voice_facilitator.session.events import Action

PAGE = Path(__file__).parent.parent / "README.md"
_BLOCK = re.compile(r"(?<=<!-- keys -->\n).*?(?=<!-- end of keys -->)", re.DOTALL)
_NAMES = {" ": "space", "ArrowLeft": "←", "ArrowRight": "→"}


def table() -> str:
    """One row for each set of keys, with what the screen calls it; the key that is shown comes first."""
    texts = protocols.load_phrases("en-gb")
    does: dict[tuple[str, ...], list[Action]] = {}
    for key in KEYS:
        names = sorted((_NAMES.get(name, name) for name in key.names), key=lambda name: name != key.shown)
        does.setdefault(tuple(names), []).append(key.action)
    rows = [
        (", ".join(f"`{name}`" for name in names), ", ".join(texts[f"action.{a.value}"] for a in actions))
        for names, actions in does.items()
    ]
    rows.append(("`ctrl-c`", texts["action.quit"]))
    return "\n| key | does |\n|---|---|\n" + "".join(f"| {keys} | {text} |\n" for keys, text in rows) + "\n"


def page_with(drawn: str) -> str:
    """The page with its table replaced."""
    return _BLOCK.sub(lambda _: drawn, PAGE.read_text(encoding="utf-8"), count=1)


if __name__ == "__main__":
    PAGE.write_text(page_with(table()), encoding="utf-8")
