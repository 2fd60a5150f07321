"""An address for another device, as a QR code."""

from __future__ import annotations

import ipaddress
import socket

import segno

from voice_facilitator.errors import ExitCode, FacilitatorError

# An address nobody answers at: connecting a datagram socket sends nothing, it only chooses the way out.
_SOMEWHERE_LOCAL = ("10.254.254.254", 9)


def lan_address() -> str:
    """This machine's IPv4 address in its local network. Raises FacilitatorError `no-network`."""
    try:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
            probe.connect(_SOMEWHERE_LOCAL)
            found = str(probe.getsockname()[0])
    except OSError:
        found = ""
    if not found or ipaddress.ip_address(found).is_loopback or ipaddress.ip_address(found).is_unspecified:
        raise FacilitatorError(
            "no-network",
            "There is no local network to share the display in.",
            "Join the room's Wi-Fi, or open one with a phone; or go without --share.",
            exit_code=ExitCode.FAILED,
        )
    return found


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
