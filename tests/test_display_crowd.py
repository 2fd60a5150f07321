"""A thousand connections to the room display, idle, slow or greedy: neither wall nor session notices."""

from __future__ import annotations

import contextlib
import http.client
import itertools
import json
import socket
import sys
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import requests

from tests.support.display_stage import Stage, chromium
from tests.test_display_page import shows, wait_for
from tests.test_display_server import host
from voice_facilitator.display import connections
from voice_facilitator.display.access import Role
from voice_facilitator.display.connections import Rooms

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="all of 127.0.0.0/8 is this machine")
NETWORK = "127.0.0.2"  # the address that stands for the one in the local network
MANY = 1000


@pytest.fixture
def stage() -> Iterator[Stage]:
    import resource

    if resource.getrlimit(resource.RLIMIT_NOFILE)[0] < 3 * MANY:
        pytest.skip("the system grants too few file descriptors for so many clients")
    with Stage("balint-45", share=Role.VIEW, lan_address=NETWORK) as opened:
        yield opened


def of_one() -> Iterator[str]:
    return itertools.repeat("127.0.1.1")


def of_many() -> Iterator[str]:
    return (f"127.0.{2 + number // 250}.{1 + number % 250}" for number in itertools.count())


def connect(stage: Stage, source: str, to: str = NETWORK, receive_bytes: int | None = None) -> socket.socket:
    made = socket.socket()
    if receive_bytes is not None:
        made.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_bytes)
    made.bind((source, 0))
    made.settimeout(10)
    made.connect((to, stage.server.port))
    return made


def idle(stage: Stage) -> bytes:
    del stage
    return b""


def slow(stage: Stage) -> bytes:
    return f"GET / HTTP/1.1\r\nHost: {NETWORK}:{stage.server.port}\r\nX-Slow: ".encode()


def half_a_body(stage: Stage) -> bytes:
    head = f"POST /join HTTP/1.1\r\nHost: {NETWORK}:{stage.server.port}\r\nContent-Type: application/json\r\n"
    return f"{head}Content-Length: 90\r\n\r\n{{".encode()


def greedy(stage: Stage) -> bytes:
    """Asks for much, and reads nothing."""
    return f"GET /page/room.css HTTP/1.1\r\nHost: {NETWORK}:{stage.server.port}\r\n\r\n".encode() * 100


@pytest.mark.parametrize("sources", [of_one, of_many])
@pytest.mark.parametrize("begin", [idle, slow, half_a_body, greedy])
def test_the_wall_and_the_session_notice_nothing(
    stage: Stage, sources: Callable[[], Iterator[str]], begin: Callable[[Stage], bytes]
) -> None:
    wall = host(stage)
    stream = requests.get(f"{wall.base}/events", headers=wall.headers, stream=True, timeout=10)
    lines = stream.iter_lines(chunk_size=1, decode_unicode=True)
    with contextlib.ExitStack() as open_ones:
        for _, source in zip(range(MANY), sources(), strict=False):
            one = open_ones.enter_context(contextlib.closing(connect(stage, source, receive_bytes=2048)))
            with contextlib.suppress(OSError):
                one.sendall(begin(stage))
        assert len(stage.server.rooms.open) < 220, "the program keeps descriptors for its own work"
        page = host(stage)  # another page of this machine, too
        assert page.joined == 200
        assert page.do("begin") == 202
        assert any('"mode": "running"' in line for line in lines), "the wall shows it"
        assert stage.done() == ["begin"]
    stream.close()


def test_a_thousand_from_this_machine_itself_keep_no_page_out(stage: Stage) -> None:
    with contextlib.ExitStack() as open_ones:
        for _ in range(MANY):
            open_ones.enter_context(contextlib.closing(connect(stage, "127.0.0.1", "127.0.0.1")))
        assert host(stage).do("begin") == 202


def test_a_viewer_comes_in_beside_a_thousand_idle_ones(stage: Stage) -> None:
    token = stage.server.access.invitation
    with contextlib.ExitStack() as open_ones:
        for _, source in zip(range(MANY), of_many(), strict=False):
            open_ones.enter_context(contextlib.closing(connect(stage, source)))
        answer = requests.post(
            f"http://{NETWORK}:{stage.server.port}/join", json={"token": token}, timeout=10
        )
        assert answer.json()["role"] == "view"


@pytest.mark.parametrize("begin", [idle, slow, half_a_body, greedy])
def test_who_is_slow_to_ask_or_to_read_is_let_go(
    stage: Stage, begin: Callable[[Stage], bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connections, "REQUEST_SECONDS", 0.5)
    monkeypatch.setattr(connections, "READ_SECONDS", 0.5)
    one = connect(stage, "127.0.1.1", receive_bytes=2048)
    with contextlib.suppress(OSError):
        one.sendall(begin(stage))
    wait_for(lambda: stage.server.rooms.open != {})
    until = time.monotonic() + 20
    while stage.server.rooms.open:
        assert time.monotonic() < until
        if begin is slow:
            with contextlib.suppress(OSError):
                one.sendall(b"x")  # a letter now and then
        time.sleep(0.1)
    one.close()


def test_viewers_beyond_the_limit_are_told(stage: Stage) -> None:
    viewers = []
    for source, _ in zip(of_many(), range(64), strict=False):
        viewers.append(streaming(stage, source))
    late = streaming(stage, "127.0.9.9")
    assert (late.status, json.loads(late.read())["error"]["code"]) == (503, "too-many-pages")
    assert host(stage).states(1), "the wall's place is not taken by them"
    viewers[0].close()


def streaming(stage: Stage, source: str) -> http.client.HTTPResponse:
    """A viewer with a key of its own."""
    line = http.client.HTTPConnection(NETWORK, stage.server.port, 10, source_address=(source, 0))
    body = json.dumps({"token": stage.server.access.invitation})
    line.request("POST", "/join", body, {"Content-Type": "application/json"})
    key = json.loads(line.getresponse().read())["key"]
    line.request("GET", "/events", headers={"Authorization": f"Bearer {key}"})
    answer = line.getresponse()
    answer.line = line  # type: ignore[attr-defined]  # kept alive with it
    return answer


def test_one_address_beyond_its_share_of_streams_is_told(stage: Stage) -> None:
    held = [streaming(stage, "127.0.1.1") for _ in range(16)]
    with contextlib.closing(connect(stage, "127.0.1.1")) as late:
        assert late.recv(100).startswith(b"HTTP/1.1 503 ")
    with contextlib.closing(streaming(stage, "127.0.1.2")) as other:
        assert other.status == 200
    assert len(held) == 16


def test_where_the_system_grants_few_descriptors_fewer_are_used() -> None:
    class One:
        lets_us_wait = False

        def __init__(self, number: int) -> None:
            self.is_own, self.address = number % 2 == 0, str(number)

    rooms = Rooms(descriptors=256)
    entered: list[Any] = [one for one in map(One, range(1000)) if rooms.enter(one)]  # type: ignore[arg-type]
    assert len(entered) < 256 / 4


@pytest.mark.slow
def test_a_browser_with_seven_pages(stage: Stage) -> None:
    """It opens six connections to an address and no more: a stream each, and no press would get through."""
    with chromium() as browser:
        context = browser.new_context()
        pages = []
        for _ in range(7):
            page: Any = context.new_page()
            page.goto(stage.server.address)
            shows(page, "title", "Welcome")
            pages.append(page)
        assert stage.server.viewers == 1, "one stream for all of them"
        pages[6].keyboard.press("Space")
        wait_for(lambda: stage.done() == ["begin"])
        for page in pages:
            shows(page, "floor", "Everyone")
        stage.go_on(2)
        pages[0].close()
        pages[3].keyboard.press("PageDown")
        wait_for(lambda: stage.done() == ["begin", "next"])
        for page in pages[1:]:
            shows(page, "title", "Check-in")
        pages[1].reload()
        shows(pages[1], "title", "Check-in")
        late: Any = context.new_page()
        late.goto(stage.server.address.partition("#")[0])
        shows(late, "notice-title", "This link has been used")
        for page in pages[1:]:
            page.close()
        wait_for(lambda: stage.server.viewers == 0)
        context.close()


def test_a_browser_without_shared_workers_has_a_stream_a_page(stage: Stage) -> None:
    with chromium() as browser:
        context = browser.new_context()
        context.add_init_script("delete window.SharedWorker")
        for count in (1, 2):
            page: Any = context.new_page()
            page.goto(stage.server.address)
            shows(page, "title", "Welcome")
            assert stage.server.viewers == count
        page.keyboard.press("Space")
        wait_for(lambda: stage.done() == ["begin"])


def test_a_page_that_finds_no_room_says_so_and_gets_in_later(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("voice_facilitator.display.routes._MOST_OWN_STREAMS", 0)
    with chromium() as browser:
        page: Any = browser.new_page()
        page.goto(stage.server.address)
        shows(page, "notice-title", "Too many pages are open")
        monkeypatch.setattr("voice_facilitator.display.routes._MOST_OWN_STREAMS", 1)
        shows(page, "title", "Welcome")
