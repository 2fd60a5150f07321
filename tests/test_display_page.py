"""The room page in the system's own Chromium: read from five metres, driven by keys, clicker and buttons."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.display_stage import Stage, chromium
from voice_facilitator.display.access import Role
from voice_facilitator.display.key_table import TERMINAL_NAMES, meanings, press_for

WIDE = {"width": 1280, "height": 720}
PHONE = {"width": 390, "height": 844}
WCAG_22_AA = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22a", "wcag22aa"]
WAIT_MS = 20_000


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with chromium() as opened:
        yield opened


@pytest.fixture
def stage() -> Iterator[Stage]:
    with Stage("balint-45") as opened:
        yield opened


Open = Callable[..., Any]


@pytest.fixture
def visit(browser: Any) -> Iterator[Open]:
    """Opens a page; a script error or a blocked file on any of them fails the test."""
    contexts, complaints = [], []

    def opened(address: str, *, size: dict[str, int] = WIDE, scheme: str = "dark", **options: Any) -> Any:
        context = browser.new_context(
            viewport=size,
            color_scheme=scheme,
            reduced_motion="reduce",
            has_touch=size is PHONE,
            is_mobile=size is PHONE,
            **options,
        )
        contexts.append(context)
        page = context.new_page()
        page.set_default_timeout(WAIT_MS)
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.on(
            "console",
            lambda message: (
                complaints.append(message.text)
                if message.type == "error" and "Failed to load resource" not in message.text
                else None
            ),
        )
        page.goto(address)
        return page

    yield opened
    for context in contexts:
        context.close()
    assert complaints == []


def shows(page: Any, name: str, text: str | re.Pattern[str]) -> None:
    """Wait until the element says so."""
    from playwright.sync_api import expect

    expect(page.locator(f"main:not([hidden]) [data-show={name}]")).to_have_text(text, timeout=WAIT_MS)


def violations(page: Any) -> list[str]:
    """What axe-core objects to at WCAG 2.2 AA."""
    from axe_playwright_python.sync_playwright import Axe

    found = Axe().run(page, options={"runOnly": {"type": "tag", "values": WCAG_22_AA}})
    return [
        f"{v['id']}: {node['html']} {node['failureSummary']}"
        for v in found.response["violations"]
        for node in v["nodes"]
    ]


def drawn_height(page: Any) -> float:
    """Height in pixels of the digits as they are drawn, without the space around them."""
    return page.evaluate(
        """() => {
            const digits = document.querySelector(".digits"), style = getComputedStyle(digits);
            const pen = document.createElement("canvas").getContext("2d");
            pen.font = `${style.fontWeight} ${style.fontSize} ${style.fontFamily}`;
            const box = pen.measureText("8");
            return box.actualBoundingBoxAscent + box.actualBoundingBoxDescent;
        }"""
    )


def fits(page: Any) -> list[str]:
    """What sticks out of the window, or text out of its own box."""
    return page.evaluate(
        """() => [...document.querySelectorAll("main:not([hidden]) *")]
            .filter((e) => e.children.length === 0 && e.textContent.trim())
            .filter((e) => !e.classList.contains("visually-hidden"))
            .filter((e) => {
                const box = e.getBoundingClientRect();
                const cut = e.clientWidth > 0 && e.scrollWidth > e.clientWidth + 2;
                return box.left < -1 || box.right > innerWidth + 1 || cut;
            })
            .map((e) => e.textContent)"""
    )


def to_discussion(stage: Stage) -> None:
    stage.press("begin")
    stage.tell("silence")
    for _ in range(5):
        stage.go_on(20)
        stage.press("next")
    assert stage.session.view().phase == "discussion"


# ------------------------------------------------------------ seeing


def test_the_page_shows_what_the_session_is_at(stage: Stage, visit: Open) -> None:
    page = visit(stage.server.address)
    shows(page, "title", "Welcome")
    assert stage.server.access.host_token not in page.url  # the token has left the address bar
    stage.press("begin")
    stage.go_on(2)
    stage.press("next")
    stage.tell("silence")
    shows(page, "title", "Check-in")
    shows(page, "floor", "Everyone")
    shows(page, "time", re.compile(r"1:\d\d|2:00"))
    shows(page, "next", re.compile("Who has a case"))
    shows(page, "microphone", "Listening")
    stage.tell("self")
    shows(page, "microphone", "Not listening while I speak")
    stage.tell("lost microphone")
    shows(page, "microphone", "Microphone lost; still keeping time")
    stage.tell("recovered microphone")
    stage.tell("lost speaker")
    shows(page, "missing", "No sound from the loudspeaker · Faults: 2")
    stage.press("pause")
    shows(page, "time", "Paused")
    stage.go_on(2)
    stage.press("timer-only")
    shows(page, "microphone", re.compile("Timer only"))


def test_the_discussion_is_calm_and_a_reminder_is_one_quiet_line(stage: Stage, visit: Open) -> None:
    to_discussion(stage)
    page = visit(stage.server.address)
    shows(page, "time", re.compile(r"^about [a-z-]+ minutes$"))
    shows(page, "floor", "The group")
    stage.tell("enrolment ready")
    stage.go_on(30)
    stage.tell("evidence 1.2 4")
    shows(page, "saying", "The presenter can just listen now.")
    page.mouse.move(300, 300)
    page.get_by_role("button", name="Show the seconds").click()
    shows(page, "time", re.compile(r"^\d+:\d\d$"))


@pytest.mark.parametrize("size", [WIDE, PHONE], ids=["720p", "phone"])
def test_how_to_stop_is_shown_all_the_time_also_in_the_calm_discussion(
    visit: Open, size: dict[str, int]
) -> None:
    with Stage("balint-45", says_stop="please stop") as stage:
        page = visit(stage.server.address, size=size)
        by_voice = "To stop: say “please stop”, or press P"
        shows(page, "stop", by_voice)
        shows(page, "saying", re.compile("^I listen for whose voice it is and for a few commands"))
        to_discussion(stage)
        shows(page, "time", re.compile("^about"))
        shows(page, "stop", by_voice)
        assert page.locator("[data-show=stop]").is_visible()
        assert fits(page) == []
        stage.tell("lost commands")
        shows(page, "stop", "To stop: press P")


def test_before_a_pause_ends_the_page_asks(stage: Stage, visit: Open) -> None:
    to_discussion(stage)
    page = visit(stage.server.address)
    shows(page, "title", "Discussion")
    page.keyboard.press("p")
    shows(page, "hint", "Take the time you need.")
    stage.go_on(5)
    page.keyboard.press("p")
    shows(page, "hint", "Shall we carry on?")
    page.keyboard.press("p")  # in haste: no answer
    wait_for(lambda: stage.arrived >= 3)
    shows(page, "time", "Paused")
    stage.go_on(3)
    page.keyboard.press("y")
    shows(page, "time", re.compile("^about"))


def test_the_summary_is_shown_to_who_asks_for_it_and_on_no_other_page(visit: Open) -> None:
    with Stage(share=Role.VIEW) as stage:
        base = stage.server.address.partition("#")[0]
        desk, wall = visit(stage.server.address), visit(stage.server.address)
        phone = visit(f"{base}#{stage.server.access.invitation}", size=PHONE)
        to_discussion(stage)
        stage.tell("enrolment ready")
        for _ in range(3):
            stage.go_on(20)
            stage.press("next")
        stage.go_on(60)
        stage.go_on(1)
        pages = (desk, wall, phone)
        for page in pages:
            shows(page, "title", "The session is over")
            shows(page, "hint", "The voices are deleted.")
            shows(page, "contacts", "Occupational health, extension 4310")
        stage.server.on_summary = lambda: {
            "protocol": "Balint group, 45 minutes",
            "phases": [{"name": "story", "title": "The story", "seconds": 60, "shares": {"presenter": 0.5}}],
            "reminders": {"screen": 2, "voice": 1},
        }
        assert phone.get_by_role("button", name="Show the summary").count() == 0
        desk.mouse.move(300, 300)
        desk.get_by_role("button", name="Show the summary").click()
        shows(desk, "reminders", "Reminders: 2 on the screen, 1 spoken.")
        assert violations(desk) == []
        for page in (wall, phone):
            shows(page, "title", "The session is over")
        desk.get_by_role("button", name="Hide the summary").click()
        shows(desk, "title", "The session is over")


def test_the_close_shows_the_support_contacts_and_the_end_is_said(stage: Stage, visit: Open) -> None:
    to_discussion(stage)
    for _ in range(2):
        stage.go_on(20)
        stage.press("next")
    page = visit(stage.server.address)
    shows(page, "contacts", "Occupational health, extension 4310")
    stage.go_on(3)
    stage.press("next")
    shows(page, "title", "Until next time")
    shows(page, "contacts", "Occupational health, extension 4310")
    stage.server.stop()
    shows(page, "notice-title", "The program has ended")


@pytest.mark.parametrize("size", [WIDE, PHONE], ids=["720p", "phone"])
def test_it_can_be_read_from_five_metres(stage: Stage, visit: Open, size: dict[str, int]) -> None:
    stage.press("begin")
    stage.press("more-time")
    stage.go_on(2)
    for _ in range(3):
        stage.go_on(3)
        stage.press("next")
    for _ in range(5):
        stage.press("more-time")  # 16 minutes: five signs wide
    page = visit(stage.server.address, size=size)
    shows(page, "time", re.compile(r"^\d\d:\d\d$"))
    assert drawn_height(page) >= 0.12 * size["height"]
    assert page.locator(".digits").bounding_box()["height"] >= 0.12 * size["height"]
    assert fits(page) == []


@pytest.mark.parametrize(("size", "scheme"), [(WIDE, "light"), (PHONE, "dark")], ids=["720p", "phone"])
def test_the_accessibility_audit_finds_nothing(
    stage: Stage, visit: Open, size: dict[str, int], scheme: str
) -> None:
    page = visit(stage.server.address, size=size, scheme=scheme)
    shows(page, "title", "Welcome")
    page.mouse.move(200, 200)
    assert violations(page) == []
    to_discussion(stage)
    shows(page, "title", "Discussion")
    page.get_by_role("button", name="Back", exact=True).focus()
    assert violations(page) == []
    assert fits(page) == []
    stage.server.stop()
    shows(page, "notice-title", "The program has ended")
    assert violations(page) == []


# ------------------------------------------------------------ driving


def test_clicker_and_keys_do_what_a_voice_does(stage: Stage, visit: Open) -> None:
    page = visit(stage.server.address)
    shows(page, "title", "Welcome")
    for key, title, done in [
        ("Space", "Welcome", "begin"),
        ("PageDown", "Check-in", "next"),
        ("PageUp", "Welcome", "back"),
        ("ArrowRight", "Check-in", "next"),
    ]:
        page.keyboard.press(key)
        shows(page, "title", title)
        wait_for(lambda done=done: stage.done()[-1:] == [done])
        stage.go_on(2)
        page.wait_for_timeout(50)
    page.keyboard.press("b")
    shows(page, "time", "Paused")
    stage.go_on(2)
    page.keyboard.press("b")
    shows(page, "hint", "Shall we carry on?")
    stage.go_on(2)
    page.keyboard.press("b")
    shows(page, "time", re.compile(r"\d:\d\d"))
    more = {"+": "more-time", "u": "undo", "s": "stop-reminders", "t": "timer-only", "e": "end"}
    for key, done in more.items():
        page.keyboard.press(key)
        wait_for(lambda done=done: stage.done()[-1:] == [done])
    stage.go_on(2)
    page.keyboard.press("y")
    shows(page, "title", "Until next time")


# Each state of a session, and how it comes about.
STATES = {
    "not started": [],
    "first part": ["begin"],
    "later part": ["begin", "next"],
    "paused": ["begin", "pause"],
    "asked whether to carry on": ["begin", "pause", "resume"],
    "asked whether to end": ["begin", "end"],
    "timer only": ["begin", "timer-only"],
    "closing": ["begin", "end", "yes"],
}


@pytest.mark.parametrize("state", STATES)
def test_every_key_does_the_same_on_the_page_and_in_the_terminal(
    stage: Stage, visit: Open, state: str
) -> None:
    for action in STATES[state]:
        stage.press(action)
        stage.go_on(2)
    page = visit(stage.server.address)
    page.wait_for_selector("#controls:not([hidden])", state="attached")
    for name in [*meanings(), "o", "x", "F5x", "ArrowDown"]:
        terminal = next((sent for sent, its in TERMINAL_NAMES.items() if its == name), name)
        expected = press_for(terminal, stage.session.allowed())
        asked: list[Any] = []
        stage.server.on_press = lambda press, asked=asked: bool(asked.append(press)) or True
        page.evaluate(
            "name => document.body.dispatchEvent(new KeyboardEvent('keydown', {key: name, bubbles: true}))",
            name,
        )
        page.evaluate("() => fetch('/words')")  # what was sent before has arrived when this has
        if expected is not None:
            wait_for(lambda asked=asked: asked)
        assert [press.action for press in asked] == ([] if expected is None else [expected.action]), name


def test_on_the_page_n_answers_no(stage: Stage, visit: Open) -> None:
    stage.press("begin")
    stage.go_on(2)
    page = visit(stage.server.address)
    shows(page, "title", "Welcome")
    page.keyboard.press("e")
    wait_for(lambda: stage.done() == ["begin", "end"])
    stage.go_on(2)
    page.keyboard.press("n")
    wait_for(lambda: stage.done() == ["begin", "end", "no"])
    assert stage.session.view().phase == "welcome"


def test_a_clicker_pressed_twice_moves_one_part(stage: Stage, visit: Open) -> None:
    page = visit(stage.server.address)
    shows(page, "title", "Welcome")
    page.keyboard.press("PageDown")
    page.keyboard.press("PageDown")
    wait_for(lambda: stage.arrived == 2)
    shows(page, "title", "Welcome")
    stage.go_on(5)
    page.keyboard.press("PageDown")
    page.keyboard.press("PageDown")
    shows(page, "title", "Check-in")
    page.keyboard.press("PageDown")
    wait_for(lambda: stage.arrived == 5)
    assert stage.session.view().phase == "check-in"
    assert stage.done() == ["begin", "next"]


def test_buttons_undo_and_a_second_press_for_what_is_for_good(stage: Stage, visit: Open) -> None:
    page = visit(stage.server.address)
    shows(page, "title", "Welcome")
    page.mouse.move(300, 300)
    page.get_by_role("button", name="Begin").click()
    wait_for(lambda: stage.done() == ["begin"])
    stage.go_on(2)
    page.get_by_role("button", name="2 more minutes").click()
    page.get_by_role("button", name=re.compile("^Undo")).click()
    wait_for(lambda: stage.done() == ["begin", "more-time", "undo"])
    page.get_by_role("button", name="Timer only").click()
    page.get_by_role("button", name="Press again").click()
    wait_for(lambda: stage.done()[-1:] == ["timer-only"])
    page.get_by_role("button", name="Next part").click()
    page.keyboard.press("Space")  # goes to the session, not to the button pressed before
    shows(page, "title", "Check-in")
    assert stage.done().count("next") == 1


# ------------------------------------------------------------ several pages, lost and found


@pytest.mark.slow
def test_two_pages_and_a_phone_that_may_only_look(visit: Open) -> None:
    with Stage(share=Role.VIEW) as stage:
        wall, desk = visit(stage.server.address), visit(stage.server.address)
        token = stage.server.access.invitation
        base = stage.server.address.partition("#")[0]
        phone = visit(f"{base}#{token}", size=PHONE)
        for page in (wall, desk, phone):
            shows(page, "title", "Welcome")
        assert phone.get_by_role("button", name="Begin").count() == 0
        phone.keyboard.press("PageDown")
        desk.keyboard.press("PageDown")
        for page in (wall, desk, phone):
            shows(page, "floor", "Everyone")
        assert stage.done() == ["begin"]
        late = visit(f"{base}#{token}", size=PHONE)
        shows(late, "notice-title", "This link has been used")
        nobody = visit(base)
        shows(nobody, "notice-title", "This link has been used")
        phone.reload()  # a page that has joined stays
        shows(phone, "title", "Welcome")


@pytest.mark.slow
def test_a_page_that_loses_the_program_says_so_and_finds_it_again(stage: Stage, visit: Open) -> None:
    page = visit(stage.server.address)
    stage.press("begin")
    shows(page, "title", "Welcome")
    with stage.hung():
        page.wait_for_selector("body.lost", timeout=WAIT_MS)
        assert page.get_by_text("Connection lost").is_visible()
        stage.go_on(3)
        stage.press("next")
    page.wait_for_selector("body:not(.lost)", timeout=WAIT_MS)
    shows(page, "title", "Check-in")


def test_nothing_is_asked_of_any_other_machine(stage: Stage, visit: Open, tmp_path: Path) -> None:
    del tmp_path
    page = visit("about:blank")
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    page.goto(stage.server.address)
    shows(page, "title", "Welcome")
    assert asked
    assert all(url.startswith(f"http://127.0.0.1:{stage.server.port}/") for url in asked)
    assert page.evaluate("[document.cookie, localStorage.length]") == ["", 0]


def wait_for(met: Callable[[], bool], seconds: float = 20.0) -> None:
    import time

    until = time.monotonic() + seconds
    while not met():
        assert time.monotonic() < until, "it did not come"
        time.sleep(0.02)
