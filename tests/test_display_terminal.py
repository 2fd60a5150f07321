"""The session in a terminal: the same state and words as on the page, and presses that come too soon."""

from __future__ import annotations

import io

import pytest
from rich.console import Console

from tests.support import plays
from voice_facilitator.app.presses import SETTLE_SECONDS, Presses
from voice_facilitator.display.key_table import Press, press_for
from voice_facilitator.display.screens import RoomScreen
from voice_facilitator.display.terminal import LineScreen, calmly, render
from voice_facilitator.files import protocols
from voice_facilitator.session import Session, View
from voice_facilitator.session import events as ev
from voice_facilitator.session.events import Action

CONTACTS = ("Occupational health, extension 4310",)


def session(name: str = "balint-45") -> Session:
    format_ = plays.protocol(name)
    return Session(format_, protocols.load_wording(format_.language), plays.shipped_policy(), CONTACTS)


def to(running: Session, phase: str) -> View:
    running.handle(ev.Request(Action.BEGIN), 0.0)
    running.handle(ev.SpeakerChanged(ev.SpeakerState.SILENCE), 0.0)
    running.handle(ev.Request(Action.PHASE, phase=phase), 30.0)
    return running.view()


def shown(view: View, language: str = "en-gb") -> str:
    console = Console(file=io.StringIO(), width=110, record=True)
    console.print(render(view, -30.0, protocols.load_phrases(language), CONTACTS, "http://127.0.0.1:1/#x"))
    return console.export_text().replace("\N{NO-BREAK SPACE}", " ")


def test_it_shows_what_the_page_shows() -> None:
    running = session()
    assert "Welcome" in shown(running.view())
    text = shown(to(running, "story"))
    for words in (
        "The story",
        "6:00",
        "■ ○○○○  The presenter",
        "Next: Questions of fact",
        "Listening",
        "p Pause",
    ):
        assert words in text
    assert "Speaking now" not in text  # this protocol does not ask for it
    calm = shown(to(session(), "discussion"))
    assert "minutes left in all" in calm
    assert "□  ●●●●  The group" in calm
    assert "Occupational health" not in calm
    assert "Occupational health" in shown(to(session(), "close"))


def test_it_speaks_german() -> None:
    text = shown(to(session("balint-45-de"), "story"), "de")
    for words in ("Die Geschichte", "Fallgebende Person", "Danach: Sachfragen", "Hört zu", "p Pause"):
        assert words in text


def test_paused_lost_and_ended_are_said() -> None:
    running = session()
    to(running, "story")
    running.handle(ev.PartLost(ev.Part.MICROPHONE), 40.0)
    running.handle(ev.PartLost(ev.Part.SPEAKER), 40.0)
    running.handle(ev.Request(Action.PAUSE), 41.0)
    text = shown(running.view())
    for words in (
        "Paused",
        "Take the time you need.",
        "Microphone lost",
        "No sound from the loudspeaker",
        "p Resume",
    ):
        assert words in text
    running.handle(ev.Request(Action.END), 50.0)
    running.handle(ev.Request(Action.YES), 52.0)
    assert "Until next time" in shown(running.view())


def test_minutes_in_words() -> None:
    phrases = protocols.load_phrases("en-gb")
    said = [calmly(seconds, phrases) for seconds in (20, 61, 150, 500, 640, 1300)]
    assert said == [
        "less than a minute",
        "about one minute",
        "about three minutes",
        "about eight minutes",
        "about ten minutes",
        "about twenty minutes",
    ]


def test_lines_for_a_log() -> None:
    stream = io.StringIO()
    screen = LineScreen(Console(file=stream, width=200), protocols.load_phrases("en-gb"))
    running = session()
    screen.update(running.view(), None)
    screen.update(to(running, "story"), None)
    assert "== The story (6:00) - The presenter" in stream.getvalue()
    assert "says: You have 6 minutes to tell us what happened" in stream.getvalue()


def test_a_state_is_sent_when_it_is_new_and_once_a_second() -> None:
    now, sent = [0.0], []
    screen = RoomScreen(sent.append, CONTACTS, clock=lambda: now[0])
    running = session()
    view = to(running, "story")
    for moment in (0.0, 0.1, 0.2, 0.99, 1.0, 1.1):
        now[0] = moment
        screen.update(view, None)
    assert len(sent) == 2
    running.handle(ev.Request(Action.PAUSE), 31.0)
    screen.update(running.view(), None)
    assert sent[-1]["mode"] == "paused"


@pytest.mark.parametrize(
    ("key", "action"),
    [
        (" ", Action.BEGIN),
        ("B", Action.PAUSE),
        ("p", Action.PAUSE),
        (".", Action.PAUSE),
        ("+", Action.MORE_TIME),
        ("u", Action.UNDO),
        ("t", Action.TIMER_ONLY),
        ("y", Action.YES),
    ],
)
def test_keys(key: str, action: Action) -> None:
    press = press_for(key, frozenset({Action.BEGIN}))
    assert press is not None
    assert press.action is action


def test_the_same_key_goes_on_after_a_pause() -> None:
    press = press_for("b", frozenset({Action.RESUME}))
    assert press == Press(Action.RESUME)
    assert press_for("x", frozenset()) is None


def test_a_press_comes_too_soon_only_after_a_change_of_its_own_kind() -> None:
    presses = Presses()
    assert not presses.too_soon(Press(Action.NEXT), "story", 0.0)
    presses(10.0, ev.PhaseEntered(10.0, "questions", 300.0, "planned"))
    for action, soon in [
        (Action.NEXT, True),
        (Action.BACK, True),
        (Action.PAUSE, False),
        (Action.UNDO, False),
    ]:
        assert presses.too_soon(Press(action), "questions", 10.5) is soon
    assert not presses.too_soon(Press(Action.NEXT), "questions", 10.0 + SETTLE_SECONDS)
    assert presses.too_soon(Press(Action.NEXT, "display", "story"), "questions", 60.0)
    presses(70.0, ev.Done(70.0, Action.END, "key"))
    assert presses.too_soon(Press(Action.END), "questions", 70.3)
    assert not presses.too_soon(Press(Action.YES), "questions", 72.0)
