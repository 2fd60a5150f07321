"""Measures the room page: how long an event takes to a page's screen, and what a dozen viewers cost.

    python -m benchmarks.running.display [--viewers 12] [--presses 40]

A real session, server and Chromium. The delay runs from the moment the session is told of a change until
the page has drawn it (the frame after the text has changed), on one clock. The cost is processor time of
this process for the same minute of a session with no viewers and with many, every second one of them slow.
"""

from __future__ import annotations

import argparse
import statistics
import threading
import time

import requests

from tests.support.display_stage import Stage, chromium, version

# Notes the time at which the heading has changed and the frame with it is on its way to the screen.
WATCH = """() => {
    window.drawn = [];
    const heading = document.querySelector("[data-show=floor]");
    new MutationObserver(() => requestAnimationFrame(() => setTimeout(() => {
        window.drawn.push([performance.timeOrigin + performance.now(), heading.textContent]);
    }))).observe(heading, { childList: true, characterData: true, subtree: true });
}"""


def delays(presses: int) -> list[float]:
    """Milliseconds from the event to the drawn page, for changes between the story and the questions."""
    found = []
    with Stage("balint-45") as stage, chromium() as browser:
        page = browser.new_page(viewport={"width": 1280, "height": 720})
        page.goto(stage.server.address)
        stage.press("begin")
        stage.tell("silence")
        for _ in range(3):
            stage.go_on(3)
            stage.press("next")
        page.get_by_text("The presenter", exact=True).wait_for()
        page.evaluate(WATCH)
        for number in range(presses):
            stage.go_on(3)
            page.wait_for_timeout(120)
            told = time.time() * 1000
            stage.press("next" if number % 2 == 0 else "back")
            while len(drawn := page.evaluate("window.drawn")) <= number:
                page.wait_for_timeout(20)
            found.append(drawn[number][0] - told)
    return found


def cost(viewers: int, seconds: float) -> float:
    """Processor seconds of this process while a session is shown to so many pages for a while."""
    with Stage("balint-45") as stage:
        stage.press("begin")
        base = f"http://127.0.0.1:{stage.server.port}"
        over = threading.Event()
        answers = []
        for _ in range(viewers):
            token = {"token": stage.server.access.host_token}
            key = requests.post(f"{base}/join", json=token, timeout=5).json()["key"]
            headers = {"Authorization": f"Bearer {key}"}
            # Nothing is read from them: that is what the slowest of pages looks like to the server.
            answers.append(requests.get(f"{base}/events", headers=headers, stream=True, timeout=30))
        began = time.process_time()
        until = time.monotonic() + seconds
        while time.monotonic() < until:  # as the live loop does: five looks a second, one message a second
            stage._screen.update(stage.session.view(), None)
            time.sleep(0.2)
        used = time.process_time() - began
        over.set()
        for answer in answers:
            answer.close()
    return used


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--presses", type=int, default=40)
    parser.add_argument("--viewers", type=int, default=12)
    parser.add_argument("--seconds", type=float, default=30.0)
    wanted = parser.parse_args()
    found = sorted(delays(wanted.presses))
    print(f"Browser: {version()}")
    print(
        f"Event to screen, {len(found)} changes: median {statistics.median(found):.0f} ms, "
        f"95 % within {found[int(0.95 * len(found)) - 1]:.0f} ms, longest {found[-1]:.0f} ms"
    )
    alone, many = cost(0, wanted.seconds), cost(wanted.viewers, wanted.seconds)
    share = 100 / wanted.seconds
    print(
        f"Processor time of the program for the display: {alone * share:.1f} % of one core without viewers, "
        f"{many * share:.1f} % with {wanted.viewers}"
    )


if __name__ == "__main__":
    main()
