"""The room page over HTTP: who may see it, who may drive it, and what becomes of everything else."""

from __future__ import annotations

import http.client
import json
import socket
import threading
from collections.abc import Iterator
from typing import Any

import pytest
import requests
from hypothesis import given
from hypothesis import strategies as st

from tests.plenty import tries
from tests.support.display_stage import Stage
from voice_facilitator.display.access import Access, RateLimit, Role, host_allowed
from voice_facilitator.display.routes import Limits
from voice_facilitator.display.server import RoomServer
from voice_facilitator.display.share import Sharing, qr_blocks
from voice_facilitator.errors import FacilitatorError


@pytest.fixture
def stage() -> Iterator[Stage]:
    with Stage("balint-45", share=Role.VIEW) as opened:
        yield opened


class Client:
    """A page without a browser."""

    def __init__(self, stage: Stage, token: str | None = None) -> None:
        self.base = f"http://127.0.0.1:{stage.server.port}"
        self.headers: dict[str, str] = {}
        if token is not None:
            answer = requests.post(f"{self.base}/join", json={"token": token}, timeout=5)
            self.joined = answer.status_code
            if answer.ok:
                self.headers["Authorization"] = f"Bearer {answer.json()['key']}"

    def post(self, path: str, body: Any, **headers: str) -> requests.Response:
        return requests.post(f"{self.base}{path}", json=body, headers={**self.headers, **headers}, timeout=5)

    def do(self, action: str, seen: str | None = None) -> int:
        return self.post("/do", {"do": action, "seen": seen}).status_code

    def states(self, count: int) -> list[dict[str, Any]]:
        """The next states of the event stream."""
        found = []
        answer = requests.get(f"{self.base}/events", headers=self.headers, stream=True, timeout=10)
        assert answer.status_code == 200, answer.text
        name = ""
        for line in answer.iter_lines(chunk_size=1, decode_unicode=True):
            if line.startswith("event: "):
                name = line[7:]
            elif line.startswith("data: ") and name == "state":
                found.append(json.loads(line[6:]))
                if len(found) == count or found[-1]["stage"] == "over":
                    break
        answer.close()
        return found


def host(stage: Stage) -> Client:
    return Client(stage, stage.server.access.host_token)


# ------------------------------------------------------------ seeing


def test_a_page_opened_late_shows_the_truth_at_once(stage: Stage) -> None:
    stage.press("begin")
    stage.go_on(90)
    (state,) = host(stage).states(1)
    assert (state["stage"], state["mode"], state["phase_title"]) == ("session", "running", "Check-in")
    assert state["phase_left"] == pytest.approx(stage.session.view().phase_left, abs=1)
    assert state["age"] < 5


def test_every_page_is_told_when_the_program_ends(stage: Stage) -> None:
    clients = [host(stage) for _ in range(12)]
    ends: list[str] = []
    threads = [threading.Thread(target=lambda c=c: ends.append(c.states(99)[-1]["stage"])) for c in clients]
    for thread in threads:
        thread.start()
    while stage.server.viewers < 12:
        pass
    stage.server.stop()
    for thread in threads:
        thread.join(10)
    assert ends == ["over"] * 12


def test_nothing_of_the_session_is_seen_without_a_key(stage: Stage) -> None:
    stranger = Client(stage)
    assert requests.get(f"{stranger.base}/", timeout=5).status_code == 200
    for path in ("/events", "/invitation", "/summary"):
        assert requests.get(f"{stranger.base}{path}", timeout=5).status_code == 401
    assert Client(stage, "guessed").joined == 401
    assert stranger.do("begin") == 401
    assert stage.done() == []


def test_who_speaks_is_sent_only_where_the_protocol_asks_for_it(stage: Stage) -> None:
    stage.press("begin")
    stage.tell("presenter")
    (state,) = host(stage).states(1)
    assert state["heard"] is None


# ------------------------------------------------------------ driving


def test_a_press_does_what_a_voice_would(stage: Stage) -> None:
    page = host(stage)
    assert page.do("begin") == 202
    stage.go_on(5)
    assert [page.do(action) for action in ("pause", "undo", "more-time", "timer-only", "end")] == [202] * 5
    assert stage.done() == ["begin", "pause", "undo", "more-time", "timer-only", "end"]


def test_pressing_twice_does_not_skip_two_parts(stage: Stage) -> None:
    page = host(stage)
    page.do("begin")
    stage.go_on(5)
    page.do("next", "welcome")
    page.do("next", "welcome")
    page.do("next", "check-in")
    assert stage.done() == ["begin", "next"]
    stage.go_on(5)
    page.do("next", "welcome")  # made before the change was seen
    page.do("next", "check-in")
    assert stage.done() == ["begin", "next", "next"]


def test_a_press_at_the_moment_of_the_change_means_that_change(stage: Stage) -> None:
    stage.press("begin")
    stage.tell("silence")
    stage.go_on(62)
    assert stage.session.view().phase == "check-in"
    host(stage).do("next", "welcome")
    assert stage.session.view().phase == "check-in"


def test_ending_by_a_bouncing_key_is_not_possible(stage: Stage) -> None:
    stage.press("begin")
    stage.go_on(5)
    page = host(stage)
    page.do("end")
    page.do("end")
    assert stage.session.view().mode == "running"
    stage.go_on(3)
    page.do("yes")
    assert stage.session.view().mode == "closing"


# ------------------------------------------------------------ sharing


def test_an_invitation_is_good_for_one_page_which_may_only_look(stage: Stage) -> None:
    token = stage.server.access.invitation
    assert token is not None
    phone = Client(stage, token)
    assert phone.states(1)[0]["mode"] == "not-started"
    assert phone.do("begin") == 403
    assert requests.get(f"{phone.base}/invitation", headers=phone.headers, timeout=5).status_code == 403
    assert Client(stage, token).joined == 401
    fresh = requests.get(f"{phone.base}/invitation", headers=host(stage).headers, timeout=5)
    assert fresh.status_code in (200, 404)  # 404: this stage listens on loopback only
    assert Client(stage, stage.server.access.invitation).joined == 200


def test_a_controlling_phone_may_drive_but_not_set_up() -> None:
    with Stage(share=Role.CONTROL) as stage:
        phone = Client(stage, stage.server.access.invitation)
        assert phone.do("begin") == 202
        assert phone.post("/choose", {"do": "ready"}).status_code == 403


@pytest.mark.parametrize("role", [Role.VIEW, Role.CONTROL])
def test_the_summary_goes_to_the_page_of_this_machine_that_asks_for_it(role: Role) -> None:
    with Stage("balint-45", share=role) as stage:
        page, phone = host(stage), Client(stage, stage.server.access.invitation)

        def asked(client: Client) -> requests.Response:
            return requests.get(f"{client.base}/summary", headers=client.headers, timeout=5)

        assert asked(page).status_code == 409, "there is none yet"
        stage.server.on_summary = lambda: {"reminders": {"screen": 2, "voice": 1}}
        assert asked(page).json() == {"reminders": {"screen": 2, "voice": 1}}
        assert asked(phone).status_code == 403
        assert "reminders" not in phone.states(1)[0]


def test_without_sharing_there_is_no_invitation_and_only_loopback_listens() -> None:
    with Stage() as stage:
        assert stage.server.access.invitation is None
        assert stage.server.shared_address is None
        page = host(stage)
        assert requests.get(f"{page.base}/invitation", headers=page.headers, timeout=5).status_code == 404
        for family, _, _, _, address in socket.getaddrinfo(socket.gethostname(), stage.server.port):
            if family == socket.AF_INET and not address[0].startswith("127."):
                with socket.socket() as probe:
                    assert probe.connect_ex(address) != 0


def test_a_shared_page_is_reached_in_the_local_network() -> None:
    try:
        address = Sharing().current.address
    except FacilitatorError as error:
        pytest.skip(error.message)
    with Stage(share=Role.VIEW, lan_address=address) as stage:
        shared = stage.server.shared_address
        assert shared is not None
        base, _, token = shared.partition("/#")
        assert base == f"http://{address}:{stage.server.port}"
        assert requests.get(f"{base}/", timeout=5).status_code == 200
        from_host = requests.post(f"{base}/join", json={"token": stage.server.access.host_token}, timeout=5)
        assert from_host.status_code == 401  # good on this machine's own address only
        invited = requests.post(f"{base}/join", json={"token": token}, timeout=5)
        assert invited.json()["role"] == "view"
        page = host(stage)
        invitation = requests.get(f"{page.base}/invitation", headers=page.headers, timeout=5).json()
        assert invitation["address"] == stage.server.shared_address != shared
        rows = invitation["rows"]
        assert {len(row) for row in rows} == {len(rows)}
        assert rows[4][4:11] == rows[10][4:11] == "1111111"  # a finder pattern within the quiet border
        assert len(qr_blocks(shared).splitlines()) == (len(rows) + 1) // 2


def test_the_hosts_token_is_not_good_from_another_machine() -> None:
    access = Access(Role.VIEW)
    assert access.join(access.host_token, "192.168.1.20") is None
    joined = access.join(access.host_token, "127.0.0.1")
    assert joined is not None
    assert access.role_of(joined[0]) is Role.HOST
    assert access.role_of("") is None


# ------------------------------------------------------------ other sites, garbage, haste


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"Host": "evil.example"}, 421),
        ({"Host": "evil.example:PORT"}, 421),
        ({"Host": "127.0.0.1:1"}, 421),
        ({"Host": "user@127.0.0.1:PORT"}, 421),
        ({"Origin": "https://evil.example"}, 403),
        ({"Origin": "null"}, 403),
        ({"Origin": "http://127.0.0.1:1"}, 403),
        ({"Sec-Fetch-Site": "cross-site"}, 403),
        ({"Sec-Fetch-Site": "same-site"}, 403),
        ({"Content-Type": "text/plain"}, 415),
        ({"Content-Type": "application/x-www-form-urlencoded"}, 415),
    ],
)
def test_another_site_can_neither_read_nor_drive(stage: Stage, headers: dict[str, str], status: int) -> None:
    page = host(stage)
    sent = {name: value.replace("PORT", str(stage.server.port)) for name, value in headers.items()}
    answer = requests.post(
        f"{page.base}/do",
        data='{"do": "begin"}',
        timeout=5,
        headers={"Content-Type": "application/json", **page.headers, **sent},
    )
    assert (answer.status_code, stage.done()) == (status, [])
    error = answer.json()["error"]
    assert error["code"]
    assert error["message"]
    if "Content-Type" not in headers:
        seen = requests.get(f"{page.base}/events", headers={**page.headers, **sent}, timeout=5)
        assert seen.status_code == status


def test_our_own_page_may(stage: Stage) -> None:
    page = host(stage)
    answer = page.post("/do", {"do": "begin"}, Origin=page.base, **{"Sec-Fetch-Site": "same-origin"})
    assert answer.status_code == 202
    assert answer.headers["content-security-policy"].startswith("default-src 'none'")


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (b"", 400),
        (b"{", 400),
        (b"[]", 400),
        (b'{"do": "dance"}', 400),
        (b'{"do": 5}', 400),
        (b'{"do": "begin", "more": 1}', 400),
        (b'{"do": "begin", "seen": "' + b"x" * 100 + b'"}', 400),
        (b"[" * 1900, 400),
        (b"\xff\xfe", 400),
        (b"x" * 3000, 413),
        (b'{"do": "phase"}', 409),
    ],
)
def test_garbage_gets_a_clear_answer_and_changes_nothing(stage: Stage, body: bytes, status: int) -> None:
    page = host(stage)
    headers = {"Content-Type": "application/json", **page.headers}
    answer = requests.post(f"{page.base}/do", data=body, headers=headers, timeout=5)
    assert (answer.status_code, stage.done()) == (status, [])
    assert answer.json()["error"]["message"]


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/nothing", 404),
        ("GET", "/page/../server.py", 404),
        ("GET", "/page/%2e%2e/server.py", 404),
        ("GET", "/do", 405),
        ("DELETE", "/events", 405),
        ("POST", "/", 405),
        ("BREW", "/", 405),
    ],
)
def test_what_is_not_there(stage: Stage, method: str, path: str, status: int) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", stage.server.port, timeout=5)
    connection.request(method, path, headers={"Content-Length": "0"})
    answer = connection.getresponse()
    assert answer.status == status
    assert json.loads(answer.read())["error"]["code"]


@tries(60)
@given(
    data=st.one_of(
        st.binary(max_size=300),
        st.builds(
            lambda method, path, headers, body: (
                f"{method} {path} HTTP/1.1\r\nHost: 127.0.0.1\r\n{headers}\r\n\r\n{body}".encode()
            ),
            st.sampled_from(["GET", "POST", "PUT", "get", ""]),
            st.text(max_size=30),
            st.text(max_size=60),
            st.text(max_size=60),
        ),
    )
)
def test_any_bytes_at_all_are_answered_with_4xx_or_not_at_all(stage: Stage, data: bytes) -> None:
    with socket.create_connection(("127.0.0.1", stage.server.port), timeout=5) as line:
        line.sendall(data)
        line.shutdown(socket.SHUT_WR)
        answer = b""
        while piece := line.recv(4096):
            answer += piece
    assert answer == b"" or answer.startswith(b"HTTP/1.1 4"), (data, answer)
    assert stage.done() == []


def test_haste_is_answered_with_429() -> None:
    limit = RateLimit(3, 1.0)
    assert [limit.allows("a", 0.0) for _ in range(4)] == [True, True, True, False]
    assert limit.allows("b", 0.0)
    assert limit.allows("a", 1.0)
    assert not limit.allows("a", 1.5)
    plenty = RateLimit(1000, 1000)
    limits = Limits(press=RateLimit(2, 0.0), join=RateLimit(2, 0.0), any=plenty)
    server = RoomServer(Access(), limits=limits)
    server.on_press = lambda _press: True
    server.start()
    try:
        base = f"http://127.0.0.1:{server.port}"
        joined = requests.post(f"{base}/join", json={"token": server.access.host_token}, timeout=5)
        headers = {"Authorization": f"Bearer {joined.json()['key']}"}
        answers = [
            requests.post(f"{base}/do", json={"do": "next"}, headers=headers, timeout=5) for _ in range(3)
        ]
        assert [answer.status_code for answer in answers] == [202, 202, 429]
        assert answers[2].headers["retry-after"] == "1"
        guesses = [requests.post(f"{base}/join", json={"token": "x"}, timeout=5) for _ in range(2)]
        assert [guess.status_code for guess in guesses] == [401, 429]
    finally:
        server.stop()


@tries(300)
@given(st.text(max_size=40))
def test_only_our_own_names_are_answered_to(host_header: str) -> None:
    allowed = host_allowed(host_header, frozenset({"127.0.0.1", "localhost"}), 8123)
    assert allowed == (host_header.lower() in ("127.0.0.1:8123", "localhost:8123"))


def test_a_port_that_is_taken_is_said_plainly(stage: Stage) -> None:
    with pytest.raises(FacilitatorError) as caught:
        RoomServer(Access(), port=stage.server.port).start()
    assert caught.value.code == "display-port"
    assert "--no-display" in caught.value.hint
