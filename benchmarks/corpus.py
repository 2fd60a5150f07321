"""The speech corpus beside the checkout: its scripts, which are no package, loaded from where they lie."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Any


def script_file(speech: Path, name: str) -> Path:
    """A script of the corpus; ends the program where there is none."""
    file = speech / f"{name}.py"
    if not file.exists():
        raise SystemExit(f"{file} is not there: the speech corpus is needed, which this repository lacks.")
    return file


def script(speech: Path, name: str) -> Any:
    """The same, as a module."""
    spec = importlib.util.spec_from_file_location(name, script_file(speech, name))
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
