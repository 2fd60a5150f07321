"""What people are told is what is done: welcome, screens and printed notice against the real core."""

from __future__ import annotations

import itertools
import re
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from tests.test_display_terminal import shown
from voice_facilitator.app.setting_up import policy_of, wording_of
from voice_facilitator.display import frame
from voice_facilitator.display.key_table import press_for
from voice_facilitator.files import phrases, protocols
from voice_facilitator.files.settings import load_settings
from voice_facilitator.hearing.commands import command_engines
from voice_facilitator.hearing.commands.command_engines import Choice
from voice_facilitator.hearing.sound import microphone
from voice_facilitator.session import Protocol, Session, View
from voice_facilitator.session import events as ev
from voice_facilitator.session.events import OPTION, VOICE, Action, Part, Request

DOCS = Path(__file__).parent.parent / "docs"


def _page(name: str) -> str:
    return re.sub(r"\s+", " ", (DOCS / name).read_text(encoding="utf-8"))


NOTICES = {
    "en": _page("privacy.md").split("## 1. ")[1].split("## 2. ")[0].replace("**", ""),
    "de": _page("privacy-de.md").replace("**", ""),
}


@dataclass(frozen=True)
class Told:
    """How a language says it, as patterns."""

    voices: str
    pauses: str  # and no voices
    commands: str
    nothing: str
    rest: str  # what the voices are for
    learning: str  # in the round
    apart: str  # that voices are not told apart
    opt_out: str
    deleted: str
    kept: str  # what is not, on a screen
    by_voice: str
    by_key: str


TOLD = {
    "en": Told(
        voices="for whose voice it is",
        pauses="(only for|listen for) pauses",
        commands="a few commands",
        nothing="don't listen at all",
        rest="the presenter can sit back",
        learning="helps me to tell the voices apart",
        apart="don't tell voices apart",
        opt_out="If anyone would rather I kept time only",
        deleted="The voices are deleted",
        kept="No sound and no voices are kept",
        by_voice=r"To stop(?: at any time)?[,:] say:? “?([^.”,]+)[.”]",
        by_key=r"To stop(?: at any time,|:) press ([A-Z])\b",
    ),
    "de": Told(
        voices="darauf, wer spricht",
        pauses="auf Pausen",
        commands="wenige Befehle",
        nothing="höre gar nicht zu",
        rest="zurücklehnen",
        learning="hilft mir auch, die Stimmen zu unterscheiden",
        apart="unterscheide aber keine Stimmen",
        opt_out="Wenn ich nur auf die Zeit achten soll",
        deleted="Die Stimmen sind gelöscht",
        kept="Ton und Stimmen werden nicht aufbewahrt",
        by_voice=r"Zum Anhalten(?: sagen Sie jederzeit: |: „)([^.“]+)[.“]",
        by_key=r"Zum Anhalten(?: drücken Sie jederzeit ([A-Z])\b|: ([A-Z]) drücken)",
    ),
}


@dataclass
class Held:
    """A whole session, and what the hearing was told in it."""

    ready: View  # before it began
    welcome: str
    check_in: str
    goodbye: str
    listens: list[ev.Listen]
    ended: View
    learnt: bool


def hold(session: Session, *, timer_only: bool) -> Held:
    """The hearing does as it is told: it reports voices where it is to learn them."""
    effects: list[ev.Effect] = []
    learnt = False

    def take(event: ev.Input, now: float) -> None:
        nonlocal learnt
        for effect in session.handle(event, now):
            effects.append(effect)
            if isinstance(effect, ev.Announce):
                take(ev.AnnouncementFinished(effect.number, ev.Outcome.SPOKEN), effect.at)
            if isinstance(effect, ev.Listen) and (effect.enrol or effect.learn_others):
                learnt = True
                take(ev.SpeakerChanged(ev.SpeakerState.UNSURE), effect.at)
                take(ev.SpeakerChanged(ev.SpeakerState.SILENCE), effect.at + 1)

    if timer_only:
        take(Request(Action.TIMER_ONLY, OPTION), 0.0)
    ready = session.view()
    take(Request(Action.BEGIN), 0.0)
    take(ev.SpeakerChanged(ev.SpeakerState.SILENCE), 0.0)
    while (moment := session.next_moment()) is not None:
        take(ev.Tick(), moment)
    assert session.ended
    said = {e.key: e.text for e in effects if isinstance(e, ev.Announce)}
    listens = [e for e in effects if isinstance(e, ev.Listen)]
    return Held(
        ready, said["welcome.start"], said["check-in.start"], said["goodbye"], listens, session.view(), learnt
    )


def session_of(
    monkeypatch: pytest.MonkeyPatch, protocol: Protocol, *, understands: bool, hears: bool = True
) -> Session:
    """With the wording that the program would use if this machine understood commands, or not."""
    engine = Choice("made up") if understands else None
    monkeypatch.setattr(command_engines, "choose", lambda *_: engine)
    settings = load_settings()
    return Session(protocol, wording_of(settings, protocol, hears=hears), policy_of(settings), ("Somebody",))


def check_listening(text: str, told: Told, held: Held, *, timer_only: bool, understands: bool) -> None:
    learns = any(listen.enrol or listen.learn_others for listen in held.listens)
    decides = any(listen.decide for listen in held.listens)
    assert bool(re.search(told.voices, text)) == learns, text
    assert bool(re.search(told.pauses, text)) == (not learns), text
    assert bool(re.search(told.commands, text)) == understands, text
    assert not re.search(told.nothing, text)
    if re.search(told.rest, text):
        assert decides, "what the voices are said to be for is not done"
    assert bool(re.search(told.apart, text)) == timer_only
    assert bool(re.search(told.opt_out, text)) == learns, "a choice is offered where there is one"
    assert bool(re.search(told.learning, held.check_in)) == learns


def check_stop(text: str, told: Told, language: str, *, understands: bool) -> None:
    """Whatever is named stops a session that runs; the words do so by themselves."""
    running = frozenset({Action.PAUSE, Action.NEXT, Action.END})
    key = re.search(told.by_key, text)
    if not understands:
        assert key, text
        assert not re.search(told.by_voice, text), text
        pressed = press_for(next(filter(None, key.groups())).lower(), running)
        assert pressed is not None
        assert pressed.action is Action.PAUSE
        return
    said = re.search(told.by_voice, text)
    assert said, text
    words = said.group(1).strip().lower()
    assert phrases.load(language).sayable(running)[words].request == Request(Action.PAUSE, VOICE)


MODES = list(itertools.product((False, True), (False, True)))


@pytest.mark.parametrize(("timer_only", "understands"), MODES)
@pytest.mark.parametrize("name", protocols.names())
def test_what_is_said_about_listening_is_what_is_done(
    name: str, timer_only: bool, understands: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    protocol = protocols.load(name)
    language = protocol.language.split("-")[0]
    told = TOLD[language]
    held = hold(session_of(monkeypatch, protocol, understands=understands), timer_only=timer_only)
    on_terminal = " ".join(re.sub("[│╭╮╰╯─]", " ", shown(held.ready, protocol.language)).split())
    for text in (held.welcome, on_terminal):
        check_listening(text, told, held, timer_only=timer_only, understands=understands)
        check_stop(text, told, language, understands=understands)
    assert re.search(told.kept, on_terminal)
    # The page shows the same by the same keys.
    sent = frame.session_frame(held.ready)
    assert protocols.load_phrases(protocol.language)[sent["consent"]] in on_terminal
    assert bool(sent["stop"]) == understands
    # At the end, only what is true, and on the screen.
    assert held.learnt == any(listen.enrol or listen.learn_others for listen in held.listens)
    assert held.ended.voices_deleted == held.learnt
    assert (told.deleted in shown(held.ended, protocol.language)) == held.learnt
    assert not re.search("voice|[Ss]timm", held.goodbye)


@pytest.mark.parametrize("name", ["balint-plain", "balint-plain-de"])
def test_the_plain_format_learns_no_voice_and_says_so(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    held = hold(session_of(monkeypatch, protocols.load(name), understands=False), timer_only=False)
    assert not any(listen.enrol or listen.learn_others or listen.decide for listen in held.listens)
    only = {"balint-plain": "I listen only for pauses, so that I don't interrupt."}
    assert only.get(name, "Ich höre nur auf Pausen, damit ich nicht unterbreche.") in held.welcome


@pytest.mark.parametrize("name", ["balint-45", "balint-45-de", "balint-plain"])
def test_without_a_microphone_nobody_is_said_to_be_listened_to(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    protocol = protocols.load(name)
    told = TOLD[protocol.language.split("-")[0]]
    held = hold(session_of(monkeypatch, protocol, understands=True, hears=False), timer_only=True)
    for text in (held.welcome, shown(held.ready, protocol.language)):
        assert re.search(told.nothing, text)
        assert not re.search(f"{told.voices}|{told.pauses}|{told.commands}", text)
        check_stop(text, told, protocol.language.split("-")[0], understands=False)


@pytest.mark.parametrize("part", [Part.COMMANDS, Part.MICROPHONE, Part.HEARING])
def test_while_commands_cannot_be_heard_the_key_is_named(part: Part, monkeypatch: pytest.MonkeyPatch) -> None:
    session = session_of(monkeypatch, protocols.load("balint-45"), understands=True)
    session.handle(Request(Action.BEGIN), 0.0)
    assert "To stop: say “please stop”, or press P" in shown(session.view())
    session.handle(ev.PartLost(part), 10.0)
    assert "To stop: press P" in shown(session.view())
    session.handle(ev.PartBack(part), 20.0)
    assert "please stop" in shown(session.view())


def test_how_to_stop_is_on_the_screen_in_every_part(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("balint-45", "balint-90-two-cases-de"):
        protocol = protocols.load(name)
        session = session_of(monkeypatch, protocol, understands=True)
        session.handle(Request(Action.BEGIN), 0.0)
        for count, phase in enumerate(protocol.phases):
            session.handle(Request(Action.PHASE, phase=phase.name), 10.0 * count)
            assert session.view().phase == phase.name
            assert phrases.load(protocol.language).shortest_for(Action.PAUSE) in shown(
                session.view(), protocol.language
            )
            assert frame.session_frame(session.view())["stop"]


@pytest.mark.parametrize("learnt", [False, True])
def test_timer_only_says_that_voices_are_deleted_only_if_any_were_learnt(
    learnt: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    session = session_of(monkeypatch, protocols.load("balint-45"), understands=False)
    session.handle(Request(Action.BEGIN), 0.0)
    session.handle(ev.SpeakerChanged(ev.SpeakerState.OTHER), 1.0)  # in the welcome nothing is learnt
    session.handle(ev.SpeakerChanged(ev.SpeakerState.SILENCE), 20.0)
    if learnt:
        session.handle(ev.SpeakerChanged(ev.SpeakerState.OTHER), 70.0)
    (line,) = [e for e in session.handle(Request(Action.TIMER_ONLY), 80.0) if isinstance(e, ev.ShowLine)]
    assert ("deleted" in line.text) == learnt


def test_voices_that_are_learnt_anew_after_an_undone_end_are_told_of_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    session = session_of(monkeypatch, protocols.load("balint-45"), understands=False)
    session.handle(Request(Action.BEGIN), 0.0)
    session.handle(ev.SpeakerChanged(ev.SpeakerState.OTHER), 70.0)
    session.handle(ev.SpeakerChanged(ev.SpeakerState.SILENCE), 75.0)
    for at, action in enumerate((Action.END, Action.YES), start=80):
        session.handle(Request(action), at)
    assert session.view().voices_deleted
    session.handle(Request(Action.UNDO), 83.0)
    for at, action in enumerate((Action.END, Action.YES), start=90):
        session.handle(Request(action), at)
    assert session.view().mode == "closing"
    assert not session.view().voices_deleted, "nothing was learnt since"


@pytest.mark.parametrize("language", NOTICES)
def test_the_notice_says_the_same(language: str) -> None:
    notice, told = NOTICES[language].casefold(), TOLD[language]
    known = phrases.load(language)
    assert told.kept.casefold() in notice
    assert _timer_only(language) in notice
    assert known.shortest_for(Action.PAUSE).casefold() in notice
    assert {"en": "the key t,", "de": "die taste t,"}[language] in notice
    assert {"en": "overwritten", "de": "überschrieben"}[language] in notice
    assert len(notice.split()) < 450, "one page"


def test_never_more_than_ten_seconds_of_the_room() -> None:
    waiting = microphone._RING_SECONDS + 2 * microphone._READ_SECONDS
    command = load_settings().commands.longest_seconds
    assert "at most ten seconds of sound" in NOTICES["en"]
    assert "zu keiner Zeit mehr als zehn Sekunden Ton" in NOTICES["de"]
    assert waiting + max(1.6, command) <= 10


@pytest.mark.parametrize("file", ["README.md", "docs/privacy.md", "docs/privacy-de.md", "docs/display.md"])
def test_no_page_says_that_nothing_is_kept(file: str) -> None:
    """A resume file and a fault log are; sound and voices never."""
    text = re.sub(r"[\s*]+", " ", (DOCS.parent / file).read_text(encoding="utf-8"))
    assert not re.search(r"nothing (is|was) kept|nichts wird aufbewahrt", text, re.IGNORECASE)
    for wording in ("en-gb", "de"):
        shown_texts = " ".join(protocols.load_phrases(wording).values())
        assert not re.search(r"nothing (is|was) kept|nichts w[iu]rde? aufbewahrt", shown_texts, re.IGNORECASE)


def _timer_only(language: str) -> str:
    known = phrases.load(language)
    return f"{known.written_prefix}, {known.shown_for(Action.TIMER_ONLY)}".casefold()


def test_another_prefix_and_no_bare_phrase_are_still_a_claim_that_is_kept() -> None:
    found = phrases.load("en", prefix="moderator")
    assert found.shortest_for(Action.PAUSE) == "please stop"
    talk = [replace(command, bare=frozenset[str]()) for command in found.commands]
    formal = replace(found, commands=tuple(talk))
    assert formal.shortest_for(Action.PAUSE) == "moderator, pause"
