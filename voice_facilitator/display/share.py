"""Where another device reaches this one, as an address and as a QR code."""

from __future__ import annotations

import ipaddress
import re
import socket
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import segno

from voice_facilitator.errors import ExitCode, FacilitatorError

# Addresses nobody answers at: connecting a datagram socket sends nothing, it only chooses the way out.
_SOMEWHERE = (("10.254.254.254", socket.AF_INET), ("2001:db8::1", socket.AF_INET6))
# Networks inside this computer, and tunnels out of it: no phone in the room is in them. By the names that
# systems give them. On Windows a hotspot of one's own is a "virtual" adapter, too.
_NO_ROOM = re.compile(
    r"tun|utun|tap|wg|ppp|ipsec|zt|tailscale|nordlynx|proton|docker|br-|veth|virbr|vmnet|vmenet|vbox|lxc|lxd|cni"
    r"|flannel|cali|podman|awdl|llw|anpi|gif|stf"
    r"|(?!.*wi-?fi direct).*(virtual|vethernet|hyper-v|vmware|vpn|wireguard|wsl|loopback|bluetooth)",
    re.IGNORECASE,
)
_WIRELESS = re.compile(r"wl|ath|.*(wi-?fi|wlan|wireless|802\.11)", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class LocalAddress:
    """One of this machine's addresses. interface: the name of the network device, as the system has it."""

    address: str
    interface: str


def local_addresses() -> list[LocalAddress]:
    """This machine's addresses that another device may reach, the likeliest first.

    Phones are in a wireless network, and in a room's network addresses are private; what leads out of the
    house comes after that, tunnels and networks inside this computer come last.
    """
    import ifaddr  # noqa: PLC0415  # asked for only where the page is shared

    found: dict[LocalAddress, tuple[bool, bool, bool, bool, bool]] = {}
    ways_out = _ways_out()
    for adapter in ifaddr.get_adapters():
        for ip in adapter.ips:
            names = (str(adapter.name), str(adapter.nice_name), str(ip.nice_name))
            address = ipaddress.ip_address(ip.ip if isinstance(ip.ip, str) else ip.ip[0])
            if address.is_loopback or address.is_link_local or address.is_multicast or address.is_unspecified:
                continue
            found[LocalAddress(str(address), str(ip.nice_name))] = (
                any(map(_NO_ROOM.match, names)),
                address.version == 6,
                not any(map(_is_wireless, names)),
                not address.is_private,
                str(address) not in ways_out,
            )
    return sorted(found, key=lambda one: (found[one], one.interface, one.address))


def _is_wireless(interface: str) -> bool:
    return bool(_WIRELESS.match(interface)) or Path("/sys/class/net", interface, "wireless").exists()


def _ways_out() -> set[str]:
    found = set()
    for somewhere, family in _SOMEWHERE:
        try:
            with socket.socket(family, socket.SOCK_DGRAM) as probe:
                probe.connect((somewhere, 9))
                found.add(str(probe.getsockname()[0]))
        except OSError:
            pass  # a network without a way out, such as a hotspot of one's own
    return found


class Sharing:
    """The address that is given to others, for as long as it is there; then another one."""

    def __init__(self, named: str = "", look: Callable[[], list[LocalAddress]] = local_addresses) -> None:
        """named: an address or an interface. Raises FacilitatorError `no-network`, `no-such-address`."""
        self._look = look
        self.found = look()
        if not self.found:
            raise FacilitatorError(
                "no-network",
                "There is no local network to share the display in.",
                "Join the room's Wi-Fi, or open one with a phone; or go without --share.",
                exit_code=ExitCode.FAILED,
            )
        fitting = [one for one in self.found if not named or named in (one.address, one.interface)]
        if not fitting:
            here = ", ".join(f"{one.address} ({one.interface})" for one in self.found)
            raise FacilitatorError(
                "no-such-address",
                f"This computer has no address or interface {named}.",
                f"There is: {here}.",
                exit_code=ExitCode.USAGE,
            )
        self.current = fitting[0]

    def choose(self, address: str) -> bool:
        """Give others this address from now on; False if it is none of ours."""
        chosen = next((one for one in self.found if one.address == address), None)
        self.current = chosen or self.current
        return chosen is not None

    def look_again(self) -> bool:
        """Whether the address has gone and there is another now, of the same interface if possible."""
        self.found = self._look()
        if not self.found or self.current in self.found:
            return False
        of_same = [one for one in self.found if one.interface == self.current.interface]
        self.current = (of_same or self.found)[0]
        return True


def in_url(address: str) -> str:
    return f"[{address}]" if ":" in address else address


def qr_rows(text: str) -> list[str]:
    """The QR code as rows of 0 and 1, with its quiet border."""
    return [
        "".join(str(int(dot)) for dot in row) for row in segno.make(text, micro=False).matrix_iter(border=4)
    ]


def qr_blocks(text: str) -> str:
    """The QR code for a terminal, two rows to a line; dark on light, as phones want it."""
    rows = qr_rows(text)
    if len(rows) % 2:
        rows.append("0" * len(rows[0]))
    signs = {("0", "0"): "█", ("0", "1"): "▀", ("1", "0"): "▄", ("1", "1"): " "}
    return "\n".join(
        "".join(signs[pair] for pair in zip(upper, lower, strict=True))
        for upper, lower in zip(rows[::2], rows[1::2], strict=True)
    )
