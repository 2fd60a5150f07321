"""Lets a group practise its commands: says what was understood, and does nothing.

The only place where a recognised phrase is shown. It is one of our own phrases, and it is not kept.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from voice_facilitator.files.settings import HearingSettings
from voice_facilitator.hearing.commands.command_engines import CommandSetup, load_listener, load_phrases
from voice_facilitator.hearing.commands.commands import Recognised
from voice_facilitator.hearing.pipeline import Hearing
from voice_facilitator.hearing.sound.source import AudioSource
from voice_facilitator.session.events import Action, Seconds


@dataclass(frozen=True, slots=True)
class Attempt:
    """One utterance between pauses. text: the phrase it is most like, or empty. score: more is surer.

    addressed: it begins with the prefix word.
    """

    at: Seconds
    text: str
    score: float
    counts: bool
    addressed: bool


def practise(
    hearing_settings: HearingSettings,
    setup: CommandSetup,
    source: AudioSource,
    tell: Callable[[Attempt], None],
    over: Callable[[], bool] = lambda: False,
) -> None:
    """Listen to `source` until it ends or `over` says so, with every command allowed.

    Raises FacilitatorError.
    """
    prefix = load_phrases(setup).prefix
    heard: list[tuple[Recognised, bool]] = []
    listener = load_listener(
        setup,
        hearing_settings.speech_hold_seconds,
        on_heard=lambda recognised, counts: heard.append((recognised, counts)),
    )
    hearing = Hearing(hearing_settings, None, commands=listener)
    hearing.allow(frozenset(Action))
    try:
        for block in source.blocks():
            if over():
                break
            for at, _ in hearing.steps(np.asarray(block, np.float32)):
                for recognised, counts in heard:
                    tell(Attempt(at, recognised.text, recognised.score, counts, recognised.begins == prefix))
                heard.clear()
    finally:
        hearing.forget(for_good=True)
        source.close()
