"""The one shape of every error a user can meet: a code, a message and a hint.

The message says what is wrong in the user's words; the hint says what to do next.
"""

from __future__ import annotations

from enum import IntEnum
from typing import Any

from voice_facilitator.visible import visible


class ExitCode(IntEnum):
    """Exit codes of the program, documented in the README."""

    OK = 0
    FAILED = 1  # a check found something wrong, or a part of us broke
    USAGE = 2  # wrong command line
    BAD_FILE = 3  # protocol, settings, script or audio file with mistakes
    NO_DEVICE = 4  # microphone or speaker missing
    NO_MODEL = 5  # a model is missing or damaged
    NO_ENGINE = 6  # the speech engine or another system part is missing
    INTERRUPTED = 130


class FacilitatorError(Exception):
    """Something the user can act on.

    `code` is a short stable word (`audio-empty`) that scripts may rely on. What comes from files, devices or
    the command line is shown as text, whatever it is.
    """

    def __init__(
        self, code: str, message: str, hint: str = "", *, exit_code: ExitCode = ExitCode.FAILED
    ) -> None:
        self.code = code
        self.message = visible(message, layout=True)
        self.hint = visible(hint, layout=True)
        super().__init__(self.message)
        self.exit_code = exit_code

    def __reduce__(self) -> tuple[Any, ...]:  # crosses process borders
        return (_rebuild, (type(self), self.code, self.message, self.hint, self.exit_code))

    def as_dict(self) -> dict[str, str]:
        return {"code": self.code, "message": self.message, "hint": self.hint}


def _rebuild(
    cls: type[FacilitatorError], code: str, message: str, hint: str, exit_code: ExitCode
) -> FacilitatorError:
    error = cls.__new__(cls)  # a subclass may want other arguments, or none
    FacilitatorError.__init__(error, code, message, hint, exit_code=exit_code)
    return error
