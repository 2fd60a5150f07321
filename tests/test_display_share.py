"""Where a phone in the room reaches the page, in networks as people have them."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import textwrap
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import requests

from tests.support.display_stage import Stage, chromium
from tests.test_display_page import shows, wait_for
from tests.test_display_server import Client, host
from voice_facilitator.display.access import Role
from voice_facilitator.display.share import LocalAddress, Sharing, in_url
from voice_facilitator.errors import FacilitatorError

linux = pytest.mark.skipif(sys.platform != "linux", reason="namespaces, and all of 127.0.0.0/8")
CHECKOUT = Path(__file__).parent.parent


class Network:
    """A computer and a phone, each in a namespace of its own, in one wireless network."""

    def __init__(self) -> None:
        self.computer, self.phone = (f"vf-{name}-{uuid.uuid4().hex[:6]}" for name in ("computer", "phone"))
        for name in (self.computer, self.phone):
            self.ip(f"netns add {name}")
            self.ip(f"-n {name} link set lo up")
        self.join("wlan0", "192.168.1.50/24", "192.168.1.77/24")

    def join(self, interface: str, address: str, *others: str) -> None:
        """Another network, in which the phone has addresses or not."""
        far = f"far-{interface}"
        self.ip(f"-n {self.computer} link add {interface} type veth peer name {far} netns {self.phone}")
        for name, device, addresses in ((self.computer, interface, [address]), (self.phone, far, others)):
            for one in addresses:
                self.ip(f"-n {name} addr add {one} dev {device} {'nodad' if ':' in one else ''}")
            self.ip(f"-n {name} link set {device} up")

    def leave(self, interface: str) -> None:
        self.ip(f"-n {self.computer} addr flush dev {interface}")

    def route(self, what: str) -> None:
        self.ip(f"-n {self.computer} route add {what}")

    def ip(self, words: str) -> None:
        subprocess.run(["ip", *words.split()], check=True, capture_output=True, timeout=30)

    def start(self, name: str, code: str) -> subprocess.Popen[str]:
        environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(CHECKOUT), *sys.path])}
        return subprocess.Popen(
            ["ip", "netns", "exec", name, sys.executable, "-c", textwrap.dedent(code)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            cwd=CHECKOUT,
            env=environment,
        )

    def addresses(self) -> list[str]:
        code = """
            import json
            from voice_facilitator.display.share import local_addresses
            print(json.dumps([one.address for one in local_addresses()]))
        """
        found: list[str] = json.loads(self.start(self.computer, code).communicate(timeout=60)[0])
        return found

    def close(self) -> None:
        for name in (self.computer, self.phone):
            with contextlib.suppress(subprocess.CalledProcessError):
                self.ip(f"netns del {name}")


@pytest.fixture
def network() -> Iterator[Network]:
    if sys.platform != "linux" or os.geteuid() != 0:
        pytest.skip("only root may make network namespaces")
    try:
        made = Network()
    except (OSError, subprocess.SubprocessError) as error:
        pytest.skip(f"no network namespaces here: {error}")
    yield made
    made.close()


CASES: dict[str, tuple[Callable[[Network], None], list[str]]] = {
    "Wi-Fi": (lambda _net: None, ["192.168.1.50"]),
    "a tunnel to where the address lay that was asked": (
        lambda net: (net.join("tun0", "10.8.0.2/24"), net.route("10.0.0.0/8 dev tun0"))[0],
        ["192.168.1.50", "10.8.0.2"],
    ),
    "a tunnel for everything": (
        lambda net: (net.join("wg0", "10.8.0.2/24"), net.route("default dev wg0"))[0],
        ["192.168.1.50", "10.8.0.2"],
    ),
    "containers": (
        lambda net: (net.join("docker0", "172.17.0.1/16"), net.join("virbr0", "192.168.122.1/24"))[0],
        ["192.168.1.50", "172.17.0.1", "192.168.122.1"],
    ),
    "a cable with the way out, and a public address": (
        lambda net: (net.join("eth0", "134.2.10.20/24"), net.route("default dev eth0"))[0],
        ["192.168.1.50", "134.2.10.20"],
    ),
    "a cable with the way out, and a private address": (
        lambda net: (net.join("eth0", "10.1.2.3/24"), net.route("default dev eth0"))[0],
        ["192.168.1.50", "10.1.2.3"],
    ),
    "cable only": (
        lambda net: (net.leave("wlan0"), net.join("enp3s0", "192.168.7.5/24"))[0],
        ["192.168.7.5"],
    ),
    "IPv6 only": (
        lambda net: (net.leave("wlan0"), net.ip(f"-n {net.computer} addr add fd00:5::50/64 dev wlan0 nodad"))[
            0
        ],
        ["fd00:5::50"],
    ),
    "both": (
        lambda net: net.ip(f"-n {net.computer} addr add fd00:5::50/64 dev wlan0 nodad"),
        ["192.168.1.50", "fd00:5::50"],
    ),
    "none": (lambda net: net.leave("wlan0"), []),
}


@linux
@pytest.mark.parametrize("case", CASES)
def test_the_address_of_the_rooms_network_comes_first(network: Network, case: str) -> None:
    prepare, expected = CASES[case]
    prepare(network)
    assert network.addresses() == expected


@linux
@pytest.mark.parametrize("address", ["192.168.1.50", "fd00:5::50"])
def test_a_phone_reaches_it_and_a_change_of_address_moves_it(network: Network, address: str) -> None:
    """No default route: a hotspot of one's own, or a router without the internet."""
    if ":" in address:
        network.leave("wlan0")
        network.ip(f"-n {network.phone} addr add fd00:5::77/64 dev far-wlan0 nodad")
        network.ip(f"-n {network.computer} addr add fd00:5::50/64 dev wlan0 nodad")
    program = network.start(
        network.computer,
        """
        import sys
        from voice_facilitator.app import room_display
        from voice_facilitator.display.access import Role
        room_display._LOOK_SECONDS = 0.2
        options = room_display.DisplayOptions(browser=False, share=Role.VIEW)
        tell = lambda text: print(text.splitlines()[-1], flush=True)
        with room_display.room_display(options, "en-gb", tell) as server:
            sys.stdin.read()
        """,
    )
    assert program.stdout is not None
    invited = (line for line in program.stdout if "/#" in line and not line.startswith("Room page"))

    def reached() -> str:
        """What the phone is told that it may do, at the address that was given last."""
        url, _, token = next(invited).strip().partition("/#")
        code = f"""
            import requests
            print(requests.post({url!r} + "/join", json={{"token": {token!r}}}, timeout=10).json()["role"])
        """
        told, _ = network.start(network.phone, code).communicate(timeout=60)
        return f"{url.rpartition(':')[0]} {told.strip()}"

    assert reached() == f"http://{in_url(address)} view"
    next(invited)  # each is good for one device
    network.leave("wlan0")
    changed = address.replace("50", "60")
    network.ip(
        f"-n {network.computer} addr add {changed}/{64 if ':' in address else 24} dev wlan0 "
        f"{'nodad' if ':' in address else ''}"
    )
    assert reached() == f"http://{in_url(changed)} view"
    program.communicate(timeout=60)
    assert program.returncode == 0


WIFI, CABLE, TUNNEL = (
    LocalAddress("192.168.1.50", "wlan0"),
    LocalAddress("10.1.2.3", "eth0"),
    LocalAddress("10.8.0.2", "tun0"),
)


@pytest.mark.parametrize("named", ["eth0", "10.1.2.3"])
def test_people_may_name_an_address_or_an_interface(named: str) -> None:
    assert Sharing(named, lambda: [WIFI, CABLE]).current == CABLE


def test_what_is_not_there_is_said_with_what_is() -> None:
    with pytest.raises(FacilitatorError, match="eth7") as caught:
        Sharing("eth7", lambda: [WIFI, CABLE])
    assert caught.value.hint == "There is: 192.168.1.50 (wlan0), 10.1.2.3 (eth0)."
    with pytest.raises(FacilitatorError) as caught:
        Sharing("", list)
    assert caught.value.code == "no-network"


def test_an_address_stays_as_long_as_it_is_there() -> None:
    here = [CABLE]
    sharing = Sharing(look=lambda: list(here))
    here.insert(0, WIFI)
    assert not sharing.look_again()
    assert sharing.current == CABLE
    here.clear()
    assert not sharing.look_again(), "a cable is out for a moment"
    moved = LocalAddress("10.1.2.9", "eth0")
    here += [WIFI, moved]
    assert sharing.look_again()
    assert sharing.current == moved, "of the same interface"
    assert sharing.choose(WIFI.address)
    assert not sharing.choose(TUNNEL.address)
    assert sharing.current == WIFI


@pytest.fixture
def stage() -> Iterator[Stage]:
    with Stage(share=Role.VIEW, lan_address="127.0.0.2") as opened:
        sharing = Sharing(look=lambda: [LocalAddress("127.0.0.2", "one"), LocalAddress("127.0.0.3", "other")])
        opened.server.on_share_at = sharing.choose
        opened.server.other_addresses = lambda: sharing.found
        yield opened


@linux
def test_the_page_moves_to_another_address(stage: Stage) -> None:
    page, port = host(stage), stage.server.port
    phone = Client(stage, stage.server.access.invitation)
    assert page.post("/share", {"address": "127.0.0.9"}).status_code == 409
    assert phone.post("/share", {"address": "127.0.0.3"}).status_code == 403
    assert page.post("/share", {"address": "127.0.0.3"}).status_code == 202
    assert (stage.server.shared_address or "").startswith(f"http://127.0.0.3:{port}/#")
    assert requests.get(f"http://127.0.0.3:{port}/", timeout=5).status_code == 200
    with pytest.raises(requests.ConnectionError):
        requests.get(f"http://127.0.0.2:{port}/", timeout=5)
    assert stage.server.share_at("127.0.0.2")
    assert requests.get(f"http://127.0.0.2:{port}/", timeout=5).status_code == 200
    assert not stage.server.share_at("203.0.113.9"), "it is not ours"
    stage.server.stop()
    with pytest.raises(requests.ConnectionError):
        requests.get(f"http://127.0.0.2:{port}/", timeout=5)


@linux
def test_other_addresses_are_offered_beside_the_code(stage: Stage) -> None:
    with chromium() as browser:
        page: Any = browser.new_page()
        page.goto(stage.server.address)
        shows(page, "title", "Welcome")
        page.mouse.move(200, 200)
        page.get_by_role("button", name="Another screen").click()
        before = page.locator("dialog .address").text_content()
        page.get_by_role("button", name="127.0.0.3 (other)").click()
        wait_for(lambda: page.locator("dialog .address").text_content() != before)
        assert "127.0.0.3" in page.locator("dialog .address").text_content()
        assert page.get_by_role("button", name="127.0.0.2 (one)").is_visible()
