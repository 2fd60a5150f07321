"""From settings to a session: what every command that runs one needs."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import fields, replace

from voice_facilitator.errors import FacilitatorError
from voice_facilitator.files import protocols
from voice_facilitator.files.settings import Settings, SpeakingSettings
from voice_facilitator.hearing.commands import command_engines
from voice_facilitator.hearing.commands.command_engines import CommandSetup
from voice_facilitator.session import Policy, Protocol, Session, Wording
from voice_facilitator.session.events import Action


def commands_of(
    settings: Settings, protocol: Protocol, tell: Callable[[str], None] = lambda _: None
) -> CommandSetup | None:
    """What is to be understood by voice; None where nothing can be, and then people are told why."""
    setup = CommandSetup(settings.commands, protocol.language)
    try:
        return command_engines.chosen(setup)
    except FacilitatorError as error:
        tell(f"{error.message} The keys do everything. {error.hint}")
        return None


def wording_of(settings: Settings, protocol: Protocol, *, hears: bool = True) -> Wording:
    """The sentences in the language of a protocol, with the spoken commands that are understood here.

    hears: false on a machine without a microphone.
    """
    wording = replace(protocols.load_wording(protocol.language), microphone=hears)
    setup = CommandSetup(settings.commands, protocol.language)
    try:
        phrases = command_engines.load_phrases(setup)
        wording = replace(wording, prefix=phrases.written_prefix)
        if not hears or command_engines.choose(setup) is None:
            return wording
    except FacilitatorError:  # nobody is told to say what is not understood
        return wording
    return replace(
        wording, timer_only=phrases.shown_for(Action.TIMER_ONLY), stop=phrases.shortest_for(Action.PAUSE)
    )


def speaking_in(settings: SpeakingSettings, language: str) -> SpeakingSettings:
    """The settings with a voice for sentences in `language`: the one that is set, where it speaks it."""
    if settings.language.partition("-")[0].lower() == language.partition("-")[0].lower():
        return settings
    return settings.model_copy(update={"language": language, "voice": ""})


def policy_of(settings: Settings, *, moves_by_itself: bool = True) -> Policy:
    """The settings the session core needs, in its own type."""
    wanted = {field.name for field in fields(Policy)} - {"moves_by_itself"}
    found = dict(settings.session) | dict(settings.reminders)
    return Policy(moves_by_itself=moves_by_itself, **{name: found[name] for name in wanted})


def new_session(
    settings: Settings, protocol: Protocol, *, moves_by_itself: bool = True, hears: bool = True
) -> Session:
    """A session of `protocol` with the wording of its language. Raises FacilitatorError.

    moves_by_itself: false leaves it to requests to move from phase to phase. hears: see `wording_of`.
    """
    wording = wording_of(settings, protocol, hears=hears)
    policy = policy_of(settings, moves_by_itself=moves_by_itself)
    return Session(protocol, wording, policy, tuple(settings.session.support_contacts))
