"""Who may see the room display and who may drive it. Knows no socket and no clock of its own.

Nothing here is a cookie: a page shows its key in a header of its own with every request, so a page of
another site has nothing to misuse.
"""

from __future__ import annotations

import hashlib
import hmac
import ipaddress
import secrets
from collections.abc import Callable
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from enum import StrEnum
from urllib.parse import urlsplit

from voice_facilitator.session.events import Seconds

_KEY_BYTES = 24  # 192 random bits: not to be guessed at any rate
_MOST_KEYS = 200  # pages opened in one session; the oldest of them is forgotten
_MOST_CLIENTS = 500  # addresses remembered by the rate limit


class Role(StrEnum):
    """What a page may do. `HOST` is the one on this machine: it may also set up and share."""

    VIEW = "view"
    CONTROL = "control"
    HOST = "host"

    @property
    def may_drive(self) -> bool:
        return self is not Role.VIEW


class Access:
    """The keys of one run of the program.

    The host's token opens any number of pages, on this machine only. An invitation is good for one page:
    when it is used, the next one is made and told to `on_invitation`.
    """

    def __init__(
        self, shared: Role | None = None, on_invitation: Callable[[str], None] = lambda _token: None
    ) -> None:
        """shared: what pages of other machines may do; None where the display is not shared."""
        self.host_token = secrets.token_urlsafe(_KEY_BYTES)
        self._shared = shared
        self._on_invitation = on_invitation
        self.invitation = secrets.token_urlsafe(_KEY_BYTES) if shared else None
        self._roles: dict[bytes, Role] = {}

    def join(self, token: str, client: str) -> tuple[str, Role] | None:
        """A page's own key and role for a token from the address bar; None for a token that is not good."""
        role: Role | None = None
        if _same(token, self.host_token) and is_this_machine(client):
            role = Role.HOST
        elif self.invitation is not None and _same(token, self.invitation):
            role = self._shared
            self.invitation = secrets.token_urlsafe(_KEY_BYTES)
            self._on_invitation(self.invitation)
        if role is None:
            return None
        key = secrets.token_urlsafe(_KEY_BYTES)
        self._roles[_digest(key)] = role
        while len(self._roles) > _MOST_KEYS:
            self._roles.pop(next(iter(self._roles)))
        return key, role

    def role_of(self, key: str) -> Role | None:
        """What the page with this key may do. Takes as long for a wrong key as for a right one."""
        wanted, found = _digest(key), None
        for digest, role in self._roles.items():
            if hmac.compare_digest(digest, wanted):
                found = role
        return found


def _digest(text: str) -> bytes:
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).digest()


def _same(one: str, other: str) -> bool:
    return hmac.compare_digest(_digest(one), _digest(other))


def is_this_machine(client: str) -> bool:
    try:
        return ipaddress.ip_address(client).is_loopback
    except ValueError:
        return False


def host_allowed(host: str, names: AbstractSet[str], port: int) -> bool:
    """Whether the Host header names us. Anything else is another site's name led to our address."""
    try:
        parts = urlsplit(f"//{host}")
        named, at = parts.hostname, parts.port
    except ValueError:
        return False
    plain = parts.path == "" and parts.query == "" and parts.username is None
    return plain and named in names and at in (port, None if port == 80 else port)


def origin_allowed(origin: str | None, fetch_site: str | None, host: str) -> bool:
    """Whether a request comes from our own page, or from no page at all."""
    if fetch_site not in (None, "same-origin", "none"):
        return False
    return origin is None or origin == f"http://{host}"


@dataclass(slots=True)
class _Bucket:
    left: float
    at: Seconds


class RateLimit:
    """So many at once and so many a second for each client (a token bucket)."""

    def __init__(self, burst: int, per_second: float) -> None:
        self._burst, self._per_second = burst, per_second
        self._buckets: dict[str, _Bucket] = {}

    def allows(self, client: str, now: Seconds) -> bool:
        bucket = self._buckets.pop(client, None) or _Bucket(float(self._burst), now)
        self._buckets[client] = bucket  # the one heard of last stands at the end
        while len(self._buckets) > _MOST_CLIENTS:
            self._buckets.pop(next(iter(self._buckets)))
        bucket.left = min(self._burst, bucket.left + max(0.0, now - bucket.at) * self._per_second)
        bucket.at = now
        if bucket.left < 1:
            return False
        bucket.left -= 1
        return True
